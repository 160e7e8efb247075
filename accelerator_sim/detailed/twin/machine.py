"""One inference on the simulated hardware: ops in order, each tile by tile.

The twin of `loop/run.py`, `loop/execution.py` and `loop/requests.py`.
"""

from collections.abc import Callable, Generator, Sequence

import simpy

from accelerator_sim.detailed.program import Program, Request
from accelerator_sim.detailed.twin.dma import Dma
from accelerator_sim.detailed.twin.server import LOADS, STORES, Job, Server


class Machine:
    """Cores that do the same are simulated as the busiest of them, with the traffic of all.

    Attributes:
        op_end_s: when each op ended.
    """

    def __init__(
        self,
        env: simpy.Environment,
        programs: Sequence[Program],
        pages_of_ops: Sequence[Sequence[int]],
        servers: Sequence[Server],
        launch_s: float,
        barrier_s: float,
        tile_slots: int,
    ) -> None:
        self._env = env
        self._programs = programs
        self._pages_of_ops = pages_of_ops
        self._servers = servers
        self._launch_s = launch_s
        self._barrier_s = barrier_s
        self._tile_slots = tile_slots
        self.op_end_s: list[float] = []

    def run(self, dma: Dma) -> Generator[simpy.Event, None, None]:
        """All ops, one after another."""
        for index, program in enumerate(self._programs):
            dma.begin(index)
            if self._launch_s > 0.0:
                yield simpy.Timeout(self._env, self._launch_s)
            execution = Execution(self._env, self, dma, index, program, self._tile_slots)
            yield execution.done
            if self._barrier_s > 0.0:
                yield simpy.Timeout(self._env, self._barrier_s)
            self.op_end_s.append(self._env.now)

    def issue(self, op: int, request: Request, requester: int, done: Callable[[], None]) -> None:
        """Send a request to all its servers at once; `done` when the slowest has answered."""
        hops = request.hops
        page = self._pages_of_ops[op][request.operand] + request.page
        remaining = len(hops)

        def served() -> None:
            nonlocal remaining
            remaining -= 1
            if remaining <= 0:
                if request.latency_s > 0.0:
                    timer = simpy.Timeout(self._env, request.latency_s)
                    assert timer.callbacks is not None  # It has not happened yet.
                    timer.callbacks.append(lambda _: done())
                else:
                    done()

        if not hops:
            served()
            return
        for server, seconds in hops:
            self._servers[server].submit(Job(seconds, requester, request.is_write, page, served))


class Execution:
    """One op on the busiest core.

    Attributes:
        done: happens when its last result is written.
    """

    def __init__(
        self,
        env: simpy.Environment,
        machine: Machine,
        dma: Dma,
        op: int,
        program: Program,
        tile_slots: int,
    ) -> None:
        self._env = env
        self._machine = machine
        self._dma = dma
        self._op = op
        self._program = program
        self._slots = tile_slots
        steps = len(program.mac_s)
        queues = 2 if program.transfers else 1
        self._missing = [queues] * steps
        self._ready: simpy.Event | None = None
        self._freed = 0
        self._slot: simpy.Event | None = None
        self._unfinished = steps
        self.done = simpy.Event(env)
        env.process(self._load())
        if program.transfers:
            env.process(self._drain())
        env.process(self._compute())

    def _load(self) -> Generator[simpy.Event, None, None]:
        """Fill tile slots with what is read from where it lives."""
        for step, requests in enumerate(self._program.loads):
            while step - self._freed >= self._slots:
                yield self._a_slot()
            for request in requests:
                self._missing[step] += 1
                self._machine.issue(self._op, request, LOADS, self._loaded(step))
            self._arrived(step)

    def _drain(self) -> Generator[simpy.Event, None, None]:
        """Fill tile slots from the ring, transfer by transfer."""
        transfers, number = self._program.transfers, 0
        for step in range(len(self._missing)):
            while step - self._freed >= self._slots:
                yield self._a_slot()
            while number < len(transfers) and transfers[number].step == step:
                arrival = self._dma.arrival(self._op, number)
                while arrival is not None:
                    yield arrival
                    arrival = self._dma.arrival(self._op, number)
                self._missing[step] += 1
                request = transfers[number].drain
                self._machine.issue(self._op, request, LOADS, self._drained(step, number))
                number += 1
            self._arrived(step)

    def _a_slot(self) -> simpy.Event:
        """Happens when a tile slot becomes free."""
        if self._slot is None:
            self._slot = simpy.Event(self._env)
        return self._slot

    def _loaded(self, step: int) -> Callable[[], None]:
        return lambda: self._arrived(step)

    def _drained(self, step: int, number: int) -> Callable[[], None]:
        def drained() -> None:
            self._dma.release(self._op, number)
            self._arrived(step)

        return drained

    def _arrived(self, step: int) -> None:
        self._missing[step] -= 1
        if self._missing[step] == 0 and self._ready is not None:
            event, self._ready = self._ready, None
            event.succeed()

    def _compute(self) -> Generator[simpy.Event, None, None]:
        """The matrix unit, and behind it the vector unit, take tile after tile."""
        env, program = self._env, self._program
        vector_free = 0.0
        for step, mac_s in enumerate(program.mac_s):
            while self._missing[step]:
                self._ready = simpy.Event(env)
                yield self._ready
            if mac_s > 0.0:
                yield simpy.Timeout(env, mac_s)
                self._free()
            vector_free = max(vector_free, env.now) + program.vector_s[step]
            delay = vector_free - env.now
            if mac_s > 0.0:
                timer = simpy.Timeout(env, delay)
                assert timer.callbacks is not None  # It has not happened yet.
                timer.callbacks.append(self._storing(step))
            else:
                yield simpy.Timeout(env, delay)
                self._free()
                self._store(step)

    def _free(self) -> None:
        self._freed += 1
        if self._slot is not None:
            event, self._slot = self._slot, None
            event.succeed()

    def _storing(self, step: int) -> Callable[[simpy.Event], None]:
        return lambda _: self._store(step)

    def _store(self, step: int) -> None:
        requests = self._program.stores[step]
        self._unfinished += len(requests)
        for request in requests:
            self._machine.issue(self._op, request, STORES, self._finished)
        self._finished()

    def _finished(self) -> None:
        self._unfinished -= 1
        if self._unfinished == 0:
            self.done.succeed()
