"""What a large picture costs by the share of it that is lit, with tiles skipped and not.

python -m benchmarks.skipping --models aha --precision bf16

The networks have random weights, and their map is set to where the picture is white: one disc. So the work is
theirs, the AHA module's included, and what is lit is known.
"""

import json
import sys
import time
import types
from dataclasses import asdict, dataclass, field
from pathlib import Path

from utils.errors import run

SHARES = (0.0, 0.05)


@dataclass
class SkippingOptions:
    """Options of the measurement."""

    models: list[str] = field(default_factory=lambda: ["aha"])
    """networks to measure"""
    size: list[int] = field(default_factory=lambda: [4000, 3000])
    """width and height of the picture in pixels"""
    precision: str = "bf16"
    """arithmetic: fp32 or bf16"""
    out: Path | None = None
    """files to write, without their suffix (.json and .md); default: benchmarks/skipping_MACHINE"""


@dataclass(frozen=True)
class Skipping:
    """One picture, once with skipping and once without."""

    model: str
    precision: str
    share: float
    """of the picture that is lit"""
    seconds_off: float
    seconds_on: float
    identical: bool
    """pixels and map"""


def measure(model: str, share: float, size: tuple[int, int], precision: str) -> Skipping:
    """Restores one 8-bit picture of `size` (width, height) twice."""
    import numpy as np

    from restoration import HighlightRemover

    picture = lit_picture(*size, share)
    network = marked(model)
    seconds, results = [], []
    for skip in (False, True):
        remover = HighlightRemover(
            network,
            precision=precision,
            working_size=0,
            test_time_augmentation=1,
            exposure=1,
            skip_tiles=skip,
        )
        remover.restore(picture[:512, :512])  # kernels are chosen, threads started
        start = time.perf_counter()
        results.append(remover.restore(picture))
        seconds.append(time.perf_counter() - start)
    off, on = results
    identical = np.array_equal(off.diffuse, on.diffuse) and np.array_equal(off.highlight, on.highlight)
    return Skipping(model, precision, share, *seconds, identical)


def lit_picture(width: int, height: int, share: float):
    """(height, width, 3) uint8: smooth colours and grain below 200, and one white disc over `share` of it."""
    import numpy as np

    from benchmarks.inference import draw_picture

    picture = (draw_picture(width, height, 0) * 0.78).astype(np.uint8)
    y, x = np.ogrid[:height, :width]
    inside = (x - 0.6 * width) ** 2 + (y - 0.45 * height) ** 2 < share * width * height / np.pi
    picture[inside] = 255
    return picture


def marked(model: str):
    """The network with random weights, whose map is 0.5 where the picture is white and else 0."""
    import torch

    from models import build_model

    torch.manual_seed(0)
    network = build_model(model).eval()
    network.HFE.logits = types.MethodType(_white, network.HFE)
    network.HFE.bound = types.MethodType(lambda _, logits: logits, network.HFE)
    return network


def _white(module, image):
    found = type(module).logits(module, image)  # for its cost
    return (image.amin(dim=1, keepdim=True) > 0.99).to(found.dtype) * 0.5


def main() -> int:
    """Measures, prints the table and writes the files."""
    from utils.cli import parse

    options = parse(SkippingOptions, prog="benchmarks.skipping", description=__doc__)
    from benchmarks.machine import short_name
    from benchmarks.measurement import alone
    from utils.atomic import write_text
    from utils.devices import describe_machine
    from utils.markdown import markdown_table

    width, height = options.size
    found = [
        alone(measure, model, share, (width, height), options.precision)
        for model in options.models
        for share in SHARES
    ]
    columns = ["network", "precision", "lit", "skipping off, s", "on, s", "ratio", "identical"]
    rows = [
        [
            *(one.model, one.precision, f"{100 * one.share:.0f} %"),
            *(f"{one.seconds_off:.1f}", f"{one.seconds_on:.2f}"),
            f"{one.seconds_off / one.seconds_on:.1f}",
            "yes" if one.identical else "NO",
        ]
        for one in found
    ]
    text = f"{width}x{height} on {describe_machine()}, one run each\n\n{markdown_table(columns, rows)}"
    path = options.out or Path(__file__).parent / f"skipping_{short_name()}"
    record = {"machine": describe_machine(), "size": options.size, "runs": [asdict(one) for one in found]}
    write_text(path.with_name(path.name + ".json"), json.dumps(record, indent=1) + "\n")
    write_text(path.with_name(path.name + ".md"), text + "\n")
    print(text)
    return 0 if all(one.identical for one in found) else 1


if __name__ == "__main__":
    sys.exit(run(main))
