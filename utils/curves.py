"""Curves of a log: each kind of line in a panel of its own, every value over the steps."""

import json
from pathlib import Path

from utils.atomic import atomic_path

WIDTH, HEIGHT = 8, 3  # inches, of a panel


def draw_curves(log: Path, picture: Path, left_out: frozenset[str] = frozenset({"epoch"})) -> None:
    """Draws `log`, lines of JSON {"step": n, "kind": name, value: number, ...}, into the PNG `picture`.

    Learning rates (lr_...) share a panel with a logarithmic axis. Nothing is drawn of a log without lines.
    """
    # Slow to import, and needed at the end of a run only.
    from matplotlib.figure import Figure

    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        step, kind = values.pop("step"), values.pop("kind")
        for name, value in values.items():
            if name not in left_out:
                panel = "learning rates" if name.startswith("lr_") else kind
                panels.setdefault(panel, {}).setdefault(name, []).append((step, value))
    if not panels:
        return
    figure = Figure(figsize=(WIDTH, HEIGHT * len(panels)), layout="constrained")
    for axes, (title, curves) in zip(
        figure.subplots(len(panels), squeeze=False)[:, 0], panels.items(), strict=True
    ):
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < WIDTH else None)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        if title == "learning rates":
            axes.set_yscale("log")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=100)
