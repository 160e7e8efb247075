"""From a method to a layout: what it needs to know of the decoder is found out, once."""

from egrl.kv.method import KvMethod
from egrl.kv.probe import HeadProbe, ProbeOptions, probe_heads
from graph_ir.compression.method import Runner
from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.layout import KvLayout


def plan_layout(
    method: KvMethod,
    decoder: Decoder,
    context: int,
    runner: Runner,
    probe: HeadProbe | None = None,
    options: ProbeOptions | None = None,
) -> KvLayout:
    """What a method keeps.

    Args:
        method: with its options.
        decoder: it is not changed.
        context: positions that a sequence may have.
        runner: executes the decoder where the method needs a probe that is not given.
        probe: of this decoder, if there is one already.
        options: of the probe.

    Raises:
        InputError: the decoder cannot be probed, or the method refuses it.
        UnmetRequirementError: a budget that has no room for the method.
    """
    if method.needs_probe and probe is None:
        probe = probe_heads(decoder, runner, options)
    return method.layout(decoder, context, probe)
