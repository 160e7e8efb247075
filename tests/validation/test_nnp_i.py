"""Throughput mode at the two clocks, on a small model."""

import msgspec
import onnx
import pytest

from accelerator_sim.targets import load_target
from egrl.validation import nnp_i
from graph_ir.errors import InputError
from tests.validation.folders import ROWS, cells_of, write

MODEL = """
<ir_version: 9, opset_import: ["" : 18]>
small (float[1, 64, 28, 28] x) => (float[1, 64, 28, 28] z)
<float[64, 64, 3, 3] w, float[64, 64, 3, 3] v>
{
  y = Conv<pads = [1, 1, 1, 1]>(x, w)
  r = Relu(y)
  z = Conv<pads = [1, 1, 1, 1]>(r, v)
}
"""
BUDGET = "50ev"


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    proto = onnx.parser.parse_model(MODEL)
    for name in ("w", "v"):
        zeros = onnx.TensorProto(name=name, dims=[64, 64, 3, 3], data_type=1)
        zeros.raw_data = bytes(4 * 64 * 64 * 9)
        proto.graph.initializer.append(zeros)
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(proto, path)
    return nnp_i.lowered(path)


@pytest.mark.parametrize("groups", nnp_i.GROUPS)
def test_clocks_bracket_and_nothing_beats_the_peak(workload, groups):
    target = load_target("nnp-i")
    found = {
        peak: nnp_i.simulate_mode(workload, target, peak, groups, BUDGET)
        for peak in nnp_i.PEAKS_OPS_PER_S
    }
    slow, fast = found["48 TOPS"], found["92 TOPS"]
    assert slow.throughput < fast.throughput
    assert slow.power_w < fast.power_w
    for peak, mode in found.items():
        assert 2 * workload.macs * mode.throughput <= nnp_i.PEAKS_OPS_PER_S[peak]


def test_power_holds_leakage_once(workload):
    target = load_target("nnp-i")
    mode = nnp_i.simulate_mode(workload, target, "48 TOPS", 12, BUDGET)
    energy = msgspec.structs.replace(
        target.energy,
        leakage_w=msgspec.structs.replace(target.energy.leakage_w, value=0.0),
    )
    silent = msgspec.structs.replace(target, energy=energy)
    without = nnp_i.simulate_mode(workload, silent, "48 TOPS", 12, BUDGET)
    assert mode.power_w - without.power_w == pytest.approx(target.energy.leakage_w.value)


def test_the_published_figure_must_be_there(tmp_path):
    write(tmp_path / nnp_i.FILE, cells_of(nnp_i.FILE)[1:])
    with pytest.raises(InputError, match="expected a row with id nnpi_rn50_offline"):
        nnp_i.validate(tmp_path)
    assert nnp_i._published(ROWS) == 10579.5
