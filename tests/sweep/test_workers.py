"""Processes of a sweep: every task once, errors as they are, interrupts never lost."""

import os
import signal

import pytest

from egrl.sweep.workers import THREAD_VARIABLES, run_tasks
from graph_ir.errors import InputError
from tests.sweep import work


@pytest.mark.parametrize("processes", [1, 3])
def test_every_task_is_done_once(processes):
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    assert sorted(run_tasks(work.double, range(7), processes)) == [(i, 2 * i) for i in range(7)]
    assert before == {name: os.environ.get(name) for name in THREAD_VARIABLES}
    assert list(run_tasks(work.double, [], processes)) == []


@pytest.mark.parametrize("processes", [1, 2])
def test_wrong_input_is_reported_as_it_is(processes):
    with pytest.raises(InputError, match="task 1: expected another one"):
        list(run_tasks(work.complain, range(4), processes))


def test_a_bug_and_a_dead_process_are_errors():
    with pytest.raises(RuntimeError, match="ZeroDivisionError: nothing"):
        list(run_tasks(work.break_down, range(2), 2))
    with pytest.raises(RuntimeError, match="died"):
        list(run_tasks(work.die, range(2), 2))


def test_an_interrupt_that_a_task_took_for_its_end_is_still_one():
    handler = signal.getsignal(signal.SIGINT)
    results = run_tasks(work.swallow, range(3), 1)
    assert next(results) == (0, 0)
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert signal.getsignal(signal.SIGINT) is handler
