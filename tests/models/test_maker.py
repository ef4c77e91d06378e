"""A maker: what its decoder is told, what a missing row does, and that it learns from rows that are whole."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from models.makers import DIT, FEELER, PICTURES, READER, SENSOR, TEXT, maker, planning_card, shaken

from sensorium.core.batch import stack
from sensorium.data.ready import read
from sensorium.losses import Captioning, Denoise, total
from sensorium.modalities import Text
from sensorium.models import Maker

SAID = ("red circle", "blue square", "red square")
LOSS = {"denoise": (1.0, Denoise("image", ("text",)))}


def batch() -> dict[str, jax.Array]:
    shown = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    told = read(stack([TEXT.prepare(text) for text in SAID]))
    return {key: jnp.asarray(x) for key, x in {**told, "image": shown}.items()}


@cache
def compiled():
    """(outputs, gradients of the loss) of a batch with a key."""
    graph, state, rest = nnx.split(maker().model, nnx.Param, ...)

    def loss(state, batch):
        out = nnx.merge(graph, state, rest)(batch, jax.random.key(5))
        return total(LOSS, out, batch)[0], out

    return jax.jit(jax.value_and_grad(loss, has_aux=True)), state


def test_with_a_key_it_says_what_its_loss_reads_and_without_one_vectors_only():
    run, state = compiled()
    (_, out), _ = run(state, batch())
    assert out.keys() == {"text/unit", *(f"image/{part}" for part in ("said", "wanted", "weight", "rows", "clean"))}
    assert out["image/said"].shape == (3, 8, 8, 3)
    model = maker().model
    alone = model(batch())
    assert alone.keys() == {"text/unit"} and model(batch() | {"image/here": jnp.zeros(3, bool)}).keys() == {"text/unit"}
    np.testing.assert_allclose(jnp.linalg.norm(alone["text/unit"], axis=1), 1.0, rtol=1e-5)
    assert isinstance(model, Maker) and model.targets == ("image",)
    told = model.about(batch())
    np.testing.assert_allclose(told.tokens, model.all_outputs(batch())["text/tokens"], atol=1e-6)


@pytest.mark.parametrize("field", ["image", "text"])
def test_a_row_that_lacks_either_side_has_no_effect_on_anything(field):
    run, state = compiled()
    gone = {f"{field}/here": jnp.asarray([True, False, True])}
    (value, _), slopes = run(state, batch() | gone)
    changed = batch() | gone
    changed[field] = changed[field].at[1].set(changed[field][0])
    (again, _), others = run(state, changed)
    assert value == again and all((a == b).all() for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(others), strict=True))
    assert value != run(state, batch())[0][0]


def test_every_encoder_is_heard_and_one_that_lacks_a_row_is_silent_there():
    card = {"encoders": {"text": READER, "sensor": {**FEELER, "width": 8}}, "target": "image"}
    model = Maker.build(**card, decoder=PICTURES | {"tokens": 8, "network": DIT | {"depth": 1}}, rngs=nnx.Rngs(0))
    both = batch() | {"sensor": jax.random.normal(jax.random.key(0), (3, SENSOR.length, 2))}
    told = model.about(both)
    assert told.pooled.shape == (3, model.width) and model.width == sum(x.pooled_width for x in model.encoders.values())
    part = model.about(both | {"sensor/here": jnp.asarray([True, False, True])})
    width = model.encoders["sensor"].pooled_width
    silent = part.pooled[1, :width] if next(iter(model.encoders)) == "sensor" else part.pooled[1, -width:]
    assert not silent.any() and part.mask[1].sum() == TEXT.prepare(SAID[1])["text/mask"].sum()
    assert (part.pooled[0] == told.pooled[0]).all()
    with pytest.raises(ValueError, match="image is made from"):
        model.about(batch())


def test_a_planner_learns_to_write_the_plan_and_the_decoder_to_make_it():
    """Either by its own loss: the words of the prompt move the planner alone, those of the plan what reads them."""
    model, plan = shaken(planning_card(TEXT.length).build(0)), Text("plan", TEXT.words, TEXT.alphabet, TEXT.length)
    graph, state, rest = nnx.split(model, nnx.Param, ...)
    both = batch() | {key: jnp.asarray(x) for key, x in read(stack([plan.prepare(text) for text in SAID[::-1]])).items()}

    @jax.jit
    def slopes(state):
        def loss(state, name, kind):
            out = nnx.merge(graph, state, rest)(both, jax.random.key(5))
            return total({name: (1.0, kind)}, out, both)[0]

        plan = jax.grad(loss)(state, "plan", Captioning("plan", given=("text",), begun=True))
        return plan, jax.grad(loss)(state, "denoise", Denoise("image", ("plan",)))

    moved = [{path[0] for path, x in nnx.to_flat_state(one) if bool((x[...] != 0).any())} for one in slopes(state)]
    assert moved == [{"planner"}, {"encoders", "decoder"}]
    assert isinstance(model, Maker)
    all_rows = model(both, jax.random.key(0))["plan/logits"]
    model.stride = 2
    out = model(both, jax.random.key(0))
    assert out["plan/known"].tolist() == [True, False, True] and not out["plan/logits"][1].any()
    np.testing.assert_allclose(out["plan/logits"][::2], all_rows[::2], atol=1e-5)
    assert model(both).keys() == {"plan/unit"} and "plan/logits" in model(both, jax.random.key(0))


def test_a_maker_of_nothing_or_of_what_it_reads_is_an_error():
    model, plans = maker().model, planning_card().build(0)
    assert isinstance(model, Maker) and isinstance(plans, Maker)
    with pytest.raises(ValueError, match="a planner that writes plan of text, where image is made from text"):
        Maker(dict(model.encoders.items()), model.decoder, "image", plans.planner)
    for encoders, target in (({}, "image"), (dict(model.encoders.items()), "text")):
        with pytest.raises(ValueError, match="expected one or more, not of it"):
            Maker(encoders, model.decoder, target)
