"""Collapse is seen: by hand on vectors that one can picture, and on models that ignore what they are given."""

import numpy as np
import pytest

from sensorium.metrics.collapse import centred, gap, reliance, spread

RNG = np.random.default_rng(0)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_spread_by_hand():
    cross = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    assert spread(cross) == {"cosine": pytest.approx(-1 / 3), "dimensions": pytest.approx(2)}
    one = spread(np.tile(np.array([[0.6, 0.8]], np.float32), (5, 1)))
    assert one["cosine"] == pytest.approx(1) and one["dimensions"] == pytest.approx(1, abs=1e-6)
    line = spread(np.array([[1, 0, 0], [-1, 0, 0]], np.float32))
    assert line["dimensions"] == pytest.approx(1)
    wide = spread(unit(RNG.standard_normal((4000, 16))).astype(np.float32))
    assert abs(wide["cosine"]) < 0.01 and wide["dimensions"] > 15.5
    with pytest.raises(ValueError, match="1 rows"):
        spread(cross[:1])


def test_the_gap_is_the_distance_of_the_centres():
    a = np.array([[1, 0], [0, 1]], np.float32)
    assert gap(a, a) == 0
    assert gap(a, -a) == pytest.approx(np.sqrt(2))
    assert gap(a[:1], -a[:1]) == 2


def test_without_their_centres_two_modalities_have_no_gap():
    draw = np.random.default_rng(0)
    common = draw.normal(size=(40, 6))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (common + 9 * np.eye(6)[0], common - 9 * np.eye(6)[1]))
    assert gap(a, b) > 1.2 and np.sum(a * b, axis=1).max() < 0.3
    left, right = centred(a), centred(b)
    assert gap(left, right) < 0.2 and np.allclose(np.linalg.norm(left, axis=1), 1)
    assert np.sum(left * right, axis=1).mean() > 0.6 and abs((left @ right.T).mean()) < 0.05
    np.testing.assert_allclose(centred(a[:3], a), left[:3])
    assert centred(a.astype(np.float32)).dtype == np.float32 and np.isfinite(centred(a[:1])).all()


def test_reliance_finds_the_modality_that_is_not_heard():
    batch = {"image": RNG.standard_normal((400, 3)), "text": RNG.standard_normal((400, 3)), "text/mask": RNG.random(400) < 0.5}
    only = reliance(lambda b: b["image"], batch, ["image", "text"])
    assert only["text"] == 0 and only["image"] == pytest.approx(2, abs=0.2)
    both = reliance(lambda b: b["image"] + 0.1 * b["text"], batch, ["image", "text"])
    assert 0.005 < both["text"] < 0.05 < both["image"]
    masked = reliance(lambda b: b["text/mask"][:, None] * 1.0, batch, ["image", "text"])
    assert masked["text"] > 0.5 and masked["image"] == 0, "a mask goes with its modality"
    assert reliance(lambda b: b["image"], batch, ["image"], seed=1) != only
    with pytest.raises(ValueError, match="1 rows"):
        reliance(lambda b: b["image"], {"image": np.zeros((1, 3))}, ["image"])
