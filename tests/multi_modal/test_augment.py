"""Augmentations: each row its own, within the stated size, nothing that must stay is touched, and the right modality only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.multi_modal.augment import Forgetful, Moved, Noisy, augment

KEY = jax.random.key(0)


@pytest.mark.parametrize("frames", [(), (3,)])
def test_pictures_move_by_a_few_pixels_each_row_its_own_way(frames):
    ramp = (
        jnp.broadcast_to(jnp.arange(10.0)[:, None, None] + 10 * jnp.arange(10.0)[None, :, None], (64, *frames, 10, 10, 1)) / 100
    )
    moved = np.asarray(jax.jit(Moved(2, 0.0))(ramp, KEY))
    middle = 100 * (moved - np.asarray(ramp))[..., 4:6, 4:6, 0].reshape(64, -1)
    np.testing.assert_allclose(middle, middle[:, :1] * np.ones_like(middle), atol=1e-4, err_msg="a row moves as a whole")
    steps = {(round(float(s)) + 22) // 10 - 2 for s in middle[:, 0]}
    assert steps == {-2, -1, 0, 1, 2}
    np.testing.assert_allclose(Moved(0, 0.0)(ramp, KEY), ramp, atol=1e-6)
    brighter = np.asarray(Moved(0, 0.3)(jnp.full((64, 4, 4, 3), 0.75), KEY))
    assert 0.5 + 0.25 * 0.69 < brighter.min() < 0.72 < 0.78 < brighter.max() < 0.5 + 0.25 * 1.31


def test_sounds_get_louder_and_noisier_by_what_is_said():
    wave = jnp.broadcast_to(jnp.sin(jnp.arange(4000.0) * 0.1), (200, 4000))
    louder = np.asarray(jax.jit(Noisy(0.2, 0.0))(wave, KEY)) / np.maximum(np.abs(wave), 1e-3) * np.sign(wave)
    gains = np.median(louder, axis=1)
    assert 0.8 <= gains.min() < 0.83 and 1.17 < gains.max() <= 1.2
    hiss = np.asarray(Noisy(0.0, 0.05)(wave, KEY) - wave)
    np.testing.assert_allclose(hiss.std(1), 0.05 * np.sqrt(0.5), rtol=0.06)
    assert abs(np.corrcoef(hiss[0], hiss[1])[0, 1]) < 0.1


def test_words_are_forgotten_but_never_the_end_or_padding():
    text = jnp.tile(jnp.array([[5, 6, 7, 8, 1, 0, 0]], jnp.int32), (2000, 1))
    lost = np.asarray(jax.jit(Forgetful(0.25, unknown_id=9))(text, KEY))
    np.testing.assert_array_equal(lost[:, 4:], text[:, 4:])
    assert set(np.unique(lost[:, :4])) == {5, 6, 7, 8, 9}
    np.testing.assert_allclose((lost[:, :4] == 9).mean(0), 0.25, atol=0.04)


def test_a_batch_changes_where_it_is_told_to():
    batch = {"image": jnp.full((4, 8, 8, 3), 0.3), "audio": jnp.ones((4, 50)), "text": jnp.ones((4, 5), jnp.int32)}
    out = augment(batch, KEY, {"image": Moved(), "audio": Noisy()})
    assert (out["image"] != batch["image"]).any() and (out["audio"] != batch["audio"]).any()
    assert out["text"] is batch["text"] and out.keys() == batch.keys()
    with pytest.raises(UnknownName, match="no 'sound' to augment"):
        augment(batch, KEY, {"sound": Noisy()})


@pytest.mark.parametrize("frames", [(), (2,)])
def test_bytes_stay_bytes_and_change_as_their_floats_do(frames):
    """Read as floats in [0, 1], nearly every byte would be above the range and come out as 1."""
    pixels = jax.random.randint(jax.random.key(1), (16, *frames, 8, 8, 3), 0, 256).astype(jnp.uint8)
    moved = jax.jit(Moved(2, 0.2))(pixels, KEY)
    assert moved.dtype == jnp.uint8 and moved.shape == pixels.shape
    expected = np.asarray(Moved(2, 0.2)(pixels.astype(jnp.float32) / 255, KEY)) * 255
    np.testing.assert_allclose(np.asarray(moved, np.float32), expected, atol=0.51)
    assert len(np.unique(moved)) > 100
    np.testing.assert_array_equal(Moved(0, 0.0)(pixels, KEY), pixels)


def test_other_integers_are_refused():
    with pytest.raises(ValueError, match=r"Moved got int32\[2, 8, 8, 3\]: expected floats in \[0, 1\], or u8"):
        Moved()(jnp.zeros((2, 8, 8, 3), jnp.int32), KEY)
    with pytest.raises(ValueError, match=r"Noisy got int16.*divide integers by their full scale"):
        Noisy()(jnp.zeros((2, 100), jnp.int16), KEY)
