"""How many processor cores there are to compute on."""

import os


def usable_cores() -> int:
    """Cores that this process may use, at least 1; all of the machine's where the system sets no affinity
    (macOS, Windows)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
