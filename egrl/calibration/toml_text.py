"""An accelerator as the text of its TOML file."""

import json
from collections.abc import Mapping

import msgspec

from accelerator_sim.accelerator import Accelerator

_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def accelerator_toml(accelerator: Accelerator) -> str:
    """TOML that `accelerator_sim.targets.parse_target` reads back as the same value.

    Numbers of one line are written as inline tables, with their sources beside them.
    """
    fields = msgspec.to_builtins(accelerator)
    assert isinstance(fields, dict)
    return "\n".join(_table("", fields)).strip() + "\n"


def _table(path: str, fields: Mapping[str, object]) -> list[str]:
    """Plain values first: what follows a header belongs to it. TOML has no null."""
    lines: list[str] = []
    fields = {key: value for key, value in fields.items() if value is not None}
    for key, value in fields.items():
        if not _is_table(value) and not _is_table_list(value):
            lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in fields.items():
        name = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, dict) and _is_table(value):
            lines += ["", f"[{name}]", *_table(name, value)]
        elif isinstance(value, list) and _is_table_list(value):
            for item in value:
                lines += ["", f"[[{name}]]", *_table(name, item)]
    return lines


def _is_table(value: object) -> bool:
    """A table of its own; a quantity is none."""
    return isinstance(value, dict) and "value" not in value


def _is_table_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_table(item) for item in value)


def _key(key: str) -> str:
    return key if key and set(key) <= _BARE else _text(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        shown = {k: v for k, v in value.items() if v not in ("", False) or k == "value"}
        return f"{{ {', '.join(f'{_key(k)} = {_value(v)}' for k, v in shown.items())} }}"
    raise TypeError(f"no TOML for {type(value).__name__}")


def _text(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=True).replace("\x7f", "\\u007f")
