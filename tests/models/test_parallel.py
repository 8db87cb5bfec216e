"""Work shared out over cores: all of it, in order, with the same bits, and errors that come back."""

import threading
import time

import pytest
import torch
from torch import nn

from models import build_model, prepared, refine
from models.inference import prepare_for_inference
from models.parallel import Cores, current, in_parts
from models.prepared import PreparedConv2d
from tests.tolerances import DOUBLE


def test_without_cores_the_parts_are_computed_one_after_the_other():
    assert current() is None
    this = threading.get_ident()
    assert in_parts(lambda x: (x, threading.get_ident()), [1, 2]) == [(1, this), (2, this)]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_parts_come_back_in_order_on_any_number_of_cores(count):
    with Cores(count).one():
        assert in_parts(lambda x: x * x, range(20)) == [x * x for x in range(20)]


def test_free_cores_compute_at_the_same_time_and_are_given_back():
    cores = Cores(2)
    for _ in range(2):
        meeting = threading.Barrier(2, timeout=60)  # broken, an error, where the two parts do not meet
        with cores.one():
            in_parts(lambda _, meeting=meeting: meeting.wait(), [0, 1])


def test_a_core_that_another_thread_works_on_is_not_taken():
    cores = Cores(2)
    inside, done = threading.Event(), threading.Event()

    def occupy():
        with cores.one():
            inside.set()
            done.wait(60)

    other = threading.Thread(target=occupy)
    other.start()
    inside.wait(60)
    with cores.one():
        threads = set(in_parts(lambda _: threading.get_ident(), range(8)))
    done.set()
    other.join()
    assert threads == {threading.get_ident()}


def test_parts_of_parts():
    with Cores(3).one():
        sums = in_parts(lambda x: in_parts(lambda y: x + y, range(3)), range(3))
    assert sums == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_an_error_of_a_helper_comes_back_and_leaves_the_cores_free():
    cores = Cores(2)

    def fail_elsewhere(own):
        time.sleep(0.01)
        if threading.get_ident() != own:
            raise ValueError("elsewhere")

    with cores.one():
        with pytest.raises(ValueError, match="elsewhere"):
            in_parts(lambda _: fail_elsewhere(threading.main_thread().ident), range(40))
        test = threading.Barrier(2, timeout=60)
        in_parts(lambda _: test.wait(), [0, 1])


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "rows"),
    [
        (3, 1, 1, 37), (5, 1, 1, 24), (3, 2, 1, 37), (3, 1, 16, 21), (4, 2, 1, 40), (1, 1, 1, 33),
        (7, 2, 1, 45),
    ],
)  # fmt: skip
def test_blocks_of_rows_are_the_convolution(monkeypatch, kernel, stride, dilation, rows):
    monkeypatch.setattr(prepared, "HEAVY", 1)
    torch.manual_seed(0)
    padding = dilation * (kernel // 2) if kernel % 2 else 1
    layer = PreparedConv2d(5, 7, kernel, stride, padding, dilation).double().requires_grad_(False)
    x = torch.randn(1, 5, rows, 19, dtype=torch.float64)
    whole = layer.then(x, torch.sigmoid)
    with Cores(2).one():
        assert len(layer._edges(x.shape)) > 2
        blocks = layer.then(x, torch.sigmoid)
    torch.testing.assert_close(blocks, whole, rtol=0, atol=DOUBLE)
    torch.testing.assert_close(whole, nn.Conv2d.forward(layer, x).sigmoid(), rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolutions_in_parts_are_whole_ones(bias):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.ConvTranspose2d(5, 150, 4, 2, 1, bias=bias)).double()
    split = prepare_for_inference(layer)
    assert [part.out_channels for part in split[0].parts] == [75, 75]
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    with Cores(2).one(), torch.inference_mode():
        torch.testing.assert_close(split(x), layer(x), rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("name", ["aha", "aha-lite", "tshrnet"])
def test_the_bits_do_not_depend_on_the_number_of_cores(monkeypatch, name, dtype):
    monkeypatch.setattr(prepared, "HEAVY", 2**10)
    monkeypatch.setattr(refine, "ATTENTION_STRIP", 16)
    torch.manual_seed(0)
    small = {"aha": {"widths": (6, 6, 12)}, "aha-lite": {"widths": (4, 6, 8)}, "tshrnet": {"width": 2}}
    network = prepare_for_inference(build_model(name, **small[name]), dtype=dtype)
    image = torch.rand(1, 3, 64, 96)
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the separator's workers
    try:
        results = []
        for count in (1, 2, 4):
            with torch.inference_mode(), Cores(count).one():
                results.append(network(image))
    finally:
        torch.set_num_threads(torch_threads)
    for other in results[1:]:
        assert torch.equal(results[0].diffuse, other.diffuse)
        assert torch.equal(results[0].highlight, other.highlight)
