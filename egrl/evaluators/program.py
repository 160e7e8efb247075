"""One run of somebody else's program: bounded in time and output, and nothing of it left behind."""

import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

MAX_OUTPUT_BYTES = 1 << 20
"""Of stdout and stderr each. A program that prints more is stopped."""

POLL_SECONDS = 0.02
"""How often a silent program is looked at."""

SHORTEST_PAUSE_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class ProgramRun:
    """What a program did.

    Attributes:
        stdout: what it printed, as text.
        failure: why it does not count, in a few words; empty where it ended with code 0.
    """

    stdout: str
    failure: str


def run_program(arguments: list[str], timeout_s: float, stop: threading.Event) -> ProgramRun:
    """Run a program in a process group of its own; the whole group is killed at the end.

    Args:
        arguments: the program and its arguments; no shell is involved.
        timeout_s: wall time until it is killed.
        stop: set by another thread to have it killed at once.
    """
    deadline = time.monotonic() + timeout_s
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return ProgramRun("", f"cannot be started: {error.strerror or error}")
    try:
        outputs, failure = _collect(process, deadline, timeout_s, stop)
    finally:
        # Before it is reaped: afterwards its number may be another group's.
        _kill_group(process.pid)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    if not failure and process.returncode < 0:
        failure = f"killed by signal {-process.returncode}{_last_words(outputs[1])}"
    elif not failure and process.returncode > 0:
        failure = f"exit code {process.returncode}{_last_words(outputs[1])}"
    return ProgramRun(outputs[0].decode("utf-8", "replace"), failure)


def _collect(
    process: "subprocess.Popen[bytes]", deadline: float, timeout_s: float, stop: threading.Event
) -> tuple[tuple[bytes, bytes], str]:
    """Stdout and stderr until the program ends, and why it has to be killed before that."""
    assert process.stdout is not None
    assert process.stderr is not None
    buffers = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    failure = ""
    pause_s = SHORTEST_PAUSE_SECONDS
    with selectors.DefaultSelector() as selector:
        for pipe in buffers:
            os.set_blocking(pipe, False)
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            # What it wrote before it ended is in the pipes by now: look first, then drain.
            ended = _has_ended(process.pid)
            if selector.get_map():
                _drain(selector, buffers, 0.0 if ended else POLL_SECONDS)
            elif not ended:
                # It closed its outputs, which nearly always means that it is about to end.
                time.sleep(pause_s)
                pause_s = min(2.0 * pause_s, POLL_SECONDS)
            if any(len(buffer) > MAX_OUTPUT_BYTES for buffer in buffers.values()):
                failure = f"more than {MAX_OUTPUT_BYTES} bytes of output"
            elif ended:
                break
            elif stop.is_set():
                failure = "stopped"
            elif time.monotonic() >= deadline:
                failure = f"no answer within {timeout_s:g} s"
            if failure:
                break
    stdout, stderr = (bytes(buffer) for buffer in buffers.values())
    return (stdout, stderr), failure


def _drain(
    selector: selectors.BaseSelector, buffers: dict[int, bytearray], timeout_s: float
) -> None:
    """Read what is there, at most a little more than is allowed in all."""
    wait_s = timeout_s
    while ready := selector.select(wait_s):
        wait_s = 0.0
        for key, _ in ready:
            chunk = os.read(key.fd, 1 << 16)
            if not chunk:
                selector.unregister(key.fd)
            buffers[key.fd] += chunk
            if len(buffers[key.fd]) > MAX_OUTPUT_BYTES:
                return
        if not selector.get_map():
            return


def _has_ended(pid: int) -> bool:
    """Whether the process has ended; it stays a zombie, and its number stays its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing of it is left, or nothing that is ours to end.
        return


def _last_words(stderr: bytes) -> str:
    """The last line of what it complained about, short and printable."""
    lines = stderr.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    shown = "".join(c if c.isprintable() else "?" for c in last[:120])
    return f": {shown}" if shown else ""
