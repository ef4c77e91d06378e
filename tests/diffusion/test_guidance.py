"""Guidance: by hand, in one batch as in two, per row, within its interval, and the same for data and for noise."""

import jax.numpy as jnp
import numpy as np
import pytest

from sensorium import diffusion

X, T = jnp.asarray([[1.0, 3.0], [2.0, -2.0]]), jnp.asarray([0.3, 0.9])
ABOUT, NOTHING = {"at": jnp.asarray([[2.0], [3.0]])}, {"at": jnp.asarray([[0.5], [0.5]])}


def denoise(x, t, about):
    return x * about["at"] + t[:, None]


@pytest.mark.parametrize("doubled", [True, False])
def test_it_goes_from_without_a_condition_past_with_it(doubled):
    for scale in (0.0, 2.5, jnp.asarray([2.5, 0.0])):
        made = diffusion.guided(denoise, ABOUT, NOTHING, scale, doubled=doubled)(X, T)
        without, with_ = (np.asarray(denoise(X, T, about)) for about in (NOTHING, ABOUT))
        np.testing.assert_allclose(made, without + np.reshape(scale, (-1, 1)) * (with_ - without), rtol=1e-6)


def test_a_scale_of_one_asks_once_and_only_about_the_condition():
    asked = []
    plain = diffusion.guided(lambda x, t, about: asked.append(about) or denoise(x, t, about), ABOUT, NOTHING)
    np.testing.assert_array_equal(plain(X, T), denoise(X, T, ABOUT))
    assert len(asked) == 1 and asked[0] is ABOUT


def test_outside_the_interval_there_is_no_guidance():
    made = diffusion.guided(denoise, ABOUT, NOTHING, 4.0, interval=(0.1, 0.5))(X, T)
    np.testing.assert_allclose(made[1], denoise(X, T, ABOUT)[1], rtol=1e-6)
    np.testing.assert_allclose(made[0], diffusion.guided(denoise, ABOUT, NOTHING, 4.0)(X, T)[0], rtol=1e-6)


def test_rescaled_rows_have_the_deviation_of_no_guidance():
    plain, loud = denoise(X, T, ABOUT), diffusion.guided(denoise, ABOUT, NOTHING, 4.0)(X, T)
    made = diffusion.guided(denoise, ABOUT, NOTHING, 4.0, rescale=1.0)(X, T)
    np.testing.assert_allclose(np.std(made, 1), np.std(plain, 1), rtol=1e-5)
    half = diffusion.guided(denoise, ABOUT, NOTHING, 4.0, rescale=0.5)(X, T)
    np.testing.assert_allclose(half, 0.5 * (made + loud), rtol=1e-5)


def test_guiding_the_data_is_guiding_the_noise():
    flow = diffusion.Rectified()
    data, none = denoise(X, T, ABOUT), denoise(X, T, NOTHING)
    noise, no_noise = (diffusion.KINDS["x0"].to_noise(flow, said, X, T) for said in (data, none))
    by_noise = diffusion.KINDS["eps"].to_x0(flow, no_noise + 3 * (noise - no_noise), X, T)
    np.testing.assert_allclose(diffusion.guided(denoise, ABOUT, NOTHING, 3.0)(X, T), by_noise, rtol=1e-4, atol=1e-4)


def test_less_than_no_guidance_is_less_at_every_time_and_keeps_its_contrasts():
    """Of scale 0 nothing that is told is left, whatever the interval, and however contrasts are held."""
    nothing = denoise(X, T, NOTHING)
    for scale in (0.0, jnp.zeros(len(X))):
        made = diffusion.guided(denoise, ABOUT, NOTHING, scale, interval=(0.1, 0.5), rescale=0.7)(X, T)
        np.testing.assert_allclose(made, nothing, rtol=1e-6)


def test_what_cannot_guide_is_an_error():
    with pytest.raises(ValueError, match=r"guidance=-1.0"):
        diffusion.guided(denoise, ABOUT, NOTHING, -1.0)
    with pytest.raises(ValueError, match="interval="):
        diffusion.guided(denoise, ABOUT, NOTHING, interval=(0.5, 0.5))
    with pytest.raises(ValueError, match=r"rescale=2.0"):
        diffusion.guided(denoise, ABOUT, NOTHING, rescale=2.0)
