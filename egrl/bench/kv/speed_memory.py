"""Resident memory of decoding, seen from outside: a process of its own that decodes and waits.

Run as `python -m egrl.bench.kv.speed_memory SHAPE CONTEXT VARIANT`; it says so once it has decoded,
and ends when its input does.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from egrl.bench.kv.speed_cases import SHAPES, Bound, layer_decoder, layout_of
from graph_ir.errors import InputError

_STEPS = 5
_READY = "ready"


def resident_bytes(shape: int, context: int, variant: str) -> int:
    """Resident memory of a process that decodes one layer at its full context.

    Args:
        shape: index of the layer.
        context: positions.
        variant: what is kept.

    Raises:
        InputError: the process ended before it had decoded.
    """
    command = [sys.executable, "-m", __name__, str(shape), str(context), variant]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != _READY:
            raise InputError(f"speed of {variant} at {context}: its process ended early")
        status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
        process.communicate("")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def main() -> None:
    """Decodes a few tokens, says so and waits."""
    shape, context, variant = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    decoder = layer_decoder(SHAPES[shape])
    with tempfile.TemporaryDirectory() as scratch:
        bound = Bound(decoder, layout_of(decoder, variant, context), 1, Path(scratch))
        for position in range(context - _STEPS, context):
            bound.at(position)()
        print(_READY, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
