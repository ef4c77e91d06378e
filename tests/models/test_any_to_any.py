"""Any to any: which source a decoder is told of, means that are followed, a space that stays as it is."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from models.makers import ANY, PLAN, SENSOR, TEXT, any_planning, any_planning_card, any_to_any

from sensorium.core.batch import stack
from sensorium.data.ready import read
from sensorium.losses import Captioning, Denoise, total
from sensorium.models import AnyToAny
from sensorium.nn.norms import unit

ROWS = 4
LOSSES = {"image": (1.0, Denoise("image")), "text": (1.0, Captioning("text", begun=True))}
PLANNED = {"image": (1.0, Denoise("image", ("plan",))), "plan": (1.0, Captioning("plan", begun=True))}


def batch(seed: int = 0) -> dict[str, jax.Array]:
    random = np.random.default_rng(seed)
    words = read(stack([TEXT.prepare(text) for text in ("red", "blue circle", "red square", "circle")]))
    shown = random.integers(0, 256, (ROWS, 16, 16, 3)).astype(np.uint8)
    felt = random.normal(size=(ROWS, SENSOR.length, 2)).astype(np.float32)
    every = {**words, "image": shown, "sensor": felt, "sensor/mask": np.ones((ROWS, SENSOR.length), bool)}
    return {key: jnp.asarray(x) for key, x in every.items()}


def model() -> AnyToAny:
    return AnyToAny.build(**ANY.arguments, rngs=nnx.Rngs(0))


@cache
def compiled(plans: bool = False):
    """Loss and outputs, gradients, and the state after a batch, of a model."""
    graph, state, rest = nnx.split((any_planning() if plans else any_to_any()).model, nnx.Param, ...)

    def loss(state, rest, batch, key):
        built = nnx.merge(graph, state, jax.tree.map(jnp.copy, rest))
        out = built(batch, key)
        return total(PLANNED if plans else LOSSES, out, batch)[0], (out, nnx.state(built, nnx.BatchStat))

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return lambda batch, key=0, rest=rest: run(state, rest, batch, jax.random.key(key))


def test_it_says_what_each_loss_reads_for_the_targets_of_the_batch():
    (value, (out, followed)), slopes = compiled()(batch())
    parts = {f"image/{part}" for part in ("said", "wanted", "weight", "rows", "clean")}
    assert out.keys() == {"scale", "text/unit", "image/unit", "sensor/unit", "image/known", "text/known", "text/logits", *parts}
    assert out["text/logits"].shape == (ROWS, TEXT.length, TEXT.vocabulary_size) and not out["text/logits"][:, 0].any()
    assert jnp.isfinite(value) and out["image/known"].all()
    np.testing.assert_allclose(followed["means"]["sensor"][...], out["sensor/unit"].mean(0), atol=1e-6)
    for name, slope in slopes["decoders"].items():
        assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slope)) > 0, name


def outputs(made: AnyToAny):
    graph, state = nnx.split(made)
    run = jax.jit(lambda state, batch: nnx.merge(graph, state)(batch, jax.random.key(0)))
    return lambda batch: run(state, batch)


def test_what_is_written_is_learned_from_texts_of_their_own_where_it_has_some():
    """And no word of them is read by the space, nor any of what it reads learned."""
    run, given = outputs(AnyToAny.build(**ANY.arguments, taught={"text": "other"}, rngs=nnx.Rngs(0))), batch()
    as_read = {key.replace("text", "other"): x for key, x in given.items() if key.startswith("text")}
    out = run(given | as_read)
    assert {"other/logits", "other/known"} <= out.keys() and "text/logits" not in out and "other/unit" not in out
    np.testing.assert_allclose(out["other/logits"], outputs(model())(given)["text/logits"], rtol=1e-5, atol=1e-6)
    turned = run(given | {key: x[::-1] for key, x in as_read.items()})
    assert (turned["text/unit"] == out["text/unit"]).all() and (turned["other/logits"] != out["other/logits"]).any()
    with pytest.raises(ValueError, match="'image' is no text that is made"):
        AnyToAny.build(**ANY.arguments, taught={"image": "other"}, rngs=nnx.Rngs(0))
    assert not {"text/logits", "other/logits"} & run(given).keys(), "nothing is learned of texts that are read alone"


def test_the_space_gets_no_gradient():
    _, slopes = compiled()(batch())
    assert jax.tree.leaves(slopes["space"]) and not any(x.any() for x in jax.tree.leaves(slopes["space"])), "exactly zero"


def test_a_row_without_any_source_counts_nowhere():
    absent = {f"{name}/here": jnp.asarray([True, True, True, False]) for name in ("text", "image", "sensor")}
    (value, (out, means)), slopes = compiled()(batch() | absent)
    assert out["image/known"].tolist() == out["text/known"].tolist() == [True, True, True, False]
    other = batch() | absent
    for name in ("text", "image", "sensor"):
        other[name] = other[name].at[3].set(other[name][0])
    (again, (_, others)), same = compiled()(other)
    assert value == again
    for a, b in zip(jax.tree.leaves((slopes, means)), jax.tree.leaves((same, others)), strict=True):
        assert (a == b).all()


def test_a_source_that_is_there_is_what_is_told():
    """Where one field alone has a source, no other one has an effect."""
    only = {f"{name}/here": jnp.zeros(ROWS, bool) for name in ("text", "image")}
    said = compiled()(batch() | only)[0][1][0]["text/logits"]
    moved = batch() | only
    assert (compiled()(moved | {"image": 255 - moved["image"]})[0][1][0]["text/logits"] == said).all()
    felt = compiled()(moved | {"sensor": moved["sensor"][::-1] * 2})[0][1][0]["text/logits"]
    assert (felt != said).any(axis=(1, 2)).all()


def test_means_are_plain_means_of_the_first_batches():
    made, seen = model(), []
    for seed in range(3):
        here = jnp.asarray([True, True, seed < 2, False])
        units = unit(jax.random.normal(jax.random.key(seed), (ROWS, made.width)))
        seen.append(np.asarray(units)[np.asarray(here)].mean(0))
        made._follow({"image": units, "text": units}, {"image": here, "text": jnp.zeros(ROWS, bool)})
    np.testing.assert_allclose(made.means["image"][...], np.mean(seen, axis=0), atol=1e-6)
    assert not made.means["text"][...].any(), "what was never there has no mean yet"
    told = made.told("image", units)
    np.testing.assert_allclose(told, unit(units - made.means["image"][...][None]), atol=1e-6)
    made.batches[...] = jnp.asarray(1e6)
    before = np.asarray(made.means["image"][...])
    made._follow({"image": units}, {"image": jnp.ones(ROWS, bool)})
    np.testing.assert_allclose(made.means["image"][...], 0.99 * before + 0.01 * np.asarray(units).mean(0), atol=1e-6)


def test_what_is_told_has_length_one_and_the_noise_its_own():
    made = any_to_any().model
    assert isinstance(made, AnyToAny)
    units = {"image": made.space(batch())["image/unit"]}
    about, known = made._drawn(units, {"image": jnp.ones(ROWS, bool)}, jax.random.key(0))
    assert known.all() and about.mask.shape == (ROWS, 1)
    np.testing.assert_allclose(jnp.linalg.norm(about.tokens[:, 0], axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(about.pooled, about.tokens[:, 0] * np.sqrt(made.width), rtol=1e-5)
    cosines = jnp.sum(about.tokens[:, 0] * made.told("image", units["image"]), axis=1)
    off = np.sqrt(1 - made.noise**2)  # the noise is at most at a right angle to what makes the sum shortest
    assert (cosines >= off - 1e-5).all() and (cosines < 1 - 1e-5).all()


def plans(*texts: str) -> dict[str, jax.Array]:
    return {key: jnp.asarray(x) for key, x in read(stack([PLAN.prepare(text) for text in texts])).items()}


def test_with_a_planner_pictures_owe_all_to_the_plan_and_the_plan_to_the_vector():
    told = plans("red circle", "blue square", "red square", "blue circle")
    (value, (out, _)), slopes = compiled(True)(batch() | told)
    parts = {f"image/{part}" for part in ("said", "wanted", "weight", "rows", "clean")}
    units = {"scale", "text/unit", "image/unit", "sensor/unit"}
    assert out.keys() == {*units, "image/known", "text/known", "text/logits", "plan/known", "plan/logits", *parts}
    assert jnp.isfinite(value) and out["plan/logits"].shape == (ROWS, PLAN.length, PLAN.vocabulary_size)
    learns = {name: any(x.any() for x in jax.tree.leaves(slope)) for name, slope in slopes["planner"].items()}
    assert learns == {"decoder": True, "reader": True} and any(x.any() for x in jax.tree.leaves(slopes["decoders"]["image"]))
    other = compiled(True)(batch() | plans("blue circle", "blue square", "red square", "blue circle"))[0][1][0]
    differs = [(out[f"image/{part}"] != other[f"image/{part}"]).any((1, 2, 3)) for part in ("said", "wanted")]
    assert differs[0].tolist() == [True, False, False, False] and not differs[1].any(), "one plan is another one, one picture is"
    moved = compiled(True)({**batch(), "sensor": 2 * batch()["sensor"][::-1], **told})[0][1][0]
    assert (moved["image/said"] == out["image/said"]).all() and (moved["plan/logits"] != out["plan/logits"]).any()
    none = {f"{name}/here": jnp.asarray([True, True, True, False]) for name in ("text", "image", "sensor")}
    out = compiled(True)(batch() | told | none)[0][1][0]
    assert out["plan/known"].tolist() == [True, True, True, False] and out["image/known"].all(), "it is made of its plan alone"
    out = compiled(True)(batch() | told | {"plan/here": jnp.asarray([True, False, True, True])})[0][1][0]
    assert out["image/known"].tolist() == [True, False, True, True]


def test_each_token_of_a_vector_reads_it_by_a_matrix_of_its_own():
    made = any_planning().model
    assert isinstance(made, AnyToAny) and made.prefix is not None
    vectors = np.asarray(unit(jax.random.normal(jax.random.key(0), (ROWS, made.width))))
    about, read_by = made.about(jnp.asarray(vectors)), np.asarray(made.prefix.read.kernel[...]).reshape(12, 3, 12)
    expected = np.asarray(made.prefix.place[...]) + np.einsum("bd,dnw->bnw", vectors * np.sqrt(12), read_by)
    np.testing.assert_allclose(about.tokens, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(about.pooled, vectors * np.sqrt(12), rtol=1e-5)
    assert about.mask.shape == (ROWS, 3) and about.mask.all()


def test_without_a_plan_in_the_batch_nothing_is_drawn_nor_planned():
    made = AnyToAny.build(**any_planning_card().arguments, rngs=nnx.Rngs(0))
    out = made(batch(), jax.random.key(0))
    assert not any(key.startswith(("plan", "image/said")) for key in out) and "text/logits" in out
    told = plans("red circle", "blue square", "red square", "blue circle")
    alone = {key: x for key, x in batch().items() if key.startswith("sensor")} | told
    assert "plan/logits" in made(alone, jax.random.key(0)), "with nothing that is made of it"


def test_a_planner_of_a_field_that_is_made_otherwise_is_an_error():
    card = any_planning_card().arguments
    with pytest.raises(ValueError, match="a planner that writes 'text': expected a field that is neither"):
        AnyToAny.build(**{**card, "planner": card["planner"] | {"target": "text"}}, rngs=nnx.Rngs(0))


def test_what_makes_no_such_model_is_an_error():
    with pytest.raises(ValueError, match="'smell' is no field of a space"):
        AnyToAny.build(**ANY.arguments, sources=["smell"], rngs=nnx.Rngs(0))
    nothing = {key: x for key, x in batch().items() if not key.startswith(("text", "sensor"))}
    made = AnyToAny.build(**ANY.arguments, sources=["text"], rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="to learn to make image takes one of text"):
        made(nothing, jax.random.key(0))
