import subprocess
import sys
from pathlib import Path

MODULES = "load, write, execute, npz, check_plan, manifest, compare"


def test_deploying_never_pays_for_search_or_learning() -> None:
    script = (
        f"import sys; from runtime import {MODULES}\n"
        "heavy = {'torch', 'torch_geometric', 'gymnasium', 'highspy', 'egrl'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
