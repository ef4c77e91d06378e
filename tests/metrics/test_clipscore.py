"""CLIPScore and RefCLIPScore by hand."""

import numpy as np
import pytest

from sensorium.metrics import Unmeasurable
from sensorium.metrics.clipscore import clip_score, ref_clip_score

EAST, NORTH = np.eye(2, dtype=np.float32)
BETWEEN = ((EAST + NORTH) / np.sqrt(2)).astype(np.float32)


def test_by_hand():
    images, captions = np.stack([EAST, EAST, EAST, EAST]), np.stack([EAST, BETWEEN, NORTH, -EAST])
    assert clip_score(images, captions) == pytest.approx([2.5, 2.5 / np.sqrt(2), 0, 0])
    assert clip_score(images, captions, weight=1.0)[1] == pytest.approx(np.sqrt(0.5))
    references, owners = np.stack([NORTH, BETWEEN, EAST, NORTH, EAST, -NORTH]), np.array([0, 0, 1, 2, 3, 1])
    found = ref_clip_score(images, captions, references, owners)
    half = np.sqrt(0.5)
    # the nearest reference of each: at 45°, at 45°, the caption itself (but its picture is at 90°), opposite
    assert found == pytest.approx([2 * 2.5 * half / (2.5 + half), 2 * 2.5 * half * half / (2.5 * half + half), 0, 0])


def test_a_turn_of_all_vectors_and_more_references_that_are_far_change_nothing():
    rng = np.random.default_rng(0)
    draws = [rng.normal(size=(n, 5)) for n in (6, 6, 9)]
    images, captions, references = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in draws)
    owners = np.array([0, 1, 2, 3, 4, 5, 0, 0, 3])
    turn = np.linalg.qr(rng.normal(size=(5, 5))).Q
    found = ref_clip_score(images, captions, references, owners)
    np.testing.assert_allclose(ref_clip_score(images @ turn, captions @ turn, references @ turn, owners), found, atol=1e-12)
    far = ref_clip_score(images, captions, np.concatenate([references, -captions]), np.concatenate([owners, np.arange(6)]))
    np.testing.assert_allclose(far, found)
    own = ref_clip_score(images, captions, captions, np.arange(6))
    fits = clip_score(images, captions)
    np.testing.assert_allclose(own, 2 * fits / (fits + 1))


def test_what_cannot_be_measured_is_told():
    two = np.stack([EAST, NORTH])
    with pytest.raises(Unmeasurable, match="caption vector 1 has length 2"):
        clip_score(two, np.stack([EAST, 2 * NORTH]))
    with pytest.raises(Unmeasurable, match="first is pair 1"):
        ref_clip_score(two, two, two, np.array([0, 0]))
    with pytest.raises(ValueError, match="there are 2 pairs"):
        ref_clip_score(two, two, two, np.array([0, 2]))
