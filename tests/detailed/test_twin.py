"""The compiled loop says what its twin says, bit by bit."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.accelerator import Home
from accelerator_sim.detailed import (
    BANKED_SRAM,
    IDEAL_MEMORY,
    LPDDR4X,
    DetailedModel,
    DetailedParameters,
    DetailedResult,
    MemoryTiming,
)
from accelerator_sim.detailed.flat import ProgramTables
from accelerator_sim.detailed.hardware import Hardware
from accelerator_sim.detailed.loop.run import run
from accelerator_sim.detailed.loop.state import BUSY_S, LOST_S, NOW, initial_timing, new_state
from accelerator_sim.detailed.program import Program, Request, Transfer
from accelerator_sim.detailed.twin import simulate_with_twin
from accelerator_sim.detailed.workload_compiler import WorkloadCompiler
from accelerator_sim.problem import PlacementProblem
from egrl.generator.accelerators import GROUPS, generate_accelerator
from tests.accelerator_sim.cases import problems, random_homes
from tests.accelerator_sim.machines import accelerators, quantity

# Frequent refreshes, few banks, costs of the order of the requests'.
ROUGH = MemoryTiming(3, 8, 5.0, 4, 0.5, 0.25, 0.5, 3.0, 0.25)
TIMINGS = (IDEAL_MEMORY, LPDDR4X, BANKED_SRAM, ROUGH)


def loop(
    hardware: Hardware, programs: Sequence[Program], pages_of_op: Sequence[Sequence[int]]
) -> DetailedResult:
    """The programs through the compiled loop; every other one is in the tables twice."""
    tables = ProgramTables()
    rows = [tables.add(program) for program in programs]
    rows[::2] = [tables.add(program) for program in programs[::2]]
    first_page_N = np.cumsum([0] + [len(pages) for pages in pages_of_op])[:-1]
    page_E = np.array([page for pages in pages_of_op for page in pages], np.int64)
    state = new_state(
        hardware,
        initial_timing(hardware),
        tables.arrays,
        np.array(rows, np.int64),
        page_E,
        first_page_N,
    )
    assert run(tables.arrays, state)
    return DetailedResult(
        float(state.value_F[NOW]),
        tuple(state.op_end_N.tolist()),
        tuple(state.timing_VF[:, BUSY_S].tolist()),
        tuple(state.timing_VF[:, LOST_S].tolist()),
    )


class Draws:
    """Small whole numbers everywhere, so that much happens at the same time."""

    def __init__(self, seed: int, scale: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.scale = scale
        self.servers = int(self.rng.integers(1, 5))

    def upto(self, most: int) -> int:
        return int(self.rng.integers(most + 1))

    def seconds(self, most: int = 3) -> float:
        return self.upto(most) * self.scale

    def request(self, page: int, is_write: bool = False) -> Request:
        hops = self.rng.permutation(self.servers)[: self.upto(self.servers)].tolist()
        latency_s = self.seconds(1) * self.upto(1)
        timed = tuple((server, self.seconds() + self.scale) for server in hops)
        return Request(timed, latency_s, self.upto(1), page, is_write)

    def transfer(self, number: int, step: int) -> Transfer:
        size = float(self.rng.choice((5, 10, 25)))
        return Transfer(self.request(number), self.request(number), size, step)

    def program(self) -> Program:
        steps = 1 + self.upto(7)
        needed = sorted(self.upto(steps - 1) for _ in range(self.upto(10)))
        units = 1 + self.upto(1)
        return Program(
            tuple(tuple(self.request(s) for _ in range(self.upto(2))) for s in range(steps)),
            tuple(tuple(self.request(s, True) for _ in range(self.upto(2))) for s in range(steps)),
            tuple(self.seconds() * (units == 2 or self.upto(1)) for _ in range(steps)),
            tuple(self.seconds() for _ in range(steps)),
            tuple(self.transfer(number, step) for number, step in enumerate(needed)),
            self.upto(len(needed)), 0.0, 0.0,
        )  # fmt: skip

    def hardware(self) -> Hardware:
        slice_bytes = float(self.rng.choice((5, 10)))
        return Hardware(
            bytes_per_s=tuple(float(1 + self.upto(9)) for _ in range(self.servers)),
            timings=tuple(TIMINGS[self.upto(3)] for _ in range(self.servers)),
            fair=bool(self.upto(1)),
            launch_s=self.seconds(1),
            barrier_s=self.seconds(1),
            tile_slots=1 + self.upto(2),
            slice_bytes=slice_bytes,
            ring_bytes=2 * slice_bytes + float(self.rng.choice((0, 5, 20, 100))),
            prefetch_ops=self.upto(3),
            dma_depth=1 + self.upto(3),
        )


@settings(max_examples=400)
@given(st.integers(0, 2**32 - 1), st.sampled_from((1.0, 0.1)))
def test_on_programs_of_whole_seconds(seed: int, scale: float) -> None:
    draws = Draws(seed, scale)
    hardware = draws.hardware()
    programs = [draws.program() for _ in range(draws.upto(5))]
    pages = [[draws.upto(9), draws.upto(9)] for _ in programs]
    assert loop(hardware, programs, pages) == simulate_with_twin(hardware, programs, pages)


# Tiles of a few bytes take long to enumerate and tell the loop nothing new.
buffered = accelerators().map(
    lambda machine: replace(
        machine, tile_buffer_bytes=quantity(max(4096.0, machine.tile_buffer_bytes.value))
    )
)
generated = st.builds(
    lambda seed, archetype: generate_accelerator(np.random.default_rng(seed), archetype),
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(GROUPS)),
)
parameters = st.builds(
    DetailedParameters,
    outer=st.sampled_from(TIMINGS),
    inner=st.sampled_from(TIMINGS),
    tile_slots=st.integers(1, 3),
    max_steps=st.sampled_from((4, 16)),
    granularities=st.sampled_from(((1,), (3,), (1, 10))),
    dma_depth=st.integers(1, 4),
    transfers=st.sampled_from((1, 8)),
    barrier_cycles=st.sampled_from((0.0, 8.0)),
    arbitration=st.sampled_from(("round-robin", "priority")),
    seed=st.integers(0, 3),
)


def check(problem: PlacementProblem, chosen: DetailedParameters, seed: int) -> None:
    load, machine = problem.workload, problem.accelerator
    homes_PT = random_homes(problem, np.random.default_rng(seed), 2)
    model = DetailedModel(load, machine, chosen)
    twin = WorkloadCompiler(load, machine, chosen, None)
    latencies = []
    for homes_T in homes_PT.tolist():
        homes: list[Home] = [problem.homes[home] for home in homes_T]
        programs = [
            twin.compile(op, [homes[t] for t in tensors])
            for op, tensors in enumerate(twin.tensors_of_op)
        ]
        expected = simulate_with_twin(twin.hardware, programs, twin.pages_of_op)
        assert model.simulate(homes) == expected
        latencies.append(expected.latency_s)
    assert model.latencies(problem.homes, homes_PT).tolist() == latencies
    fresh = DetailedModel(load, machine, chosen)
    assert fresh.latencies(problem.homes, homes_PT[::-1]).tolist() == latencies[::-1]


@settings(max_examples=60)
@given(problems(16, buffered, wide=False), parameters, st.integers(0, 2**32 - 1))
def test_on_any_accelerator(
    problem: PlacementProblem, chosen: DetailedParameters, seed: int
) -> None:
    check(problem, chosen, seed)


@settings(max_examples=60)
@given(problems(16, generated, wide=False), parameters, st.integers(0, 2**32 - 1))
def test_on_all_archetypes(
    problem: PlacementProblem, chosen: DetailedParameters, seed: int
) -> None:
    check(problem, chosen, seed)
