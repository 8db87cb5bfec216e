"""Processes that are killed: at a moment, or before an operation on a file.

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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from utils.errors import run as ended

HANGS = 300.0  # seconds by the clock after which a command of a second or two counts as hanging
ORPHANS = 30.0  # seconds in which the helpers of a killed process must have noticed
CHANGES = {"os.rename", "os.link", "os.remove", "os.chmod", "os.mkdir", "os.rmdir", "os.truncate"}


@dataclass(frozen=True)
class Usual:
    """What a run that nobody touches takes: seconds, and operations that change files."""

    seconds: float
    operations: int


class Command:
    """A command in one process or several that work together, running."""

    def __init__(
        self, context: ForkServerContext, main: Callable[[], int], *, folder: Path, output: Path,
        processes: int = 1, kill_at: int = 0, counts: Path | None = None, room: int = 0,
    ):  # fmt: skip
        """
        main     called in each process; returns its exit code
        folder   operations that change files below it count
        output   a file that receives what is printed
        kill_at  the operation, from 1, before which the first process is killed; 0: none
        counts   a file that receives how many there were
        room     bytes that a file may have at most, as on a full disk; 0: any
        """
        self.output, self.kill_at, self.processes = output, kill_at, []
        with socket.socket() as free:
            free.bind(("localhost", 0))
            together = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
        for rank in range(processes):
            ranks = {name: str(rank) for name in ("RANK", "LOCAL_RANK")}  # as torchrun sets them
            ranks |= {name: str(processes) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
            environment = together | ranks if processes > 1 else {}
            of_first = (Path(os.devnull), 0, None) if rank else (output, kill_at, counts)
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
        return next((process.exitcode for process in self.processes if process.exitcode), 0)

    def kill(self, after: float, rng: random.Random) -> None:
        """Kills one process, `after` seconds from now or where `kill_at` says, unless all are done before.

        The others are ended as torchrun does it, or all at once.
        """
        victim = self.processes[0] if self.kill_at else rng.choice(self.processes)
        victim.join(HANGS if self.kill_at else after)
        if all(process.exitcode == 0 for process in self.processes):
            return
        _signal(victim, signal.SIGKILL)
        if rng.random() < 0.5:
            for process in self.processes:
                _signal(process, signal.SIGTERM)
                process.join(2)
        for process in self.processes:
            _signal(process, signal.SIGKILL)
            process.join()

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


def _work(
    main: Callable[[], int], folder: str, environment: dict[str, str], room: int,
    output: Path, kill_at: int, counts: Path | None,
) -> None:  # fmt: skip
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
    operations = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal operations
        if _changes(event, arguments, folder):
            operations += 1
            if operations == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    code = ended(main)
    if counts is not None:
        counts.write_text(str(operations), encoding="ascii")
    sys.exit(code)


def _changes(event: str, arguments: tuple, folder: str) -> bool:
    """True for what is about to change something below `folder`."""
    if event == "open":
        path, mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else "r" not in mode
    elif event in CHANGES:
        path, writes = arguments[0], True
    else:
        return False
    return writes and isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(folder)


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
