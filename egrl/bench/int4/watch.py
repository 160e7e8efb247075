"""Runs a command and says how long it took and how much memory it had at most.

Run as a script of its own (`python -S watch.py RESULT.json COMMAND...`): a small parent, so that
the kernel's account of the child holds nothing of the benchmark's own memory. The peak is the
larger of what the kernel says of the largest process and of what all processes together were seen
to hold (shared pages counted once), once a second: looking costs time.
"""

import json
import os
import subprocess
import sys
import threading
import time

PAUSE_S = 1.0


def tree_bytes(root: int) -> int:
    """Proportional resident memory of a process and its descendants."""
    wanted = [root]
    for process in wanted:
        wanted += _children(process)
    return sum(_resident(process) for process in wanted)


def _children(process: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/children") as stream:
                found += map(int, stream.read().split())
    except OSError:
        return found  # it has ended
    return found


def _resident(process: int) -> int:
    try:
        with open(f"/proc/{process}/smaps_rollup") as stream:
            return sum(1024 * int(line.split()[1]) for line in stream if line.startswith("Pss:"))
    except OSError:
        return 0  # it has ended


def main(result: str, command: list[str]) -> int:
    """Run it, write the result, pass the exit code on."""
    began = time.perf_counter()
    child = subprocess.Popen(command)
    peak = [0]
    done = threading.Event()

    def look() -> None:
        while not done.wait(PAUSE_S):
            peak[0] = max(peak[0], tree_bytes(child.pid))

    looker = threading.Thread(target=look)
    looker.start()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    done.set()
    looker.join()
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w") as stream:
        peak_bytes = max(peak[0], 1024 * usage.ru_maxrss)
        found = {"seconds": seconds, "peak_bytes": peak_bytes, "code": code}
        json.dump({**found, "cpu_seconds": usage.ru_utime + usage.ru_stime}, stream)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
