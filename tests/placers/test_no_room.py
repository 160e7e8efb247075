"""Where nothing fits, the error says what is asked for, what there is, and what would help."""

import numpy as np
import pytest
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import build_problem
from accelerator_sim.reference_engine import live_bytes
from accelerator_sim.targets import load_target
from egrl.bench.random_graphs import random_workload
from egrl.placers.decoder import build_decoder
from egrl.placers.no_room import no_room
from graph_ir.errors import UnmetRequirementError
from graph_ir.workload import Workload
from tests.accelerator_sim.machines import quantity

CAPACITY = 4 << 20


def with_outermost(capacity: int) -> tuple[Workload, Accelerator]:
    base = load_target("ethos-u65-512")
    outer = replace(base.tiers[0], capacity_bytes=quantity(capacity))
    inner = replace(base.tiers[1], capacity_bytes=quantity(1 << 16))
    small = replace(
        base,
        tiers=[outer, inner],
        streaming=replace(base.streaming, slice_bytes=256, staging_bytes=1024),
    )
    workload = random_workload(40, np.random.default_rng(3), "int8")
    return workload, small


def test_all_memories_together_are_too_small() -> None:
    workload, machine = with_outermost(CAPACITY)
    assert workload.weight_bytes > CAPACITY + (1 << 16)
    problem = build_problem(workload, machine)
    decoder = build_decoder(problem)
    with pytest.raises(UnmetRequirementError, match="all memories together") as caught:
        decoder.decode(decoder.free)
    text = str(caught.value)
    assert str(CAPACITY + (1 << 16)) in text
    assert "too few" in text
    assert any("What would help" in line for line in caught.value.details)
    assert caught.value.details[0] == "Largest contributors:"


def test_the_outermost_is_too_small_by_a_little() -> None:
    """Most that is live at once, less one byte: the inner memory may take the rest or not."""
    workload, large = with_outermost(1 << 40)
    homes = [0] * len(workload.tensors)
    most = max(sum(row) for row in live_bytes(build_problem(workload, large), homes))
    _, machine = with_outermost(most - 1)
    error = no_room(build_problem(workload, machine))
    assert "DRAM alone" in str(error)
    assert f"{most} bytes are needed" in str(error)
    assert f"capacity is {most - 1} (1 too few)" in str(error)
