"""Tasks that processes of a test execute; imports nothing heavy."""

import os
import signal
import sys
import time

from graph_ir.errors import InputError


def double(task: int) -> int:
    time.sleep(0.05 * (task % 2))
    return 2 * task


def complain(task: int) -> int:
    if task == 1:
        raise InputError("task 1: expected another one")
    return task


def break_down(task: int) -> int:
    raise ZeroDivisionError("nothing")


def die(task: int) -> int:
    sys.stdout.flush()
    os._exit(9)


def swallow(task: int) -> int:
    """Takes an interrupt for its own end, as `auto` does."""
    try:
        if task == 1:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
    except KeyboardInterrupt:
        return -1
    return task
