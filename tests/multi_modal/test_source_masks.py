"""What a mask leaves out of a sound or a clip is not read, by any generator: not when it learns, not when it writes or draws."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.multi_modal.generators import AudioToImageGenerator, AudioToTextGenerator, VideoToTextGenerator

WORDS, LENGTH, ROWS = 12, 5, 4
SHAPES = {"audio": (160,), "video": (4, 8, 8, 3)}


@cache
def writer(source: str):
    dials = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2}
    if source == "audio":
        made = AudioToTextGenerator(160, WORDS, LENGTH, rngs=nnx.Rngs(0), sample_rate=1600, **dials)
    else:
        made = VideoToTextGenerator(SHAPES["video"], WORDS, LENGTH, rngs=nnx.Rngs(0), **dials)
    made.decoder.head.kernel[...] *= 20.0
    return made


def given(source: str) -> tuple[np.ndarray, np.ndarray]:
    """Sources whose last part is NaN, and the mask that leaves just that out."""
    x = np.random.default_rng(0).random((ROWS, *SHAPES[source]), np.float32)
    kept = np.arange(x.shape[1])[None].repeat(ROWS, 0) < np.array([[3], [x.shape[1]], [2], [1]]) * (x.shape[1] // 4)
    return np.where(kept.reshape(*kept.shape, *(1,) * (x.ndim - 2)), x, np.float32(np.nan)), kept


def filled(source: str, value: float) -> np.ndarray:
    return np.nan_to_num(given(source)[0], nan=value)


def batch(source: str, x: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    text = np.random.default_rng(1).integers(2, WORDS, (ROWS, LENGTH)).astype(np.int32)
    return {source: x, "text": text} | ({} if mask is None else {f"{source}/mask": mask})


@cache
def program(source: str):
    graph, state = nnx.split(writer(source))
    step = jax.jit(jax.value_and_grad(lambda state, batch: nnx.merge(graph, state).loss(batch)))
    return lambda batch: step(state, batch)


@pytest.mark.parametrize("source", list(SHAPES))
def test_the_loss_does_not_hear_what_is_masked(source):
    broken, mask = given(source)
    loss, gradients = program(source)(batch(source, broken, mask))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    for value in (0.0, 0.9):
        other, _ = program(source)(batch(source, filled(source, value), mask))
        assert float(other) == pytest.approx(float(loss), abs=1e-6)
    heard, _ = program(source)(batch(source, filled(source, 0.9)))
    assert abs(float(heard) - float(loss)) > 1e-4, "without the mask the filling is heard"


@pytest.mark.parametrize("source", list(SHAPES))
def test_what_is_written_does_not_hear_it_either(source):
    made, (broken, mask) = writer(source), given(source)
    ids, score = made.generate(broken, mask, return_scores=True)
    again, same = made.generate(filled(source, 0.9), mask, return_scores=True)
    np.testing.assert_array_equal(ids, again)
    np.testing.assert_allclose(score, same, atol=1e-5)
    assert np.abs(np.asarray(made.generate(filled(source, 0.9), return_scores=True)[1]) - score).max() > 1e-3
    np.testing.assert_array_equal(made(broken, mask), ids)
    np.testing.assert_array_equal(made(broken[2], mask[2]), ids[2])
    logits = made.logits(broken, ids, source_mask=mask)
    np.testing.assert_allclose(logits, made.logits(filled(source, 0.5), ids, source_mask=mask), atol=1e-5)
    assert np.isfinite(logits).all()


def test_pictures_of_masked_sounds():
    made, (broken, mask) = AudioToImageGenerator(160, (8, 8, 3), 16, rngs=nnx.Rngs(0), sample_rate=1600), given("audio")
    silent = run(made, filled("audio", 0.0))
    np.testing.assert_allclose(made(broken, mask), silent, atol=1e-6)
    np.testing.assert_allclose(made(broken[3], mask[3]), silent[3], atol=1e-6)


def test_nothing_is_not_a_number_in_silence():
    """NaN that no mask names is told, where it can be seen."""
    for source, broken in ((name, given(name)[0]) for name in SHAPES):
        with pytest.raises(ValueError, match="with values from nan to nan"):
            writer(source)(broken)
    with pytest.raises(ValueError, match=r"mask of the frames has the shape \(4, 3\): expected a flag for each, \(4, 4\)"):
        writer("video")(filled("video", 0.0), np.ones((4, 3), bool))
    assert jnp.isfinite(program("audio")(batch("audio", filled("audio", 0.0)))[0])
