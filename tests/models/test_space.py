"""The shared space: what it encodes, how long its vectors are, where its scale ends, and how JSON makes it."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.errors import UnknownName
from sensorium.encoders import ConvNet, TextTransformer
from sensorium.models import MODELS, Space

ARGUMENTS = {
    "encoders": {
        "image": {"encoder": "convnet", "size": 16, "widths": [4, 6]},
        "text": {"encoder": "text_transformer", "vocabulary": 11, "length": 6, "width": 8, "heads": 2},
    },
    "width": 10,
    "temperature": 0.5,
}


def built(seed: int = 0) -> Space:
    made = MODELS["space"].build(**json.loads(json.dumps(ARGUMENTS)), rngs=nnx.Rngs(seed))
    assert isinstance(made, Space)
    return made


def call(space: Space, batch: dict) -> dict[str, jax.Array]:
    graph, state = nnx.split(space)
    return jax.jit(lambda state, batch: nnx.merge(graph, state)(batch))(state, batch)


@pytest.fixture
def batch() -> dict[str, jax.Array]:
    mask = jnp.arange(6)[None] < jnp.array([[6], [2], [4]])
    image = jax.random.randint(jax.random.key(0), (3, 16, 16, 3), 0, 256).astype(jnp.uint8)
    return {"image": image, "text": jax.random.randint(jax.random.key(1), (3, 6), 0, 11), "text/mask": mask}


def test_it_encodes_what_the_batch_has_and_nothing_else(batch):
    space = built()
    both = call(space, batch)
    assert set(both) == {"image/unit", "text/unit", "scale"}
    for name in ("image", "text"):
        assert both[f"{name}/unit"].shape == (3, 10)
        np.testing.assert_allclose(jnp.linalg.norm(both[f"{name}/unit"], axis=1), 1, rtol=1e-5)
        alone = call(space, {key: value for key, value in batch.items() if key.split("/")[0] == name})
        assert set(alone) == {f"{name}/unit", "scale"}
        np.testing.assert_allclose(alone[f"{name}/unit"], both[f"{name}/unit"], atol=1e-6)
    assert set(call(space, {"audio": batch["image"]})) == {"scale"}


def test_the_mask_of_a_text_reaches_its_encoder(batch):
    space = built()
    changed = batch | {"text": jnp.where(batch["text/mask"], batch["text"], 3)}
    np.testing.assert_allclose(call(space, changed)["text/unit"], call(space, batch)["text/unit"], atol=1e-6)
    unmasked = {key: value for key, value in batch.items() if key != "text/mask"}
    assert np.abs(call(space, unmasked)["text/unit"] - call(space, batch)["text/unit"])[1].max() > 1e-3


def test_the_scale_starts_at_one_over_the_temperature_and_settles_at_a_hundred(batch):
    space = built()
    assert float(call(space, {})["scale"]) == pytest.approx(2.0)
    space.settle()
    assert float(space.log_scale[...]) == pytest.approx(math.log(2)), "a scale below the limit is left as it is"
    space.log_scale[...] = jnp.float32(7.0)
    space.settle()
    assert float(call(space, {})["scale"]) == pytest.approx(100.0, rel=1e-5)


def test_json_makes_what_the_constructor_makes(batch):
    rngs = nnx.Rngs(0)
    image = ConvNet(16, widths=(4, 6), rngs=rngs)
    text = TextTransformer(11, 6, width=8, heads=2, rngs=rngs)
    plain, made = Space({"image": image, "text": text}, 10, 0.5, rngs=rngs), built()
    for a, b in zip(jax.tree.leaves(nnx.state(plain)), jax.tree.leaves(nnx.state(made)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(nnx.state(plain)) == jax.tree.structure(nnx.state(made))
    for a, b in zip(jax.tree.leaves(call(plain, batch)), jax.tree.leaves(call(made, batch)), strict=True):
        np.testing.assert_array_equal(a, b)
    unlike = zip(jax.tree.leaves(nnx.state(built(1))), jax.tree.leaves(nnx.state(made)), strict=True)
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in unlike), "another seed, another model"


def test_an_unknown_encoder_or_model_names_the_nearest():
    with pytest.raises(UnknownName, match=r"no encoder is called 'convnext'\. Did you mean 'convnet'"):
        Space.build({"image": {"encoder": "convnext", "size": 16}}, rngs=nnx.Rngs(0))
    with pytest.raises(UnknownName, match=r"no model is called 'spaces'\. Did you mean 'space'"):
        MODELS["spaces"]


def test_pairs_may_learn_their_own_scale_and_bias_which_settle_too():
    arguments = ARGUMENTS | {"temperature": 0.1, "bias": -10.0, "own_scales": [["image", "text"]]}
    space = Space.build(**json.loads(json.dumps(arguments)), rngs=nnx.Rngs(0))
    assert {name: float(x) for name, x in call(space, {}).items()} == pytest.approx(
        {"scale": 10.0, "bias": -10.0, "scale/image-text": 10.0, "bias/image-text": -10.0}, rel=1e-5
    )
    space.own_log_scales["image-text"][...] = jnp.float32(9.0)
    space.own_biases["image-text"][...] = jnp.float32(-300.0)
    space.settle()
    assert {name: float(x) for name, x in call(space, {}).items()} == pytest.approx(
        {"scale": 10.0, "bias": -10.0, "scale/image-text": 1000.0, "bias/image-text": -100.0}, rel=1e-5
    )
    assert len(jax.tree.leaves(nnx.state(space))) == len(jax.tree.leaves(nnx.state(built()))) + 3
    gradient = jax.grad(lambda state: call(nnx.merge(nnx.graphdef(space), state), {})["bias/image-text"])(nnx.state(space))
    assert sum(float(jnp.sum(jnp.abs(x))) for x in jax.tree.leaves(gradient)) == 1.0, "a parameter, and the only one asked"


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"own_scales": [["image", "audio"]]}, "two of the fields"), ({"temperature": 0.001}, "at most 100")],
    ids=["no such field", "too cold"],
)
def test_a_pair_that_is_none_and_a_scale_that_cannot_be_are_told(wrong, match):
    with pytest.raises(ValueError, match=match):
        Space.build(**(ARGUMENTS | wrong), rngs=nnx.Rngs(0))
