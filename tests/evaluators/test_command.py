"""A program as a machine: order, medians, time-outs, crashes, floods, and nothing left behind."""

import math
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from egrl.evaluators.answer import parse_answer
from egrl.evaluators.command import Command, CommandEvaluator
from graph_ir.errors import InputError
from tests.evaluators.machines import expected_seconds, fitting, machine
from tests.placers.support import random_problem


@pytest.fixture(scope="module")
def problem():
    return random_problem("nnp-i", 3, 8, 0.3)


@pytest.fixture(scope="module")
def homes_PT(problem):
    return fitting(problem, 6)


def gone(pid: int) -> bool:
    """Whether a process has ended, waiting a little for init to reap it."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("stdout", "latency_s"),
    [
        ("0.25\n", 0.25),
        ("warming up\n1e-3\n\n", 1e-3),
        (' {"latency_s": 2.5e-4, "energy_j": 1} ', 2.5e-4),
        (".5", 0.5),
        ("+3", 3.0),
    ],
)
def test_the_last_line_is_the_answer(stdout, latency_s):
    assert parse_answer(stdout) == (latency_s, "")


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        ("", "printed nothing"),
        ("\n \n", "printed nothing"),
        ("1.0\ndone\n", "got 'done'"),
        ("nan", "got 'nan'"),
        ("inf", "got 'inf'"),
        ("1e999", "positive"),
        ("-1", "positive"),
        ("0", "positive"),
        ("1_000", "got '1_000'"),
        ("1 s", "got '1 s'"),
        ('{"latency_ms": 3}', "latency_ms"),
        ('{"latency_s": "3"}', "got"),
        ('{"latency_s": -3}', "positive"),
        ("{" * 5000, "..."),
        ("x\x1b[31m", "\\x1b"),
    ],
)
def test_anything_else_is_a_failure_with_its_reason(stdout, reason):
    latency_s, failure = parse_answer(stdout)
    assert math.isnan(latency_s)
    assert reason in failure
    assert failure.isprintable()
    assert len(failure) < 120


def test_the_plan_is_the_one_of_the_placement(problem, homes_PT, tmp_path):
    evaluator = CommandEvaluator(problem, machine(tmp_path, "print('hello'); print(seconds)"))
    found_P = evaluator.measure(homes_PT)
    assert found_P.tolist() == pytest.approx([expected_seconds(problem, h) for h in homes_PT])
    assert len(set(found_P.tolist())) > 3
    assert (evaluator.measured, evaluator.failed, evaluator.last_failure) == (6, 0, "")
    assert evaluator.measure(homes_PT[:0]).shape == (0,)


def test_the_placeholder_may_be_anywhere(problem, homes_PT, tmp_path):
    command = machine(tmp_path, "print(seconds if sys.argv[2:] == ['-v', 'a b'] else 'no')")
    told = Command(command.line + " {plan} -v 'a b'")
    assert (CommandEvaluator(problem, told).measure(homes_PT[:1]) > 0).all()
    joined = machine(tmp_path, "print(seconds)").line.replace("machine.py", "it.py")
    (tmp_path / "it.py").write_text(
        "import sys; print(1.0 if sys.argv[1].startswith('--plan=/') else 'no')"
    )
    evaluator = CommandEvaluator(problem, Command(joined + " --plan={plan}"))
    assert evaluator.measure(homes_PT[:1]).tolist() == [1.0]


def test_results_keep_the_order_when_the_first_is_the_slowest(problem, homes_PT, tmp_path):
    late = expected_seconds(problem, homes_PT[0])
    body = f"time.sleep(0.4 if abs(seconds - {late!r}) < 1e-12 else 0)\nprint(seconds)"
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, jobs=3))
    found_P = evaluator.measure(homes_PT)
    assert found_P.tolist() == pytest.approx([expected_seconds(problem, h) for h in homes_PT])


def test_as_many_at_a_time_as_there_are_jobs(problem, homes_PT, tmp_path):
    # Each waits until another one runs beside it.
    body = f"""
mine = {str(tmp_path)!r} + "/run-" + str(os.getpid())
open(mine, "w").close()
for _ in range(500):
    if sum(name.startswith("run-") for name in os.listdir({str(tmp_path)!r})) > 1: break
    time.sleep(0.01)
print(seconds)
"""
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, jobs=2, timeout_s=4))
    assert (evaluator.measure(homes_PT[:2]) > 0).all()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit('no such board\\x07')", "exit code 1: no such board?"),
        ("print(seconds); sys.exit(3)", "exit code 3"),
        ("print(seconds, flush=True); os.kill(os.getpid(), 9)", "killed by signal 9"),
        ("print('fast')", "got 'fast'"),
        ("print(float('nan'))", "got 'nan'"),
        ("pass", "printed nothing"),
        ("sys.stdout.buffer.write(bytes(range(256)))", "got"),
        ("while True: print('x' * 1000)", "more than 1048576 bytes"),
        ("while True: print('x' * 1000, file=sys.stderr)", "more than 1048576 bytes"),
    ],
)
def test_a_plan_that_fails_is_counted_and_the_others_are_measured(
    problem, homes_PT, tmp_path, body, reason
):
    bad = expected_seconds(problem, homes_PT[1])
    lines = [f"if abs(seconds - {bad!r}) < 1e-12:", f"    {body}", "else:", "    print(seconds)"]
    evaluator = CommandEvaluator(problem, machine(tmp_path, "\n".join(lines), timeout_s=20))
    found_P = evaluator.measure(homes_PT[:3])
    assert np.isnan(found_P).tolist() == [False, True, False]
    assert (evaluator.measured, evaluator.failed) == (3, 1)
    assert reason in evaluator.last_failure
    assert evaluator.last_failure.isprintable()


def test_much_output_within_the_bound_does_not_block(problem, homes_PT, tmp_path):
    body = "print('x' * 900_000); print('y' * 900_000, file=sys.stderr); print(seconds)"
    assert (CommandEvaluator(problem, machine(tmp_path, body)).measure(homes_PT[:1]) > 0).all()


def test_a_time_out_kills_the_whole_group(problem, homes_PT, tmp_path):
    body = f"""
child = os.fork()
if child:
    open({str(tmp_path)!r} + "/child", "w").write(str(child))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(60)
"""
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, timeout_s=0.5))
    began = time.monotonic()
    assert np.isnan(evaluator.measure(homes_PT[:1])).all()
    assert time.monotonic() - began < 10
    assert evaluator.last_failure == "no answer within 0.5 s"
    assert gone(int((tmp_path / "child").read_text()))


def test_what_a_program_leaves_running_is_ended_and_not_waited_for(problem, homes_PT, tmp_path):
    # The child keeps the pipes open, as a daemon that was started carelessly does.
    body = f"""
child = os.fork()
if child:
    open({str(tmp_path)!r} + "/child", "w").write(str(child))
    print(seconds)
else:
    time.sleep(60)
"""
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, timeout_s=30))
    began = time.monotonic()
    assert (evaluator.measure(homes_PT[:1]) > 0).all()
    assert time.monotonic() - began < 10
    assert gone(int((tmp_path / "child").read_text()))


def test_a_program_that_closes_its_outputs_is_waited_for(problem, homes_PT, tmp_path):
    body = "print(seconds, flush=True); os.close(1); os.close(2); time.sleep(0.3); os._exit(4)"
    evaluator = CommandEvaluator(problem, machine(tmp_path, body))
    assert np.isnan(evaluator.measure(homes_PT[:1])).all()
    assert evaluator.last_failure == "exit code 4"


NOISY = """
counter = {folder!r} + "/count"
n = int(open(counter).read()) if os.path.exists(counter) else 0
open(counter, "w").write(str(n + 1))
print({values}[n % {count}])
"""


@pytest.mark.parametrize(
    ("values", "latency_s"),
    [([5.0, 1.0, 3.0], 3.0), ([1.0, 100.0, 2.0, 4.0], 3.0), ([2.0], 2.0)],
)
def test_noise_ends_in_the_median(problem, homes_PT, tmp_path, values, latency_s):
    body = NOISY.format(folder=str(tmp_path), values=values, count=len(values))
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, repeats=len(values)))
    assert evaluator.measure(homes_PT[:2]).tolist() == [latency_s, latency_s]
    assert int((tmp_path / "count").read_text()) == 2 * len(values)


def test_one_failed_repeat_fails_the_plan_at_once(problem, homes_PT, tmp_path):
    body = NOISY.format(folder=str(tmp_path), values=["1.0", "oops", "1.0", "1.0"], count=4)
    evaluator = CommandEvaluator(problem, machine(tmp_path, body, repeats=4))
    assert np.isnan(evaluator.measure(homes_PT[:1])).all()
    assert (tmp_path / "count").read_text() == "2"


def test_a_placement_without_addresses_is_not_given_to_the_machine(problem, tmp_path):
    body = f"open({str(tmp_path)!r} + '/asked', 'w'); print(1.0)"
    evaluator = CommandEvaluator(problem, machine(tmp_path, body))
    reversed_TH = problem.allowed_TH[:, ::-1]
    innermost_T = (reversed_TH.shape[1] - 1 - reversed_TH.argmax(axis=1)).astype(np.int8)
    assert np.isnan(evaluator.measure(innermost_T[np.newaxis])).all()
    assert evaluator.last_failure == "no addresses were found for it"
    assert not (tmp_path / "asked").exists()


def test_plans_are_private_and_gone_afterwards(problem, homes_PT, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    body = "print(os.stat(os.path.dirname(sys.argv[1])).st_mode & 0o777)"
    evaluator = CommandEvaluator(problem, machine(tmp_path, body))
    assert evaluator.measure(homes_PT[:2]).tolist() == [float(0o700)] * 2
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_interrupt_kills_what_runs(problem, homes_PT, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    body = f"open({str(tmp_path)!r} + '/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    evaluator = CommandEvaluator(problem, machine(tmp_path, body))

    def interrupt():
        for _ in range(500):
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                break
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    began = time.monotonic()
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        evaluator.measure(homes_PT)
    thread.join()
    assert time.monotonic() - began < 20
    assert gone(int((tmp_path / "pid").read_text()))
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "expected a command"),
        ("  ", "expected a command"),
        ("'half", "No closing quotation"),
        ("no-such-program-anywhere {plan}", "no program 'no-such-program-anywhere'"),
        ("x\0y", "zero byte"),
    ],
)
def test_command_lines_that_cannot_be_run(problem, line, reason):
    with pytest.raises(InputError, match=reason) as caught:
        CommandEvaluator(problem, Command(line))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"repeats": 0}, {"jobs": 0}, {"jobs": 10**6}, {"timeout_s": 0.0},
              {"timeout_s": math.nan}, {"timeout_s": math.inf}],
)  # fmt: skip
def test_numbers_out_of_range(wrong):
    with pytest.raises(InputError, match="expected"):
        Command("true", **wrong)


def test_a_file_that_is_no_program(problem, homes_PT, tmp_path):
    path = tmp_path / "machine"
    path.write_bytes(b"\x00\x01 neither a script nor a binary")
    path.chmod(0o755)
    evaluator = CommandEvaluator(problem, Command(str(path)))
    with pytest.raises(InputError, match=r"reference placement .* cannot be started"):
        evaluator.check(homes_PT[0])


def test_the_reference_must_be_measurable(problem, homes_PT, tmp_path):
    evaluator = CommandEvaluator(problem, machine(tmp_path, "sys.exit('a\\nboard on fire')"))
    with pytest.raises(InputError, match="exit code 1: board on fire") as caught:
        evaluator.check(homes_PT[0])
    assert "\n" not in str(caught.value)
    good = CommandEvaluator(problem, machine(tmp_path, "print(seconds)"))
    assert good.check(homes_PT[0]) == pytest.approx(expected_seconds(problem, homes_PT[0]))
