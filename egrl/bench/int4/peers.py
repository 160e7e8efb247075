"""The environment of a peer that cannot share ours: made in the folder of built models."""

import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from graph_ir.errors import InputError

NNCF = "nncf==3.4.0"


def nncf_python(folder: Path) -> Path:
    """The interpreter that has NNCF; its environment is made at the first call.

    `EGRL_NNCF_PYTHON` names another one. The same versions of onnx and onnxruntime as here.

    Raises:
        InputError: it cannot be installed.
    """
    given = os.environ.get("EGRL_NNCF_PYTHON")
    if given:
        return Path(given)
    root = folder / "int4" / "nncf-venv"
    python, stamp = root / "bin" / "python", root / "installed"
    wanted = [NNCF, f"onnx=={version('onnx')}", f"onnxruntime=={version('onnxruntime')}"]
    if stamp.exists() and stamp.read_text("utf-8").split() == wanted:
        return python
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=os.name != "nt").create(root)
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise InputError(f"installation of {NNCF} failed: {lines[-1]}")
    stamp.write_text("\n".join(wanted), "utf-8")
    return python
