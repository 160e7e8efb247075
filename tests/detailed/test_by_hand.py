"""Latencies that were worked out on paper: the toy machine moves 10 B/s outside, 100 B/s inside."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from accelerator_sim.accelerator import Accelerator, Home
from accelerator_sim.detailed import IDEAL, DetailedModel, DetailedParameters, simulate_detailed
from accelerator_sim.mac_array import DotGrid
from graph_ir.errors import InputError
from graph_ir.workload import MacWork, Role, TensorKind, Workload
from tests.accelerator_sim.machines import quantity, tier
from tests.accelerator_sim.toy import op, reading, tensor, toy, workload, writing

OUT, IN = Home(0, "shared"), Home(1, "shared")
ONE_TILE = replace(IDEAL, granularities=(1,), min_transfer_bytes=10, transfers=1)
TEN_TILES = replace(IDEAL, granularities=(10,))


def one_op(vector_ops: int = 7) -> Workload:
    tensors = [
        tensor("x", TensorKind.IO, 100, 0, 1),
        tensor("y", TensorKind.ACTIVATION, 20, 0, 1),
    ]
    return workload([op("a", [reading(0, 100), writing(1, 20)], vector_ops)], tensors)


def latency(
    load: Workload, machine: Accelerator, homes: list[Home], parameters: DetailedParameters
) -> float:
    return simulate_detailed(load, machine, homes, parameters).latency_s


def test_one_tile_loads_then_computes_then_stores():
    # 100 B at 10 B/s, 7 operations, 20 B at 10 B/s.
    assert latency(one_op(), toy(), [OUT, OUT], ONE_TILE) == pytest.approx(10 + 7 + 2)


def test_the_port_counts_where_it_is_slower_than_the_memory():
    # Both through the port of 20 B/s.
    assert latency(one_op(), toy(), [IN, IN], ONE_TILE) == pytest.approx(5 + 7 + 1)


def test_tiles_overlap():
    # Ten loads of a second each hide all but the last tile's 0.7 s and the port's 0.1 s.
    assert latency(one_op(), toy(), [OUT, IN], TEN_TILES) == pytest.approx(10 + 0.7 + 0.1)


def test_compute_bound_tiles_hide_their_loads():
    # First load 1 s, 30 operations, last store 0.1 s.
    assert latency(one_op(30), toy(), [OUT, IN], TEN_TILES) == pytest.approx(1 + 30 + 0.1)


def test_a_finite_number_of_tile_slots_holds_loads_back():
    # With one slot nothing overlaps but stores: ten times load and compute.
    slots = replace(TEN_TILES, tile_slots=1)
    assert latency(one_op(30), toy(), [OUT, IN], slots) == pytest.approx(10 + 30 + 0.1)


def test_latency_of_a_request_is_seen_once_where_nothing_hides_it():
    tiers = [tier("OUT", read=10, write=10, latency=3.0), tier("IN", read=100, write=100)]
    assert latency(one_op(), toy(tiers), [OUT, OUT], ONE_TILE) == pytest.approx(10 + 3 + 7 + 2)


def test_launch_overhead_and_barrier_are_paid_per_op():
    machine = toy(launch_overhead_s=4.0)
    assert latency(one_op(), machine, [OUT, OUT], ONE_TILE) == pytest.approx(4 + 19)
    four = toy(launch_overhead_s=4.0, cores=4, port=1e9, interconnect=1e9)
    barrier = replace(ONE_TILE, barrier_cycles=8.0)
    # One row and one column: one core works, but all four meet in a tree of two levels.
    assert latency(one_op(), four, [OUT, OUT], barrier) == pytest.approx(4 + 19 + 16)


def streaming_ops(first_vector_ops: int) -> Workload:
    """An op without weights, then one of 7 operations with a weight of 20 B."""
    tensors = [
        tensor("w", TensorKind.WEIGHT, 20, 0, 2),
        tensor("x", TensorKind.ACTIVATION, 0, 0, 2),
    ]
    return workload(
        [op("a", [writing(1, 0)], first_vector_ops), op("b", [reading(0, 20)], 7)], tensors
    )


def test_a_weight_passes_through_the_ring():
    # Two transfers of 10 B arrive at 1 s and 2 s; each is read from the ring through the port in
    # half a second.
    homes = [OUT, IN]
    assert latency(streaming_ops(0), toy(prefetch_ops=0), homes, ONE_TILE) == pytest.approx(2.5 + 7)


def test_a_prefetch_hides_behind_the_op_before():
    # Both transfers wait in the ring when the second op begins.
    homes = [OUT, IN]
    assert latency(streaming_ops(5), toy(), homes, ONE_TILE) == pytest.approx(5 + 1 + 7)


def test_a_small_ring_prefetches_less():
    # Room for one of the two: the other is asked for when the op begins.
    homes = [OUT, IN]
    machine = toy(ring_bytes=10)
    assert latency(streaming_ops(5), machine, homes, ONE_TILE) == pytest.approx(5 + 1 + 0.5 + 7)


def test_a_weight_of_the_innermost_tier_does_not_stream():
    # 20 B through the port.
    assert latency(streaming_ops(5), toy(), [IN, IN], ONE_TILE) == pytest.approx(5 + 1 + 7)


def test_units_overlap_unless_they_take_turns():
    # Ten tiles of a product of 10 cycles and 10 vector operations; nothing to load or store.
    grid = DotGrid(
        rows=1, columns=1, depth=1, full_rate_type="int8",
        relative_rate={"int8*int8": quantity(1.0)}, source="a test",
    )  # fmt: skip
    work = MacWork(1, 10, 1, 1, left_type="int8", right_type="int8")
    operands = [reading(0, 0, Role.LEFT), reading(1, 0, Role.RIGHT), writing(2, 0)]
    tensors = [tensor(name, TensorKind.ACTIVATION, 0, 0, 1) for name in "abc"]
    load = workload([op("m", operands, 10, (work,), 10, 1)], tensors)
    machine = toy(mac_array=grid)
    assert latency(load, machine, [IN] * 3, TEN_TILES) == pytest.approx(11)
    turns = structs.replace(machine, serial_units=True)
    assert latency(load, turns, [IN] * 3, TEN_TILES) == pytest.approx(20)


def test_homes_are_checked():
    model = DetailedModel(one_op(), toy())
    with pytest.raises(InputError, match="expected one for each of 2 tensors, got 1"):
        model.simulate([OUT])
    with pytest.raises(InputError, match="tensor y: expected a tier from 0 to 1, got 2"):
        model.simulate([OUT, Home(2, "shared")])
    with pytest.raises(InputError, match="IN is shared, got mode replicated"):
        model.simulate([OUT, Home(1, "replicated")])
    with pytest.raises(InputError, match="expected one for each of 2 tensors, got 3"):
        model.latencies([OUT], np.zeros((1, 3), np.int8))
    with pytest.raises(InputError, match="tensor y: IN is shared, got mode replicated"):
        model.latencies([OUT, Home(1, "replicated")], np.array([[0, 1]], np.int8))
    with pytest.raises(InputError, match="addresses: expected one for each of 2 tensors, got 1"):
        DetailedModel(one_op(), toy(), addresses=[0])
