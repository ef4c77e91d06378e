"""Which frames of a clip are looked at, by hand; times as waves; and what was heard when."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.nn.frames import at_times, sample_frames, time_waves

sample = partial(jax.jit, static_argnums=(1, 2))(sample_frames)


def mask_of(*lengths: int, most: int) -> jax.Array:
    return jnp.arange(most)[None] < jnp.array(lengths)[:, None]


@pytest.mark.parametrize(
    ("length", "frames", "sampling", "expected"),
    [
        (9, 3, "uniform", [0, 4, 8]),
        (10, 4, "uniform", [0, 3, 6, 9]),
        (8, 3, "uniform", [0, 4, 7]),  # 3.5 is rounded up
        (9, 1, "uniform", [4]),
        (9, 3, "segment", [1, 4, 7]),
        (10, 4, "segment", [1, 3, 6, 8]),  # the middles of [0, 2.5), [2.5, 5), …
        (5, 1, "segment", [2]),
        (4, 4, "uniform", [0, 1, 2, 3]),
        (4, 4, "segment", [0, 1, 2, 3]),
    ],
)
def test_a_long_clip_is_thinned_and_an_exact_one_is_kept(length, frames, sampling, expected):
    index, kept = sample(mask_of(length, most=length), frames, sampling)
    assert index.tolist() == [expected] and kept.all()


@pytest.mark.parametrize("sampling", ["uniform", "segment", "random"])
@pytest.mark.parametrize("most", [3, 9])
def test_a_short_clip_keeps_each_frame_once_and_masks_the_rest(sampling, most):
    index, kept = sample(mask_of(3, 1, 0, most=most), 5, sampling, jax.random.key(0))
    assert index.tolist() == [[0, 1, 2, 0, 0], [0] * 5, [0] * 5]
    assert kept.tolist() == [[True] * 3 + [False] * 2, [True] + [False] * 4, [False] * 5]


def test_frames_that_are_missing_in_between_are_never_chosen():
    mask = jnp.array([[True, False, True, True, False, True, False, True]])  # 0 2 3 5 7
    assert sample(mask, 3, "uniform")[0].tolist() == [[0, 3, 7]]
    assert sample(mask, 5, "uniform")[0].tolist() == [[0, 2, 3, 5, 7]]
    for seed in range(20):
        index, kept = sample(mask, 3, "random", jax.random.key(seed))
        assert kept.all() and set(index[0].tolist()) <= {0, 2, 3, 5, 7}


def test_segments_give_one_frame_each_at_random_and_all_their_frames_in_time():
    drawn = np.array([sample(mask_of(10, most=12), 4, "segment", jax.random.key(seed))[0][0] for seed in range(60)])
    bounds = [(0, 2), (2, 5), (5, 7), (7, 10)]
    for slot, (start, end) in enumerate(bounds):
        assert set(drawn[:, slot]) == set(range(start, end))


def test_random_frames_are_in_order_without_repetition_and_every_one_has_its_turn():
    drawn = np.array([sample(mask_of(6, most=8), 4, "random", jax.random.key(seed))[0][0] for seed in range(60)])
    assert (np.diff(drawn, axis=1) > 0).all() and set(drawn.ravel()) == set(range(6))
    again = sample(mask_of(6, most=8), 4, "random", jax.random.key(3))[0][0]
    np.testing.assert_array_equal(drawn[3], again)


@pytest.mark.parametrize(
    ("frames", "sampling", "words"),
    [(4, "random", "key=.*uniform"), (4, "dense", "'dense'.*uniform, segment, random"), (0, "uniform", "frames=0")],
)
def test_what_cannot_be_sampled_is_an_error(frames, sampling, words):
    with pytest.raises(ValueError, match=words):
        sample_frames(jnp.ones((1, 9), bool), frames, sampling)


def test_time_waves_have_the_periods_that_they_are_asked_for():
    times = jnp.array([[0.0, 1.0, 2.0, 0.25]])
    waves = np.asarray(time_waves(times, 4, shortest=1.0, longest=2.0))[0]
    expected = [[0, 0, 1, 1], [0, 0, 1, -1], [0, 0, 1, 1], [1, np.sin(np.pi / 4), 0, np.cos(np.pi / 4)]]
    np.testing.assert_allclose(waves, expected, atol=1e-5)
    with pytest.raises(ValueError, match="width 5"):
        time_waves(times, 5)


def test_a_sound_is_found_at_the_time_of_a_frame():
    tokens = jnp.arange(1.0, 9.0).reshape(1, 4, 2)  # at 0.1, 0.3, 0.5 and 0.7 s; the last is padding
    mask, heard = jnp.array([[True, True, True, False]]), jnp.array([0.1, 0.3, 0.5, 0.7])
    found, there = at_times(tokens, mask, heard, jnp.array([[0.0, 0.28, 0.55, 0.7]]), within=0.15)
    np.testing.assert_array_equal(found[0], [[1, 2], [3, 4], [5, 6], [0, 0]])
    assert there.tolist() == [[True, True, True, False]]
    nothing, there = at_times(tokens, jnp.zeros_like(mask), heard, jnp.zeros((1, 2)), within=1.0)
    assert not nothing.any() and not there.any()
