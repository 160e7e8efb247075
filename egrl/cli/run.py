"""`egrl run`: execute an artifact with onnxruntime; prove its plan, or take times, where asked."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from egrl.cli.files import check_writable
from egrl.cli.parser import Verbs
from egrl.cli.values import positive_number, whole_number
from graph_ir.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from runtime.load import Artifact


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "run",
        help="execute an artifact",
        description="Executes an artifact with onnxruntime. With --check-plan every tensor of "
        "every op lives at its planned address in real buffers, poisoned when it dies, and the "
        "outputs are compared with onnxruntime's. With --profile every op's time on this machine "
        "is printed, with the kernels of onnxruntime that computed it.",
    )
    parser.add_argument("artifact", type=Path, metavar="OUT.egrl")
    parser.add_argument("--inputs", type=Path, required=True, metavar="IN.npz")
    parser.add_argument("-o", "--out", type=Path, metavar="OUT.npz", help="needed but to profile")
    parser.add_argument("--check-plan", action="store_true", help="execute the plan itself")
    parser.add_argument("--profile", action="store_true", help="time of every op, and its kernels")
    parser.add_argument(
        "--repeat",
        type=positive_number,
        metavar="N",
        help="inferences of --profile (default: 10)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, with --profile")
    parser.add_argument("--graph", default="main", metavar="NAME", help="default: main")
    parser.add_argument(
        "--threads", type=whole_number, metavar="N", help="of onnxruntime (default: the manifest's)"
    )
    parser.set_defaults(command=command)


def command(args: argparse.Namespace) -> int:
    """Run."""
    _check_flags(args)
    check_writable(args.out)

    from accelerator_sim.units import bytes_text, plain
    from runtime.execute import run_artifact
    from runtime.load import verify_artifact
    from runtime.npz import read_inputs, write_outputs

    artifact = verify_artifact(args.artifact)
    inputs = read_inputs(args.inputs)
    if args.profile:
        return _profile(args, artifact, inputs)
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


def _check_flags(args: argparse.Namespace) -> None:
    """Refuse flags that say nothing together.

    Raises:
        InputError: naming them.
    """
    if args.profile and args.check_plan:
        raise InputError("--profile and --check-plan: expected one of them, got both")
    if args.out is None and not args.profile:
        raise InputError("-o: expected a file for the outputs, got none")
    for flag, given in (("--repeat", args.repeat is not None), ("--json", args.json)):
        if given and not args.profile:
            raise InputError(f"{flag}: expected --profile beside it")


def _profile(
    args: argparse.Namespace, artifact: "Artifact", inputs: "Mapping[str, NDArray[np.generic]]"
) -> int:
    """Print, and write the outputs where wanted."""
    import msgspec

    from runtime.npz import write_outputs
    from runtime.profile import DEFAULT_REPEATS, profile_artifact
    from runtime.profile_text import profile_text

    repeats = args.repeat or DEFAULT_REPEATS
    done = profile_artifact(artifact, inputs, args.graph, args.threads, repeats)
    if args.out is not None:
        write_outputs(args.out, done.outputs)
    if args.json:
        print(msgspec.json.encode({"profile": done.profile}).decode())
        return 0
    print(profile_text(done.profile))
    if args.out is not None:
        print(f"wrote {args.out}")
    return 0
