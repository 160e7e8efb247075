"""Every head keeps everything."""

from dataclasses import dataclass
from typing import ClassVar

from egrl.kv.method import ALL, KvMethod
from egrl.kv.probe import HeadProbe
from graph_ir.decoder.decoder import Decoder
from graph_ir.kv.layout import KvLayout


@dataclass(frozen=True, slots=True)
class Full(KvMethod):
    """The full cache, in whatever bits: `kv,bits=8`."""

    name: ClassVar[str] = "kv"

    def layout(self, decoder: Decoder, context: int, probe: HeadProbe | None) -> KvLayout:
        """See `KvMethod`."""
        del probe
        return self.grouped(decoder, context, [[ALL] * layer.kv_heads for layer in decoder.layers])
