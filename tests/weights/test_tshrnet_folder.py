"""The authors' four weight files, read from a folder."""

import pytest
import torch

from models import build_model
from models.unet import UNet
from utils.errors import UserError
from weights.tshrnet_folder import is_released_tshrnet, read_released_tshrnet


def write_nets(folder, epoch=60, prefix="", count=4):
    folder.mkdir(exist_ok=True)
    for number, channels in enumerate((3, 3, 6, 9)[:count], start=1):
        state = {prefix + name: value for name, value in UNet(channels, width=2).state_dict().items()}
        torch.save(state, folder / f"UNet{number}_{epoch}.pth")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_four_files_fill_the_network(tmp_path, prefix):
    write_nets(tmp_path, prefix=prefix)
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
    write_nets(tmp_path)
    (tmp_path / "UNet3_60.pth").unlink()
    with pytest.raises(UserError, match=r"3 of TSHRNet's four .*UNet3_60\.pth missing"):
        read_released_tshrnet(tmp_path)


def test_several_epochs_ask_for_a_choice(tmp_path):
    write_nets(tmp_path, epoch=60)
    write_nets(tmp_path, epoch=70, count=3)
    with pytest.raises(UserError, match=r"several epochs \(60, 70\)"):
        read_released_tshrnet(tmp_path)
    chosen, _ = read_released_tshrnet(tmp_path / "UNet1_60.pth")
    saved = torch.load(tmp_path / "UNet4_60.pth", weights_only=True)
    torch.testing.assert_close(chosen["unet4.CvT11.conv.weight"], saved["CvT11.conv.weight"])


def test_other_folders_and_files_are_refused(tmp_path):
    assert not is_released_tshrnet(tmp_path)
    with pytest.raises(UserError, match="none of TSHRNet's weight files"):
        read_released_tshrnet(tmp_path)
    write_nets(tmp_path)
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
