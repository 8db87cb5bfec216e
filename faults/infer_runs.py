"""infer.py killed, interrupted, without room, with others at its folders, and for a long time.

Whatever happens, each result is whole or absent, and the same command again finishes and leaves no temporary
file. Nothing is removed from the pictures (`--method input`): what is tried is reading and writing.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from faults.attempts import Row
from restoration.folder import restore_folder
from restoration.jobs import Job
from restoration.methods import load_method
from utils.errors import UserError
from utils.image_files import Picture, read_picture, write_picture

COUNT = 30
"""Kills; the other rows have a part of it, the long run 20,000 pictures for 30 kills."""

PICTURES = 40
SOAK = 20_000
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGHUP: 130}


def run(seed: int, count: int = COUNT) -> list[Row]:
    """A row for each kind of trouble."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _pictures(place / "in", PICTURES)
        seconds = _measured(place)
        few = max(1, count // 10)
        rows = [
            _each("infer.py killed (SIGKILL)", count, lambda _: _kill(place, rng.uniform(0, seconds))),
            _each(
                "infer.py ended by Ctrl-C, SIGTERM or SIGHUP",
                max(1, count // 3),
                lambda number: _stop(place, list(SIGNALS)[number % 3], rng.uniform(0.5, 1) * seconds),
            ),
            _each("files that may not grow, as on a full disk", few, lambda _: _no_room(place, rng)),
            _each("two infer.py write into one folder", few, lambda _: _two(place)),
            _each(
                "the output folder vanishes midway", few, lambda _: _vanish(place, rng.uniform(0, seconds))
            ),
            _each("inputs are rewritten while they are read", few, lambda _: _rewrite(place, rng)),
            _soak(place, max(1000, SOAK * count // COUNT)),
        ]
    return rows


def _each(what: str, count: int, attempt: Callable[[int], None]) -> Row:
    """`count` attempts, each of which raises AssertionError or UserError where something is wrong."""
    wrong = []
    for number in range(count):
        try:
            attempt(number)
        except (AssertionError, UserError) as error:
            wrong.append(str(error))
    outcome = f"first failure: {wrong[0]}" if wrong else "results whole or absent; the next run finished all"
    return Row(what, count, len(wrong), outcome)


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
        write_picture(folder / f"{number:05d}.png", Picture(pixels))


def _start(place: Path, *options: str, before: Callable[[], None] | None = None) -> subprocess.Popen:
    def prepare() -> None:
        for number in SIGNALS:  # a shell's background jobs ignore some, and children inherit that
            signal.signal(number, signal.SIG_DFL)
        if before is not None:
            before()

    return subprocess.Popen(
        [sys.executable, "infer.py", "-i", place / "in", "-o", place / "out", "--method", "input", *options],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def _finished(process: subprocess.Popen, codes: Sequence[int] = (0,)) -> str:
    out, err = process.communicate(timeout=600)
    assert "Traceback" not in err, err[-300:]
    assert process.returncode in codes, f"exit code {process.returncode}: {err[-300:]}"
    return out + err


def _measured(place: Path) -> float:
    """Seconds of an undisturbed run."""
    start = time.monotonic()
    _finished(_start(place))
    return time.monotonic() - start


def _fresh(place: Path) -> None:
    shutil.rmtree(place / "out", ignore_errors=True)


def _whole_or_absent(place: Path) -> None:
    for path in (place / "out").glob("[!.]*"):
        source = place / "in" / path.name.replace("-removed", "")
        assert np.array_equal(read_picture(path).pixels, read_picture(source).pixels), f"{path.name} differs"


def _finish_and_check(place: Path) -> None:
    _whole_or_absent(place)
    _finished(_start(place, "--skip_existing"))
    _whole_or_absent(place)
    names = os.listdir(place / "out")
    assert len(names) == PICTURES, f"{len(names)} files in the output folder"
    assert not any(name.startswith(".") for name in names), "temporary files are left"


def _kill(place: Path, after: float) -> None:
    _fresh(place)
    process = _start(place)
    time.sleep(after)
    process.kill()
    process.communicate()
    _finish_and_check(place)


def _stop(place: Path, number: signal.Signals, after: float) -> None:
    _fresh(place)
    process = _start(place)
    time.sleep(after)
    process.send_signal(number)
    # 0: it was done already; before anything is written a signal ends it as any program.
    _finished(process, (0, SIGNALS[number], -number))
    names = os.listdir(place / "out") if (place / "out").exists() else []
    assert not any(name.startswith(".") for name in names), "temporary files are left"
    _finish_and_check(place)


def _no_room(place: Path, rng: np.random.Generator) -> None:
    import resource

    _fresh(place)
    room = int(rng.integers(0, 30_000))  # a result has some 37 kB
    said = _finished(
        _start(place, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))), (1,)
    )
    assert len(re.findall("cannot write", said)) == PICTURES, said[-300:]
    assert not os.listdir(place / "out"), "files are left"
    _finish_and_check(place)


def _two(place: Path) -> None:
    _fresh(place)
    for process in [_start(place), _start(place)]:
        _finished(process)
    _finish_and_check(place)


def _vanish(place: Path, after: float) -> None:
    _fresh(place)
    process = _start(place)
    time.sleep(after)
    shutil.rmtree(place / "out", ignore_errors=True)
    _finished(process, (0, 1))
    _finish_and_check(place)


def _rewrite(place: Path, rng: np.random.Generator) -> None:
    _fresh(place)
    sources = sorted((place / "in").iterdir())
    contents = [path.read_bytes() for path in sources]
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.002):
            number = int(rng.integers(PICTURES))
            sources[number].write_bytes(contents[number][: rng.integers(len(contents[number]))])

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        _finished(_start(place), (0, 1))
    finally:
        stop.set()
        thread.join()
        for path, content in zip(sources, contents, strict=True):
            path.write_bytes(content)
    _finish_and_check(place)


def _soak(place: Path, count: int) -> Row:
    """Many pictures in one process: memory and open files after each tenth."""
    source, out = place / "in" / "00000.png", place / "many"
    remover = load_method("input", workers=1)
    memory, files = [], []
    done = 0
    for _ in range(10):
        jobs = [Job(source, {"result": out / f"{number % 50}.png"}) for number in range(count // 10)]
        done += restore_folder(jobs, remover, quiet=True).done
        memory.append(_resident())
        files.append(len(os.listdir("/proc/self/fd")))
    growth = max(memory[1:]) - memory[1]
    slope = np.polyfit(np.arange(9) * count / 10 / 1000, memory[1:], 1)[0]
    wrong = (done != count // 10 * 10) + (growth > 20) + (max(files[1:]) > files[1])
    return Row(
        "small pictures in one process",
        count,
        int(wrong),
        f"{done} done; after the first tenth memory grew by {growth:.1f} MiB ({slope:.3f} MiB for 1,000 "
        f"pictures), open files by {max(files[1:]) - files[1]}",
    )


def _resident() -> float:
    """MiB of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
