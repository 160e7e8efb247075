"""Arithmetic per op equals an independent count made from the protobuf."""

import os
import sys
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from graph_ir.load import load_model
from graph_ir.lower import lower
from graph_ir.model import Model
from graph_ir.passes.pipeline import run_lossless
from graph_ir.workload import Workload
from tests.graph_ir.independent_macs import count_macs
from tests.graph_ir.lowering_support import check_workload
from tests.graph_ir.tiny_models import TINY_MODELS

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# Millions of multiply-accumulates that the papers and other tools give for them.
LIGHT_MMACS = {
    "inception_v1": 1432,
    "inception_v2": 2019,
    "resnet50": 4089,
    "shufflenet": 125,
    "squeezenet": 349,
}
CACHE = os.environ.get("EGRL_CACHE")
CACHED = sorted(Path(CACHE).glob("*.onnx")) if CACHE else []
# Millions of multiply-accumulates, and the number of placement ops.
CACHED_MMACS = {"bert-base": 11174, "minilm": 1434, "resnet101": 7801, "resnet50": 4089}
CACHED_OPS = {"bert-base": (100, 140), "resnet101": (105, 110), "resnet50": (55, 58)}


def assert_same_macs(model: Model) -> Workload:
    run_lossless(model.graph_model)
    lowered = lower(model)
    check_workload(lowered)
    counted = count_macs(ir.to_proto(model.graph_model))
    for op in lowered.workload.ops:
        assert op.macs == sum(counted.get(node, 0) for node in op.nodes), op.name
    assert lowered.workload.macs == sum(counted.values())
    return lowered.workload


@pytest.mark.parametrize("name", sorted(set(TINY_MODELS) - {"common_subexpressions"}))
def test_tiny(name, load_tiny) -> None:
    _, model = load_tiny(name)
    assert_same_macs(model)


@pytest.mark.parametrize("name", sorted(LIGHT_MMACS))
def test_light_topologies(name) -> None:
    workload = assert_same_macs(load_model(LIGHT / f"light_{name}.onnx"))
    assert round(workload.macs / 1e6) == LIGHT_MMACS[name]


def test_resnet50_has_the_ops_of_the_paper() -> None:
    model = load_model(LIGHT / "light_resnet50.onnx")
    run_lossless(model.graph_model)
    ops = lower(model).workload.ops
    assert [op.family for op in ops].count("conv") == 53
    assert len(ops) == 57


@pytest.mark.slow
@pytest.mark.skipif(not CACHED, reason="EGRL_CACHE names no folder with models")
@pytest.mark.parametrize("path", CACHED, ids=[path.stem for path in CACHED])
def test_cached(path: Path) -> None:
    if path.stem == "silero-vad-if":
        pytest.skip("has control flow")
    scripts = str(Path(__file__).parents[2] / "scripts")
    if scripts not in sys.path:
        sys.path.append(scripts)
    from model_set.inputs import DIMS

    workload = assert_same_macs(load_model(path, DIMS[path.stem]))
    if path.stem in CACHED_MMACS:
        assert round(workload.macs / 1e6) == CACHED_MMACS[path.stem]
    low, high = CACHED_OPS.get(path.stem, (1, 450))
    assert low <= len(workload.ops) <= high
