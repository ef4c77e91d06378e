"""The front ends of Whisper and CLAP against numbers that transformers 5.23 recorded (see make_log_mel_references.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from nn.make_log_mel_references import CLAP_FRAMES, FILE, WHISPER_FRAMES, wave

from sensorium.nn.log_mel import LogMel, clap, filters, repeated, whisper


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        return dict(file)


SOUNDS = {
    "whisper80": (whisper(), WHISPER_FRAMES, lambda: np.pad(wave(16000, 2.0), (0, 448000))),
    "whisper128": (whisper(128), WHISPER_FRAMES, lambda: np.pad(wave(16000, 2.0), (0, 448000))),
    "clap_slaney": (clap(), CLAP_FRAMES, lambda: repeated(wave(48000, 3.0), 480000)),
    "clap_htk": (clap(fused=True), CLAP_FRAMES, lambda: repeated(wave(48000, 3.0), 480000)),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_it_is_what_the_reference_makes(name, expected):
    front, frames, sound = SOUNDS[name]
    got = front.exact(sound()[None])[0]
    assert len(got) == (3000 if front.whisper else 1001)
    np.testing.assert_allclose(got[frames], expected[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", SOUNDS)
def test_compiled_in_float32_it_is_the_same(name, expected):
    front, frames, sound = SOUNDS[name]
    got = np.asarray(jax.jit(front)(jnp.asarray(sound()[None])))[0][frames]
    if front.whisper:
        np.testing.assert_allclose(got, expected[name], atol=1e-4, rtol=0)
        return
    # A Fourier transform in float32 has a floor some 130 dB below the loudest frequency; what is near it is less exact.
    loud = expected[name] > expected[name].max(1, keepdims=True) - 50
    assert loud.mean() > 0.3
    np.testing.assert_allclose(got[loud], expected[name][loud], atol=1e-4, rtol=0)
    np.testing.assert_allclose(got, expected[name], atol=0.2, rtol=0)


@pytest.mark.parametrize("bins", [80, 128])
def test_whisper_with_torch_is_as_near(bins, expected):
    """Its extractor computes in float32 where torch is installed."""
    got = whisper(bins).exact(np.pad(wave(16000, 2.0), (0, 448000))[None])[0][WHISPER_FRAMES]
    np.testing.assert_allclose(got, expected[f"whisper{bins}_torch"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("front", [whisper(), clap(), clap(fused=True)], ids=["whisper", "clap", "clap fused"])
def test_silence_is_finite_with_its_gradient(front):
    got, back = jax.vjp(front, jnp.zeros((1, 4800)))
    np.testing.assert_allclose(got, -1.5 if front.whisper else -100, atol=1e-4)
    assert jnp.isfinite(back(jnp.ones_like(got))[0]).all()
    np.testing.assert_allclose(front.exact(np.zeros((1, 4800), np.float32)), got, atol=1e-4)


def test_a_sound_depends_on_no_other_sound_of_its_batch():
    loud, soft = wave(16000, 0.5), 0.001 * wave(16000, 0.5)
    both = whisper().exact(np.stack([loud, soft]))
    np.testing.assert_array_equal(both[1], whisper().exact(soft[None])[0])
    assert both[1].max() < both[0].max() - 1


def test_bands_are_where_their_scale_has_them():
    """htk: height 1, neighbours sum to 1 between the first and the last centre; slaney: each of area 1."""
    step = 48000 / 1024
    htk, slaney = filters(clap(fused=True)), filters(clap())
    inner = slice(int(80 / step) + 1, int(13200 / step))
    np.testing.assert_allclose(htk[inner].sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(slaney[:, 20:].sum(0) * step, 1, atol=0.05)
    for bands in (htk, slaney):
        assert not bands[: int(50 / step)].any() and not bands[int(14000 / step) + 1 :].any()


def test_repeating_fills_with_whole_sounds_then_silence():
    sound = np.arange(1.0, 4.0)
    np.testing.assert_array_equal(repeated(sound, 8), [1, 2, 3, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(repeated(sound, 2), [1, 2])
    np.testing.assert_array_equal(repeated(sound, 3), sound)
    with pytest.raises(ValueError, match="no samples"):
        repeated(sound[:0], 3)


def test_what_cannot_be_is_told():
    with pytest.raises(ValueError, match="slaney, htk"):
        LogMel(16000, 400, 160, 80, 0, 8000, "bark")
    with pytest.raises(ValueError, match=r"50 to 9000 Hz.*8000"):
        LogMel(16000, 400, 160, 80, 50, 9000)
    with pytest.raises(ValueError, match="200 samples: expected more than 200"):
        whisper().exact(np.zeros((1, 200), np.float32))
