"""Fusions against their formulas in NumPy, and what makes a field with many tokens no heavier than one with few."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.fusions import CoAttention, Concat, Gated, Hierarchical, JointAttention, Mean, Projector, Resampler, surviving
from sensorium.fusions.entry import Stream, join, part
from sensorium.fusions.fusion import TINY_POOLED, TINY_TOKENS, tiny_encodings
from sensorium.fusions.layer import Layer, drop
from sensorium.fusions.weighing import renormalised, shares

HERE = jnp.array([[True, True, True], [True, False, True], [False, False, False]])
close = np.testing.assert_allclose


def encodings() -> dict[str, Encoding]:
    """Three rows, the second without b, the third without anything."""
    whole = tiny_encodings(jax.random.key(1))
    return {name: x._replace(mask=x.mask & HERE[:, i : i + 1]) for i, (name, x) in enumerate(whole.items())}


def projected(entry: Any, name: str, x: jax.Array) -> np.ndarray:
    linear, raw = entry.project[name], np.asarray(x, np.float64)
    normed = raw / np.sqrt((raw * raw).mean(-1, keepdims=True))
    return normed @ np.asarray(linear.kernel[...], np.float64) + np.asarray(linear.bias[...], np.float64)


def vectors(fusion: Any) -> np.ndarray:
    given = encodings()
    return np.stack([projected(fusion.entry, name, given[name].pooled) for name in given], 1) * np.asarray(HERE)[..., None]


def linear(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])


def pooled(fusion: nnx.Module, given: dict[str, Encoding]) -> np.ndarray:
    graph, state = nnx.split(fusion)
    return np.asarray(jax.jit(lambda state, given: nnx.merge(graph, state)(given).pooled)(state, given))


def test_a_mean_weighs_unit_vectors_by_learned_shares_of_what_is_there():
    fusion = Mean(TINY_POOLED, 8, rngs=nnx.Rngs(0))
    fusion.logits[...] = jnp.log(jnp.array([1.0, 2.0, 3.0]))
    units = vectors(fusion)
    units /= np.maximum(np.linalg.norm(units, axis=-1, keepdims=True), 1e-9)
    expected = [(units[0, 0] + 2 * units[0, 1] + 3 * units[0, 2]) / 6, (units[1, 0] + 3 * units[1, 2]) / 4, np.zeros(8)]
    close(pooled(fusion, encodings()), expected, atol=1e-5)


def test_a_projector_is_its_formula():
    fusion = Projector(TINY_POOLED, 10, 8, rngs=nnx.Rngs(0))
    fusion.logits[...] = jnp.log(jnp.array([1.0, 2.0, 3.0]))
    x = np.asarray(jax.nn.gelu(jnp.asarray(vectors(fusion), jnp.float32)))
    mixed = [(x[0, 0] + 2 * x[0, 1] + 3 * x[0, 2]) / 6, (x[1, 0] + 3 * x[1, 2]) / 4]
    close(pooled(fusion, encodings())[:2], linear(fusion.out, np.stack(mixed)), atol=1e-5)


def test_gates_are_a_softmax_over_the_fields_of_each_channel():
    fusion = Gated(TINY_POOLED, 8, rngs=nnx.Rngs(0))
    x = vectors(fusion)
    logits = np.exp(linear(fusion.gate, x.reshape(3, -1)).reshape(x.shape)) * np.asarray(HERE)[..., None]
    gates = logits / np.maximum(logits.sum(1, keepdims=True), 1e-9)
    close(pooled(fusion, encodings()), (gates * np.tanh(x)).sum(1), atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_a_layer_adds_what_it_sees_and_thinks(gated):
    layer = Layer(8, 2, gated=gated, rngs=nnx.Rngs(0))
    x, context = (jax.random.normal(jax.random.key(i), (2, 3 + i, 8)) for i in range(2))
    mask = jnp.array([[True, True, False, True], [False] * 4])

    def rms(x):
        return x / jnp.sqrt((x * x).mean(-1, keepdims=True))

    seen = layer.look(rms(x), rms(context), mask)
    if gated:
        seen = seen * jax.nn.sigmoid(linear(layer.gate, np.concatenate([rms(x), seen], -1)))
    first = x + seen
    gate, value = np.split(linear(layer.up, np.asarray(rms(first))), 2, -1)
    expected = first + linear(layer.down, np.asarray(jax.nn.gelu(jnp.asarray(gate))) * value)
    close(jax.jit(lambda: layer(x, context, mask)[0])(), expected, atol=2e-5)
    assert not np.asarray(seen)[1].any(), "nothing to look at"


def test_dropout_keeps_the_mean_and_scales():
    x = drop(jnp.ones((4, 5000)), 0.25, jax.random.key(0), "here")
    close(np.unique(x), [0, 4 / 3], atol=1e-6)
    assert abs(float(x.mean()) - 1) < 0.02
    assert (drop(jnp.ones((4, 50)), 0.25, jax.random.key(0), "there") != x[:, :50]).any()


def test_shares_and_renormalised_weights_by_hand():
    logits = jnp.log(jnp.array([[1.0, 2.0, 3.0]] * 3))
    expected = [[1 / 6, 2 / 6, 3 / 6], [1 / 4, 0, 3 / 4], [0, 0, 0]]
    close(shares(logits, HERE), expected, atol=1e-6)
    close(renormalised(jnp.array([10.0, 20.0, 30.0]), HERE), expected, atol=1e-6)
    close(renormalised(jnp.array([0.0, 1.0, 0.0]), HERE), [[0, 1, 0], [0, 0, 0], [0, 0, 0]], atol=1e-6)


def test_streams_are_joined_and_parted():
    streams = {name: Stream(x.tokens[..., :5], x.mask) for name, x in encodings().items()}
    again = part(join(streams), streams)
    assert all((again[name].tokens == x.tokens).all() and (again[name].mask == x.mask).all() for name, x in streams.items())


def test_a_field_of_many_tokens_counts_as_much_as_one_of_few():
    given = tiny_encodings(jax.random.key(1))
    many = given | {"a": jax.tree.map(lambda x: jnp.concatenate([x] * 5, axis=1), given["a"])}
    fusion = JointAttention(TINY_TOKENS, 8, 2, depth=0, rngs=nnx.Rngs(0))
    close(pooled(fusion, many), pooled(fusion, given), atol=1e-5)
    fusion = Concat(TINY_TOKENS, 8, 2, rngs=nnx.Rngs(0))
    fusion.layers[0].look.out.kernel[...] *= 0
    fusion.layers[0].down.kernel[...] *= 0
    means = [np.asarray(x.tokens.mean(1)) for x in jax.jit(lambda: fusion.entry(given))().values()]
    places = [_places_mean(4), _places_mean(4), _places_mean(2)]
    close(pooled(fusion, given), np.mean(means, 0) + np.mean(places, 0)[None], atol=1e-5)


def _places_mean(length: int) -> np.ndarray:
    angles = np.arange(length)[:, None] / 10_000.0 ** (np.arange(4) / 4)
    return np.concatenate([np.sin(angles), np.cos(angles)], 1).mean(0)


def test_a_resampler_gives_its_latents_for_any_number_of_tokens():
    fusion = Resampler({"a": 6}, 8, latents=3, heads=2, rngs=nnx.Rngs(0))
    for length in (1, 7):
        out = fusion({"a": Encoding(jnp.ones((2, length, 6)), jnp.ones((2, length), bool), jnp.ones((2, 6)))})
        assert out.tokens.shape == (2, 3, 8) and out.mask.all()


def test_co_attention_hears_the_others_and_not_itself():
    fusion = CoAttention(TINY_TOKENS, 8, 2, rngs=nnx.Rngs(0))
    graph, state = nnx.split(fusion)
    streams = jax.jit(lambda state, given: nnx.merge(graph, state).streams(given))
    given = tiny_encodings(jax.random.key(1))
    before, weights = streams(state, given)
    assert {name: w.shape for name, w in weights.items()} == {"a": (3, 2, 4, 6), "b": (3, 2, 4, 6), "c": (3, 2, 2, 8)}
    after, _ = streams(state, given | {"a": given["a"]._replace(tokens=given["a"].tokens.at[:, 0].multiply(-1))})
    close(after["a"].tokens[:, 1:], before["a"].tokens[:, 1:], atol=1e-6)
    assert all(np.abs(after[name].tokens - before[name].tokens).max(axis=(1, 2)).min() > 1e-4 for name in "bc")


def test_a_hierarchy_has_a_node_for_each_join():
    fusion = Hierarchical(dict.fromkeys("abcd", 6), 8, 2, tree=(("a", "b"), ("c", "d")), rngs=nnx.Rngs(0))
    assert set(fusion.nodes) == {"(a+b)", "(c+d)", "((a+b)+(c+d))"}
    assert set(Hierarchical(dict.fromkeys("abc", 6), 8, 2, rngs=nnx.Rngs(0)).nodes) == {"(a+b)", "((a+b)+c)"}


def test_survivors_are_drawn_at_the_rate_and_one_always_stays():
    here = jnp.tile(jnp.array([[True, True, False]]), (4000, 1))
    kept = np.asarray(jax.jit(surviving, static_argnums=1)(here, 0.5, jax.random.key(0)))
    assert kept.any(1).all() and not kept[:, 2].any()
    close(kept.mean(0), [0.5 + 0.125, 0.5 + 0.125, 0], atol=0.03)  # and each is the one that stays in half of the quarter
    assert not surviving(jnp.zeros((2, 3), bool), 0.5, jax.random.key(0)).any()
    assert (surviving(here, 0.0, jax.random.key(0)) == here).all()


def test_a_fusion_that_could_not_fuse_is_an_error():
    for wrong in (
        lambda: Concat(TINY_TOKENS, 8, 2, depth=0, rngs=nnx.Rngs(0)),
        lambda: Concat({}, 8, rngs=nnx.Rngs(0)),
        lambda: CoAttention({"a": 6}, 8, rngs=nnx.Rngs(0)),
        lambda: Hierarchical({"a": 6}, 8, rngs=nnx.Rngs(0)),
        lambda: Resampler({"a": 6}, 8, latents=0, rngs=nnx.Rngs(0)),
        lambda: JointAttention(TINY_TOKENS, 8, 3, rngs=nnx.Rngs(0)),
        lambda: Layer(8, 2, dropout=1.0, rngs=nnx.Rngs(0)),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_an_absent_field_takes_no_share_of_the_mean():
    given = {"a": tiny_encodings(jax.random.key(1))["a"]}
    early = Concat(TINY_TOKENS, 8, 2, rngs=nnx.Rngs(0))
    alone = jax.jit(lambda: early(given))()
    close(alone.pooled, alone.tokens[:, :4].mean(1), atol=1e-6)
    both = CoAttention(TINY_TOKENS, 8, 2, rngs=nnx.Rngs(0))
    pooled, summary = jax.jit(lambda: (both(given).pooled, both.summary["a"](*both.streams(given)[0]["a"])[0]))()
    close(pooled, summary, atol=1e-6)
