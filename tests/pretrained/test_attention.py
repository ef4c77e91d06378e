"""Maps of attention and of relevance, beside what transformers has with the same small checkpoints (`making/attention.py`)."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pretrained.making.attention import NAMES, P
from pretrained.making.common import PICTURES, TEXTS
from pretrained.test_families import NEAR, RECORDED, loaded, off, reference, tower

from sensorium import Sensorium
from sensorium.core.errors import UnknownName
from sensorium.nn.standard import StandardLayer
from sensorium.training import Card

every = pytest.mark.parametrize("name", NAMES)
IMAGES = sorted(PICTURES.iterdir())[:P]


@cache
def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(RECORDED / name / "attention.npz") as file:
        return dict(file)


@every
def test_the_weights_of_every_layer_are_the_reference_s_and_give_what_the_fast_path_gives(name):
    graph, state = nnx.split(tower(loaded(name), "image"))
    pixels = jnp.asarray(reference(name)["given/image"][:P])

    @jax.jit
    def both(state, pixels):
        encoder = nnx.merge(graph, state)
        return encoder.watched(pixels), encoder(pixels).pooled

    (pooled, weights), fast = both(state, pixels)
    assert off(pooled, np.asarray(fast)) < NEAR and off(fast, reference(name)["image/pooled"][:P]) < NEAR
    for got, expected in zip(weights, recorded(name)["layers"], strict=name != "siglip"):
        assert off(got, expected) < NEAR and np.allclose(got.sum(-1), 1, atol=1e-5)


@every
def test_a_picture_s_map_is_the_reference_s_a_head_each(name):
    model, expected = loaded(name), recorded(name)["last"]
    maps = model.attention(image=[*IMAGES, *IMAGES, *IMAGES])  # more than are computed at a time
    assert maps.dtype == np.float32 and off(maps, np.concatenate([expected] * 3)) < NEAR
    assert off(model.attention(IMAGES[1]), expected[1:2]) < NEAR
    assert model.attention([]).shape == (0, *expected.shape[1:])


@every
def test_a_rollout_is_the_product_of_layers_that_keep_half(name):
    layers = recorded(name)["layers"].mean(2).astype(np.float64)
    tokens = layers.shape[-1]
    whole = np.eye(tokens)
    for one in layers:
        whole = (one + np.eye(tokens)) / 2 @ whole
    asked = np.einsum("bp,bpq->bq", recorded(name)["last"].mean(1).reshape(P, -1), whole) if name == "siglip" else whole[:, 0]
    h, w = recorded(name)["last"].shape[2:]
    expected = asked[:, -h * w :].reshape(P, 1, h, w)
    assert off(loaded(name).attention(IMAGES, rollout=True), expected) < NEAR


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_relevance_is_what_the_equations_give_with_the_reference_s_gradients(name):
    model, expected = loaded(name), recorded(name)["relevance"]
    texts: list[str] = [*TEXTS[:P]]
    assert off(model.explain(IMAGES, texts), expected[np.arange(P), np.arange(P)]) < NEAR
    assert off(model.explain(IMAGES[0], texts), expected[0]) < NEAR
    assert off(model.explain(image=IMAGES, text=texts[2]), expected[:, 2]) < NEAR
    last = recorded(name)["relevance/last"]
    assert off(model.explain(IMAGES[0], texts, layers=1), last[0]) < NEAR
    assert off(last, expected) > 0.01, "one layer is not all of them"


def test_a_layer_that_is_watched_gives_what_a_call_gives_where_not_all_is_seen():
    layers: tuple[dict[str, Any], ...] = ({"gated": True, "layer_scale": True}, {"norm_first": False, "qkv_bias": False})
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    seen = jnp.tri(5, dtype=bool)[None, None] & jnp.asarray([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)[:, None, None]

    @partial(jax.jit, static_argnums=0)
    def both(graph, state):
        layer = nnx.merge(graph, state)
        return layer(x, seen), layer.watched(x, seen)

    for said in layers:
        called, (watched, weights) = both(*nnx.split(StandardLayer(8, 2, 12, **said, rngs=nnx.Rngs(0))))
        np.testing.assert_allclose(called, watched, atol=2e-6)
        assert (np.asarray(weights)[0][:, ~np.asarray(seen[0, 0])] == 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)


def test_what_cannot_be_mapped_says_why():
    model = loaded("clip")
    with pytest.raises(ValueError, match="3 pictures and 2 texts: expected as many, or one of either"):
        model.explain(IMAGES, ["a", "b"])
    with pytest.raises(ValueError, match=r"layers=9: this encoder has 2"):
        model.explain(IMAGES[0], "a", layers=9)
    with pytest.raises(ValueError, match=r"one vision transformer.*has 0 \(text: PublishedText\)"):
        loaded("bert").attention(IMAGES[0])
    with pytest.raises(UnknownName, match="no field 'text'"):
        loaded("vit").explain(IMAGES[0], "a cat")


def test_a_probe_looks_where_its_encoder_does():
    inner = loaded("vit").card.arguments["encoders"]["image"]
    arguments = {"encoder": "probed", "inner": inner, "labels": ["a", "b"]}
    card = Card("space", {**loaded("vit").card.arguments, "encoders": {"image": arguments}})
    model = card.build(0)
    nnx.update(model.encoders["image"].inner, nnx.state(tower(loaded("vit"), "image")))  # type: ignore[union-attr]
    maps = Sensorium(model, loaded("vit").fields, card).attention(IMAGES[0])
    assert off(maps, recorded("vit")["last"][:1]) < NEAR


def test_maps_follow_the_parameters():
    model, expected = loaded("vit"), recorded("vit")["last"][:1]
    image = tower(model, "image")
    kept = image.layers[-1].key.kernel[...]
    image.layers[-1].key.kernel[...] = kept * 2
    changed = model.attention(IMAGES[0])
    image.layers[-1].key.kernel[...] = kept
    assert off(changed, expected) > 0.01 and off(model.attention(IMAGES[0]), expected) < NEAR
