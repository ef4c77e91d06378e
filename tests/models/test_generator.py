"""A generator: what is said of each token, what it is said about, and that it learns."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from sensorium.losses import Captioning, total
from sensorium.models import MODELS, Generator

LAYERS = {"width": 8, "depth": 1, "heads": 2, "hidden": 12}
PIXELS = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
IMAGE = {"encoder": "published_vit", "size": [8, 8], "patch": 4, "layers": LAYERS, "pixels": PIXELS}
WORDS = {"vocabulary": 9, "length": 6, "layers": LAYERS}


@cache
def built(asks: bool) -> Generator:
    more = {"question": WORDS, "target": "answer"} if asks else {}
    encoders = {"image": IMAGE} if asks else {"image": IMAGE, "other": IMAGE}
    model = Generator.build(encoders=encoders, decoder={"decoder": "published", **WORDS}, start=7, **more, rngs=nnx.Rngs(0))
    assert MODELS["generator"] is Generator
    return model


def batch() -> dict[str, jax.Array]:
    draw = lambda i, shape, most: jax.random.randint(jax.random.key(i), shape, 0, most)  # noqa: E731
    said = {"text": draw(0, (3, 5), 9), "question": draw(1, (3, 6), 9), "answer": draw(2, (3, 4), 9)}
    shown = {name: draw(i, (3, 8, 8, 3), 256).astype(jnp.uint8) for i, name in enumerate(("image", "other"), 3)}
    mask = jnp.arange(6)[None] < jnp.array([6, 2, 4])[:, None]
    return said | shown | {"question/mask": mask, "text/mask": mask[:, :5]}


@cache
def compiled(asks: bool):
    graph, state = nnx.split(built(asks))
    made = jax.jit(lambda state, batch: nnx.merge(graph, state)(batch))
    return lambda batch: jax.tree.map(np.asarray, made(state, batch))


def test_logits_are_of_each_token_given_those_before_it_and_all_fields():
    run, given = compiled(False), batch()
    out = run(given)
    assert out.keys() == {"image/unit", "other/unit", "text/logits"} and out["text/logits"].shape == (3, 5, 9)
    assert (out["text/logits"][:, 0] == 0).all(), "nothing is said of the first"
    moved = run(given | {"text": given["text"].at[:, 2].add(1) % 9})["text/logits"] != out["text/logits"]
    assert not moved[:, :3].any() and moved[0, 3:].any(1).all(), "a token tells of those after it"
    first = run(given | {"text": given["text"].at[:, 0].set(3)})["text/logits"]
    assert (first == out["text/logits"]).all(), "the mark that begins is always the decoder's own"
    for name in ("image", "other"):
        changed = run(given | {name: 255 - given[name]})["text/logits"] != out["text/logits"]
        assert changed[:, 1:].any(2).all()


def test_what_is_missing_or_filled_up_is_not_looked_at():
    given = batch() | {"other/here": jnp.array([True, False, True])}
    run = compiled(False)
    a, b = (run(each)["text/logits"] for each in (given, given | {"other": 255 - given["other"]}))
    assert (a[1] == b[1]).all() and (a[[0, 2], 1:] != b[[0, 2], 1:]).any()
    given, run = batch(), compiled(True)
    other = given | {"question": jnp.where(given["question/mask"], given["question"], (given["question"] + 1) % 9)}
    a, b = (run(each)["answer/logits"] for each in (given, other))
    assert (a == b).all()
    assert (run(given | {"question": given["question"].at[:, 0].add(1) % 9})["answer/logits"] != a)[:, 1:].any(2).all()


def test_a_batch_without_all_that_is_told_about_has_vectors_only_and_no_context():
    given = batch()
    assert compiled(True)({"image": given["image"]}).keys() == {"image/unit"}
    with pytest.raises(ValueError, match="this model writes about image, question"):
        built(True).context({"image": given["image"]})


def test_training_lowers_the_loss_of_captioning():
    model = nnx.clone(built(False))
    losses, given = {"caption": (1.0, Captioning("text", given=("image",), begun=True))}, batch()
    graph, state = nnx.split(model)
    moved = optax.sgd(0.05)

    @jax.jit
    def step(state, held):
        loss, slopes = jax.value_and_grad(lambda state: total(losses, nnx.merge(graph, state)(given), given, jnp.int32(0))[0])(
            state
        )
        change, held = moved.update(slopes, held, state)
        return optax.apply_updates(state, change), held, loss

    held, seen = moved.init(state), []
    for _ in range(3):
        state, held, loss = step(state, held)
        seen.append(float(loss))
    assert seen[2] < seen[1] < seen[0] and np.isfinite(seen).all()
    chances = np.asarray(jax.nn.log_softmax(compiled(False)(given)["text/logits"]))
    rows = [-chances[i, np.arange(1, n), np.asarray(given["text"])[i, 1:n]].mean() for i, n in enumerate((5, 2, 4))]
    np.testing.assert_allclose(seen[0], np.mean(rows), rtol=1e-5)


def test_encoders_of_unlike_widths_are_refused():
    wide = IMAGE | {"layers": LAYERS | {"width": 12}}
    with pytest.raises(ValueError, match=r"encoders of widths \{'a': 8, 'b': 12\}"):
        Generator.build(encoders={"a": IMAGE, "b": wide}, decoder={"decoder": "published", **WORDS}, rngs=nnx.Rngs(0))
