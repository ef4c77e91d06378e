"""Tokens as vectors of the shared space: exactly the parts of a vector where that is a sum of them, and each alone elsewhere."""

from string import ascii_lowercase
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.encoding import Alone
from sensorium.encoders import ENCODERS
from sensorium.modalities import Audio, Image, Text
from sensorium.models import Space
from sensorium.models.pieces import NoTokens, pieces
from sensorium.recipes.towers import space

FIELDS = (Image(size=16), Text(words=("red",), alphabet=ascii_lowercase, length=6), Audio(rate=2000, seconds=0.5))
DIALS = {
    "convnet": {"widths": [6, 8]},
    "text_transformer": {"width": 8, "heads": 2, "window": 3},
    "audio_convnet": {"bins": 16, "hop": 50, "widths": [4, 6]},
}


@pytest.fixture(scope="module")
def model() -> Space:
    return space(FIELDS, 12, DIALS).build(0)  # type: ignore[return-value]


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    _, text, audio = FIELDS
    made = [text.prepare_batch(["red", "a b c", "d"]), {"image": draw.integers(0, 256, (3, 16, 16, 3), np.uint8)}]
    sounds = [audio.prepare((draw.uniform(-1, 1, n).astype(np.float32), 2000)) for n in (1000, 300, 1000)]
    return made[0] | made[1] | {key: np.stack([one[key] for one in sounds]) for key in sounds[0]}


@pytest.mark.parametrize("name", ["image", "text", "audio"])
def test_where_tokens_lie_side_by_side_the_vector_is_their_sum(model, batch, name):
    vectors, mask, grid = pieces(model, name, batch)
    total = np.where(mask[:, :, None], vectors, 0).sum(1)
    whole = model({key: jnp.asarray(x) for key, x in batch.items()})[f"{name}/unit"]
    np.testing.assert_allclose(total / np.linalg.norm(total, axis=1, keepdims=True), whole, atol=1e-5)
    assert mask.shape[1] == np.prod([n for n, _ in grid])
    if name == "image":
        assert grid == ((2, 8), (2, 8)) and mask.all()
    if name == "text":
        assert mask.sum(1).tolist() == [3, 5, 3]
    if name == "audio":
        assert mask[0].all() and not mask[1].all()


def test_a_patch_is_seen_where_it_lies(model, batch):
    """Only the tokens near a change change."""
    changed = batch["image"].copy()
    changed[:, 8:, 8:] = 0
    before, after = (pieces(model, "image", {"image": x})[0] for x in (batch["image"], changed))
    moved = np.abs(after - before).max((0, 2)).reshape(2, 2)
    assert moved.argmax() == 3


@pytest.mark.parametrize("name", sorted(name for name in ENCODERS if issubclass(ENCODERS[name], Alone)))
def test_what_each_token_gives_alone_has_the_form_of_what_is_pooled(name):
    grids = []

    def made():
        encoder, x = ENCODERS[name].tiny(nnx.Rngs(0))
        encoding = encoder(x)
        assert isinstance(encoder, Alone)
        grids.append((encoder.grid(x.shape[1:]), x.shape[1:]))
        return encoder.alone(encoding), encoding

    alone, encoding = jax.eval_shape(made)
    assert alone.shape == (*encoding.tokens.shape[:2], encoding.pooled.shape[1])
    grid, sides = grids[0]
    assert np.prod([n for n, _ in grid]) <= alone.shape[1]
    if name != "audio_convnet":  # its second axis are mel bins
        assert all(n * step >= size > (n - 1) * step for (n, step), size in zip(grid, sides, strict=False))


def test_means_and_questions_are_asked_of_each_token_alone():
    make: Any = ENCODERS["token_transformer"]
    for pooling in ("mean", "map"):
        encoder = make(11, 6, width=8, depth=1, heads=2, pooling=pooling, rngs=nnx.Rngs(0))
        x = jnp.arange(6)[None] + 2
        one = encoder(x, jnp.asarray([[True, False, False, False, False, False]]))
        assert isinstance(encoder, Alone)
        np.testing.assert_allclose(encoder.alone(one)[:, 0], one.pooled, atol=1e-5)


def test_other_encoders_are_refused_by_name():
    encoder, x = ENCODERS["resnet3d"].tiny(nnx.Rngs(0))
    with pytest.raises(NoTokens, match=r"tokens of 'video' .*ResNet3D"):
        pieces(Space({"video": encoder}, 4, rngs=nnx.Rngs(1)), "video", {"video": np.asarray(x)})
    with pytest.raises(NoTokens, match="lie in no shared space"):
        pieces(encoder, "video", {"video": np.asarray(x)})
