"""Paired arrays: what the guide shows, and each fault of the sample code (rows S05 and S18)."""

from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.batch import size
from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Source
from sensorium.data.pipeline import batches
from sensorium.multi_modal.paired import MultiModalPairedDataset

N = 12
PAIRS = [("image", "text"), ("image", "audio"), ("text", "audio")]
rng = np.random.default_rng(0)
DATA = {
    "image": rng.uniform(size=(N, 4, 5, 3)).astype(np.float32),
    "text": rng.integers(1, 9, (N, 6)).astype(np.int32),
    "audio": rng.normal(size=(N, 7)).astype(np.float32),
}
HERE = np.arange(N) % 3 != 0


def make(alignments=None, pairs=PAIRS, **more) -> MultiModalPairedDataset:
    return MultiModalPairedDataset(pairs, DATA | more, alignments)


def test_the_sample_of_the_guide():
    dataset = MultiModalPairedDataset(
        pairs=PAIRS, data={name: jnp.asarray(value) for name, value in DATA.items()}, alignments=jnp.ones((N,))
    )
    sample = dataset[0]
    assert {name: sample[name].shape for name in DATA} == {"image": (4, 5, 3), "text": (6,), "audio": (7,)}
    assert f"{sample['alignment_scores']}" == "1.0"
    assert f"{sample['pairs']}" == "[('image', 'text'), ('image', 'audio'), ('text', 'audio')]" and sample["pairs"] == PAIRS
    for i, one in enumerate(dataset):
        for name in DATA:
            np.testing.assert_array_equal(one[name], DATA[name][i])
    assert i == N - 1 and len(dataset) == N
    np.testing.assert_array_equal(dataset[-1]["audio"], DATA["audio"][-1])
    for bad in (N, -N - 1):
        with pytest.raises(IndexError, match=f"row {bad} of a data set of {N}"):
            dataset[bad]


def test_a_sample_can_be_compiled():
    """The sample code put a list of strings into every sample, which `jit` refuses."""
    calls = []

    @jax.jit
    def total(sample):
        calls.append(sample["pairs"])
        return sum((jnp.mean(sample[a]) * jnp.mean(sample[b]) for a, b in sample["pairs"] if "text" not in (a, b)), jnp.zeros(()))

    dataset = make()
    for i in (0, 1):
        expected = DATA["image"][i].mean() * DATA["audio"][i].mean()
        assert float(total(dataset[i])) == pytest.approx(expected, rel=1e-4)
    assert calls == [PAIRS], "another sample is no other form"
    assert float(total(make(pairs=PAIRS[:1])[0])) == 0.0 and len(calls) == 2, "other pairs are"
    out = jax.jit(lambda sample: sample)(dataset[0])
    assert out["pairs"] == PAIRS


def test_pairs_are_checked_against_the_data():
    """The sample code took ("image", "depth") without any depth."""
    with pytest.raises(UnknownName, match=r"\('image', 'depth'\) names 'depth', which data does not hold.*audio, image, text"):
        make(pairs=[("image", "depth")])
    with pytest.raises(UnknownName, match="Did you mean 'audio'"):
        make(pairs=[("image", "audi")])
    for bad, told in (
        ([("image", "image")], "two different"),
        ([("image", "text", "audio")], "two different"),
        (["it"], "two different"),
        ([("image", "text"), ("text", "image")], "twice"),
        ([], "no pairs"),
    ):
        with pytest.raises(ValueError, match=told):
            make(pairs=bad)


def test_data_that_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"image 12, text 12, audio 12, video 11"):
        make(video=np.zeros((11, 2)))
    with pytest.raises(ValueError, match="no modality"):
        MultiModalPairedDataset(PAIRS, {})
    with pytest.raises(ValueError, match="no rows in data: image, text, audio are empty"):
        MultiModalPairedDataset(PAIRS, {name: value[:0] for name, value in DATA.items()})
    for more, told in (
        ({"audio/here": np.ones(N)}, r"'audio/here'\] is float64\[12\]: expected bool\[12\]"),
        ({"audio/here": np.ones((N, 1), bool)}, r"expected bool\[12\]"),
        ({"text/mask": np.ones((N, 5), bool)}, r"bool\[12, 5\]: expected bool\[12, 6\]"),
        ({"group": np.zeros(N)}, "whole numbers"),
        ({"group": np.arange(N) + 2**40}, "beyond 2147483647"),
        ({"words": [[1], [1, 2]]}, "rows of different shapes; pad them"),
        ({"words": "text"}, "expected an array of N rows"),
    ):
        with pytest.raises(ValueError, match=told):
            make(**more)
    with pytest.raises(UnknownName, match=r"tells of 'audoi'.*Did you mean 'audio'"):
        make(**{"audoi/here": HERE})


@pytest.mark.parametrize("shape", [(N + 1,), (N, 2), (N, 3, 1), (3, N)])
def test_scores_of_another_shape_are_told(shape):
    """The guide says "scores for each pair"; the sample code took (N,) only, and looked at nothing."""
    with pytest.raises(ValueError, match=r"expected \(12,\), or \(12, 3\) with a score for each pair"):
        make(np.ones(shape))


def test_scores_are_of_rows_or_of_pairs_and_there_is_always_one():
    """Without alignments, the sample code's samples lacked the key."""
    each = np.arange(3 * N, dtype=np.float32).reshape(N, 3) / 36
    assert make()[3]["alignment_scores"] == 1.0 and make().get_batch(2)["alignment_scores"].tolist() == [1, 1]
    assert make(each[:, 1])[3]["alignment_scores"] == pytest.approx(each[3, 1])
    np.testing.assert_array_equal(make(each)[3]["alignment_scores"], each[3])
    assert make(each).get_batch(5)["alignment_scores"].shape == (5, 3)
    assert set(make()[0]) == set(make(each)[0]) == {*DATA, "alignment_scores", "pairs"}
    with pytest.raises(ValueError, match="1 alignment scores are NaN or infinite, the first in row 4"):
        make(np.where(np.arange(N) == 4, np.nan, 1))


def test_batches_are_new_ones_every_time():
    """The sample code had no `get_batch` here, and that of its synthetic set gave the first rows for ever."""
    dataset = make()
    walked = [dataset.get_batch(4)["group"].tolist() for _ in range(6)]
    assert sorted(chain(*walked[:3])) == sorted(chain(*walked[3:])) == list(range(N)) and walked[:3] != walked[3:]
    batch = dataset.get_batch(5, rngs=nnx.Rngs(any=3))
    again = make().get_batch(5, rngs=nnx.Rngs(any=3))
    for name in DATA:
        np.testing.assert_array_equal(batch[name], DATA[name][batch["group"]])
        np.testing.assert_array_equal(batch[name], again[name])
    rngs = nnx.Rngs(3)
    assert dataset.get_batch(5, rngs)["group"].tolist() != dataset.get_batch(5, rngs)["group"].tolist()
    with pytest.raises(ValueError, match=r"batch_size=13 of a data set of 12"):
        dataset.get_batch(13)


def test_the_trainer_takes_it_as_a_source():
    dataset = make(**{"audio/here": HERE, "text/mask": DATA["text"] > 3})
    assert isinstance(dataset, Source)
    batch = next(batches(dataset, 5, 1))
    assert size(batch) == 5
    assert set(batch) == {*DATA, "text/mask", "image/here", "text/here", "audio/here", "alignment_scores", "group"}
    np.testing.assert_array_equal(batch["audio/here"], HERE[batch["group"]])
    assert batch["image/here"].all() and batch["group"].dtype == np.int32
    wide = MultiModalPairedDataset(PAIRS[:1], {"image": DATA["image"].astype(np.float64), "text": DATA["text"].astype(np.int64)})
    assert wide.read([0])["image"].dtype == np.float32 and wide.read([0])["text"].dtype == np.int32
    with pytest.raises(IndexError, match="of a data set of 12"):
        dataset.read([12])


def test_a_missing_entry_is_no_number_and_no_pair():
    """The sample code wanted every modality of every row."""
    audio = np.where(HERE[:, None], DATA["audio"], np.nan)
    image_here = np.arange(N) != 3
    dataset = make(audio=audio, **{"audio/here": HERE, "image/here": image_here})
    batch = dataset.read(range(N))
    assert np.isfinite(batch["audio"]).all() and not batch["audio"][0].any() and not batch["image"][3].any()
    np.testing.assert_array_equal(batch["audio"][HERE], DATA["audio"][HERE])
    assert np.isnan(audio[0]).all(), "the caller's array is left as it was"
    assert dataset.complete == {("image", "text"): 11, ("image", "audio"): 8, ("text", "audio"): 8}
    assert dataset.unpaired == 1, "row 3 has a text only"
    assert not dataset[3]["audio/here"] and dataset[1]["audio/here"]


def test_weights_are_scores_where_the_pair_is_whole():
    """ "Ignore scores" is a DON'T of the guide that its sample code does itself."""
    each = rng.uniform(-0.2, 1, (N, 3)).astype(np.float32)
    dataset = make(each, **{"audio/here": HERE})
    batch = dataset.read(range(N))
    expected = np.maximum(each, 0) * np.stack([np.ones(N), HERE, HERE], 1)
    np.testing.assert_allclose(dataset.weights(batch), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(dataset.weights)(batch), expected, rtol=1e-6)
    of_rows = make(each[:, 0], **{"audio/here": HERE})
    np.testing.assert_allclose(of_rows.weights(of_rows.read(range(N)))[:, 1], np.maximum(each[:, 0], 0) * HERE, rtol=1e-6)


def test_rows_below_a_score_can_be_left_out():
    scores = np.linspace(0, 1, N).astype(np.float32)
    part = make(scores).where(0.5)
    assert len(part) == 6 and part.get_batch(6)["group"].tolist() != list(range(6, 12))
    assert sorted(part.read(range(6))["group"].tolist()) == list(range(6, 12))
    np.testing.assert_array_equal(part[0]["image"], DATA["image"][6])
    assert len(part.where(0.9)) == 2 and part.complete[PAIRS[0]] == 6
    each = np.stack([scores, 1 - scores, scores], 1)
    kept = make(each, **{"audio/here": HERE}).where(0.7)  # with the sound the mean is (1 + s) / 3, without it s
    assert sorted(kept.read(range(len(kept)))["group"].tolist()) == [9]
    with pytest.raises(ValueError, match="no row has a score of 2 or more: the highest is 1"):
        make(scores).where(2)


def test_batches_of_one_alignment():
    """ "Don't mix alignment strengths", "don't mix aligned and unaligned samples in a batch"."""
    scores = np.array([0.3, 0.9, 0.31, 0.95, 0.3, 0.9, 0.35, 0.99, 0.3, 0.9, 0.9, 0.0])
    lonely = {"image/here": np.arange(N) != 10, "audio/here": np.arange(N) != 10}
    dataset = make(scores, **lonely)
    plain = [batch["alignment_scores"] for batch in dataset.epoch(3)]
    assert any(np.ptp(scores) > 0.2 for scores in plain)
    for seed in range(3):
        walked = list(dataset.epoch(3, seed, drop_remainder=False, by_alignment=True))
        assert sorted(np.concatenate([batch["group"] for batch in walked]).tolist()) == list(range(N))
        for batch in walked:
            assert np.ptp(batch["alignment_scores"]) < 0.1
            assert batch["group"].tolist() == [10] or 10 not in batch["group"]
    with pytest.raises(ValueError, match="the smallest of 4 strata has 1"):
        dataset.epoch(3, by_alignment=True)


def test_batches_without_two_rows_of_one_item():
    """Several captions of one picture are false negatives of each other."""
    group = np.arange(N) // 3
    dataset = make(group=group)
    assert dataset[5]["group"] == 1
    seen = set()
    for batch in dataset.epoch(4, repeat=12, one_per_group=True):
        assert sorted(batch["group"].tolist()) == [0, 1, 2, 3]
        seen |= {int(np.flatnonzero((DATA["image"] == x).all((1, 2, 3)))[0]) for x in batch["image"]}
    assert seen == set(range(N))
    with pytest.raises(ValueError, match="not by both"):
        dataset.epoch(4, by_alignment=True, one_per_group=True)


def test_an_epoch_goes_on_where_it_was():
    dataset = make()
    every = [batch["group"].tolist() for batch in dataset.epoch(5, seed=2, drop_remainder=False)]
    assert sorted(chain(*every)) == list(range(N)) and [len(rows) for rows in every] == [5, 5, 2]
    walk = dataset.epoch(5, seed=2, drop_remainder=False)
    next(walk)
    again = make().epoch(5, seed=2, drop_remainder=False)
    again.set_state(walk.get_state())
    assert [batch["group"].tolist() for batch in again] == every[1:]
    with pytest.raises(ValueError, match="seed=2 and not 3"):
        dataset.epoch(5, seed=3, drop_remainder=False).set_state(walk.get_state())
