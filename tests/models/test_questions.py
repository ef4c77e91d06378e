"""Several questions about one thing in a row: what is shown is encoded once, and each is answered as if it were alone."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.losses import Captioning, total
from sensorium.models import Generator

ENCODERS = {
    "image": {"encoder": "convnet", "size": 8, "widths": [4, 6], "placed": True},
    "question": {"encoder": "text_transformer", "vocabulary": 9, "length": 5, "width": 4, "heads": 2, "window": 3},
}
ASKING = {
    "fusion": "asking",
    "widths": {"image": 6, "question": 4},
    "width": 8,
    "asked": "question",
    "asked_width": 20,
    "queries": 2,
}
FUSIONS = {
    "asking": {**ASKING, "heads": 2, "depth": 1},
    "resampler": {"fusion": "resampler", "widths": {"image": 6, "question": 4}, "width": 8, "latents": 2, "heads": 2, "depth": 1},
}
DECODER = {
    "decoder": "tokens",
    "vocabulary": 9,
    "length": 3,
    "width": 8,
    "context_width": 8,
    "gist_width": 8,
    "depth": 1,
    "heads": 2,
}


@cache
def run(fusion: str):
    model = Generator.build(ENCODERS, DECODER, fusion=FUSIONS[fusion], target="answer", rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)
    made = jax.jit(lambda state, batch: nnx.merge(graph, state)(batch))
    return lambda batch: jax.tree.map(np.asarray, made(state, batch))


def batch() -> dict[str, jax.Array]:
    draw = lambda i, shape, most: jax.random.randint(jax.random.key(i), shape, 0, most)  # noqa: E731
    asked = jnp.arange(5)[None, None] < jnp.array([[5, 3, 4], [2, 5, 0]])[:, :, None]
    said = jnp.arange(4)[None, None] < jnp.array([[4, 3, 3], [3, 4, 0]])[:, :, None]
    given = {
        "image": draw(0, (2, 8, 8, 3), 256).astype(jnp.uint8),
        "question": draw(1, (2, 3, 5), 9),
        "answer": draw(2, (2, 3, 4), 9),
    }
    here = {f"{name}/here": jnp.ones(2, bool) for name in ("image", "question", "answer")}
    return given | here | {"question/mask": asked, "answer/mask": said, "group": jnp.arange(2)}


def one_by_one(given: dict[str, jax.Array]) -> dict[str, jax.Array]:
    texts = ("question", "question/mask", "answer", "answer/mask")
    return {key: x.reshape(6, *x.shape[2:]) if key in texts else jnp.repeat(x, 3, axis=0) for key, x in given.items()}


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
def test_each_is_answered_as_if_it_were_alone(fusion):
    together, alone = run(fusion)(batch()), run(fusion)(one_by_one(batch()))
    assert together["answer/logits"].shape == (2, 3, 4, 9) and alone["answer/logits"].shape == (6, 4, 9)
    np.testing.assert_allclose(together["answer/logits"].reshape(6, 4, 9)[:5], alone["answer/logits"][:5], atol=1e-5)
    assert together.keys() == {"image/unit", "answer/logits"} and alone.keys() == together.keys() | {"question/unit"}
    turned = batch() | {"image": batch()["image"].at[0].set(0)}
    moved = (run(fusion)(turned)["answer/logits"] != together["answer/logits"])[:, :, 1:].any((2, 3))
    assert moved[0].all() and not moved[1].any(), "of the row that it is about"


def test_the_loss_of_a_row_is_the_mean_over_the_tokens_of_all_its_answers():
    given, losses = batch(), {"answer": (1.0, Captioning("answer", begun=True))}
    logits = run("asking")(given)
    chances = jax.nn.log_softmax(jnp.asarray(logits["answer/logits"]))
    said = np.take_along_axis(np.asarray(chances), np.asarray(given["answer"])[..., None], -1)[..., 0]
    real = np.asarray(given["answer/mask"]) & (np.arange(4) > 0)
    rows = [-said[i][real[i]].mean() for i in range(2)]
    assert total(losses, jax.tree.map(jnp.asarray, logits), given)[0] == pytest.approx(np.mean(rows), rel=1e-5)
