"""`egrl run`: execute an artifact with onnxruntime, and prove its plan where asked."""

import argparse
from pathlib import Path

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import whole_number
from graph_ir.errors import InputError


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "run",
        help="execute an artifact",
        description="Executes an artifact with onnxruntime. With --check-plan every tensor of "
        "every op lives at its planned address in real buffers, poisoned when it dies, and the "
        "outputs are compared with onnxruntime's.",
    )
    parser.add_argument("artifact", type=Path, metavar="OUT.egrl")
    parser.add_argument("--inputs", type=Path, required=True, metavar="IN.npz")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.npz")
    parser.add_argument("--check-plan", action="store_true", help="execute the plan itself")
    parser.add_argument("--graph", default="main", metavar="NAME", help="default: main")
    parser.add_argument(
        "--threads", type=whole_number, metavar="N", help="of onnxruntime (default: the manifest's)"
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Run."""
    check_writable(args.out)

    from accelerator_sim.units import bytes_text, plain
    from runtime.execute import run_artifact
    from runtime.load import verify_artifact
    from runtime.npz import read_inputs, write_outputs

    artifact = verify_artifact(args.artifact)
    inputs = read_inputs(args.inputs)
    if args.check_plan:
        from runtime.check_plan import check_artifact_plan

        result = check_artifact_plan(artifact, inputs, args.graph)
        for difference in result.differences:
            if not difference.within:
                raise InputError(
                    f"{args.artifact}: the plan of {args.graph} is wrong: output "
                    f"{difference.name} differs from onnxruntime's by "
                    f"{difference.relative_error:.3g} of its range, "
                    f"expected at most {difference.tolerance:.3g}"
                )
        exact = sum(difference.exact for difference in result.differences)
        print(
            f"plan checked: {result.ops} ops in {bytes_text(result.host_bytes)} of planned "
            f"memory; {exact} of {len(result.differences)} outputs equal onnxruntime's bit for "
            "bit, all are within tolerance"
        )
        outputs = result.outputs
    else:
        outputs = run_artifact(artifact, inputs, args.graph, args.threads)
    write_outputs(args.out, outputs)
    for name, array in outputs.items():
        print(f"{plain(name)}: {array.dtype} {list(array.shape)}")
    print(f"wrote {args.out}")
    return 0
