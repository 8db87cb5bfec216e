"""Processes that are killed: at a moment, before an operation on a file, or in the middle of writing one.

They are forked from a server that has the libraries loaded, so that each starts in no time, and lead a group
of processes: what they leave behind can be found and ended. Nothing waits for them without a bound.
"""

import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import psutil

from utils.errors import run as ended

HANGS = 300.0  # seconds by the clock after which a command of a second or two counts as hanging
ORPHANS = 30.0  # seconds in which the helpers of a killed process must have noticed
WRITING = 0.02  # seconds that writing a small checkpoint takes
CHANGES = {"os.rename", "os.link", "os.remove", "os.chmod", "os.mkdir", "os.rmdir", "os.truncate"}


@dataclass(frozen=True)
class Kill:
    """When a process is killed.

    moment     `after` seconds from its start
    operation  just before its operation `number` (from 1) that changes a file or folder below `folder`
    write      `after` seconds after it opened its temporary file `number` there
    """

    kind: Literal["moment", "operation", "write"]
    after: float = 0.0
    number: int = 0


@dataclass(frozen=True)
class Usual:
    """What a run that nobody touches takes: seconds, operations that change files, temporary files."""

    seconds: float
    operations: int
    writes: int

    def kill(self, number: int, rng: random.Random) -> Kill:
        """Kill `number` of many: the three kinds take turns.

        Counts start anew with each process, and later ones have less left to do: most aim at an early one.
        """
        kind: Literal["moment", "operation", "write"] = ("moment", "operation", "write")[number % 3]
        if kind == "moment":
            return Kill(kind, after=rng.uniform(0, self.seconds))
        most = self.operations if kind == "operation" else self.writes
        aimed = 1 + int(most * rng.random() ** 2)
        return Kill(kind, after=rng.uniform(0, WRITING), number=aimed)


class Command:
    """A command in one process or several that work together, running."""

    def __init__(
        self,
        context: ForkServerContext,
        main: Callable[[], int],
        *,
        folder: Path,
        kill: Kill | None = None,
        processes: int = 1,
        counts: Path | None = None,
        output: Path | None = None,
        room: int = 0,
    ):
        """
        main    called in each process; returns its exit code
        folder  operations on files below it count
        counts  a file that receives how many there were
        output  a file that receives what is printed
        room    bytes that a file may have at most, as on a full disk; 0: any
        """
        port = _free_port() if processes > 1 else 0
        self.kill, self.output = kill, output or Path(os.devnull)
        self.processes: list[BaseProcess] = []
        for rank in range(processes):
            environment = _environment(rank, processes, port) if processes > 1 else {}
            of_first = (kill, counts, self.output) if rank == 0 else (None, None, Path(os.devnull))
            process = context.Process(target=_work, args=(main, str(folder), environment, room, *of_first))
            process.start()
            self.processes.append(process)

    def wait(self) -> int | None:
        """The exit code, 0 where all have 0; None where it hung, and was ended."""
        deadline = time.monotonic() + HANGS
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        if any(process.is_alive() for process in self.processes):
            self.end()
            return None
        codes = [process.exitcode for process in self.processes]
        return next((code for code in codes if code), 0)

    def killed(self, rng: random.Random) -> bool:
        """Waits for its kill; True where it came before the command's own end.

        Of several processes one is killed, and the others are ended as torchrun does it, or all at once.
        """
        first = self.processes[0]
        if self.kill is not None and self.kill.kind == "moment":
            victim = rng.choice(self.processes)
            victim.join(self.kill.after)
            if all(process.exitcode == 0 for process in self.processes):
                return False
            _signal(victim, signal.SIGKILL)
        else:
            first.join(HANGS)
            if first.exitcode == 0:
                return False
        if rng.random() < 0.5:
            for process in self.processes:
                _signal(process, signal.SIGTERM)
                process.join(2)
        for process in self.processes:
            _signal(process, signal.SIGKILL)
            process.join()
        return True

    def end(self) -> None:
        """Ends it with all that it has started."""
        for process in self.processes:
            _signal(process, signal.SIGKILL)
            process.join()
        for left in _members(self.processes):
            with suppress(psutil.NoSuchProcess):
                left.kill()
        self.processes = []

    def orphans_end(self) -> bool:
        """False where something that it has started still runs after a while; that is ended."""
        deadline = time.monotonic() + ORPHANS
        while (left := _members(self.processes)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.end()
        return not left


@contextmanager
def commands(*preloaded: str) -> Iterator[Callable[..., Command]]:
    """A function that starts a `Command` (without its first argument); the block's end ends them all."""
    context = multiprocessing.get_context("forkserver")
    # There is one server for a process. One that runs, as in a test suite, has other libraries loaded.
    forkserver._forkserver._stop()
    # Processes begin with the modules of the program that starts them.
    context.set_forkserver_preload(["tests.faults.__main__", *preloaded])
    started: list[Command] = []

    def start(*arguments: Any, **keywords: Any) -> Command:
        started.append(Command(context, *arguments, **keywords))
        return started[-1]

    try:
        yield start
    finally:
        for command in started:
            command.end()


def measured(
    start: Callable[..., Command], main: Callable[[], int], folder: Path, **more: Any
) -> Usual | None:
    """What a run that nobody touches takes; None where it fails."""
    with tempfile.TemporaryDirectory() as name:
        counts = Path(name) / "counts"
        began = time.monotonic()
        if start(main, folder=folder, counts=counts, **more).wait() != 0:
            return None
        seconds = time.monotonic() - began
        operations, writes = map(int, counts.read_text(encoding="ascii").split())
        return Usual(seconds, operations, writes)


def _work(
    main: Callable[[], int],
    folder: str,
    environment: dict[str, str],
    room: int,
    kill: Kill | None,
    counts: Path | None,
    output: Path,
) -> None:
    """The body of a process."""
    os.setsid()
    os.environ |= environment
    multiprocessing.set_start_method("fork", force=True)  # as in a program of its own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    with open(output, "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    seen = {"operation": 0, "write": 0}

    def watch(event: str, arguments: tuple) -> None:
        if not _concerns(event, arguments, folder):
            return
        seen["operation"] += 1
        is_write = _creates_temporary(event, arguments)
        seen["write"] += is_write
        if kill is None or kill.kind == "moment":
            return
        if kill.kind == "operation" and seen["operation"] == kill.number:
            os.kill(os.getpid(), signal.SIGKILL)
        if kill.kind == "write" and is_write and seen["write"] == kill.number:
            # The system ends a process that has no handler for it at once, as SIGKILL does.
            signal.setitimer(signal.ITIMER_REAL, max(kill.after, 1e-6))

    sys.addaudithook(watch)
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    code = ended(main)
    if counts is not None:
        counts.write_text(f"{seen['operation']} {seen['write']}", encoding="ascii")
    sys.exit(code)


def _creates_temporary(event: str, arguments: tuple) -> bool:
    """True for what utils.atomic begins a file with."""
    if event != "open" or arguments[1] is not None or not arguments[2] & os.O_CREAT:
        return False
    return os.path.basename(os.fsdecode(arguments[0])).startswith(".tmp-")


def _concerns(event: str, arguments: tuple, folder: str) -> bool:
    """True for what is about to change something below `folder`."""
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else "r" not in mode
    elif event in CHANGES:
        path, writes = arguments[0], True
    else:
        return False
    return writes and isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(folder)


def _environment(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun sets."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
    }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    if process.is_alive() and process.pid:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _members(leaders: Sequence[BaseProcess]) -> list[psutil.Process]:
    """The processes of the groups of `leaders` that run."""
    groups = {leader.pid for leader in leaders}
    found = []
    for process in psutil.process_iter(["status"]) if groups else ():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) in groups and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
