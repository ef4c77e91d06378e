"""Slots: what is drawn on a canvas is written where it belongs, and moves; by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from models.makers import shaken

from sensorium.core.encoding import Encoding
from sensorium.decoders.dit import DiT
from sensorium.decoders.patches import cut
from sensorium.decoders.slots import Slots, banded

SURE = 60.0
"""What a slot says of a place of which it is certain."""


def told(rows: int = 2) -> Encoding:
    rng = np.random.default_rng(0)
    tokens = jnp.asarray(rng.standard_normal((rows, 5, 6), np.float32))
    return Encoding(tokens, jnp.arange(5)[None] < jnp.array([[5], [3]])[:rows], tokens[:, 0])


def slots(moves: int | None = None, **more) -> Slots:
    shape = (8, 6) if moves is None else (3, 8, 6)
    sizes = {"things": 2, "canvas": (3, 2), "width": 8, "heads": 2, "rank": 2, "wide": 12}
    patch = (2, 2) if moves is None else (3, 2, 2)
    return shaken(Slots(shape, 3, patch, 6, **(sizes | more), moves=moves, rngs=nnx.Rngs(0)))


def always(layer: nnx.Linear, said: jnp.ndarray) -> None:
    """It says so, whatever it reads."""
    assert layer.bias is not None
    layer.kernel[...], layer.bias[...] = jnp.zeros_like(layer.kernel[...]), said


def sure(model: Slots, *places: int) -> None:
    """Every slot is certain that it belongs there, in rows and 8 + in columns; as much in each of several rows."""
    always(model.where, SURE * jnp.zeros(14).at[jnp.array(places)].set(1.0))


def pasted(canvas: np.ndarray, y: int, x: int) -> np.ndarray:
    """A canvas of 3 × 2 on a grid of 8 × 6, its place (1, 1) on (y, x)."""
    out = np.zeros((8, 6, 3), np.float32)
    for i, j in np.ndindex(3, 2):
        if 0 <= y + i - 1 < 8 and 0 <= x + j - 1 < 6:
            out[y + i - 1, x + j - 1] += canvas[i, j]
    return out


def test_matrices_that_write_have_the_chances_in_bands():
    found = banded(jnp.array([0.1, 0.2, 0.7]), 3, 2)
    np.testing.assert_allclose(found, [[0.2, 0.1], [0.7, 0.2], [0.0, 0.7]])
    np.testing.assert_allclose(banded(jnp.array([0.1, 0.2, 0.7]), 3, 3), [[0.2, 0.1, 0.0], [0.7, 0.2, 0.1], [0.0, 0.7, 0.2]])


@pytest.mark.parametrize("place", [(4, 3), (0, 0), (7, 5)])
def test_what_is_drawn_is_written_where_it_belongs_on_the_ground(place):
    model = slots()
    drawn = {}

    def spying(x, features):
        drawn["canvas"] = Slots._drawn(model, x, features)
        return drawn["canvas"]

    sure(model, place[0], 8 + place[1])
    object.__setattr__(model, "_drawn", spying)
    found = model(told())
    canvas = np.asarray(drawn["canvas"]).reshape(2, 2, 3, 2, 3)
    assert np.abs(canvas[0] - canvas[1]).max() > 1e-3 and np.abs(canvas[:, 0] - canvas[:, 1]).max() > 1e-3
    for row in range(2):
        expected = sum(pasted(one, *place) for one in canvas[row]) + np.asarray(model.ground[...])
        np.testing.assert_allclose(found.whole[row], expected, atol=1e-5)
    np.testing.assert_array_equal(found.cells, cut(found.whole, (2, 2)))


def test_a_thing_whose_place_is_open_is_blurred_over_all_of_them():
    model = slots(things=1)
    sure(model, 2, 8 + 3)
    once = model(told()).whole
    sure(model, 5, 8 + 2)
    twice = model(told()).whole
    sure(model, 2, 5, 8 + 3)
    found = model(told()).whole
    sure(model, 5, 8 + 3)
    np.testing.assert_allclose(found, (once + model(told()).whole) / 2, atol=1e-5)
    assert np.abs(once - twice).max() > 1e-2


def test_a_form_is_the_same_wherever_it_is_and_in_every_colour():
    model = slots(rank=1, things=1)
    sure(model, 3, 8 + 2)
    found = (np.asarray(model(told(1)).whole) - np.asarray(model.ground[...]))[0, 2:5, 1:3]
    sure(model, 5, 8 + 4)
    np.testing.assert_allclose((np.asarray(model(told(1)).whole) - np.asarray(model.ground[...]))[0, 4:7, 3:5], found, atol=1e-5)
    assert np.linalg.matrix_rank(found.reshape(6, 3), tol=1e-4) == 1, "one form, in one colour"


def test_things_are_at_each_moment_where_they_have_come_to():
    model = slots(moves=1, looks=1, things=1)
    assert model.way is not None and model.mixed is not None
    sure(model, 3, 8 + 2)
    steps = [(-1, 0), (0, 0), (1, -1)]  # (down, right) of the three moments
    chances = np.zeros((2, 3, 3), np.float32)
    for t, step in enumerate(steps):
        for axis, by in enumerate(step):
            chances[axis, t, by + 1] = SURE
    always(model.way, jnp.asarray(chances.reshape(-1)))
    always(model.mixed, jnp.array([0.0, 1.0, -0.5]))  # one look, of which there is as much, twice as much and half as much
    found = (np.asarray(model(told(1)).whole) - np.asarray(model.ground[...]))[0]
    first = found[0, 1:4, 1:3]
    assert np.abs(first).max() > 1e-2
    for t, ((down, right), share) in enumerate(zip(steps, (1.0, 2.0, 0.5), strict=True)):
        np.testing.assert_allclose(found[t], pasted(share * first, 3 + down, 2 + right), atol=1e-5)


def test_what_is_masked_has_no_effect_and_each_slot_is_drawn_of_what_it_reads():
    model, own = slots(), told()
    hidden = own.tokens.at[1, 3:].add(100.0)
    found = model(own).whole
    np.testing.assert_array_equal(model(Encoding(hidden, own.mask, own.pooled)).whole, found)
    seen = Encoding(own.tokens.at[1, 2].add(1.0), own.mask, own.pooled)
    changed = np.abs(np.asarray(model(seen).whole - found)).max((1, 2, 3))
    assert changed[0] == 0 and changed[1] > 1e-3


def test_untrained_it_says_nothing_and_what_moves_not_stays():
    model = Slots((3, 8, 6), 3, (3, 2, 2), 6, 2, (3, 2), width=8, heads=2, moves=2, rngs=nnx.Rngs(0))
    assert not np.asarray(model(told()).whole).any()
    assert model.way is not None
    model.way.kernel[...] = jnp.zeros_like(model.way.kernel[...])
    x = jnp.ones((1, 2, 8))
    placed = nnx.softmax(model.where(x)[..., :8])
    moved = model._chances(x, nnx.gelu(model.wide(x)))[0]
    rest = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    np.testing.assert_allclose(moved[0, 0, 0], np.convolve(placed[0, 0], rest / rest.sum(), mode="same"), rtol=1e-5)


def test_a_network_hears_slots_as_a_sketch():
    sketch = {"patch": (4, 4), "things": 2, "canvas": (3, 3), "width": 8, "heads": 2}
    network = shaken(DiT((4, 8), 3, (2, 2), 6, 6, width=16, depth=1, looks=False, sketch=sketch, rngs=nnx.Rngs(0)))
    heard = network.hear(told())
    assert isinstance(network.sketch, Slots) and heard.sketch is not None
    np.testing.assert_array_equal(heard.sketch, network.sketch(told()).whole)
    said = np.asarray(network.spread(cut(heard.sketch, (4, 4)))).reshape(2, 2, 2, 2, 16)  # cell, row and column within it
    places = np.asarray(heard.places).reshape(2, 2, 2, 2, 16)  # row, cell, column within it
    np.testing.assert_allclose(places, said.transpose(0, 2, 1, 3, 4), rtol=1e-5)


def test_errors_name_what_does_not_fit():
    with pytest.raises(ValueError, match=r"a canvas of \(3,\) for axes of \(8, 6\)"):
        slots(canvas=(3,))
    with pytest.raises(ValueError, match="things"):
        slots(things=0)
