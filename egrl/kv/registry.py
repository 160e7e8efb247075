"""Every way of choosing what caches keep, by its name on the command line, made when asked for.

The first line of a function's docstring is what `egrl passes` prints.
"""

import dataclasses
from collections.abc import Callable

from egrl.compression.spec import Spec, options_into
from egrl.kv.method import KvMethod


def _razor() -> KvMethod:
    """Retrieval heads, found without data, keep everything; the others a window and a mean."""
    from egrl.kv.methods.razor import Razor

    return Razor()


def _fitted() -> KvMethod:
    """Each head a window of its own, where bytes take away the most measured error."""
    from egrl.kv.methods.fitted import Fitted

    return Fitted()


def _no_compensation() -> KvMethod:
    """The same without the mean of what is dropped."""
    from egrl.kv.methods.no_compensation import NoCompensation

    return NoCompensation()


def _random_heads() -> KvMethod:
    """The same with heads drawn by a seed."""
    from egrl.kv.methods.random_heads import RandomHeads

    return RandomHeads()


def _duo() -> KvMethod:
    """Heads out of a file keep everything, the others sinks and a window."""
    from egrl.kv.methods.duo import Duo

    return Duo()


def _streaming() -> KvMethod:
    """Sinks and a window on every head."""
    from egrl.kv.methods.streaming import Streaming

    return Streaming()


def _snapkv() -> KvMethod:
    """Positions that the end of the prompt attends to, chosen by each head when it was read."""
    from egrl.kv.methods.snapkv import SnapKv

    return SnapKv()


def _adakv() -> KvMethod:
    """The same, its positions shared out to the heads of a layer by what they score."""
    from egrl.kv.methods.adakv import AdaKv

    return AdaKv()


def _expected_attention() -> KvMethod:
    """Positions that queries to come are expected to attend to, by the prompt's queries."""
    from egrl.kv.methods.expected_attention import ExpectedAttention

    return ExpectedAttention()


def _scissorhands() -> KvMethod:
    """Each head drops what was least often important, while it reads and writes."""
    from egrl.kv.methods.scissorhands import Scissorhands

    return Scissorhands()


def _full() -> KvMethod:
    """Everything, stored in bits=32, 16, 8 or 4."""
    from egrl.kv.methods.full import Full

    return Full()


KV_METHODS: dict[str, Callable[[], KvMethod]] = {
    "razor": _razor,
    "fitted": _fitted,
    "no-compensation": _no_compensation,
    "random-heads": _random_heads,
    "duo": _duo,
    "streaming": _streaming,
    "snapkv": _snapkv,
    "adakv": _adakv,
    "expected-attention": _expected_attention,
    "scissorhands": _scissorhands,
    "kv": _full,
}


def is_kv_spec(spec: Spec) -> bool:
    """Whether a `--compress` is about caches."""
    return spec.family in KV_METHODS


def kv_method(spec: Spec) -> tuple[KvMethod, dict[str, str]]:
    """The method of a `--compress`, and every option as text, resolved, for the manifest.

    Raises:
        InputError: not the name of a method, or options that it has not.
    """
    if spec.family not in KV_METHODS:
        raise spec.fail(f"expected one of {', '.join(KV_METHODS)}")
    if spec.methods:
        raise spec.fail(f"{spec.family} has no methods of its own, got {spec.methods[0]!r}")
    default = KV_METHODS[spec.family]()
    made, _ = options_into(spec, {spec.family: default})
    method = made[spec.family]
    fields = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    return method, {name.replace("_", "-"): str(value) for name, value in fields.items()}
