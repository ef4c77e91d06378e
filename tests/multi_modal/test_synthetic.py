"""The synthetic data set: the guide's keys and shapes, seeds that matter, one alignment for all, and a limit nobody beats."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Source
from sensorium.multi_modal.datasets import create_synthetic_multi_modal_dataset

SMALL = {
    "image_shape": (8, 8, 3),
    "text_vocab_size": 100,
    "text_sequence_length": 40,
    "audio_sample_rate": 8000,
    "audio_duration": 0.1,
    "video_shape": (4, 8, 8, 3),
    "sensor_shape": (32, 3),
}
THREE, FIVE = ["image", "text", "audio"], ["image", "text", "audio", "video", "sensor"]


def create(modalities=THREE, num_samples=200, alignment_strength=0.8, rngs: nnx.Rngs | int = 0, **changes):
    return create_synthetic_multi_modal_dataset(
        modalities, num_samples, alignment_strength, rngs=nnx.Rngs(rngs) if isinstance(rngs, int) else rngs, **(SMALL | changes)
    )


def equal(a: dict, b: dict) -> bool:
    return all(np.array_equal(a[key], b[key]) for key in a.keys() | b.keys())


def test_the_sample_of_the_guide():
    dataset = create_synthetic_multi_modal_dataset(
        modalities=["image", "text", "audio"],
        num_samples=1000,
        alignment_strength=0.8,
        image_shape=(32, 32, 3),
        text_vocab_size=1000,
        text_sequence_length=50,
        audio_sample_rate=16000,
        audio_duration=1.0,
        rngs=nnx.Rngs(0),
    )
    sample = dataset[0]
    assert list(sample) == ["image", "text", "audio", "alignment_score", "latent"] and len(dataset) == 1000
    shapes = {"image": (32, 32, 3), "text": (50,), "audio": (16000,), "latent": (32,)}
    assert {name: sample[name].shape for name in shapes} == shapes and f"{sample['alignment_score']}" == "0.8"
    batch = dataset.get_batch(batch_size=32)
    assert {name: batch[name].shape for name in shapes} == {name: (32, *shape) for name, shape in shapes.items()}
    assert list(batch) == list(sample) and (batch["alignment_score"] == np.float32(0.8)).all()


def test_a_sample_is_itself_however_it_is_asked_for():
    dataset = create(FIVE, 70)
    rows = np.array([5, 69, 0])
    read = dataset.read(rows)
    walked = list(dataset)
    assert len(walked) == 70
    for at, row in enumerate(rows):
        for key, value in dataset[int(row)].items():
            np.testing.assert_allclose(read[key][at], value, atol=1e-6, err_msg=key)
            np.testing.assert_allclose(walked[row][key], value, atol=1e-6, err_msg=key)
    assert equal(dataset[-1], dataset[69])
    with pytest.raises(IndexError, match="sample 70 of a data set of 70"):
        dataset[70]
    assert isinstance(dataset, Source) and list(read["group"]) == [5, 69, 0]


def test_the_seed_and_the_split_make_the_data():
    same, other, held = create(rngs=0), create(rngs=1), create(rngs=0, split="validation")
    assert equal(create(rngs=0)[3], same[3])
    for data in (other, held):
        assert not set(map(bytes, np.asarray(data.read(range(200))["latent"]))) & set(
            map(bytes, np.asarray(same.read(range(200))["latent"]))
        )
    assert not np.array_equal(create(rngs=nnx.Rngs(params=3))[0]["latent"], same[0]["latent"]), "any stream will do"


def test_the_guides_validation_set_is_not_the_head_of_its_training_set():
    rngs = nnx.Rngs(0)
    train, validation = create(rngs=rngs), create(num_samples=50, rngs=rngs)
    latents = np.asarray(train.read(range(200))["latent"])
    nearest = np.abs(np.asarray(validation.read(range(50))["latent"])[:, None] - latents[None]).max(-1).min()
    assert nearest > 0.1


def test_every_batch_is_another_one_and_an_epoch_holds_every_sample_once():
    """The sample code's `get_batch` gave the same 32 samples for ever."""
    dataset = create(["text"], 20)
    latents = np.asarray(dataset.read(range(20))["latent"])

    def rows(batch):
        return [int(np.flatnonzero((latents == z).all(1))[0]) for z in np.asarray(batch["latent"])]

    drawn = [rows(dataset.get_batch(5)) for _ in range(8)]
    first, second = ([row for batch in part for row in batch] for part in (drawn[:4], drawn[4:]))
    assert sorted(first) == sorted(second) == list(range(20)) and first != second
    rngs = nnx.Rngs(7)
    own = [rows(dataset.get_batch(10, rngs=rngs)) for _ in range(2)]
    assert own[0] != own[1] and len(set(own[0])) == 10
    assert own[0] == rows(dataset.get_batch(10, rngs=nnx.Rngs(7)))
    with pytest.raises(ValueError, match=r"21.*20"):
        dataset.get_batch(21)


def test_an_epoch_goes_on_where_it_was():
    dataset = create(["text"], 23)
    whole = [np.asarray(batch["latent"]) for batch in dataset.epoch(5, seed=3)]
    assert len(whole) == 4 and len(list(dataset.epoch(5, seed=3, drop_remainder=False))) == 5
    walk = dataset.epoch(5, seed=3)
    for _ in range(2):
        next(walk)
    state = walk.get_state()
    again = dataset.epoch(5, seed=3)
    again.set_state(state)
    for expected, *got in zip(whole[2:], walk, again, strict=True):
        for batch in got:
            np.testing.assert_array_equal(batch["latent"], expected)
    with pytest.raises(ValueError):
        dataset.epoch(4, seed=3).set_state(state)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.6, 0.8, 0.95, 1.0])
def test_strength_means_the_same_in_every_modality(strength):
    """The sample code: 0.07 in pictures and 0.68 in sounds at 0.3; texts never noise-free."""
    measured = create(FIVE, alignment_strength=strength).measured_alignment(200)
    assert list(measured) == FIVE
    assert max(measured.values()) - min(measured.values()) < 0.05
    assert np.mean(list(measured.values())) == pytest.approx(strength, abs=0.04)


def test_at_strength_zero_a_probe_finds_nothing_and_at_one_everything():
    """A ridge regression of the latent on each modality, tested on samples that it has not seen."""
    for strength, low, high in ((0.0, -9, 0.05), (1.0, 0.9, 1.0)):
        data = create(FIVE, 1200, strength, text_vocab_size=11)
        batch = data.read(range(1200))
        for name in FIVE:
            x = batch[name].reshape(1200, -1)
            x = np.eye(11)[x].reshape(1200, -1) if name == "text" else x
            x = np.concatenate([x - x.mean(0), np.ones((1200, 1))], 1)
            a, b = x[:1000], batch["latent"][:1000]
            guess = x[1000:] @ np.linalg.solve(a.T @ a + 1e-3 * len(a) * np.eye(a.shape[1]) * a.var(), a.T @ b)
            found = 1 - np.square(guess - batch["latent"][1000:]).mean() / batch["latent"][1000:].var()
            assert low < found <= high, (name, strength, found)


def test_no_trained_model_beats_the_ceiling_and_a_good_one_comes_near():
    """The best linear map, learned by canonical correlation from 4,000 samples, on pictures and sounds."""
    train, held = (create(["image", "audio"], n, 0.7, rngs=5, split=s) for n, s in ((4000, "train"), (2000, "test")))
    data = {name: np.asarray(train.read(range(4000))[name], np.float64).reshape(4000, -1) for name in ("image", "audio")}
    mean = {name: x.mean(0) for name, x in data.items()}
    bases = {name: np.linalg.svd(x - mean[name], full_matrices=False) for name, x in data.items()}
    white = {name: (v[:32].T / s[:32] * np.sqrt(4000)) for name, (_, s, v) in bases.items()}
    u, s, v = np.linalg.svd(
        ((data["image"] - mean["image"]) @ white["image"]).T @ ((data["audio"] - mean["audio"]) @ white["audio"]) / 4000
    )
    maps = {"image": white["image"] @ u * np.sqrt(s), "audio": white["audio"] @ v.T * np.sqrt(s)}
    batch = held.read(range(2000))
    a, b = (np.asarray(batch[n], np.float64).reshape(2000, -1) - mean[n] for n in ("image", "audio"))
    a, b = (x @ maps[n] / np.linalg.norm(x @ maps[n], axis=1, keepdims=True) for n, x in (("image", a), ("audio", b)))
    hits = np.concatenate([(a[i : i + 100] @ b[i : i + 100].T).argmax(1) == np.arange(100) for i in range(0, 2000, 100)])
    ceiling = held.ceiling("image", "audio", gallery=100)
    assert 0.85 * ceiling < hits.mean() < ceiling + 3 * np.sqrt(ceiling * (1 - ceiling) / 2000)


def test_the_ceiling_is_of_two_modalities_that_are_there():
    data = create()
    assert data.ceiling("text", "image", gallery=100) < data.ceiling("text", "image", gallery=20) < 1
    assert data.ceiling("text", "image", gallery=50, k=5) > data.ceiling("text", "image", gallery=50)
    with pytest.raises(UnknownName, match="no 'video'"):
        data.ceiling("video", "image")
    with pytest.raises(ValueError, match="image with itself"):
        data.ceiling("image", "image")
    with pytest.raises(ValueError, match="k=0"):
        data.ceiling("text", "image", k=0)


@pytest.mark.parametrize(("source", "target"), [("text", "image"), ("image", "audio"), ("audio", "sensor"), ("sensor", "video")])
def test_no_guess_is_better_than_the_best_one(source, target):
    """Its error is uncorrelated with everything that the source tells, and it explains what the strength allows."""
    data = create(FIVE, 3000, 0.9)
    rows = range(3000)
    best = np.asarray(data.best_guess(source, target, rows), np.float64).reshape(3000, -1)
    truth = np.asarray(data.read(rows)[target], np.float64).reshape(3000, -1)
    error = np.square(truth - best).mean()
    for other in (0.95 * best + 0.05 * best.mean(0), 1.05 * best - 0.05 * best.mean(0)):
        assert np.square(truth - other).mean() > error
    rho = 0.9**2
    assert 1 - error / truth.var(0).mean() == pytest.approx(rho**2, abs=0.05)
    assert data.explained(source, target, rows, best.reshape(3000, *data[0][target].shape)) == pytest.approx(1)
    assert data.explained(
        source, target, rows, np.broadcast_to(best.mean(0), best.shape).reshape(3000, *data[0][target].shape)
    ) == (pytest.approx(0, abs=1e-5))


def test_millions_of_samples_cost_nothing_until_they_are_asked_for():
    dataset = create(num_samples=10_000_000)
    first, again = next(iter(dataset)), dataset[0]
    assert first.keys() == again.keys()
    for name in first:  # read in blocks and alone: by another program, so up to rounding
        np.testing.assert_allclose(first[name], again[name], atol=1e-5)
    assert not np.array_equal(dataset[9_999_999]["latent"], dataset[9_999_998]["latent"])
    assert len(list(itertools.islice(dataset.epoch(8), 3))) == 3


def test_some_of_its_modalities_are_the_same_data():
    data = create(FIVE)
    some = data.only("audio", "text")
    assert list(some[4]) == ["audio", "text", "alignment_score", "latent"]
    np.testing.assert_array_equal(some[4]["audio"], data[4]["audio"])
    assert data.spell(4).endswith(".") and data.spell(4).count(" ") == 38


def test_a_sample_can_be_compiled_on():
    total = jax.jit(lambda sample: sum(jnp.sum(x) for x in sample.values() if x.dtype == jnp.float32))
    sample = create()[0]
    assert np.isfinite(float(total({k: jnp.asarray(v) for k, v in sample.items()})))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"modalities": ["image", "smell"]}, "no modality is called 'smell'"),
        ({"modalities": []}, "one or more"),
        ({"modalities": ["image", "image"]}, "different names"),
        ({"num_samples": 0}, "num_samples=0"),
        ({"alignment_strength": 1.2}, "alignment_strength=1.2"),
        ({"split": "validate"}, "Did you mean 'validation'"),
        ({"image_shape": (2, 2, 3)}, "cannot carry a latent"),
        ({"text_vocab_size": 5}, "text_vocab_size=5"),
    ],
)
def test_bad_requests_are_told_before_anything_is_made(given, match):
    with pytest.raises((ValueError, UnknownName), match=match):
        create(**given)


def test_more_samples_than_numbers_are_refused():
    assert len(create_synthetic_multi_modal_dataset(["image"], 2**32, rngs=0)) == 2**32
    with pytest.raises(ValueError, match="num_samples=4294967297: expected 1 to 4294967296"):
        create_synthetic_multi_modal_dataset(["image"], 2**32 + 1, rngs=0)


def test_what_is_known_of_the_data_is_asked_of_rows_that_are_there():
    spec = {"image_shape": (8, 8, 3), "sensor_shape": (16, 2), "rngs": 0}
    data = create_synthetic_multi_modal_dataset(["image", "sensor"], 10, 0.8, **spec)
    for rows in ([10], [-1, 3], []):
        with pytest.raises(IndexError, match="of a data set of 10"):
            data.best_guess("image", "sensor", rows)
    best = data.best_guess("image", "sensor", [1, 7])
    assert data.explained("image", "sensor", [1, 7], best) == pytest.approx(1.0)
    for some in ([1], [3, 3]):
        with pytest.raises(ValueError, match=f"of {len(some)} rows at alignment_strength=0.8: there is no share"):
            data.explained("image", "sensor", some, best[: len(some)])
    apart = create_synthetic_multi_modal_dataset(["image", "sensor"], 10, 0.0, **spec)
    with pytest.raises(ValueError, match="alignment_strength=0: there is no share"):
        apart.explained("image", "sensor", [1, 7], best)
