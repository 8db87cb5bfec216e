"""Settings of all tests, and which of them are slow."""

import signal
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

# A loaded machine is no failure: no test asserts a time.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

# A shell's background jobs and nohup ignore signals, and the processes that tests start would inherit that.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

SLOW_LIST = Path(__file__).with_name("slow_tests.txt")
SLOW_SECONDS = 0.25
"""What a test may take, over all its parameters, to be among those of `make test-fast`."""


def pytest_addoption(parser):
    parser.addoption(
        "--record_slow",
        action="store_true",
        help=f"write the tests over {SLOW_SECONDS} s to {SLOW_LIST.name}",
    )


def pytest_collection_modifyitems(items):
    """Marks the tests of the list as slow, beside those that are marked where they stand."""
    slow = SLOW_LIST.read_text(encoding="utf-8").split()
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name in slow or name.partition("::")[0] in slow:
            item.add_marker(pytest.mark.slow)


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
