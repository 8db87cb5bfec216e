"""TSHRNet: the authors' outputs, both wirings, sizes, gradients."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from models import build_model
from models.inference import prepare_for_inference
from models.parallel import Cores
from models.unet import UNet
from tests.golden_weights import golden_entry, golden_image
from tests.tolerances import NETWORK

GOLDEN = Path(__file__).parents[1] / "golden" / "tshrnet_seed0_256.npz"
SHARED = Path(os.environ.get("SPECULAR_SHARED", Path(__file__).parents[3] / "shared"))
STAGES = {
    "tshrnet": {
        "albedo": "albedo", "shading": "shading", "residue": "residue", "diffuse": "refined_diffuse",
        "tone_corrected": "tone_corrected",
    },
    "tshrnet-mix": {"mix_diffuse": "refined_diffuse", "mix_tone_corrected": "tone_corrected"},
}  # fmt: skip


@pytest.fixture(scope="module", params=["as it is", "prepared"])
def golden_stages(request):
    """The stages of both wirings with the golden weights, under the names of the reference file."""
    # On "meta" no weights are drawn, only to be overwritten.
    with torch.device("meta"):
        model, mix = build_model("tshrnet"), build_model("tshrnet-mix")
    state = {}
    for name, value in model.state_dict().items():
        number, entry = int(name[4]), name.split(".", 1)[1]
        state[name] = torch.from_numpy(golden_entry(entry, tuple(value.shape), seed=number, conv_gain=0.4))
    image = torch.from_numpy(golden_image(256, 0)).unsqueeze(0)
    results = {}
    with torch.inference_mode(), Cores(2).one():
        for network in (model, mix):
            network.load_state_dict(state, assign=True)
            network = network.eval() if request.param == "as it is" else prepare_for_inference(network)
            stages = network(image).stages
            for reference, stage in STAGES[network.spec.name].items():
                results[reference] = stages[stage][0].numpy()
    return results


def test_outputs_equal_the_authors(golden_stages):
    with np.load(GOLDEN) as golden:
        assert set(golden.files) == set(golden_stages)
        for name in golden.files:
            ours = golden_stages[name][:, 3::8, 3::8]
            np.testing.assert_allclose(ours, golden[name], rtol=0, atol=NETWORK, err_msg=name)


def test_whole_outputs_equal_the_authors(golden_stages):
    file = SHARED / "parity" / "tshrnet_seed0_256.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    with np.load(file) as golden:
        for name, ours in golden_stages.items():
            np.testing.assert_allclose(ours, golden[name], rtol=0, atol=NETWORK, err_msg=name)


def test_size_and_names_are_the_authors():
    with torch.device("meta"):
        nets = [UNet(channels) for channels in (3, 3, 6, 9)]
    assert sum(p.numel() for net in nets for p in net.parameters()) == 116_991_244
    names = list(nets[0].state_dict())
    assert len(names) == 63
    assert names[:3] == ["Cv0.conv.weight", "Cv1.conv.weight", "Cv1.after.weight"]
    assert names[-2:] == ["CvT11.conv.weight", "CvT11.conv.bias"]


@pytest.mark.parametrize("name", ["tshrnet", "tshrnet-mix"])
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    model = build_model(name, width=4)
    stages = model(torch.rand(2, 3, 256, 256)).stages
    assert ("albedo" in stages) == (name == "tshrnet")
    sum(stage.square().mean() for stage in stages.values()).backward()
    # The bias of a convolution before a batch norm has a gradient that is zero up to rounding.
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (256, 256), (257, 31)])
def test_any_size_goes_in(size):
    model = build_model("tshrnet", width=2).eval()
    image = torch.rand(1, 3, *size)
    with torch.inference_mode():
        result = model(image)
    assert (result.diffuse.shape, result.highlight.shape) == (image.shape, (1, 1, *size))
    assert 0 <= result.diffuse.min() <= result.diffuse.max() <= 1
    torch.testing.assert_close(result.diffuse + result.specular, image)
    torch.testing.assert_close(result.highlight[:, 0], result.specular.abs().amax(1))
    for stage in result.stages.values():
        assert stage.shape == image.shape


def test_the_output_can_be_chosen():
    model = build_model("tshrnet-mix", width=2).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        corrected = model(image)
        model.output = "diffuse"
        diffuse = model(image)
    torch.testing.assert_close(2 * corrected.diffuse - 1, corrected.stages["tone_corrected"])
    torch.testing.assert_close(2 * diffuse.diffuse - 1, corrected.stages["refined_diffuse"])
    with pytest.raises(ValueError, match="albedo"):
        build_model("tshrnet", width=2, output="albedo")


def test_shared_layers_are_one_set_of_weights():
    net = UNet(3, width=2).eval()
    before = net(torch.ones(1, 3, 256, 256))
    calls = []
    net.Cv4.register_forward_hook(lambda *_: calls.append("down"))
    net.CvT7.register_forward_hook(lambda *_: calls.append("up"))
    torch.testing.assert_close(net(torch.ones(1, 3, 256, 256)), before)
    assert calls == ["down"] * 3 + ["up"] * 3
