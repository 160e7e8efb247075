"""What fits no memory is refused before anything is simulated."""

import pytest
from msgspec.structs import replace

from accelerator_sim.problem import build_problem
from accelerator_sim.targets import load_target
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Tensor, TensorKind, Workload
from tests.accelerator_sim.machines import quantity


def workload(kind: TensorKind) -> Workload:
    return Workload("main", "fp16", (), (Tensor("big", kind, (4096,), "fp16", 8192, 0, 1),))


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (TensorKind.WEIGHT, "nnp-i: tiers.LLC.capacity_bytes: tensor big needs 8192 bytes"),
        (TensorKind.ACTIVATION, "LLC, the largest memory it may be in, has 4096"),
        (TensorKind.IO, "DRAM, where inputs and outputs are, has 2048"),
    ],
)
def test_a_tensor_larger_than_every_memory(kind: TensorKind, where: str) -> None:
    base = load_target("nnp-i")
    sizes = (2048, 4096, 1024)
    tiers = [
        replace(tier, capacity_bytes=quantity(size))
        for tier, size in zip(base.tiers, sizes, strict=True)
    ]
    with pytest.raises(UnmetRequirementError) as caught:
        build_problem(workload(kind), replace(base, tiers=tiers))
    assert where in str(caught.value)


def test_a_share_that_would_fit_but_may_not_be_made_is_not_the_need() -> None:
    base = load_target("nnp-i")
    tiers = [
        replace(tier, capacity_bytes=quantity(size))
        for tier, size in zip(base.tiers, (2048, 1024, 4096), strict=True)
    ]
    tiers[2] = replace(tiers[2], activation_modes=["replicated", "partitioned"])
    with pytest.raises(UnmetRequirementError, match=r"needs 8192 bytes, and SRAM.* has 4096"):
        build_problem(workload(TensorKind.WEIGHT), replace(base, tiers=tiers))
