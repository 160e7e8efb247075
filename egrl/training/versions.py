"""With what a run was made."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = (
    "egrl", "torch", "torch-geometric", "numpy", "numba", "safetensors", "onnx", "onnx-ir",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions by name; a package that is not there says so."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
