"""What every encoder of the room has to hold, whatever it reads: each is asked through `tiny`."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from encoders.fields import Clips, Traces
from flax import nnx

from sensorium.core.encoding import Encoder
from sensorium.encoders import ENCODERS
from sensorium.modalities import MODALITIES
from sensorium.modalities.picture_patches import Patches
from sensorium.modalities.spectrogram import Spectrogram


@cache
def made(name: str) -> tuple:
    """The tiny encoder, its input, and itself compiled."""
    encoder, x = ENCODERS[name].tiny(nnx.Rngs(0))
    graph, state = nnx.split(encoder)
    compiled = jax.jit(lambda state, x, mask: nnx.merge(graph, state)(x, mask))
    return encoder, np.asarray(x), lambda x, mask=None: jax.tree.map(np.asarray, compiled(state, x, mask))


def close(a, b) -> bool:
    return all(np.allclose(p, q, atol=1e-5) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def rows(encoding, which):
    return jax.tree.map(lambda part: part[np.array(which)], encoding)


READERS = ["text_transformer", "token_transformer", "published_text"]
"""Those of token ids, which alone come with a mask. (Building them to see would be done by everybody who lists the tests.)"""
every = pytest.mark.parametrize("name", sorted(ENCODERS))
UP_TO = {"token_transformer", "published_text"}
"""Those that read anything up to the length that they are built for; the others read that length only."""
CHOSEN = {
    "vit": MODALITIES["image"](),
    "bridged": MODALITIES["image"](),
    "probed": MODALITIES["image"](),
    "published_vit": MODALITIES["image"](),
    "published_text": MODALITIES["text"](),
    "published_patches": Patches(),
    "token_transformer": MODALITIES["text"](),
    "audio_transformer": MODALITIES["audio"](),
    "wave": MODALITIES["audio"](),
    "published_audio": MODALITIES["audio"](),
    "published_htsat": Spectrogram(),
    "published_video": Clips(),
    "published_xclip": Clips(),
    "video": Clips(),
    "resnet3d": Clips(),
    "sensor": Traces(),
}
"""Encoders that no modality has as its tower, and a field (or what has the attributes of one) that each can be built for."""


@every
def test_the_encoding_is_as_wide_as_it_says_and_depends_on_its_input(name):
    encoder, x, encode = made(name)
    assert isinstance(encoder, Encoder) and (x.dtype == np.int32) == (name in READERS)
    tokens, mask, pooled = encode(x)
    assert tokens.shape[:2] == mask.shape and len(pooled) == len(x)
    assert pooled.shape[1] == encoder.pooled_width
    assert mask.all() and all(np.isfinite(part).all() for part in (tokens, pooled))
    apart = np.linalg.norm(pooled[:, None] - pooled[None], axis=-1)
    assert (apart + np.eye(len(x)) > 0.1).all(), "unlike inputs, unlike encodings"


@every
def test_a_row_depends_on_its_own_input_only(name):
    _, x, encode = made(name)
    whole = encode(x)
    order = np.array([2, 0, 1])
    assert close(encode(x[order]), rows(whole, order))
    others = np.stack([x[0], x[0], x[2][::-1], *x[3:]])
    assert close(rows(encode(others), [0]), rows(whole, [0]))
    assert close(encode(x[1:2]), rows(whole, [1]))


@every
def test_compiled_it_gives_the_same(name):
    encoder, x, encode = made(name)
    assert close(encode(x), encoder(jnp.asarray(x)))


@every
def test_every_parameter_has_a_finite_gradient_and_an_effect(name):
    encoder, x, _ = made(name)
    graph, state, rest = nnx.split(encoder, nnx.Param, ...)

    def loss(state):
        pooled = nnx.merge(graph, state, rest)(jnp.asarray(x)).pooled
        return jnp.sum(pooled * np.arange(pooled.size, dtype=np.float32).reshape(pooled.shape)) / pooled.size

    for path, gradient in nnx.to_flat_state(jax.jit(jax.grad(loss))(state)):
        slope = np.asarray(gradient[...])
        assert np.isfinite(slope).all() and np.abs(slope).max() > 0, path


@every
def test_an_input_of_another_shape_is_an_error_that_tells_both(name):
    encoder, x, _ = made(name)
    wrong = jnp.asarray(np.concatenate([x, x[:, :1]], axis=1) if name in UP_TO else x[:, 1:])
    with pytest.raises(ValueError, match=rf"{wrong.shape[1]}\b.*built for .*{x.shape[1]}\b"):
        encoder(wrong)


@every
def test_a_built_encoder_fits_the_arguments_that_its_modality_gives(name):
    fields = [CHOSEN[name]] if name in CHOSEN else [kind() for kind in MODALITIES.values() if kind.tower == name]
    assert fields, "no modality has this tower, and CHOSEN names no field for it"
    for field in fields:
        x = {key: jax.ShapeDtypeStruct((2, *value.shape), value.dtype) for key, value in field.blank().items()}

        def encode(x, field=field):
            encoder = ENCODERS[name](**ENCODERS[name].arguments(field), rngs=nnx.Rngs(0))
            encoding = encoder(x[field.name], x.get(f"{field.name}/mask"))
            assert encoding.pooled.shape == (2, encoder.pooled_width)
            return encoding

        assert jax.eval_shape(encode, x).tokens.shape[0] == 2


@pytest.mark.parametrize("name", READERS)
def test_masked_tokens_change_nothing_and_are_zero(name):
    _, x, encode = made(name)
    mask = np.arange(x.shape[1])[None] < np.array([[6], [3], [1]])
    before = encode(x, mask)
    after = encode(np.where(mask, x, (x + 5) % 11), mask)
    assert close(before, after)
    assert (before.mask == mask).all()
    assert not before.tokens[~mask].any()
    if before.pooled.shape[1] == before.tokens[0].size:  # laid side by side
        assert not before.pooled.reshape(*mask.shape, -1)[~mask].any()
    assert not close(before.tokens[1, :3], encode(x).tokens[1, :3]), "what is masked is heard where it is not"


@pytest.mark.parametrize("name", READERS)
def test_a_row_that_is_masked_throughout_is_finite_with_its_gradient(name):
    encoder, x, encode = made(name)
    mask = np.ones(x.shape, bool)
    mask[1] = False
    pooled = encode(x, mask).pooled
    assert np.isfinite(pooled).all() and not pooled[1].any()
    assert close(encode(x, mask).pooled[::2], encode(x).pooled[::2]), "the other rows are as they were"
    graph, state = nnx.split(encoder, nnx.Param)
    given = jnp.asarray(x), jnp.asarray(mask)
    gradients = jax.jit(jax.grad(lambda state: jnp.sum(jnp.square(nnx.merge(graph, state)(*given).pooled))))(state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@every
def test_it_computes_in_the_numbers_of_its_parameters(name):
    """bfloat16 has 8 bits: a sum of a few hundred roundings of 2⁻⁹ stays within some per cent."""
    encoder, x, encode = made(name)
    graph, state = nnx.split(encoder)
    fewer = jax.tree.map(lambda a: np.asarray(a).astype(jnp.bfloat16), state)
    tokens, mask, pooled = jax.jit(lambda state, x: nnx.merge(graph, state)(x))(fewer, x)
    assert tokens.dtype == pooled.dtype == jnp.bfloat16 and mask.dtype == bool
    for short, whole in ((tokens, encode(x).tokens), (pooled, encode(x).pooled)):
        off = np.asarray(short, np.float32) - np.asarray(whole)
        assert np.linalg.norm(off) < 0.03 * np.linalg.norm(whole)
