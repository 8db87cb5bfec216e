"""infer.py killed, interrupted, without room, and with others at its folders.

Whatever happens, each result is whole or absent, and the same command again finishes and leaves no temporary
file. Nothing is removed from the pictures (`--method input`): what is tried is reading and writing.
"""

import os
import random
import re
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from restoration.options import InferOptions
from tests.faults.attempts import Row, scratch
from tests.faults.killing import Command, commands, measured
from utils.errors import UserError
from utils.image_files import Picture, read_picture, write_picture

COUNT = 30
"""Kills; the other rows have a part of it."""

PICTURES = 40
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGHUP: 130}


def run(seed: int, count: int = COUNT) -> list[Row]:
    """A row for each kind of trouble."""
    rng = random.Random(seed)
    some, few = max(1, count // 2), max(1, count // 5)
    with (
        scratch() as folder,
        commands("tests.faults.infer_runs", "restoration.infer", "restoration.folder") as start,
    ):
        draw_pictures(folder / "in", PICTURES, (96, 128))
        runs = _Runs(start, folder, rng)
        return [
            _row("infer.py killed (SIGKILL)", count, runs.kill),
            _row("infer.py ended by Ctrl-C, SIGTERM or SIGHUP", some, runs.stop),
            _row("infer.py: files that may not grow, as on a full disk", few, runs.without_room),
            _row("two infer.py write into one folder", few, runs.two),
            _row("the output folder of infer.py vanishes midway", few, runs.vanishing),
            _row("inputs of infer.py are rewritten while they are read", few, runs.rewritten),
        ]


def draw_pictures(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Writes `count` PNG files of noise, `size` (H, W)."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        write_picture(folder / f"{number:05d}.png", Picture(pixels))


def restore(options: InferOptions) -> int:
    """Body of a process; returns its exit code."""
    from restoration.infer import infer

    return infer(options)


def _row(what: str, count: int, attempt: Callable[[int], None]) -> Row:
    """`count` attempts; each raises AssertionError or UserError where something is wrong."""
    wrong = []
    for number in range(count):
        try:
            attempt(number)
        except (AssertionError, UserError) as error:
            wrong.append(str(error) or "it failed")
    outcome = f"first failure: {wrong[0]}" if wrong else "results whole or absent; the next run finished all"
    return Row(what, count, len(wrong), outcome)


class _Runs:
    """Attempts in one folder, each with all its checks."""

    def __init__(self, start: Callable[..., Command], folder: Path, rng: random.Random):
        self.start, self.rng = start, rng
        self.pictures, self.out, self.said = folder / "in", folder / "out", folder / "said"
        usual = measured(start, self._main(), self.out, output=self.said)
        assert usual is not None, self.said.read_text(encoding="utf-8")
        self.usual = usual

    def kill(self, number: int) -> None:
        self._clear()
        command = self._begin(kill=self.usual.kill(number, self.rng))
        command.killed(self.rng)
        self._finish()
        assert command.orphans_end(), "processes of a killed run went on"

    def stop(self, number: int) -> None:
        self._clear()
        self.said.unlink(missing_ok=True)
        command = self._begin()
        process, sent = command.processes[0], list(SIGNALS)[number % len(SIGNALS)]
        while process.is_alive() and not self.said.exists():  # from then on it sees signals as a program does
            process.join(0.001)
        process.join(self.rng.uniform(0, self.usual.seconds))
        if process.is_alive() and process.pid:
            os.kill(process.pid, sent)
        # 0: it was done already; before its first lines a signal ends it as any program.
        self._ended(command, (0, SIGNALS[sent], -sent))
        assert not self._temporary_files(), "temporary files are left"
        assert command.orphans_end(), "processes of an ended run went on"
        self._finish()

    def without_room(self, _: int) -> None:
        self._clear()
        # A result has some 37,000 bytes, what infer.py says 6,000.
        said = self._ended(self._begin(room=12_000 + self.rng.randrange(18_000)), (1,))
        assert len(re.findall("cannot write", said)) == PICTURES, said[-300:]
        assert not os.listdir(self.out), "files are left"
        self._finish()

    def two(self, _: int) -> None:
        self._clear()
        for command in [self._begin(), self._begin(output=self.said.with_suffix(".other"))]:
            self._ended(command)
        self._finish()

    def vanishing(self, _: int) -> None:
        self._clear()
        command = self._begin()
        command.processes[0].join(self.rng.uniform(0, self.usual.seconds))
        shutil.rmtree(self.out, ignore_errors=True)
        self._ended(command, (0, 1))
        self._finish()

    def rewritten(self, number: int) -> None:
        self._clear()
        rng = np.random.default_rng(number)
        sources = sorted(self.pictures.iterdir())
        contents = [path.read_bytes() for path in sources]
        stop = threading.Event()

        def disturb() -> None:
            while not stop.wait(0.002):
                some = int(rng.integers(PICTURES))
                sources[some].write_bytes(contents[some][: rng.integers(len(contents[some]))])

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            self._ended(self._begin(), (0, 1))
        finally:
            stop.set()
            thread.join()
            for path, content in zip(sources, contents, strict=True):
                path.write_bytes(content)
        self._finish()

    def _main(self, skip_existing: bool = False) -> Callable[[], int]:
        options = InferOptions(str(self.pictures), str(self.out), method="input", skip_existing=skip_existing)
        return partial(restore, options)

    def _begin(self, *, skip_existing: bool = False, output: Path | None = None, **more: Any) -> Command:
        main = self._main(skip_existing)
        return self.start(main, folder=self.out, output=output or self.said, **more)

    def _ended(self, command: Command, codes: Sequence[int] = (0,)) -> str:
        code, said = command.wait(), command.output.read_text(encoding="utf-8")
        assert "Traceback" not in said, said[-300:]
        assert code in codes, f"{'it hung' if code is None else f'exit code {code}'}: {said[-300:]}"
        return said

    def _clear(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)

    def _finish(self) -> None:
        self._check_whole()
        self._ended(self._begin(skip_existing=True))
        self._check_whole()
        names = os.listdir(self.out)
        assert len(names) == PICTURES, f"{len(names)} files in the output folder"
        assert not self._temporary_files(), "temporary files are left"

    def _check_whole(self) -> None:
        for path in self.out.glob("[!.]*"):
            source = self.pictures / path.name.replace("-removed", "")
            same = np.array_equal(read_picture(path).pixels, read_picture(source).pixels)
            assert same, f"{path.name} differs"

    def _temporary_files(self) -> list[str]:
        return [path.name for path in self.out.glob(".*")]
