"""Augmentations one by one, by what they may and may not change; and the source that applies them."""

import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.core.protocols import Item
from sensorium.data import Folder, batches
from sensorium.data.augment import (
    DEFAULTS,
    Augmented,
    Crop,
    DropWords,
    Flip,
    FrameJitter,
    Gain,
    Jitter,
    Noise,
    RandAugment,
    SpecAugment,
    TimeShift,
)
from sensorium.modalities import MODALITIES, Audio, Image, Text
from sensorium.modalities.picture_changes import OPERATIONS, operate, resized

FIELDS = (Image(size=16), Text(length=8), Audio(rate=4000, seconds=0.1))
RAMP = np.linspace(0, 255, 16).astype(np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
"""A picture that grows brighter to the right."""


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def folder(n: int = 12, broken: int = -1) -> Folder:
    items = []
    for i in range(n):
        picture = np.random.default_rng(i).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        raws = {"image": (b"none" if i == broken else picture,), "text": (f"a b c d {i % 10}",)}
        raws |= {} if i % 3 == 2 else {"audio": ((np.sin(np.arange(400) * 0.1 * (i + 1)).astype(np.float32), 4000),)}
        items.append(Item(f"i{i}", raws))
    return Folder(items, FIELDS)


EVERYTHING = {"image": (Crop(), Jitter(), RandAugment()), "text": (DropWords(0.4),), "audio": (TimeShift(), Gain(), Noise())}


def test_a_row_is_changed_alike_in_any_batch_and_otherwise_in_every_epoch():
    source = Augmented(folder(), EVERYTHING, seed=4)
    batch = source.read([5, 3, 1], 7)
    for at, row in enumerate([5, 3, 1]):
        alone = source.read([row], 7)
        assert all(np.array_equal(alone[key][0], batch[key][at]) for key in batch)
    plain = folder().read([5, 3, 1], 7)
    assert batch.keys() == plain.keys()
    for key in ("image", "text", "audio"):
        assert batch[key].dtype == plain[key].dtype and not np.array_equal(batch[key][1], plain[key][1])
        assert not np.array_equal(batch[key][1], source.read([3], 8)[key][0]), "another draw, another change"
        assert not np.array_equal(batch[key][1], Augmented(folder(), EVERYTHING, seed=5).read([3], 7)[key][0])
    assert np.array_equal(batch["text/id"], plain["text/id"]) and np.array_equal(batch["group"], plain["group"])


def test_what_is_missing_or_broken_stays_so_and_is_told():
    taken = Augmented(folder(broken=4), EVERYTHING).take([4, 2], 0)
    assert taken.batch["image/here"].tolist() == [False, True] and taken.batch["audio/here"].tolist() == [True, False]
    assert not taken.batch["image"][0].any() and not taken.batch["audio"][1].any()
    assert taken.asked == 5 and [reject.file for reject in taken.rejects] == ["i4"]


def test_the_source_below_keeps_what_it_remembers():
    inner = folder()
    before = inner.read([0, 1])
    Augmented(inner, EVERYTHING).read([0, 1])
    assert all(np.array_equal(value, inner.read([0, 1])[key]) for key, value in before.items())


def test_workers_augment_the_same():
    expected = list(batches(Augmented(folder(), EVERYTHING, dropout={"audio": 0.5}), 4, 6))
    with batches(Augmented(folder(), EVERYTHING, dropout={"audio": 0.5}), 4, 6, workers=1) as stream:
        for a, b in zip(expected, stream, strict=True):
            assert all(np.array_equal(a[key], b[key]) for key in a)


def test_dropout_takes_its_share_and_never_the_last():
    source = Augmented(folder(12), {}, dropout={"image": 0.5, "text": 0.9, "audio": 0.9})
    there = np.concatenate(
        [np.stack([source.read(range(12), d)[f"{n}/here"] for n in ("image", "text", "audio")], 1) for d in range(200)]
    )
    assert there.any(1).all()
    plain = folder(12).read(range(12))
    assert not there.reshape(200, 12, 3)[:, ~plain["audio/here"], 2].any(), "what was missing does not come back"
    alone = (0.5 * 0.9 * 0.9 / 3 + 0.5 * 0.9 / 2 * 0) / 1  # where all three would go, each stays as often
    share = there.reshape(200, 12, 3)[:, plain["audio/here"]].mean((0, 1))
    assert share == pytest.approx([0.5 + alone, 0.1 + alone, 0.1 + alone], abs=0.03)
    untouched = Augmented(folder(12), {}, dropout={"text": 0.3})
    assert all(untouched.read(range(12), d)["image/here"].all() for d in range(20))


def test_fields_and_chances_that_are_none_are_errors():
    with pytest.raises(UnknownName, match=r"no field 'imagge' to augment\. Did you mean 'image'"):
        Augmented(folder(), {"imagge": (Crop(),)}).read([0])
    with pytest.raises(UnknownName, match="no field 'smell'"):
        Augmented(folder(), {}, dropout={"smell": 0.1}).read([0])
    with pytest.raises(ValueError, match="dropout"):
        Augmented(folder(), {}, dropout={"text": 1.0})

    class Halves:
        def __call__(self, parts, random):
            return parts | {"": parts[""][::2]}

    with pytest.raises(ValueError, match=r"made uint8\[8, 16, 3\] of image, which has to stay uint8\[16, 16, 3\]"):
        Augmented(folder(), {"image": (Halves(),)}).read([0])


def test_the_fingerprint_knows_the_changes():
    prints = {
        Augmented(folder(), {"image": (Crop(),)}).fingerprint(),
        Augmented(folder(), {"image": (Crop(0.3),)}).fingerprint(),
        Augmented(folder(), {"image": (Crop(),)}, seed=1).fingerprint(),
        Augmented(folder(), {"image": (Crop(),)}, dropout={"text": 0.1}).fingerprint(),
        Augmented(folder(11), {"image": (Crop(),)}).fingerprint(),
    }
    assert len(prints) == 5 and Augmented(folder(), {"image": (Crop(),)}).fingerprint() in prints


def test_a_crop_is_a_part_at_the_size_of_the_whole():
    for seed in range(20):
        x = Crop(0.5)({"": RAMP}, random(seed))[""].astype(int)
        assert x.shape == RAMP.shape and (np.diff(x[0, :, 0]) >= -2).all(), "still brighter to the right"
        width = (x[0, -1, 0] - x[0, 0, 0]) / 255
        assert 0.4 < width <= 1.02
    clip = np.stack([RAMP, 255 - RAMP])
    cut = Crop()({"": clip}, random(1))[""]
    np.testing.assert_allclose(cut[0].astype(int) + cut[1].astype(int), 255, atol=2, err_msg="one part for all frames")
    assert np.array_equal(resized(RAMP, (0, 0, 16, 16)), RAMP)


def test_a_flip_is_one_and_is_in_no_default():
    assert np.array_equal(Flip(1.0)({"": RAMP}, random())[""], RAMP[:, ::-1])
    assert np.array_equal(Flip(0.0)({"": RAMP}, random())[""], RAMP)
    clip = np.stack([RAMP] * 2)
    assert np.array_equal(Flip(1.0)({"": clip}, random())[""], clip[:, :, ::-1])
    assert not any(isinstance(augment, Flip) for augments in DEFAULTS.values() for augment in augments)
    assert set(DEFAULTS) == set(MODALITIES)


def test_jitter_by_hand_and_in_its_bounds():
    assert np.array_equal(Jitter(0.0)({"": RAMP}, random())[""], RAMP)
    factors = random(3).uniform(0.7, 1.3, 3)
    x = RAMP.astype(np.float64) * factors[0]
    expected = np.clip((x - x.mean()) * factors[1] + x.mean(), 0, 255)  # grey has no saturation
    np.testing.assert_allclose(Jitter(0.3)({"": RAMP}, random(3))[""], expected, atol=0.6)


def test_time_moves_with_its_mask_and_silence_comes_in():
    x, mask = np.arange(1, 101, dtype=np.float32), np.arange(100) < 60
    seen = set()
    for seed in range(60):
        parts = TimeShift(0.1)({"": x, "mask": mask}, random(seed))
        by = int(np.flatnonzero(parts[""])[0]) - (int(parts[""][parts[""] > 0][0]) - 1)
        seen.add(by)
        for moved, whole in ((parts[""], x), (parts["mask"], mask)):
            for i in range(100):
                assert moved[i] == (whole[i - by] if 0 <= i - by < 100 else 0)
    assert seen <= set(range(-10, 11)) and len(seen) > 12


def test_gain_and_noise_have_the_strength_that_they_say():
    x = 0.1 * np.sin(np.arange(4000) * 0.3).astype(np.float32)
    factors = np.array([Gain(6.0)({"": x}, random(s))[""].max() / x.max() for s in range(50)])
    assert 0.5 < factors.min() < 0.7 and 1.5 < factors.max() < 2.0
    assert np.abs(Gain(60.0)({"": 10 * x}, random(5))[""]).max() <= 1
    mask = np.arange(4000) < 3000
    noisy = Noise(20.0)({"": x, "mask": mask}, random())[""]
    assert np.array_equal(noisy[3000:], x[3000:]), "what is no sound stays silent"
    ratio = np.mean((noisy - x)[mask] ** 2) / np.mean(x[mask] ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(-20, abs=0.5)
    assert np.array_equal(Noise()({"": np.zeros(9, np.float32)}, random())[""], np.zeros(9)), "silence stays silence"
    trace = np.ones((50, 3), np.float32)
    assert Noise(10.0)({"": trace, "mask": np.zeros(50, bool)}, random())[""] == pytest.approx(trace)


@pytest.mark.parametrize("augment", [TimeShift(), Gain()])
def test_a_spectrogram_is_not_taken_for_a_wave(augment):
    with pytest.raises(ValueError, match=r"float32\[1, 26, 12\].*no wave f32\[N\] but a spectrogram.*leave augmentation out"):
        augment({"": np.zeros((1, 26, 12), np.float32)}, random())


def test_specaugment_silences_a_band_and_nothing_without_any():
    time = np.arange(4000) / 4000
    x = (np.sin(2 * np.pi * 300 * time) + np.sin(2 * np.pi * 1500 * time)).astype(np.float32) / 2
    np.testing.assert_allclose(SpecAugment(times=0, bands=0)({"": x}, random())[""], x, atol=1e-5)
    power = np.array([np.abs(np.fft.rfft(SpecAugment(0, 1, 0.5)({"": x}, random(s))[""]))[[300, 1500]] for s in range(40)])
    gone = power < 0.05 * power.max()
    assert gone.any(0).all() and not gone.all(0).any(), "now one tone is gone, now the other"
    quiet = [SpecAugment(1, 0, 0.5)({"": x}, random(s))[""] for s in range(10)]
    assert any((np.abs(q).reshape(40, 100).max(1) < 1e-3).any() for q in quiet)


def test_words_are_dropped_in_order_and_the_marks_stay():
    tokens = np.array([2, 10, 11, 12, 13, 3, 0, 0], np.int32)
    mask = tokens > 0
    lengths = []
    for seed in range(200):
        parts = DropWords(0.5)({"": tokens, "mask": mask}, random(seed))
        kept = parts[""][parts["mask"]].tolist()
        assert kept[0] == 2 and kept[-1] == 3 and kept == sorted(set(kept), key=[2, 10, 11, 12, 13, 3].index)
        assert not parts[""][~parts["mask"]].any() and parts[""].dtype == np.int32
        lengths.append(len(kept))
    assert np.mean(lengths) == pytest.approx(4, abs=0.25)
    assert np.array_equal(DropWords(0.0)({"": tokens, "mask": mask}, random())[""], tokens)
    left = np.array([9, 9, 2, 10, 11, 12, 3], np.int32)  # filled up on the left, with a 9
    for seed in range(20):
        parts = DropWords(0.5)({"": left, "mask": left != 9}, random(seed))
        kept = parts[""][parts["mask"]].tolist()
        assert parts[""].tolist() == [9] * (7 - len(kept)) + kept and kept[0] == 2 and kept[-1] == 3


def test_frames_move_to_a_neighbour_with_their_times():
    frames = np.arange(8, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(2, 2).repeat(3, 3)
    parts = {"": frames, "mask": np.arange(8) < 6, "time": np.arange(8, dtype=np.float32)}
    moved = 0
    for seed in range(50):
        new = FrameJitter(0.5)(parts, random(seed))
        numbers = new[""][:, 0, 0, 0].astype(int)
        assert (np.abs(numbers - np.arange(8)) <= 1).all() and numbers[:6].max() <= 5 and numbers[6:].tolist() == [6, 7]
        assert np.array_equal(new["time"], numbers.astype(np.float32)) and np.array_equal(new["mask"], parts["mask"])
        moved += int((numbers != np.arange(8)).sum())
    assert 60 < moved < 190


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_at_no_strength_changes_next_to_nothing(name):
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    picture[0, :2] = [[0, 0, 0], [255, 255, 255]]
    if name not in ("equalize", "autocontrast"):
        np.testing.assert_allclose(operate(picture, name, 0.0, 1).astype(int), picture, atol=1)
    changed = operate(picture, name, 1.0, 1)
    assert changed.shape == picture.shape and changed.dtype == np.uint8
    assert (name in ("identity", "autocontrast")) == np.array_equal(changed, picture)


def test_operations_by_hand():
    x = np.array([[[10, 100, 200]] * 4] * 4, np.uint8)
    assert np.array_equal(operate(x, "posterize", 1.0, 1), x & 0xF0)
    assert np.array_equal(operate(x, "solarize", 0.5, 1), np.where(x >= 128, 255 - x, x))
    assert np.array_equal(operate(x, "brightness", 1.0, -1), np.round(x * 0.1).astype(np.uint8))
    assert np.array_equal(operate(RAMP, "translate_x", 1 / 3, 1)[:, :14, 0], operate(RAMP, "translate_x", 1 / 3, 1)[:, :14, 1])
    assert operate(RAMP, "translate_x", 1.0, 1)[0, 0, 0] > RAMP[0, 3, 0]
