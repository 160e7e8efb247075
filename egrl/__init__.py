"""egrl: places every tensor of an ONNX model in the memories of an accelerator.

The verbs of the command line are functions of this package, imported when they are first used so
that `import egrl` costs nothing:

    import egrl

    outcome = egrl.compile("model.onnx", out="model.egrl", target="nnp-i")
    print(egrl.report_text(outcome.reports["main"]))

`compile` and `simulate` are in `egrl.api`; what runs an artifact (`load_artifact`,
`verify_artifact`, `run_artifact`, `check_artifact_plan`, `read_inputs`, `write_outputs`) is in
`runtime` and needs neither torch nor a solver.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerator_sim.report_case import Advice, ReportCase
    from accelerator_sim.report_csv import report_csv
    from accelerator_sim.report_text import report_text
    from accelerator_sim.targets import load_target
    from accelerator_sim.trace import trace_json
    from egrl.api import CompileOutcome, compile, run, simulate, verify
    from graph_ir.errors import EgrlError, InputError, UnmetRequirementError
    from runtime.check_plan import check_artifact_plan
    from runtime.execute import run_artifact
    from runtime.load import load_artifact, verify_artifact
    from runtime.npz import read_inputs, write_outputs

__version__ = "0.1.0"

# Public name to the module that defines it.
_PUBLIC: dict[str, str] = {
    "Advice": "accelerator_sim.report_case",
    "CompileOutcome": "egrl.api",
    "ReportCase": "accelerator_sim.report_case",
    "compile": "egrl.api",
    "run": "egrl.api",
    "simulate": "egrl.api",
    "verify": "egrl.api",
    "load_artifact": "runtime.load",
    "verify_artifact": "runtime.load",
    "run_artifact": "runtime.execute",
    "check_artifact_plan": "runtime.check_plan",
    "read_inputs": "runtime.npz",
    "write_outputs": "runtime.npz",
    "load_target": "accelerator_sim.targets",
    "report_text": "accelerator_sim.report_text",
    "report_csv": "accelerator_sim.report_csv",
    "trace_json": "accelerator_sim.trace",
    "EgrlError": "graph_ir.errors",
    "InputError": "graph_ir.errors",
    "UnmetRequirementError": "graph_ir.errors",
}

__all__ = [
    "Advice",
    "CompileOutcome",
    "EgrlError",
    "InputError",
    "ReportCase",
    "UnmetRequirementError",
    "__version__",
    "check_artifact_plan",
    "compile",
    "load_artifact",
    "load_target",
    "read_inputs",
    "report_csv",
    "report_text",
    "run",
    "run_artifact",
    "simulate",
    "trace_json",
    "verify",
    "verify_artifact",
    "write_outputs",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'egrl' has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted({*globals(), *_PUBLIC})
