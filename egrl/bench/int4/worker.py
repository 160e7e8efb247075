"""One compression in a process of its own: `python -m egrl.bench.int4.worker JOB.json`."""

import sys
import time
from pathlib import Path

import msgspec

from graph_ir.errors import EgrlError


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be done.

    Attributes:
        tool: `egrl`, or a method of a peer.
        model: ONNX file.
        out: folder to write `model.onnx` and `result.json` into.
        texts: of `--compress`.
        dims: extents of symbolic dimensions.
        calibration: folder of samples; empty for none.
        group: input channels a scale, for peers.
        bits: of the integers, for peers.
    """

    tool: str
    model: str
    out: str
    texts: list[str] = []
    dims: dict[str, int] = {}
    calibration: str = ""
    group: int = 32
    bits: int = 4


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it took.

    Attributes:
        seconds: from reading the model to its being written, without the imports.
        notes: of what was done, for the row.
    """

    seconds: float
    notes: str = ""


def main(path: Path) -> None:
    """Do the job."""
    job = msgspec.json.decode(path.read_bytes(), type=Job)
    if job.tool == "egrl":
        seconds, notes = _egrl(job)
    else:
        from egrl.bench.int4.peer_onnxruntime import compress_peer

        seconds, notes = compress_peer(
            job.tool, Path(job.model), Path(job.out), job.bits, job.group
        )
    (Path(job.out) / "result.json").write_bytes(msgspec.json.encode(Result(seconds, notes)))


def _egrl(job: Job) -> tuple[float, str]:
    from egrl.bench.int4.compressing import compress_file

    began = time.perf_counter()
    samples = Path(job.calibration) if job.calibration else None
    done = compress_file(Path(job.model), job.dims, job.texts, samples, Path(job.out))
    options = [record.options for record in done.compressed.records]
    notes = "; ".join(" ".join(f"{k}={v}" for k, v in option.items()) for option in options)
    return time.perf_counter() - began, notes


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except EgrlError as error:
        print(str(error), file=sys.stderr)
        sys.exit(error.exit_code)
