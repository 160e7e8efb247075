"""NNCF's `compress_weights` on one ONNX file; runs in an environment of its own.

Usage: peer_nncf.py MODEL.onnx OUT GROUP [CALIBRATION]

It imports nothing of this project: that environment has only the packages of `peers.py`.
"""

import json
import sys
import time
from pathlib import Path

import nncf
import numpy as np
import onnx


def main(model: str, out: str, group: int, calibration: str | None) -> None:
    """Compress, and write `model.onnx` and `result.json`."""
    began = time.perf_counter()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    options: dict[str, object] = {}
    if calibration is not None:
        paths = sorted(Path(calibration).glob("*.npz"))
        samples = [dict(np.load(path)) for path in paths]
        options = {
            "dataset": nncf.Dataset(samples),
            "subset_size": len(samples),
            "awq": True,
            "scale_estimation": True,
        }
    compressed = nncf.compress_weights(
        onnx.load(model),
        mode=nncf.CompressWeightsMode.INT4_SYM,
        ratio=1.0,
        group_size=group,
        all_layers=True,
        # With the embedding's table it writes a file that onnxruntime cannot run.
        ignored_scope=nncf.IgnoredScope(types=["Gather"], validate=False),
        # Weights that no group divides stay as they are, instead of ending the run.
        advanced_parameters=nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=nncf.GroupSizeFallbackMode.IGNORE
        ),
        **options,
    )
    onnx.save(
        compressed,
        folder / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights.data",
        size_threshold=1024,
    )
    seconds = time.perf_counter() - began
    notes = f"INT4_SYM group_size={group} all_layers"
    notes += " awq scale_estimation" if calibration is not None else ""
    result = {"seconds": seconds, "notes": f"{notes}, nncf {nncf.__version__}"}
    (folder / "result.json").write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None)
