"""The stream of samples: a function of position, whatever the number of workers and processes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from training.samples import Untouched
from training.stream import SampleStream, StepSampler, collate
from training.validation import grouped
from utils.errors import UserError


class _Numbers(Dataset):
    def __init__(self, count, bad=()):
        self.count, self.bad = count, bad

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index in self.bad:
            raise UserError(f"sample {index} is bad")
        return {"input": torch.full((1, 2, 2), float(index)), "name": str(index)}


def _jitter(sample, rng):
    return sample | {"input": sample["input"] + float(rng.random())}


def _stream(count=5, **options):
    return SampleStream(_Numbers(count), _jitter, seed=3, **options)


def test_every_pass_takes_every_sample_once_in_a_new_order():
    stream = _stream(20)
    passes = [[stream.index(p) for p in range(epoch * 20, epoch * 20 + 20)] for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in passes)
    assert passes[0] != passes[1] != passes[2]
    once = _stream(20, shuffle="once")
    assert [once.index(p) for p in range(20)] == [once.index(p) for p in range(20, 40)] != list(range(20))
    assert [_stream(20, shuffle="none").index(p) for p in (0, 7, 21)] == [0, 7, 1]


def test_incomplete_batches_may_be_dropped():
    stream = _stream(7, per_pass=6)
    passes = [[stream.index(p) for p in range(epoch * 6, epoch * 6 + 6)] for epoch in range(20)]
    assert all(len(set(taken)) == 6 for taken in passes)
    # Which one is left out changes.
    assert set().union(*passes) == set(range(7))


def test_a_sample_depends_on_its_position_alone():
    stream, other = _stream(), _stream()
    backwards = {p: other[p]["input"] for p in reversed(range(30))}
    assert all(torch.equal(stream[p]["input"], backwards[p]) for p in range(30))
    assert not torch.equal(stream[0]["input"] % 1, stream[1]["input"] % 1)
    assert torch.equal(stream.__getitems__([4, 9])[1]["input"], stream[9]["input"])


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_deliver_the_same_batches_from_any_start(workers):
    def batches(start):
        sampler = StepSampler(6 * start, 8 - start, batch_size=3, accumulation=2, rank=0, world=1)
        loader = DataLoader(_stream(), batch_sampler=sampler, num_workers=workers, collate_fn=collate)
        return [batch["input"] for batch in loader]

    whole, rest = batches(0), batches(5)
    assert len(whole) == 16
    assert all(torch.equal(a, b) for a, b in zip(whole[10:], rest, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3))
def test_processes_share_the_positions_of_one_process(start, steps, batch, world, accumulation):
    def positions(rank, world, batch):
        sampler = StepSampler(
            start, steps, batch_size=batch, accumulation=accumulation, rank=rank, world=world
        )
        return list(sampler)

    alone = positions(0, 1, batch * world)
    shared = [positions(rank, world, batch) for rank in range(world)]
    joined = [[p for mine in shared for p in mine[i]] for i in range(len(alone))]
    assert joined == alone


def test_bad_samples_stop_or_are_replaced_and_named():
    strict = SampleStream(_Numbers(4, bad={2}), _jitter, seed=0)
    errors = [item for item in (strict[p] for p in range(4)) if isinstance(item, UserError)]
    assert [str(error) for error in errors] == ["sample 2 is bad"]
    assert isinstance(collate([strict[p] for p in range(4)]), UserError)
    lenient = SampleStream(_Numbers(4, bad={2}), _jitter, seed=0, skip_bad=True)
    batch = collate([lenient[p] for p in range(4)])
    assert batch["input"].shape == (4, 1, 2, 2)
    assert "2" not in batch["name"]
    assert sorted(batch["skipped"]) == ["", "", "", "sample 2 is bad"]
    nothing = SampleStream(_Numbers(2, bad={0, 1}), _jitter, seed=0, skip_bad=True)[0]
    assert "none of the 2 samples" in str(nothing)


def test_sizes_that_differ_name_both_samples():
    a = {"input": torch.zeros(3, 4, 5), "name": "one", "skipped": ""}
    b = {"input": torch.zeros(3, 4, 6), "name": "two", "skipped": ""}
    message = str(collate([a, b]))
    assert "one is 5x4" in message
    assert "two is 6x4" in message
    assert "`crop`" in message


def test_keys_that_not_all_samples_have_are_left_out():
    a = {"input": torch.zeros(3, 4, 4), "mask": torch.zeros(1, 4, 4), "name": "one", "skipped": ""}
    batch = collate([a, {key: value for key, value in a.items() if key != "mask"}])
    assert set(batch) == {"input", "name", "skipped"}


def test_orders_of_two_seeds_differ():
    orders = [SampleStream(_Numbers(30), _jitter, seed=seed).order(0) for seed in (0, 1)]
    assert not np.array_equal(*orders)


def test_pictures_of_one_size_that_follow_each_other_are_validated_together():
    sides = (4, 4, 4, 4, 6, 6, 4)
    pictures = [{"input": torch.full((1, 3, s, s), float(i)), "name": [str(i)]} for i, s in enumerate(sides)]
    groups = list(grouped(iter(pictures), 3 * 16))
    assert [group["name"] for group in groups] == [["0", "1", "2"], ["3"], ["4"], ["5"], ["6"]]
    assert groups[0]["input"].shape == (3, 3, 4, 4)
    assert groups[0]["input"][:, 0, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert len(list(grouped(iter(pictures), 1))) == len(pictures)


class _Layers(_Numbers):
    """Samples with a highlight."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample | {"diffuse": sample["input"] / 2, "specular": sample["input"] / 2}


def _untouched(samples, count, **shares):
    stream = SampleStream(samples, _jitter, seed=3, untouched=Untouched(**shares))
    return [stream[position] for position in range(count)]


def test_some_samples_are_followed_by_their_own_diffuse_picture():
    samples = _untouched(_Layers(50), 2000, share=0.25)
    pairs = zip(samples[::2], samples[1::2], strict=True)
    twins = [(a, b) for a, b in pairs if torch.equal(b["input"], b["diffuse"])]
    assert 400 < len(twins) < 600  # 500
    for first, second in twins:
        assert first["name"] == second["name"]
        assert torch.equal(second["input"], first["diffuse"])
        assert not second["specular"].any()


def test_some_samples_are_photographs_and_the_rest_stay_in_their_places():
    photos = _Numbers(7)
    samples = _untouched(_Layers(50), 1000, photos=photos, photos_share=0.2)
    plain = _untouched(_Layers(50), 1000)
    taken = [i for i, sample in enumerate(samples) if "diffuse" not in sample]
    assert 150 < len(taken) < 250
    assert {samples[i]["name"] for i in taken} == {str(number) for number in range(7)}
    assert all(torch.equal(samples[i]["input"], plain[i]["input"]) for i in set(range(1000)) - set(taken))
