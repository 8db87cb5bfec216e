"""Seconds and memory of one batch of pictures, from integers to integers: our path and the plain one.

Ours is `restoration.HighlightRemover`; plain is one forward of the whole batch in fp32 with torch's own
threads, two convolutions per gate, whole attention maps and torch's contiguous layout. Weights are random:
they change neither time nor memory where, as here, no tile is skipped, reduced or looked at twice.
"""

import cv2
import numpy as np
import torch

from models import build_model
from restoration import HighlightRemover
from tools.measurement import Measurement, count_operations, peak_mebibytes, timed
from tools.memory import resident_mebibytes
from tools.plain_path import make_plain
from utils.devices import choose_device

PLAIN_LIMIT = 12 * 2**30
"""Bytes of attention maps from which on the plain path is not tried: it would take the machine down."""


def measure_inference(
    model: str,
    size: tuple[int, int],
    batch: int,
    precision: str,
    path: str,
    device_name: str,
    runs: int,
    cores: int | None = None,
) -> Measurement:
    """One measurement; called in a process of its own. `size` is (width, height); `path` ours or plain;
    `cores` of the CPU, None: all."""
    if cores is not None:
        torch.set_num_threads(cores)
    result = Measurement("inference", model, path, f"{size[0]}x{size[1]}", batch, precision)
    result.note = "" if cores is None else f"{cores} of the cores"
    if path == "plain" and model == "aha" and batch * _attention_bytes(size) > PLAIN_LIMIT:
        result.note = f"its attention alone would take {batch * _attention_bytes(size) / 2**30:.0f} GiB"
        return result
    device = choose_device(device_name)
    pictures = [draw_picture(*size, seed) for seed in range(batch)]
    before = resident_mebibytes()
    torch.manual_seed(0)
    network = build_model(model).eval().to(device)
    if path == "plain":
        work = _plain(make_plain(network), pictures, device)
    else:
        remover = HighlightRemover(
            network,
            device=device_name,
            precision=precision,
            batch_size=batch,
            workers=cores,
            test_time_augmentation=1,
            working_size=0,
            exposure=1,
            skip_tiles=False,
        )

        def work() -> None:
            remover.restore_all(pictures)

    built = resident_mebibytes()
    result.seconds = timed(work, device, runs)
    result.peak_mebibytes = peak_mebibytes(before, device)
    result.forward_mebibytes = peak_mebibytes(built, device) if device.type == "cpu" else None
    with torch.inference_mode():
        image = torch.zeros(batch, 3, size[1], size[0], device=device)
        # Of our path too those of one plain forward: what is saved must not look like speed lost.
        if model != "aha" or batch * _attention_bytes(size) <= PLAIN_LIMIT:
            result.operations = count_operations(lambda: make_plain(network)(image))
    return result


def _plain(network: torch.nn.Module, pictures: list[np.ndarray], device: torch.device):
    @torch.inference_mode()
    def work() -> None:
        images = (
            torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).contiguous().float() / 255
        )
        (network(images).diffuse.clamp(0, 1) * 255).round().byte().cpu()

    return work


def _attention_bytes(size: tuple[int, int]) -> int:
    """Of the released network's six score maps between all cells of 8x8 pixels, twice (they are joined)."""
    cells = -(-size[0] // 8) * -(-size[1] // 8)
    return 2 * 6 * 4 * cells**2


def draw_picture(width: int, height: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: smooth colours, texture and bright blobs."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 64 + 2, width // 64 + 2, 3)).astype(np.float32)
    smooth = cv2.resize(coarse**2, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.integers(-8, 9, (height, width, 1), dtype=np.int16)
    return np.clip(smooth * 255 + grain, 0, 255).astype(np.uint8)
