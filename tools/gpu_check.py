"""Checks of one machine's GPU, a line of PASS or FAIL each: `python -m tools.gpu_check --out gpu.json`.

Needs no network and no downloads. A check that fails does not stop the others; those that passed are kept in
the file and not repeated.
"""

import argparse
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from models import build_model
from restoration.remover import HighlightRemover
from restoration.separator import EXACT_FP32, probe_picture
from tools.measurement import alone, matmul_rate
from tools.training_speed import measure_training_step
from utils.atomic import write_text
from utils.colour import psnr
from utils.devices import choose_device, describe_machine

SHIQ_TRAIN = 9825
"""Pictures of SHIQ's training part."""
STEPS = [(batch, precision) for precision in ("fp32", "bf16") for batch in (3, 16, 64)]


class Failed(Exception):
    """What a check found wrong."""


def versions(device: torch.device, toy: bool) -> dict[str, Any]:
    """The GPU is there, and which software drives it."""
    if not toy and device.type != "cuda":
        raise Failed("PyTorch sees no GPU")
    return {
        "machine": describe_machine(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def network(device: torch.device, toy: bool) -> dict[str, float]:
    """`aha` in exact fp32 within 1e-4 of the CPU's, TF32 within 1e-2, bf16 from 35 dB."""
    torch.manual_seed(0)
    model, image = _aha(toy), probe_picture(64 if toy else 224)
    with torch.inference_mode():
        expected = model(image).diffuse
        model, image = model.to(device), image.to(device)
        with EXACT_FP32:
            exact = model(image).diffuse.cpu()
        tf32 = model(image).diffuse.cpu()
        with torch.autocast(device.type, torch.bfloat16):
            bf16 = model(image).diffuse.float().cpu()
    found = {
        "fp32": float((exact - expected).abs().max()),
        "tf32": float((tf32 - expected).abs().max()),
        "bf16_db": psnr(float(F.mse_loss(bf16, expected))),
    }
    if not (found["fp32"] <= 1e-4 and found["tf32"] <= 1e-2 and found["bf16_db"] >= 35):
        raise Failed(str(found))
    return found


def remover(device: torch.device, toy: bool) -> dict[str, int]:
    """HighlightRemover in fp32, from two threads at once, gives the CPU's 8-bit picture to a level."""
    torch.manual_seed(0)
    model, side = _aha(toy), 64 if toy else 448
    picture = (probe_picture(side)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    expected = HighlightRemover(model, precision="fp32")(picture).diffuse
    results: list[Any] = [None, None]
    with HighlightRemover(model, device=device, precision="fp32") as tested:

        def work(index: int) -> None:
            results[index] = tested(picture).diffuse

        threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if any(result is None for result in results):
        raise Failed("a thread ended without a result")
    worst = max(int(np.abs(np.int32(result) - np.int32(expected)).max()) for result in results)
    if worst > 1:
        raise Failed(f"differs from the CPU by {worst} levels of 255")
    return {"levels": worst}


def training(batch: int, precision: str) -> Callable[[torch.device, bool], dict[str, Any]]:
    """The check that a training step of `aha` runs at this batch size and precision; how fast it is."""

    def check(device: torch.device, toy: bool) -> dict[str, Any]:
        name, side, count = ("aha-lite", 64, 1) if toy else ("aha", 224, batch)
        arithmetic = "fp32" if toy else precision
        measured = alone(
            measure_training_step,
            name,
            (side, side),
            count,
            arithmetic,
            "ours",
            device.type,
            1 if toy else 10,
        )
        if not (measured.median and measured.loss is not None and np.isfinite(measured.loss)):
            raise Failed(measured.note or f"the loss is {measured.loss}")
        rate = count / measured.median
        limit = matmul_rate(device, "tf32" if precision == "fp32" else precision, 64 if toy else None)
        return {
            "images_per_second": rate,
            "share_of_matrix_rate": measured.operations and measured.operations / measured.median / limit,
            "peak_mebibytes": measured.peak_mebibytes,
            # Steps alone: neither reading pictures nor validation.
            "hours_for_100_epochs_of_shiq": 100 * SHIQ_TRAIN / rate / 3600,
        }

    return check


def _aha(toy: bool) -> torch.nn.Module:
    sizes = {"widths": (3, 4, 6)} if toy else {}
    return build_model("aha", **sizes).eval()


CHECKS: dict[str, Callable[[torch.device, bool], dict[str, Any]]] = {
    "versions": versions,
    "network": network,
    "remover": remover,
} | {f"training, batch {batch}, {precision}": training(batch, precision) for batch, precision in STEPS}


def run_checks(path: Path, device: torch.device, toy: bool) -> int:
    """Runs the checks that `path` does not have as passed; returns how many failed."""
    # A toy's result is no GPU's: another machine or size begins anew.
    setting = {"machine": describe_machine(), "torch": torch.__version__, "device": device.type, "toy": toy}
    record: dict[str, Any] = {"setting": setting, "checks": {}}
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        record = kept if kept.get("setting") == setting else record
    failures = 0
    for name, check in CHECKS.items():
        result = record["checks"].get(name, {})
        if not result.get("passed"):
            began = time.perf_counter()
            try:
                result = {"passed": True, "found": check(device, toy)}
            except Exception as error:
                result = {"passed": False, "error": f"{type(error).__name__}: {error}"}
                if not isinstance(error, Failed):
                    result["traceback"] = traceback.format_exc()
            result["seconds"] = time.perf_counter() - began
            record["checks"][name] = result
            write_text(path, json.dumps(record, indent=1) + "\n")
        failures += not result["passed"]
        found = result.get("found") or {}
        shown = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items())
        print(f"{'PASS' if result['passed'] else 'FAIL'} {name}: {shown or result.get('error')}", flush=True)
    return failures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the results")
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:1")
    parser.add_argument("--dry_run", action="store_true", help="at toy size on the CPU: proves no GPU")
    options = parser.parse_args(arguments)
    device = choose_device("cpu" if options.dry_run else options.device)
    return min(run_checks(options.out, device, options.dry_run), 1)


if __name__ == "__main__":
    sys.exit(main())
