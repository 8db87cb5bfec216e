"""Memory of this process as Linux reports it; `getrusage` would include the peak of the parent."""


def resident_mebibytes() -> float:
    """Memory held now, in MiB; 0 where the system does not say."""
    return _status("VmRSS")


def peak_mebibytes() -> float:
    """Peak of the memory held, in MiB, since the start or `reset_peak`; 0 where the system does not say."""
    return _status("VmHWM")


def reset_peak() -> None:
    """Sets the peak to what is held now, where the system allows it."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def _status(entry: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next((int(line.split()[1]) / 1024 for line in file if line.startswith(f"{entry}:")), 0.0)
    except OSError:
        return 0.0
