"""A tiny model with a plan made by hand, and artifacts around them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from accelerator_sim.plan import (
    IMAGE_TENSOR,
    PLAN_SCHEMA,
    STAGING_TENSOR,
    Copy,
    Plan,
    PlanOp,
    PlanTensor,
    PlanTier,
    Residence,
)
from accelerator_sim.report import REPORT_SCHEMA, Report
from accelerator_sim.targets import target_text
from graph_ir.save import save_models
from runtime.manifest import ARTIFACT_SCHEMA, Execution, Manifest, PassRecord, Source
from runtime.write import write_artifact

ROWS, WIDTH = 4, 32
ACTIVATION_BYTES = ROWS * WIDTH * 4
WEIGHT_BYTES = WIDTH * WIDTH * 4
OPS = 4
DRAM, SRAM = "dram", "sram"


def tiny_proto(rows: int = ROWS) -> onnx.ModelProto:
    """`y = relu(x W1) W2 + x`, one node per op."""
    rng = np.random.default_rng(7)
    shape = [rows, WIDTH]
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32), name
        )
        for name in ("w1", "w2")
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w1"], ["a"], "mm1"),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("MatMul", ["b", "w2"], ["c"], "mm2"),
            helper.make_node("Add", ["c", "x"], ["y"], "add"),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        weights,
        value_info=[
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc"
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="tests"
    )


def tiny_inputs(rows: int = ROWS) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(11).standard_normal((rows, WIDTH)).astype(np.float32)}


def save_tiny(folder: Path) -> Path:
    """Write the model and its weights; the path of the model."""
    save_models({"main": ir.from_proto(tiny_proto())}, folder)
    return folder / "main.onnx"


def tensor(
    name: str,
    kind: str,
    size_bytes: int,
    tier: str,
    offset: int,
    start: int,
    end: int,
    mode: str = "shared",
    data_type: str = "fp32",
) -> PlanTensor:
    place = msgspec.convert(
        {"tier": tier, "mode": mode, "offset": offset, "start": start, "end": end}, Residence
    )
    return PlanTensor(name, kind, size_bytes, 4, None, 0, [place], data_type)


def tiny_ops() -> list[PlanOp]:
    return [
        PlanOp("mm1", ["mm1"], "none", ["x", "w1"], ["a"]),
        PlanOp("relu", ["relu"], "none", ["a"], ["b"]),
        PlanOp("mm2", ["mm2"], "none", ["b", "w2"], ["c"]),
        PlanOp("add", ["add"], "none", ["c", "x"], ["y"]),
    ]


def make_plan(tensors: list[PlanTensor], copies: list[Copy] | None = None, cores: int = 1) -> Plan:
    tiers = [PlanTier(DRAM, 1 << 20), PlanTier(SRAM, 1 << 16, cores)]
    return Plan(PLAN_SCHEMA, tiers, tiny_ops(), tensors, copies or [])


def tiny_plan(data_type: str = "fp32") -> Plan:
    """Weights in the outer tier, activations reuse two slots of the inner one."""
    half = 2 if data_type == "fp16" else 1
    weight, activation = WEIGHT_BYTES // half, ACTIVATION_BYTES // half
    wide = 2 * weight
    return make_plan([
        tensor("x", "io", activation, DRAM, wide, 0, OPS, data_type=data_type),
        tensor("w1", "weight", weight, DRAM, 0, 0, OPS, data_type=data_type),
        tensor("w2", "weight", weight, DRAM, weight, 0, OPS, data_type=data_type),
        tensor("a", "activation", activation, SRAM, 0, 0, 2, data_type=data_type),
        tensor("b", "activation", activation, SRAM, activation, 1, 3, data_type=data_type),
        tensor("c", "activation", activation, SRAM, 0, 2, 4, data_type=data_type),
        tensor("y", "io", activation, DRAM, wide + activation, 3, OPS, data_type=data_type),
    ])  # fmt: skip


def resident_plan(mode: str, cores: int) -> Plan:
    """`w1` lives in the inner tier and is loaded from the image, `w2` streams through the ring.

    The ring holds half a weight: the second half arrives late, over the first.
    """
    ring, half = WEIGHT_BYTES + 4 * ACTIVATION_BYTES, WEIGHT_BYTES // 2
    image = 2 * WEIGHT_BYTES
    inner = mode if cores > 1 else "shared"
    everywhere = "replicated" if cores > 1 else "shared"
    return make_plan(
        [
            tensor("x", "io", ACTIVATION_BYTES, DRAM, WEIGHT_BYTES, 0, OPS),
            tensor("w1", "weight", WEIGHT_BYTES, SRAM, 0, 0, OPS, inner),
            tensor("w2", "weight", WEIGHT_BYTES, DRAM, 0, 0, OPS),
            tensor("a", "activation", ACTIVATION_BYTES, SRAM, WEIGHT_BYTES, 0, 2, inner),
            tensor("b", "activation", ACTIVATION_BYTES, SRAM, WEIGHT_BYTES + 512, 1, 3, inner),
            tensor("c", "activation", ACTIVATION_BYTES, SRAM, WEIGHT_BYTES, 2, 4, inner),
            tensor("y", "io", ACTIVATION_BYTES, DRAM, WEIGHT_BYTES + 512, 3, OPS),
            tensor(IMAGE_TENSOR, "weight", WEIGHT_BYTES, DRAM, image, 0, OPS),
            tensor(STAGING_TENSOR, "scratch", half, SRAM, ring, 0, OPS, everywhere),
        ],
        [
            Copy("w1", DRAM, image, SRAM, 0, WEIGHT_BYTES, 0, "load", 0, 0, inner),
            Copy("w2", DRAM, 0, SRAM, ring, half, 0, "steady", 1, 2, everywhere),
            Copy("w2", DRAM, half, SRAM, ring, half, 0, "steady", 2, 3, everywhere),
        ],
        cores,
    )


def tiny_report() -> Report:
    return Report(
        schema=REPORT_SCHEMA, model="main", target="tiny", execution_type="fp32", placer="hand",
        latency_s=1e-6, cold_latency_s=2e-6, lower_bound_s=None, gap=None, best_known_s=1e-6,
        references={}, speedup_over_native=1.0, speedup_over_best_reference=1.0,
        best_reference="native", gap_closed=None, placement_matters=False, energy_j=1e-9,
        groups=1, throughput_per_s=1e6,
        tiers=[], ops=[],
    )  # fmt: skip


def tiny_manifest() -> Manifest:
    return Manifest(
        schema=ARTIFACT_SCHEMA,
        tool_version="0.1.0",
        source=Source("tiny.onnx", "0" * 64),
        target="tiny",
        graphs=["main"],
        passes=[PassRecord("fold", {"depth": 2})],
        execution_type="fp32",
        seeds={"placer": 0},
        budget="1ev",
        placer="hand",
        execution=Execution(),
    )


def tiny_files(plan: Plan | None = None) -> dict[str, bytes]:
    return {
        "main.plan.json": msgspec.json.encode(plan or tiny_plan()),
        "main.report.json": msgspec.json.encode(tiny_report()),
        "accelerator.toml": target_text("ethos-u65-512")[0].encode(),
    }


def write_tiny(
    out: Path, plan: Plan | None = None, extra: Mapping[str, bytes] | None = None
) -> Manifest:
    models = {"main": ir.from_proto(tiny_proto())}
    files = {**tiny_files(plan), **(extra or {})}
    return write_artifact(out, tiny_manifest(), files, partial(save_models, models))
