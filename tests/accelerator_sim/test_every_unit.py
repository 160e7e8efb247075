"""The properties hold on every matrix unit, with bursts, bounded streams, read-only tiers."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from accelerator_sim.accelerator import Accelerator
from accelerator_sim.problem import PlacementProblem
from accelerator_sim.targets import load_target
from tests.accelerator_sim import test_properties as properties
from tests.accelerator_sim.cases import problems
from tests.accelerator_sim.machines import accelerators, quantity

UNITS = tuple(
    load_target(name).mac_array
    for name in ("nnp-i", "tpu-v4i", "nvdla-full", "ethos-u55-128", "ethos-u85-512")
)
STREAMS = ("input", "weights", "parameters", "output", "copy")


@st.composite
def machines(draw: st.DrawFn) -> Accelerator:
    """Random machines with everything that a file can say of a unit and of a tier."""
    base = draw(accelerators())
    unit = draw(st.sampled_from(UNITS))
    if base.mac_array is not None and unit is not None:
        rates = base.mac_array.relative_rate
        unit = replace(unit, full_rate_type=base.mac_array.full_rate_type, relative_rate=rates)
    tiers, outermost = [], True
    for tier in base.tiers:
        bounded = draw(st.sets(st.sampled_from(STREAMS)).map(sorted))
        read_only = tier is not base.tiers[-1] and draw(st.sampled_from((False, False, True)))
        tiers.append(
            replace(
                tier,
                # Whatever is the first that can be written holds inputs and outputs.
                capacity_bytes=quantity(1 << 40) if outermost else tier.capacity_bytes,
                burst_bytes=draw(st.sampled_from((0, 0, 64, 1000))),
                stream_bytes_per_s={s: quantity(draw(st.floats(1e8, 1e11))) for s in bounded},
                read_only=read_only,
            )
        )
        outermost = outermost and read_only
    return replace(
        base,
        tiers=tiers,
        mac_array=None if base.mac_array is None else unit,
        serial_units=draw(st.booleans()),
        linear_io=draw(st.booleans()),
    )


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=30)
@given(problems(max_ops=12, machines=machines()), SEEDS, st.integers(0, 31), st.floats(0.05, 0.99))
def test_properties_of_every_unit(
    problem: PlacementProblem, seed: int, what: int, factor: float
) -> None:
    properties.test_a_fixed_plan_takes_what_the_engine_says.hypothesis.inner_test(problem, seed)
    properties.test_a_slower_machine_is_never_faster.hypothesis.inner_test(
        problem, seed, what, factor
    )
    properties.test_never_below_compute_and_traffic.hypothesis.inner_test(problem, seed)
    properties.test_the_timeline_adds_up.hypothesis.inner_test(problem, seed)
