"""Settings of all tests, which of them are slow, and what a worker process of pytest said before it died."""

import inspect
import os
import re
import signal
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

from utils.signals import STOPPING

# A loaded machine is no failure: no test asserts a time.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# A shell's background jobs and nohup ignore signals, and the processes that tests start would inherit that.
for number in STOPPING:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# Signals, forks and limits of POSIX are what these are about.
collect_ignore = (
    ["faults", "training/test_kill.py", "training/test_resume.py"] if sys.platform == "win32" else []
)

SLOW_LIST = Path(__file__).with_name("slow_tests.txt")
SLOW_SECONDS = 0.25
"""What a test may take, over all its parameters, to be among those of `make test-fast`."""
COMPARES = re.compile(r"approx\(|allclose\(|assert_close\(|psnr\(|_LEVEL\b|decibels|\.(?:max|mean)\(\) <")
NATIVE_LINES = 200
"""How much of a worker's output is printed when it dies or fails: the end names the cause."""


def pytest_addoption(parser):
    parser.addoption(
        "--record_slow",
        action="store_true",
        help=f"write the tests over {SLOW_SECONDS} s to {SLOW_LIST.name}",
    )


def _end_of(errors):
    said = Path(errors).read_text(errors="replace") if Path(errors).exists() else ""
    return "\n".join(said.splitlines()[-NATIVE_LINES:])


@pytest.hookimpl(tryfirst=True)  # before pytest's faulthandler, which keeps the descriptor that it finds
def pytest_configure(config):
    """A worker process writes what C libraries and child processes say, and its stacks, to a file of its own.

    That takes --capture sys: --capture fd leads the descriptors to a file that is lost with the process.
    """
    errors = getattr(config, "workerinput", {}).get("native_errors")
    if errors and config.option.capture == "sys":
        with open(errors, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed and hasattr(item.config, "workerinput"):
        item.config.get_terminal_writer().flush()
        if said := _end_of(item.config.workerinput["native_errors"]):
            report.sections.append(("Descriptors 1 and 2", said))
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    base = node.config._tmp_path_factory.getbasetemp()
    node.workerinput["native_errors"] = str(base / f"{node.gateway.id}.stderr")


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput") and sys.platform != "win32":
        import resource

        session.config.workeroutput["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    reporter = node.config.pluginmanager.get_plugin("terminalreporter")
    if not error:
        peak = node.workeroutput.get("peak", 0) / (2**20 if sys.platform == "linux" else 2**30)
        reporter.write_line(f"\nworker {node.gateway.id} took {peak:.1f} GiB of memory at most")
    else:
        reporter.write_sep("!", f"worker {node.gateway.id} died: {error}")
        reporter.write_line(
            _end_of(node.workerinput["native_errors"]) or "Its output was not kept: see --capture."
        )


def pytest_collection_modifyitems(items):
    """Marks the tests of the list as slow, beside those marked where they stand; what compares as numeric."""
    slow = SLOW_LIST.read_text(encoding="utf-8").split()
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in slow or name.partition("::")[0] in slow:
            item.add_marker(pytest.mark.slow)
        if COMPARES.search(inspect.getsource(item.function)):
            item.add_marker(pytest.mark.numeric)


def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption("record_slow"):
        return
    seconds: dict[str, float] = defaultdict(float)
    for report in (r for reports in terminalreporter.stats.values() for r in reports):
        if hasattr(report, "duration"):
            seconds[report.nodeid.partition("[")[0]] += report.duration
    slow = sorted(name for name, total in seconds.items() if total > SLOW_SECONDS)
    SLOW_LIST.write_text("\n".join(slow) + "\n", encoding="utf-8")
    terminalreporter.write_line(f"{len(slow)} of {len(seconds)} tests written to {SLOW_LIST}")
