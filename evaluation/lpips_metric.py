"""LPIPS (Zhang et al. 2018) with AlexNet, by torchmetrics; the only metric that needs weights."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torchvision.models import AlexNet_Weights

from utils.errors import UserError


def weights_file() -> Path:
    """Where torchvision keeps AlexNet's ImageNet weights."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.IMAGENET1K_V1.url).name


def check_weights() -> None:
    """Raises UserError saying how to get the weights where they are missing; nothing is downloaded here."""
    if not weights_file().is_file():
        raise UserError(
            f"LPIPS needs AlexNet's ImageNet weights in {weights_file()}; get them with: "
            "python -c \"import torchvision; torchvision.models.alexnet(weights='IMAGENET1K_V1')\" "
            f"(or copy the file {AlexNet_Weights.IMAGENET1K_V1.url} there)"
        )


def lpips(result: np.ndarray, ground_truth: np.ndarray) -> float | None:
    """LPIPS of float (H, W, 3) images in [0, 1]; None where a side is under 31 pixels (AlexNet's least)."""
    if min(result.shape[:2]) < 31:
        return None
    images = [torch.from_numpy(x).float().permute(2, 0, 1).unsqueeze(0) for x in (result, ground_truth)]
    with torch.inference_mode():
        return float(_network()(*images))


@cache
def _network():
    check_weights()
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True).eval()
    return lambda a, b: metric(a, b)
