"""The audio, video and sensor encoders of the guide, and what the sample code got wrong: norms, layouts, lengths, frames."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.errors import UnknownName
from sensorium.core.randomness import key_of
from sensorium.multi_modal.senses import AudioEncoder, SensorEncoder, VideoEncoder
from sensorium.nn.frames import at_times

DRAW = np.random.default_rng(0)
SOUNDS = (0.1 * DRAW.standard_normal((3, 200))).astype(np.float32)
CLIPS = DRAW.uniform(0, 1, (2, 9, 16, 12, 3)).astype(np.float32)
TRACES = DRAW.standard_normal((3, 20, 2)).astype(np.float32)


@cache
def audio(front_end: str = "wave", **dials) -> AudioEncoder:
    return AudioEncoder(6, 200, rngs=nnx.Rngs(0), sample_rate=1000, front_end=front_end, width=8, depth=1, **dials)


@cache
def video(frames: int = 4, **dials) -> VideoEncoder:
    return VideoEncoder(6, frames, rngs=nnx.Rngs(0), **{"size": (16, 12), "width": 8, **dials})


@cache
def sensor(**dials) -> SensorEncoder:
    return SensorEncoder(6, 2, 20, rngs=nnx.Rngs(0), width=8, **dials)


COMPILED = {}


def run(encoder, *arguments, **named) -> np.ndarray:
    """The encoder's answer as one program, which is kept for the next call of the same encoder."""
    if encoder not in COMPILED:
        graph, state = nnx.split(encoder)
        COMPILED[encoder] = state, jax.jit(lambda state, rest, named: nnx.merge(graph, state)(*rest, **named))
    state, program = COMPILED[encoder]
    return np.asarray(program(state, arguments, named))


EVERY = {
    "log_mel": (lambda: audio("log_mel"), SOUNDS),
    "wave, flat": (lambda: audio(pooling="flatten"), SOUNDS),
    "frames": (video, CLIPS),
    "r3d_18": (lambda: video(3, backbone="r3d_18", width=2), CLIPS),
    "sensor": (sensor, TRACES),
}
every = pytest.mark.parametrize("name", EVERY)


@every
def test_embeddings_have_length_one_and_one_is_a_batch_of_one(name):
    """The sample's audio embeddings had norms of 0.36, and its encoders took batches only."""
    encoder, x = EVERY[name][0](), EVERY[name][1]
    batch = run(encoder, x)
    assert batch.shape == (len(x), 6)
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(run(encoder, x[1]), batch[1], atol=1e-5)
    assert np.abs(batch[0] - batch[1]).max() > 1e-3


@pytest.mark.parametrize("name", ["log_mel", "sensor", "frames"])
def test_uncompiled_it_gives_the_same(name):
    encoder, x = EVERY[name][0](), EVERY[name][1]
    np.testing.assert_allclose(encoder(x[:1]), run(encoder, x)[:1], atol=1e-5)


@every
def test_what_is_masked_is_not_heard_and_a_row_without_anything_is_the_zero_vector(name):
    """The sample pooled padding in."""
    encoder, x = EVERY[name][0](), EVERY[name][1]
    real = 2 if x.ndim == 5 else 15
    mask = np.zeros(x.shape[:2], bool)
    mask[0, :real] = True
    junk = np.where(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)), x, 0.9).astype(np.float32)
    got = run(encoder, junk, mask)
    np.testing.assert_allclose(got[0], run(encoder, x[0, :real]), atol=1e-5)
    assert not got[1:].any()
    assert np.abs(got[0] - run(encoder, junk)[0]).max() > 1e-3


@every
def test_gradients_are_finite_at_zero_and_without_anything(name):
    encoder, x = EVERY[name][0](), EVERY[name][1]
    graph, state = nnx.split(encoder)
    mask = jnp.ones(x.shape[:2], bool).at[1].set(False)

    def loss(state, x):
        return jnp.sum(nnx.merge(graph, state)(x, mask)[:, 0])

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(state, jnp.zeros(x.shape))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


def test_a_sound_with_its_axis_of_channels_or_without():
    """The sample took (B, 1, N) only: (B, N) raised."""
    encoder = audio()
    np.testing.assert_array_equal(run(encoder, SOUNDS[:, None]), run(encoder, SOUNDS))
    mask = np.arange(200) < np.array([[200], [60], [40]])
    np.testing.assert_array_equal(run(encoder, SOUNDS[:, None], mask[:, None]), run(encoder, SOUNDS, mask))


def test_lengths_are_a_mask():
    encoder, mask = audio(), np.arange(200) < np.array([[200], [61], [0]])
    np.testing.assert_array_equal(run(encoder, SOUNDS, lengths=np.array([200, 61, 0])), run(encoder, SOUNDS, mask))
    np.testing.assert_array_equal(run(encoder, SOUNDS[1], lengths=jnp.array(61)), run(encoder, SOUNDS[1], mask[1]))


@pytest.mark.parametrize(
    ("sounds", "named", "words"),
    [
        (SOUNDS, {"rate": 44100}, r"44100 Hz, where .* 1000 Hz: resample it first"),
        (np.zeros((2, 201), np.float32), {}, r"201 samples.*up to 200.*audio_length=201"),
        (np.zeros((2, 2, 200), np.float32), {}, r"\(2, 2, 200\).*Average its channels"),
        (np.zeros((2, 0), np.float32), {}, "0 samples"),
        (np.full((2, 200), 3000, np.int16), {}, "int16.*32768"),
        (np.full((2, 200), 3000, np.float32), {}, "to 3e.03.*32768"),
        (SOUNDS, {"mask": np.ones((3, 100), bool)}, r"mask of the samples has the shape \(3, 100\).*\(3, 200\)"),
        (SOUNDS, {"mask": np.ones((3, 200), bool), "lengths": [1, 2, 3]}, "one of them"),
        (SOUNDS, {"lengths": [1, 2]}, r"lengths of shape \(2,\).*expected \(3,\)"),
        (SOUNDS, {"lengths": [1, 2, 201]}, r"from 1 to 201 for sounds of 200"),
    ],
)
def test_what_is_no_sound_for_it_is_an_error(sounds, named, words):
    with pytest.raises(ValueError, match=words):
        audio()(sounds, **named)


def test_the_rate_that_it_was_built_for_is_welcome():
    np.testing.assert_array_equal(audio()(SOUNDS[0], rate=1000), audio()(SOUNDS[0]))
    with pytest.raises(UnknownName, match=r"front end is called 'logmel'. Did you mean 'log_mel'"):
        audio("logmel")


def test_the_tokens_of_a_sound_stand_at_their_times_and_meet_the_frames_of_a_clip():
    """Temporal alignment: a click at 0.11 s moves the token that is laid beside the frame at 0.1 s, and no other."""
    encoder = AudioEncoder(6, 200, rngs=nnx.Rngs(0), sample_rate=1000, front_end="wave", width=8, depth=0)
    np.testing.assert_allclose(encoder.token_times(), np.arange(10) * 0.02 + 0.01, atol=1e-6)
    frames = jnp.array([[0.02, 0.1, 0.19]])

    def beside(sound):
        tokens, mask, _ = encoder.encode(sound[None])
        return at_times(tokens, mask, encoder.token_times(), frames, within=0.02)[0][0]

    click = SOUNDS[0].copy()
    click[105:115] += 0.5
    moved = np.abs(np.asarray(beside(jnp.asarray(click)) - beside(jnp.asarray(SOUNDS[0])))).max(axis=1)
    assert moved[1] > 0.1 and moved[0] == 0 and moved[2] == 0


@pytest.mark.parametrize("backbone", ["frames", "r3d_18"])
def test_a_long_clip_is_its_chosen_frames(backbone):
    """The sample compared the 3 channels with num_frames, so that it never thinned a clip out."""
    encoder = video(3, backbone=backbone, width=2 if backbone == "r3d_18" else 8)
    plain = run(encoder, CLIPS)
    chosen, times = CLIPS[:, [0, 4, 8]], np.broadcast_to(np.array([0, 4, 8], np.float32) / 25, (2, 3))
    named = {"times": times} if backbone == "frames" else {}
    np.testing.assert_allclose(run(encoder, chosen, **named), plain, atol=1e-5)
    unseen = CLIPS.copy()
    unseen[:, [1, 2, 3, 5, 6, 7]] = 0
    np.testing.assert_array_equal(run(encoder, unseen), plain)


def test_frames_are_drawn_with_a_key():
    encoder = video(4, sampling="random")
    with pytest.raises(ValueError, match="pass key="):
        encoder(CLIPS)
    draws = [run(encoder, CLIPS, key=jax.random.key(seed)) for seed in (0, 0, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 1e-4 or np.abs(draws[0] - draws[3]).max() > 1e-4
    graph, state = nnx.split(encoder)
    stream = jax.jit(lambda state: nnx.merge(graph, state)(CLIPS, key=nnx.Rngs(frames=7)))(state)
    np.testing.assert_allclose(stream, run(encoder, CLIPS, key=key_of(nnx.Rngs(7))), atol=1e-5)


def test_bytes_are_read_as_shares_of_255():
    bytes_ = np.round(CLIPS * 255).astype(np.uint8)
    np.testing.assert_allclose(run(video(), bytes_), run(video(), (bytes_ / 255).astype(np.float32)), atol=1e-5)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ((0, 1, 4, 2, 3), r"channels? come last here: give clips.transpose\(0, 1, 3, 4, 2\)"),
        ((0, 4, 1, 2, 3), r"channels? come last here: give clips.transpose\(0, 2, 3, 4, 1\)"),
    ],
)
def test_channels_first_is_an_error_that_puts_it_right(order, words):
    """The sample raised "expected 3 channels, got 16" for one of these, and misread the other."""
    turned = CLIPS.transpose(order)
    with pytest.raises(ValueError, match=f"(?i){words}") as caught:
        video()(turned)
    advice = eval(str(caught.value).split("transpose")[1].rstrip("."))
    np.testing.assert_array_equal(turned.transpose(advice), CLIPS)
    with pytest.raises(ValueError, match=r"(?i)transpose"):
        video()(turned[0])


@pytest.mark.parametrize(
    ("clips", "named", "words"),
    [
        (CLIPS[..., :8, :, :], {}, r"8×12, where .*16×12"),
        (CLIPS * 255, {}, "divide by 255"),
        (CLIPS.astype(np.int32), {}, "int32"),
        (CLIPS, {"times": np.zeros((2, 4), np.float32)}, r"times of shape \(2, 4\).*\(2, 9\)"),
        (CLIPS, {"mask": np.ones((9,), bool)}, r"mask of the frames has the shape \(9,\).*\(2, 9\)"),
    ],
)
def test_what_is_no_clip_for_it_is_an_error(clips, named, words):
    with pytest.raises(ValueError, match=words):
        video()(clips, **named)


def test_r3d_says_what_it_does_not_take():
    encoder = video(3, backbone="r3d_18", width=2)
    with pytest.raises(ValueError, match="evenly spaced"):
        encoder(CLIPS, times=np.zeros((2, 9), np.float32))
    with pytest.raises(ValueError, match="pools by the mean"):
        video(backbone="r3d_18", pooling="flatten")
    with pytest.raises(UnknownName, match="Did you mean 'r3d_18'"):
        video(backbone="r3d18")


def test_the_default_r3d_has_the_published_trunk():
    full = nnx.eval_shape(lambda: VideoEncoder(rngs=nnx.Rngs(0), backbone="r3d_18"))
    count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(full, nnx.Param)))
    assert count == 33_371_472 - (512 * 400 + 400) + 512 * 512


@pytest.mark.parametrize(
    ("traces", "named", "words"),
    [
        (TRACES.swapaxes(1, 2), {}, r"\(3, 2, 20\).*swapaxes\(-1, -2\)"),
        (TRACES[..., :1], {}, r"\(B, T, 2\)"),
        (np.concatenate([TRACES, TRACES], 1), {}, "40 moments.*length=40"),
        (np.where(np.arange(20)[None, :, None] == 7, np.nan, TRACES), {}, "row 0 is not finite at moment 7.*mask="),
    ],
)
def test_what_is_no_trace_for_it_is_an_error(traces, named, words):
    with pytest.raises(ValueError, match=words):
        sensor()(traces, **named)


def test_a_trace_with_holes_is_read_with_its_mask():
    holes = np.where(np.arange(20)[None, :, None] == 7, np.nan, TRACES)
    out = sensor()(holes, np.asarray(np.isfinite(holes).all(-1)))
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)


def test_units_can_be_given():
    scaled = sensor(mean=(10.0, 20.0), std=(2.0, 4.0))
    plain = sensor(mean=(0.0, 0.0), std=(1.0, 1.0))
    np.testing.assert_allclose(
        run(scaled, TRACES * np.array([2, 4], np.float32) + np.array([10, 20], np.float32)), run(plain, TRACES), atol=1e-5
    )
