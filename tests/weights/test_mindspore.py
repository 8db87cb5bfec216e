"""TSHRNet's weights as MindSpore writes them, read without MindSpore."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from models import build_model
from models.unet import UNet
from tests.tolerances import SUMMED
from tests.weights.mindspore_files import checkpoint_value, message_field, varint, write_nets
from utils.errors import UserError
from weights.mindspore import read_mindspore
from weights.model_files import load_model
from weights.tshrnet_folder import is_released_tshrnet, read_released_tshrnet

PARITY = Path(os.environ.get("SPECULAR_SHARED", "../shared")) / "parity" / "tshrnet_mindspore_width4"


@pytest.mark.parametrize("name", ["UNet{}_60.ckpt", "UNet{}_60ckpt"])
def test_a_folder_fills_the_network_with_its_own_width(tmp_path, name):
    ours = write_nets(tmp_path, width=3, name=name)
    model = load_model(tmp_path, name="tshrnet-mix")
    assert (model.spec.name, model.spec.hyperparameters["width"]) == ("tshrnet-mix", 3)
    for entry, tensor in model.state_dict().items():
        if not entry.endswith("num_batches_tracked"):
            assert torch.equal(tensor, ours[entry]), entry
    assert load_model(tmp_path / name.format(2)).spec.name == "tshrnet"


@pytest.mark.skipif(not PARITY.is_dir(), reason=f"no {PARITY}")
def test_what_mindspore_computed():
    expected = np.load(PARITY / "expected.npz")
    with torch.inference_mode():
        stages = load_model(PARITY)(torch.from_numpy(expected["image"])[None]).stages
    for name, stage in (
        ("albedo", "albedo"),
        ("shading", "shading"),
        ("diffuse", "refined_diffuse"),
        ("tone_corrected", "tone_corrected"),
    ):
        np.testing.assert_allclose(stages[stage][0].numpy(), expected[name], rtol=0, atol=SUMMED)


def test_numbers_of_other_types_and_forms(tmp_path):
    file = tmp_path / "a.ckpt"
    matrix = np.arange(6, dtype=np.float16).reshape(2, 3)
    fixed = varint(8 << 3 | 5) + b"1234" + varint(9 << 3 | 1) + b"12345678"
    unknown = message_field(7, b"of a later version") + fixed
    file.write_bytes(
        checkpoint_value("half", matrix, "Float16", packed=True)
        + unknown
        + checkpoint_value("scalar", np.float32(2.5))
        + checkpoint_value("count", np.array([3], np.int64), "Int64")
    )
    read = read_mindspore(file)
    assert (read["half"].dtype, read["half"].tolist()) == (torch.float16, matrix.tolist())
    assert (read["scalar"].shape, read["scalar"].item()) == ((), 2.5)
    assert read["count"].tolist() == [3]


def test_a_tensor_in_slices(tmp_path):
    """MindSpore cuts what is larger than 512 MB; each slice repeats the whole shape."""
    whole = np.arange(6, dtype=np.float32).reshape(3, 2)
    content = b""
    for rows in (whole[:2], whole[2:]):
        sides = message_field(1, 3) + message_field(1, 2)
        tensor = sides + message_field(2, b"Float32") + message_field(3, rows.tobytes())
        content += message_field(1, message_field(1, b"w") + message_field(2, tensor))
    (tmp_path / "a.ckpt").write_bytes(content)
    assert read_mindspore(tmp_path / "a.ckpt")["w"].tolist() == whole.tolist()


def test_the_checksum_of_mindspore_is_checked(tmp_path):
    content = checkpoint_value("w", np.ones(4, np.float32))
    ending = b"crc_num" + zlib.crc32(content).to_bytes(10, "big")
    (tmp_path / "a.ckpt").write_bytes(content + ending)
    assert read_mindspore(tmp_path / "a.ckpt")["w"].tolist() == [1, 1, 1, 1]
    damaged = bytearray(content)
    damaged[-1] ^= 1
    (tmp_path / "a.ckpt").write_bytes(bytes(damaged) + ending)
    with pytest.raises(UserError, match=r"a\.ckpt.*checksum does not match"):
        read_mindspore(tmp_path / "a.ckpt")


def test_damaged_and_foreign_files(tmp_path):
    write_nets(tmp_path)
    file = tmp_path / "UNet3_60.ckpt"
    whole = file.read_bytes()
    for size in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"UNet3_60\.ckpt is no whole MindSpore checkpoint"):
            load_model(tmp_path)
    torch.save({"w": torch.zeros(3)}, file)
    with pytest.raises(UserError, match=r"UNet3_60\.ckpt is no whole MindSpore checkpoint"):
        load_model(tmp_path)
    file.write_bytes(checkpoint_value("conv1.weight", np.zeros((2, 3, 4, 4), np.float32)))
    with pytest.raises(UserError, match=r"UNet3_60\.ckpt holds no U-Net"):
        load_model(tmp_path)
    file.write_bytes(checkpoint_value("w", np.zeros(3, np.float32), "Float64"))
    with pytest.raises(UserError, match=r"'w' has 12 bytes where its shape \(3,\) needs 24"):
        load_model(tmp_path)
    # A whole file of entries without the last: the network says what is missing.
    file.write_bytes(whole[: whole.rindex(b"CvT11.conv.bias") - 4])
    with pytest.raises(UserError, match=r"1 entries missing|no whole"):
        load_model(tmp_path)


def test_mixed_folders(tmp_path):
    write_nets(tmp_path, width=2)
    write_nets(tmp_path / "wider", width=3)
    (tmp_path / "UNet2_60.ckpt").write_bytes((tmp_path / "wider" / "UNet2_60.ckpt").read_bytes())
    with pytest.raises(UserError, match=r"different widths .*UNet2_60\.ckpt 3"):
        load_model(tmp_path)
    write_nets(tmp_path, width=2)
    torch.save(UNet(3, width=2).state_dict(), tmp_path / "UNet1_60.pth")
    with pytest.raises(UserError, match="files of PyTorch and of MindSpore; name one"):
        load_model(tmp_path)
    assert load_model(tmp_path / "UNet1_60.ckpt").spec.hyperparameters["width"] == 2
    (tmp_path / "UNet1_60.pth").unlink()
    (tmp_path / "UNet4_60.ckpt").unlink()
    with pytest.raises(UserError, match=r"3 of TSHRNet's four .*UNet4_60\.ckpt missing"):
        load_model(tmp_path)


# ---- the authors' four weight files, read from a folder


def write_pth_files(folder, epoch=60, prefix="", count=4):
    folder.mkdir(exist_ok=True)
    for number, channels in enumerate((3, 3, 6, 9)[:count], start=1):
        state = {prefix + name: value for name, value in UNet(channels, width=2).state_dict().items()}
        torch.save(state, folder / f"UNet{number}_{epoch}.pth")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_four_files_fill_the_network(tmp_path, prefix):
    write_pth_files(tmp_path, prefix=prefix)
    assert is_released_tshrnet(tmp_path)
    model = build_model("tshrnet", width=2)
    state, width = read_released_tshrnet(tmp_path)
    assert width == 2
    model.load_state_dict(state)
    for number in range(1, 5):
        saved = torch.load(tmp_path / f"UNet{number}_60.pth", weights_only=True)
        net = getattr(model, f"unet{number}").state_dict()
        for name, value in net.items():
            torch.testing.assert_close(value, saved[prefix + name])


def test_three_of_four_files_names_the_missing_one(tmp_path):
    write_pth_files(tmp_path)
    (tmp_path / "UNet3_60.pth").unlink()
    with pytest.raises(UserError, match=r"3 of TSHRNet's four .*UNet3_60\.pth missing"):
        read_released_tshrnet(tmp_path)


def test_several_epochs_ask_for_a_choice(tmp_path):
    write_pth_files(tmp_path, epoch=60)
    write_pth_files(tmp_path, epoch=70, count=3)
    with pytest.raises(UserError, match=r"several epochs \(60, 70\)"):
        read_released_tshrnet(tmp_path)
    chosen, _ = read_released_tshrnet(tmp_path / "UNet1_60.pth")
    saved = torch.load(tmp_path / "UNet4_60.pth", weights_only=True)
    torch.testing.assert_close(chosen["unet4.CvT11.conv.weight"], saved["CvT11.conv.weight"])


def test_other_folders_and_files_are_refused(tmp_path):
    assert not is_released_tshrnet(tmp_path)
    with pytest.raises(UserError, match="none of TSHRNet's weight files"):
        read_released_tshrnet(tmp_path)
    write_pth_files(tmp_path)
    (tmp_path / "UNet2_60.pth").write_bytes((tmp_path / "UNet2_60.pth").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"UNet2_60\.pth .*(cut short|not a whole)"):
        read_released_tshrnet(tmp_path)
    torch.save({"epoch": 3, "model": {}}, tmp_path / "UNet2_60.pth")
    with pytest.raises(UserError, match=r"UNet2_60\.pth holds no weights"):
        read_released_tshrnet(tmp_path)


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"):
        is_released_tshrnet(tmp_path)
