"""Small chains of products, lowered in every precision, on machines where bytes matter."""

import itertools

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.engine import evaluate
from accelerator_sim.targets import load_target
from egrl.compression.joint.choices import Precisions, lower_precisions
from egrl.compression.joint.costs import ChoiceCosts
from egrl.compression.joint.model import Bounds
from egrl.compression.joint.placed import Place
from egrl.compression.joint.search import Effort, JointSearch, joint_search
from graph_ir.compression.grid import Grid

GRIDS = (Grid(8, 32), Grid(4, 32))


def chain_model(widths: list[int], rows: int = 1, seed: int = 0) -> onnx.ModelProto:
    """`x W0 W1 ...` with a Relu between, seeded normal weights."""
    rng = np.random.default_rng(seed)
    nodes, constants, at = [], [], "x"
    for i, (inner, columns) in enumerate(itertools.pairwise(widths)):
        weight = rng.standard_normal((inner, columns)).astype(np.float32)
        weight /= np.float32(np.sqrt(inner))
        constants.append(onnx.numpy_helper.from_array(weight, f"w{i}"))
        last = i == len(widths) - 2
        nodes.append(helper.make_node("MatMul", [at, f"w{i}"], [f"p{i}"], f"product{i}"))
        at = "y" if last else f"a{i}"
        # Softmax is no epilogue of a product, so that every product stays an op of its own.
        nodes.append(helper.make_node("Softmax", [f"p{i}"], [at], f"softmax{i}"))
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, widths[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, widths[-1]])],
        constants,
    )
    inferred = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    )
    onnx.checker.check_model(inferred)
    return inferred


def chain(widths: list[int], rows: int = 1, seed: int = 0) -> ir.Model:
    """The same, loaded."""
    return ir.from_proto(chain_model(widths, rows, seed))


def small_machine(inner_bytes: int) -> Accelerator:
    """A target whose innermost memory is so large."""
    base = load_target("hexagon-vtcm-8m")
    capacity = msgspec.structs.replace(base.tiers[-1].capacity_bytes, value=float(inner_bytes))
    inner = msgspec.structs.replace(base.tiers[-1], capacity_bytes=capacity)
    streaming = msgspec.structs.replace(base.streaming, staging_bytes=4096, slice_bytes=1024)
    return msgspec.structs.replace(base, tiers=[*base.tiers[:-1], inner], streaming=streaming)


def precisions_of(model: ir.Model, accelerator: Accelerator) -> Precisions:
    """The model in every precision of `GRIDS`."""
    streamed = frozenset(accelerator.streamed_views)
    return lower_precisions(model, GRIDS, "fp16", streamed, "a test")


def random_costs(precisions: Precisions, seed: int) -> ChoiceCosts:
    """Errors of every site that fall with its bits, drawn."""
    rng = np.random.default_rng(seed)
    errors = {}
    for names in precisions.sites:
        for name in names:
            four = float(rng.uniform(0.01, 1.0))
            errors |= {(name, GRIDS[1]): four, (name, GRIDS[0]): four / rng.uniform(4, 300)}
    return precisions.costs(errors)


def search_of(
    precisions: Precisions, accelerator: Accelerator, costs: ChoiceCosts, effort: Effort
) -> JointSearch:
    """A search on the machine."""
    place = Place(precisions, accelerator, {}, 0)
    problems = [place.problem(precisions.uniform(p)) for p in range(precisions.count)]
    return joint_search(place, problems, costs, effort)


def best_by_force(search: JointSearch, bounds: Bounds) -> float:
    """Least latency over all choices within the bounds and all of their placements."""
    precisions = search.place.precisions
    best = np.inf
    for choice_S in itertools.product(range(precisions.count), repeat=len(precisions.ops)):
        if not search.keeps(choice_S, bounds):
            continue
        problem = search.place.problem(choice_S)
        homes = [np.flatnonzero(allowed).tolist() for allowed in problem.allowed_TH]
        for placement in itertools.product(*homes):
            latency_s, overflow_bytes = evaluate(problem, np.array(placement, np.int8))
            if overflow_bytes <= 0:
                best = min(best, latency_s)
    return best
