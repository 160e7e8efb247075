"""BERT-base and MiniLM through the exporter of torch, as a user would get them.

transformers and the exporter live in an environment of their own inside the cache, which sees
the packages of the running one, so that torch is not installed a second time.
"""

import os
import sys
import sysconfig
import venv
from pathlib import Path

from model_set.cache import Cache, run_quietly
from model_set.sources import MINILM

REQUIREMENTS = ("transformers==5.23.0", "onnxscript==0.7.2", "safetensors==0.8.0")
CONSTRAINTS = ("torch<2.14",)
SCRIPT = Path(__file__).with_name("bert_export.py")


def export_python(cache: Cache) -> Path:
    """The interpreter that can export; made at the first call."""
    folder = cache.root / "export-venv"
    python = folder / "bin" / "python"
    marker = folder / "requirements.txt"
    wanted = "".join(f"{requirement}\n" for requirement in REQUIREMENTS)
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    print("preparing the environment that exports BERT (once, about half a minute)", flush=True)
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=os.name != "nt").create(folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    parent = sysconfig.get_path("purelib")
    hook = f"import site; site.addsitedir({parent!r})\n"
    (packages / "parent.pth").write_text(hook, encoding="utf-8")
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in CONSTRAINTS), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--constraint", str(constraints), *REQUIREMENTS]
    run_quietly(command, "installation of the exporter")
    marker.write_text(wanted, encoding="utf-8")
    return python


def build(cache: Cache, name: str) -> None:
    """Writes `bert-base.onnx` or `minilm.onnx`."""
    python = export_python(cache)
    arguments = [name]
    if name == "minilm":
        (member,) = MINILM.members
        arguments.append(str(cache.fetch(MINILM) / member))
    offline = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "0"}
    with cache.writing(cache.model_path(name)) as path:
        command = [str(python), str(SCRIPT), str(path), *arguments]
        run_quietly(command, f"export of {name}", os.environ | offline)
