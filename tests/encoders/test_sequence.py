"""Sounds and traces as tokens: what fills them up is their absence, and what each front end hears."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.encoders import AudioTransformer, SensorTransformer, VideoTransformer, WaveTransformer
from sensorium.encoders.sequence import Trunk, heads_of, pieces
from sensorium.encoders.video import since_first
from sensorium.modalities import MODALITIES

RATE = 1000  # 20 samples a token
SOUNDS = {"audio_transformer": AudioTransformer, "wave": WaveTransformer}
both = pytest.mark.parametrize("kind", SOUNDS.values(), ids=SOUNDS)


def run(encoder, *arguments):
    graph, state = nnx.split(encoder)
    return jax.jit(lambda state, *rest: nnx.merge(graph, state)(*rest))(state, *arguments)


def sound(kind, samples: int, pooling: str = "attention"):
    dials = {"width": 8, "depth": 1, "heads": 2, "pooling": pooling}
    return kind(samples, RATE, **dials, **({"bins": 8} if kind is AudioTransformer else {}), rngs=nnx.Rngs(0))


def shortened(encoder, short):
    """`short` with the weights of `encoder`, and of its positions the first ones."""
    state = nnx.state(encoder)
    state["positions"]["table"] = nnx.Param(state["positions"]["table"][...][: short.positions.length])
    nnx.update(short, state)
    return short


def noise(*shape: int) -> jax.Array:
    return 0.3 * jax.random.normal(jax.random.key(1), shape)


@both
@pytest.mark.parametrize("pooling", ["attention", "mean"])
def test_padding_of_a_sound_equals_its_absence(kind, pooling):
    encoder = sound(kind, 100, pooling)
    x, mask = noise(2, 100), jnp.arange(100)[None] < jnp.array([[60], [60]])
    got = run(encoder, jnp.where(mask, x, jnp.nan), mask)
    expected = run(shortened(encoder, sound(kind, 60, pooling)), x[:, :60])
    assert got.mask.tolist() == [[True] * 3 + [False] * 2] * 2
    np.testing.assert_allclose(got.pooled, expected.pooled, atol=1e-5)
    np.testing.assert_allclose(got.tokens[:, :3], expected.tokens, atol=1e-5)
    silence = run(encoder, jnp.where(mask, x, 0.0))
    assert np.abs(np.asarray(silence.pooled - got.pooled)).max() > 1e-2, "silence that is real is heard"


@both
def test_the_last_samples_are_heard_where_they_do_not_fill_a_token(kind):
    encoder = sound(kind, 107)
    x = noise(1, 107)
    assert np.abs(np.asarray(run(encoder, x).pooled - run(encoder, x.at[0, 106].add(0.5)).pooled)).max() > 1e-4


def test_the_wave_keeps_the_sign_and_the_spectrum_does_not():
    x = noise(1, 100)
    for kind, heard in ((WaveTransformer, True), (AudioTransformer, False)):
        encoder = sound(kind, 100)
        assert (np.abs(np.asarray(run(encoder, x).tokens - run(encoder, -x).tokens)).max() > 0.1) == heard


def test_windows_of_the_wave_stand_around_their_step():
    windows = sound(WaveTransformer, 45)._windows(jnp.arange(1.0, 46.0)[None], 3)
    padded = np.pad(np.arange(1.0, 46.0), (10, 25))
    np.testing.assert_array_equal(windows[0], [padded[start : start + 40] for start in (0, 20, 40)])


@both
def test_the_gradient_at_silence_is_finite(kind):
    encoder = sound(kind, 100)
    graph, state = nnx.split(encoder)

    def loss(state, x):
        return jnp.sum(jnp.square(nnx.merge(graph, state)(x).pooled[:, :3]))

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(state, jnp.zeros((2, 100)))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


@both
def test_the_audio_modality_gives_the_arguments(kind):
    assert kind.arguments(MODALITIES["audio"]()) == {"samples": 16000, "rate": 16000}
    with pytest.raises(ValueError, match=r"rate of 50 Hz.*1000 or more"):
        kind(100, 50, rngs=nnx.Rngs(0))


def trace(length: int, **dials) -> SensorTransformer:
    return SensorTransformer(length, 2, patch=4, width=8, **dials, rngs=nnx.Rngs(0))


STATISTICS = ({}, {"mean": (3.0, -100.0), "std": (2.0, 50.0)})


def traces(*shape: int) -> jax.Array:
    return noise(*shape) * jnp.array([2.0, 90.0])[None, None] + jnp.array([3.0, -90.0])[None, None]


@pytest.mark.parametrize("dials", STATISTICS, ids=["its own", "given"])
def test_what_fills_up_a_trace_equals_its_absence(dials):
    encoder = trace(12, **dials)
    x, mask = traces(2, 12, 2), jnp.arange(12)[None] < jnp.array([[8], [8]])
    got = run(encoder, jnp.where(mask[:, :, None], x, jnp.nan), mask)
    expected = run(shortened(encoder, trace(8, **dials)), x[:, :8])
    np.testing.assert_allclose(got.pooled, expected.pooled, atol=1e-5)


@pytest.mark.parametrize("dials", STATISTICS, ids=["its own", "given"])
def test_a_gap_is_neither_a_zero_nor_what_stands_in_it(dials):
    encoder = trace(12, **dials)
    x, mask = traces(1, 12, 2), jnp.ones((1, 12), bool).at[0, 5].set(False)
    holes = [run(encoder, x.at[0, 5].set(value), mask).pooled for value in (0.0, 1e6, jnp.nan)]
    np.testing.assert_array_equal(holes[0], holes[1])
    np.testing.assert_array_equal(holes[0], holes[2])
    centre = jnp.array([3.0, -100.0])  # zero, once the given mean is out: only the mask tells it from a gap
    assert np.abs(np.asarray(run(encoder, x.at[0, 5].set(centre)).pooled - holes[0])).max() > 1e-3


def test_given_statistics_are_taken_out():
    raw, plain = traces(2, 12, 2), trace(12, mean=(0.0, 0.0), std=(1.0, 1.0))
    mean, std = (jnp.array(part)[None, None] for part in STATISTICS[1].values())
    expected = run(plain, (raw - mean) / std)
    np.testing.assert_allclose(run(trace(12, **STATISTICS[1]), raw).tokens, expected.tokens, atol=1e-4)


def test_without_statistics_the_units_do_not_drown_a_channel_and_the_level_is_told():
    encoder, x = trace(12), traces(1, 12, 2)
    ours, level = encoder._standardised(x, jnp.ones((1, 12), bool))
    np.testing.assert_allclose(ours.mean(1), 0, atol=1e-4)
    np.testing.assert_allclose(ours.std(1), 1, atol=1e-3)
    both = [np.arcsinh(np.asarray(x).mean(1)), np.log(np.asarray(x).std(1))]
    np.testing.assert_allclose(level, np.concatenate(both, axis=1), atol=1e-4)
    assert np.abs(np.asarray(run(encoder, x).pooled - run(encoder, x + 5.0).pooled)).max() > 1e-3


def test_a_flat_trace_and_an_empty_one_are_finite_with_their_gradient():
    encoder = trace(8)
    graph, state = nnx.split(encoder)
    mask = jnp.array([[True] * 8, [False] * 8])

    def loss(state, x):
        pooled = nnx.merge(graph, state)(x, mask).pooled
        return jnp.sum(jnp.square(pooled)), pooled

    (_, pooled), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(state, jnp.full((2, 8, 2), 7.0))
    assert pooled[0].any() and not pooled[1].any()
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((pooled, gradients)))


@pytest.mark.parametrize(
    "dials", [{"mean": (0.0, 0.0)}, {"mean": (0.0,), "std": (1.0,)}, {"mean": (0.0, 0.0), "std": (1.0, 0.0)}]
)
def test_statistics_that_cannot_be_are_an_error(dials):
    with pytest.raises(ValueError, match=r"each of 2 numbers.*std above 0"):
        trace(8, **dials)


def clip() -> tuple[VideoTransformer, jax.Array]:
    return VideoTransformer.tiny(nnx.Rngs(0))


def test_masked_frames_are_never_seen():
    encoder, x = clip()
    mask = jnp.array([[True, True, False, False], [True] * 4, [False] * 4])
    blind = jnp.where(mask[:, :, None, None, None], x, jnp.nan)
    got, seen = run(encoder, blind, mask), run(encoder, x)
    np.testing.assert_array_equal(got.pooled, run(encoder, x, mask).pooled)
    np.testing.assert_allclose(got.pooled[1], seen.pooled[1], atol=1e-5)
    assert np.abs(np.asarray(got.pooled[0] - seen.pooled[0])).max() > 1e-2 and not got.pooled[2].any()


def test_the_order_and_the_times_of_frames_count_and_when_the_clip_begins_does_not():
    encoder, x = clip()
    times = jnp.broadcast_to(jnp.arange(4) / 25, (3, 4))
    plain, mask = run(encoder, x).pooled, jnp.ones((3, 4), bool)
    np.testing.assert_allclose(run(encoder, x, mask, times).pooled, plain, atol=1e-6)
    np.testing.assert_allclose(run(encoder, x, mask, times + 3600.0).pooled, plain, atol=1e-2)
    assert np.abs(np.asarray(run(encoder, x, mask, times * 10).pooled - plain)).max() > 1e-2
    assert np.abs(np.asarray(run(encoder, x[:, ::-1]).pooled - plain)).max() > 1e-2


def test_times_are_counted_from_the_first_frame_that_is_there():
    times = jnp.array([[9.0, 10.0, 12.0], [1.0, 2.0, 3.0]])
    mask = jnp.array([[False, True, True], [False] * 3])
    np.testing.assert_array_equal(since_first(times, mask), [[0, 0, 2], [0, 0, 0]])


def test_pieces_hold_every_sample_and_say_where_there_is_one():
    x, mask = jnp.arange(1.0, 8.0).reshape(1, 7, 1), jnp.array([[True, True, True, False, False, False, True]])
    blocks, kept = pieces(x, mask, 3)
    np.testing.assert_array_equal(blocks[0, :, :, 0], [[1, 2, 3], [4, 5, 6], [7, 0, 0]])
    assert kept.tolist() == [[True, False, True]]


def test_a_trunk_has_heads_that_fit_and_poolings_by_name():
    assert [heads_of(width) for width in (8, 64, 96, 112)] == [1, 2, 3, 2]
    with pytest.raises(ValueError, match=r"'max'.*attention, mean, flatten"):
        Trunk(4, 8, 1, 2, "max", rngs=nnx.Rngs(0))
