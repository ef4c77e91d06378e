"""Pictures in their own proportions: grids of patches, positions for any shape, and that filling up changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pretrained.making.common import PICTURES
from pretrained.test_families import NEAR, arrays, loaded, off, reference, tower

import sensorium
from sensorium import Sensorium
from sensorium.modalities import BadRaw
from sensorium.modalities.picture_patches import Patches
from sensorium.nn.linear_resize import linear_places


def test_a_picture_keeps_its_proportions_and_fills_the_patches_that_there_are():
    field = Patches(patch=16, most=256)
    shapes = {(h, w): field.grid(h, w) for h, w in ((224, 224), (480, 640), (1, 20000), (20000, 3), (3, 5), (1080, 1920))}
    assert shapes == {
        (224, 224): (16, 16),
        **{(480, 640): (14, 18), (1, 20000): (1, 256), (20000, 3): (256, 1), (3, 5): (12, 20), (1080, 1920): (12, 21)},
    }
    x = np.arange(2 * 3 * 48, dtype=np.uint8).reshape(4, 24, 3)
    made = Patches(patch=4, most=6).prepare(x)
    assert made["image/shape"].tolist() == [1, 6] and made["image/mask"].all()
    assert (made["image"][1] == x[:, 4:8].reshape(-1)).all(), "a patch is its pixels row by row, RGB together"
    with pytest.raises(BadRaw, match="patch and a number of them of at least 1"):
        Patches(patch=0)


def test_positions_of_the_learned_grid_are_as_they_are_and_others_lie_between_them():
    grid = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5)), jnp.float32)
    shapes = jnp.asarray([[3, 4], [1, 1], [6, 2], [3, 4]])
    found = np.asarray(jax.jit(linear_places, static_argnums=2)(grid, shapes, 12))
    assert np.allclose(found[0], grid.reshape(12, 5), atol=1e-6) and (found[0] == found[3]).all()
    weights = np.asarray([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7  # 4 -> 2: a triangle of 4 cells, of which one lies outside
    halves = np.einsum("nw,hwd->nhd", weights, np.asarray(grid))
    assert np.allclose(found[2].reshape(6, 2, 5)[0], halves[:, 0], atol=1e-5), "the first row lies before the first centre"
    assert np.allclose(found[2].reshape(6, 2, 5)[1], 0.75 * halves[:, 0] + 0.25 * halves[:, 1], atol=1e-5)


def test_raw_pictures_of_any_shape_come_to_the_unit_vectors_of_the_reference():
    images = loaded("naflex").encode(image=sorted(PICTURES.iterdir()))["image"]
    assert off(images, reference("naflex")["image/unit"]) < NEAR


def test_what_is_filled_up_changes_nothing_and_a_shape_that_is_missing_is_asked_for():
    given, encoder = arrays("naflex"), tower(loaded("naflex"), "image")
    filled = {key: np.pad(x, [(0, 0), (0, 9), (0, 0)][: x.ndim]) for key, x in given.items() if key in ("image", "image/mask")}
    filled["image"][~filled["image/mask"]] = 1e3
    pooled = jax.jit(encoder.on_grid)(filled["image"], filled["image/mask"], given["image/shape"]).pooled
    assert off(pooled, reference("naflex")["image/pooled"]) < NEAR
    with pytest.raises(ValueError, match="22 patches without their shape, where this encoder is built for a square of 16"):
        encoder(jnp.asarray(given["image"]), jnp.asarray(given["image/mask"]))


def test_such_a_model_is_kept_in_the_layout_of_the_house_too(tmp_path):
    model = loaded("naflex")
    Sensorium(model.model, model.fields, model.card).save_pretrained(tmp_path)
    again = sensorium.load(tmp_path)
    assert again.family is None and again.fingerprint == model.fingerprint and again.fields == model.fields
