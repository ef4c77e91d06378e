"""The transformer over patches and its sketch: rows stay apart, what is told counts, what is masked does not."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from models.makers import shaken

from sensorium.core.encoding import Encoding
from sensorium.decoders import DiT
from sensorium.decoders.sketch import Sketch

SIZES: dict[str, Any] = {"vector": 6, "tokens": 5, "width": 16, "depth": 1, "heads": 2}
FORMS: dict[str, dict[str, Any]] = {
    "1-D": {"shape": (8,), "channels": 2, "patch": (4,)},
    "2-D, sketched": {"shape": (4, 8), "channels": 3, "patch": (2, 2), "looks": False}
    | {"sketch": {"patch": (4, 4), "width": 8, "depth": 1, "heads": 2}},
    "3-D": {"shape": (2, 4, 4), "channels": 1, "patch": (1, 4, 2)},
}
every = pytest.mark.parametrize("name", FORMS)


def about(rows: int = 3) -> Encoding:
    random = np.random.default_rng(1)
    tokens, pooled = random.normal(size=(rows, 4, 5)), random.normal(size=(rows, 6))
    mask = np.arange(4)[None] < np.array([4, 2, 3])[:rows, None]
    return Encoding(jnp.asarray(tokens, jnp.float32), jnp.asarray(mask), jnp.asarray(pooled, jnp.float32))


@cache
def made(name: str):
    """The network, and itself compiled with what it hears."""
    network = shaken(DiT(**FORMS[name], **SIZES, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(network)

    @jax.jit
    def run(x: jax.Array, t: jax.Array, told: Encoding) -> jax.Array:
        whole = nnx.merge(graph, state)
        return whole(x, t, whole.hear(told))

    shape = (3, *network.shape, network.channels)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    return network, x, jnp.asarray([0.1, 0.5, 1.0]), lambda *given: np.asarray(run(*given))


@every
def test_what_it_says_is_as_large_as_what_it_is_given_and_rows_stay_apart(name):
    network, x, t, run = made(name)
    said = run(x, t, about())
    assert said.shape == x.shape == (3, *network.shape, network.channels)
    order = np.array([2, 0, 1])
    turned = run(x[order], t[order], jax.tree.map(lambda a: a[order], about()))
    np.testing.assert_allclose(turned, said[order], atol=1e-5)
    for changed in (run(x.at[0].add(1.0), t, about()), run(x, t.at[0].set(0.9), about())):
        assert np.abs(changed[0] - said[0]).max() > 1e-2
        np.testing.assert_allclose(changed[1:], said[1:], atol=1e-6)


@every
def test_the_vector_and_the_tokens_that_are_there_count_and_no_others(name):
    _, x, t, run = made(name)
    told, said = about(), run(x, t, about())
    assert np.abs(run(x, t, told._replace(pooled=-told.pooled)) - said).max() > 1e-2
    there, gone = (jnp.where(mask[..., None], told.tokens + 1, told.tokens) for mask in (told.mask, ~told.mask))
    assert np.abs(run(x, t, told._replace(tokens=there)) - said).max() > 1e-2
    np.testing.assert_allclose(run(x, t, told._replace(tokens=gone)), said, atol=1e-6)
    assert np.isfinite(run(x, t, told._replace(mask=jnp.zeros_like(told.mask)))).all(), "with no token at all"


@every
def test_untrained_it_says_the_mean(name):
    network = DiT(**FORMS[name], **SIZES, rngs=nnx.Rngs(0))
    _, x, t, _ = made(name)
    assert not network(x, t, network.hear(about())).any()


@pytest.mark.parametrize("wide", [None, 12])
@pytest.mark.parametrize("rank", [None, 2])
def test_the_patches_of_a_sketch_are_what_their_features_say_or_of_a_rank_sums_of_forms_in_a_colour_each(rank, wide):
    sketch = shaken(Sketch((4, 8), 3, (4, 4), 6, 5, width=8, depth=1, heads=2, rank=rank, wide=wide, rngs=nnx.Rngs(0)))
    told = about()
    found = sketch(told)
    assert found.whole.shape == (3, 4, 8, 3)
    for row in range(3):
        for cell in range(2):
            token, there = found.cells[row, cell], told.tokens[row][told.mask[row]]
            gist = jnp.concatenate([there.mean(0), there.max(0)])
            scale = 1 + sketch.gist(gist / jnp.sqrt(jnp.mean(gist**2)))[8:]
            features = token * scale if sketch.wide is None else nnx.gelu(sketch.wide(token) * scale)
            if sketch.forms is None:
                expected = sketch.leave(features).reshape(4, 4, 3)
            else:
                forms, colours = sketch.forms(features).reshape(2, 16), sketch.leave(token).reshape(2, 3)
                expected = np.sum([np.multiply.outer(forms[r], colours[r]) for r in range(2)], axis=0).reshape(4, 4, 3)
            np.testing.assert_allclose(found.whole[row, :, 4 * cell : 4 * cell + 4], expected, rtol=1e-5, atol=1e-5)


def test_a_sketch_is_what_is_heard_and_its_cells_lie_where_they_belong():
    network, x, _, _ = made("2-D, sketched")
    heard = network.hear(about())
    assert heard.sketch is not None and heard.sketch.shape == x.shape
    assert network.sketch is not None
    found = network.sketch(about())
    assert (found.whole == heard.sketch).all() and found.cells.shape == (3, 2, 8)
    assert np.abs(np.asarray(found.whole[:, :, :4] - found.whole[:, :, 4:])).max() > 1e-2, "each cell says its own"
    fine = heard.places.reshape(3, 2, 4, 16)  # patches of 2×2 on 4×8
    changed = found.cells.at[:, 1].add(1.0)
    spread = network.spread(changed).reshape(3, 2, 2, 2, 16)  # cell, row and column within it
    np.testing.assert_allclose(fine[:, :, :2], network.spread(found.cells).reshape(3, 2, 2, 2, 16)[:, 0], atol=1e-6)
    assert np.abs(np.asarray(spread[:, 1] - fine[:, :, 2:])).max() > 1e-3


def test_a_grid_of_another_shape_is_an_error_that_tells_both():
    network, x, t, _ = made("1-D")
    with pytest.raises(ValueError, match=r"\(4, 2\), where this network was built for \(8, 2\)"):
        network(x[:, :4], t, network.hear(about()))
    with pytest.raises(ValueError, match="heads"):
        DiT((8,), 2, (4,), 6, 5, width=10, heads=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="multiple"):
        Sketch((8,), 2, (3,), 6, 5, rngs=nnx.Rngs(0))
