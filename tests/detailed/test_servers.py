"""A memory or link alone: order, interruption, and what its timing takes."""

from dataclasses import replace

import pytest
import simpy

from accelerator_sim.detailed import IDEAL_MEMORY, MemoryTiming
from accelerator_sim.detailed.twin.server import LOADS, PREFETCHES, STORES, TRANSFERS, Job, Server

RATE = 100.0


def serve(
    jobs: list[tuple[float, float, int, bool, int]],
    timing: MemoryTiming = IDEAL_MEMORY,
    fair: bool = True,
) -> tuple[list[float], Server]:
    """When each (begin, seconds, requester, is_write, page) is done."""
    env = simpy.Environment()
    server = Server(env, RATE, timing, fair)
    done = [0.0] * len(jobs)

    def submit(index: int) -> simpy.events.ProcessGenerator:
        begin, seconds, requester, is_write, page = jobs[index]
        yield env.timeout(begin)

        def finished() -> None:
            done[index] = env.now

        server.submit(Job(seconds, requester, is_write, page, finished))

    for index in range(len(jobs)):
        env.process(submit(index))
    env.run()
    return done, server


def test_one_at_a_time_in_the_order_of_arrival():
    done, server = serve([(0, 3, LOADS, False, 0), (1, 2, LOADS, False, 0)])
    assert done == [3, 5]
    assert server.busy_s == 5


def test_requesters_take_turns():
    jobs = [(0, 1, LOADS, False, 0), (0, 1, LOADS, False, 0), (0, 1, LOADS, False, 0),
            (0, 1, STORES, True, 0), (0, 1, TRANSFERS, False, 0)]  # fmt: skip
    assert serve(jobs)[0] == [1, 4, 5, 2, 3]
    assert serve(jobs, fair=False)[0] == [1, 2, 3, 4, 5]


def test_a_load_interrupts_a_prefetch():
    done, server = serve([(0, 10, PREFETCHES, False, 0), (2, 3, LOADS, False, 0)])
    assert done == [13, 5]
    assert server.busy_s == 13
    # A transfer for the running op is not interrupted.
    assert serve([(0, 10, TRANSFERS, False, 0), (2, 3, LOADS, False, 0)])[0] == [10, 13]


def test_refreshes_block_what_runs_and_not_what_sleeps():
    timing = replace(IDEAL_MEMORY, refresh_interval_s=1.0, refresh_s=0.25)
    assert serve([(0, 9.5, LOADS, False, 0)], timing)[0] == [pytest.approx(9.5 + 9 * 0.25)]
    assert serve([(20.5, 0.25, LOADS, False, 0)], timing)[0] == [20.75]


def test_turnarounds_are_paid_between_reads_and_writes():
    timing = replace(IDEAL_MEMORY, turnaround_s=0.5)
    jobs = [(0, 1, LOADS, False, 0), (0, 1, LOADS, False, 0), (5, 1, STORES, True, 0)]
    assert serve(jobs, timing)[0] == [1, 2, 6.5]


def test_conflicts_need_the_same_bank_and_another_page():
    timing = replace(IDEAL_MEMORY, banks=4, row_bytes=1000, conflict_s=0.5)
    same_page = [(0, 1, LOADS, False, 8), (2, 1, LOADS, False, 8)]
    other_bank = [(0, 1, LOADS, False, 8), (2, 1, LOADS, False, 9)]
    same_bank = [(0, 1, LOADS, False, 8), (2, 1, LOADS, False, 12)]
    assert serve(same_page, timing)[0] == [1, 3]
    assert serve(other_bank, timing)[0] == [1, 3]
    assert serve(same_bank, timing)[0] == [1, 3.5]


def test_streams_that_meet_conflict_in_one_row_of_so_many():
    timing = replace(IDEAL_MEMORY, banks=4, row_bytes=10, conflict_s=0.01)
    jobs = [(0, 1, STORES, False, 0), (0, 10, LOADS, False, 1), (0, 1, LOADS, False, 2)]
    # 100 rows of 10 B are read while the third waits: 25 meetings in 4 banks.
    assert serve(jobs, timing)[0] == [1, pytest.approx(11.25), pytest.approx(12.25)]
    # The same ten seconds with nobody waiting.
    assert serve(jobs[:2], timing)[0] == [1, 11]


def test_the_last_burst_is_moved_whole():
    timing = replace(IDEAL_MEMORY, burst_bytes=64)
    # 100 B take two bursts of 64 B.
    assert serve([(0, 1, LOADS, False, 0)], timing)[0] == [pytest.approx(1.28)]


def test_interruptions_do_not_multiply_what_is_lost():
    timing = replace(IDEAL_MEMORY, banks=2, row_bytes=1, conflict_s=0.01)
    jobs = [(0.0, 10.0, PREFETCHES, False, 0)]
    jobs += [(0.1 * i, 0.01, LOADS, False, i) for i in range(1, 50)]
    done, server = serve(jobs, timing)
    # At most half of its 1,000 rows meet another stream.
    assert done[0] < 10.0 + 0.5 + 5.0 + 49 * 0.02
    assert server.busy_s == pytest.approx(done[0])
