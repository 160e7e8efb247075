"""`--compress FAMILY:METHOD+ADDON,key=value`, taken apart."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from graph_ir.errors import InputError

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_KEY = re.compile(r"[a-z][a-z0-9_-]*")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spec:
    """One `--compress`.

    Attributes:
        text: as given.
        family: what is done (`int4`, `int8`, `auto`, `razor`).
        methods: how, joined by `+`: one method, add-ons around it; empty for the default.
        options: `key=value` in order.
    """

    text: str
    family: str
    methods: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    def fail(self, reason: str) -> InputError:
        """An error about this flag."""
        return InputError(f"--compress {self.text}: {reason}")


def parse_spec(text: str) -> Spec:
    """Takes the flag's value apart.

    Raises:
        InputError: not of the form `FAMILY[:METHOD[+ADDON...]][,key=value...]`.
    """
    head, *rest = text.split(",")
    family, colon, methods = head.partition(":")
    names = tuple(methods.split("+")) if colon else ()
    bad = [name for name in (family, *names) if not _NAME.fullmatch(name)]
    if bad:
        raise InputError(
            f"--compress {text}: expected FAMILY:METHOD+ADDON,key=value, got {bad[0]!r}"
        )
    options: dict[str, str] = {}
    for part in rest:
        key, sign, value = part.partition("=")
        if not sign or not _KEY.fullmatch(key) or not value:
            raise InputError(f"--compress {text}: expected key=value, got {part!r}")
        if key in options:
            raise InputError(f"--compress {text}: {key} is given twice")
        options[key] = value
    return Spec(text, family, names, tuple(options.items()))


def options_into(spec: Spec, defaults: Mapping[str, T]) -> tuple[dict[str, T], dict[str, str]]:
    """Fields of one or more dataclasses with the options' values in their place.

    A key is the name of a field. Where several parts have a field of that name, the key begins
    with the part: `lorc-rank=8`.

    Args:
        spec: the flag.
        defaults: dataclass instances by what they are of.

    Returns:
        The instances with their options, and every field as text, resolved, for the manifest.

    Raises:
        InputError: a key that none has or several have, or a value of another type.
    """
    keys = _keys(defaults)
    values: dict[str, dict[str, Any]] = {name: {} for name in defaults}
    for key, text in spec.options:
        owners = keys.get(key.replace("_", "-"), [])
        if not owners:
            known = sorted(key for key, owners in keys.items() if len(owners) == 1)
            raise spec.fail(f"{key}: unknown; expected one of {', '.join(known)}")
        if len(owners) > 1:
            expected = " or ".join(f"{name}-{key}" for name, _ in owners)
            raise spec.fail(f"{key}: {len(owners)} parts have it; expected {expected}")
        name, field = owners[0]
        values[name][field] = _value(spec, key, text, _fields(defaults[name])[field])
    made: dict[str, T] = {}
    for name, default in defaults.items():
        try:
            made[name] = dataclasses.replace(default, **values[name])  # type: ignore[type-var]
        except InputError as error:
            raise spec.fail(str(error)) from error
    resolved = {
        key: str(_fields(made[owners[0][0]])[owners[0][1]])
        for key, owners in keys.items()
        if len(owners) == 1
    }
    return made, resolved


def _keys(defaults: Mapping[str, object]) -> dict[str, list[tuple[str, str]]]:
    """Which fields of which parts a key may mean; one that means one field has no prefix."""
    plain: dict[str, list[tuple[str, str]]] = {}
    for name, default in defaults.items():
        for field in _fields(default):
            plain.setdefault(field.replace("_", "-"), []).append((name, field))
    prefixed = {
        f"{name}-{key}": [(name, field)]
        for key, owners in plain.items()
        if len(owners) > 1
        for name, field in owners
    }
    return {**plain, **prefixed}


def _fields(instance: object) -> dict[str, Any]:
    return {f.name: getattr(instance, f.name) for f in dataclasses.fields(instance)}  # type: ignore[arg-type]


def _value(spec: Spec, key: str, text: str, default: object) -> object:
    """The text as a value of the default's type."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise spec.fail(f"{key}: expected true or false, got {text!r}")
        return text == "true"
    if isinstance(default, int | float):
        try:
            value = type(default)(text)
        except ValueError:
            value = float("nan")
        if value != value or value in (float("inf"), float("-inf")):
            kind = "whole number" if isinstance(default, int) else "number"
            raise spec.fail(f"{key}: expected a {kind}, got {text!r}")
        return value
    return text
