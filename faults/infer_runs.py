"""infer.py killed, interrupted, without room, with others at its folders, and for a long time.

Whatever happens, each result is whole or absent, and the same command again finishes and leaves no temporary
file. Nothing is removed from the pictures (`--method input`): what is tried is reading and writing.
"""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
AT_ONCE = 2  # attempts side by side
SOAK = 20_000
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 130, signal.SIGHUP: 130}


def run(seed: int, count: int = COUNT) -> list[Row]:
    """A row for each kind of trouble."""
    rng = np.random.default_rng(seed)
    few = max(1, count // 10)
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / str(number) for number in range(AT_ONCE)]
        for place in places:
            _pictures(place / "in", PICTURES, (96, 128))
        seconds = _measured(places[0])
        moments = rng.uniform(0, seconds, count)
        stops = rng.uniform(0.5, 1, max(1, count // 3)) * seconds
        rooms = rng.integers(0, 30_000, few)  # bytes; a result has some 37,000
        signals = list(SIGNALS)
        return [
            _each("infer.py killed (SIGKILL)", count, places, lambda place, n: _kill(place, moments[n])),
            _each(
                "infer.py ended by Ctrl-C, SIGTERM or SIGHUP",
                len(stops),
                places,
                lambda place, n: _stop(place, signals[n % len(signals)], stops[n]),
            ),
            _each(
                "files that may not grow, as on a full disk",
                few,
                places,
                lambda place, n: _no_room(place, int(rooms[n])),
            ),
            _each("two infer.py write into one folder", few, places, lambda place, _: _two(place)),
            _each(
                "the output folder vanishes midway", few, places, lambda place, n: _vanish(place, moments[n])
            ),
            _each(
                "inputs are rewritten while they are read", few, places, lambda place, n: _rewrite(place, n)
            ),
            _soak(Path(name) / "soak", max(1000, SOAK * count // COUNT)),
        ]


def _each(what: str, count: int, places: Sequence[Path], attempt: Callable[[Path, int], None]) -> Row:
    """`count` attempts, one in each of `places` at a time; each raises AssertionError or UserError where
    something is wrong."""
    free: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for place in places:
        free.put(place)

    def one(number: int) -> str | None:
        place = free.get()
        try:
            attempt(place, number)
        except (AssertionError, UserError) as error:
            return str(error) or "it failed"
        finally:
            free.put(place)
        return None

    with ThreadPoolExecutor(len(places)) as pool:
        wrong = [words for words in pool.map(one, range(count)) if words]
    outcome = f"first failure: {wrong[0]}" if wrong else "results whole or absent; the next run finished all"
    return Row(what, count, len(wrong), outcome)


def _pictures(folder: Path, count: int, size: tuple[int, int]) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        write_picture(folder / f"{number:05d}.png", Picture(pixels))


# A shell's background jobs ignore some signals, and children inherit that; 0 bytes of room: no limit.
_LAUNCHER = """
import os, resource, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
room = int(sys.argv[1])
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
os.execv(sys.executable, [sys.executable, "infer.py", *sys.argv[2:]])
"""


def _start(place: Path, *options: str, room: int = 0) -> subprocess.Popen:
    paths = ["-i", place / "in", "-o", place / "out"]
    return subprocess.Popen(
        [sys.executable, "-c", _LAUNCHER, str(room), *paths, "--method", "input", *options],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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


def _no_room(place: Path, room: int) -> None:
    _fresh(place)
    said = _finished(_start(place, room=room + 1), (1,))
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


def _rewrite(place: Path, seed: int) -> None:
    _fresh(place)
    rng = np.random.default_rng(seed)
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
    _pictures(place / "in", 1, (24, 32))
    source, out = place / "in" / "00000.png", place / "out"
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
