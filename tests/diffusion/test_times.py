"""Times: drawn evenly over a batch for training, and in grids for samplers."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.stats import norm

from sensorium import diffusion
from sensorium.core.errors import UnknownName
from sensorium.diffusion.times import Draw


def test_uniform_times_have_one_in_each_part_and_no_order():
    t = np.asarray(diffusion.Uniform()(jax.random.key(0), 64))
    np.testing.assert_array_equal(np.sort(np.floor(t * 64)), np.arange(64))
    assert abs(np.corrcoef(np.arange(64), t)[0, 1]) < 0.4
    assert not np.array_equal(t, diffusion.Uniform()(jax.random.key(1), 64))


def test_logit_normal_times_have_its_quantiles():
    t = np.asarray(diffusion.LogitNormal(0.5, 2.0)(jax.random.key(0), 256))
    assert np.all((t >= 0) & (t <= 1))
    z = (np.log(t) - np.log1p(-t) - 0.5) / 2
    np.testing.assert_array_equal(np.sort(np.floor(norm.cdf(z) * 256)), np.arange(256))
    with pytest.raises(ValueError, match="spread=0"):
        diffusion.LogitNormal(spread=0)


@partial(jax.jit, static_argnums=0)
def _grids(schedule):
    return [diffusion.grid(n, schedule, spacing, shift=2.0) for spacing in ("uniform", "log_snr", "karras") for n in (1, 2, 20)]


@pytest.mark.parametrize("schedule", [diffusion.Rectified(), diffusion.Betas()], ids=lambda s: type(s).__name__)
def test_grids_go_down_from_noise_to_data(schedule):
    for steps, t in zip((1, 2, 20) * 3, map(np.asarray, _grids(schedule)), strict=True):
        assert t.shape == (steps + 1,) and t[0] == 1 and t[-1] == 0
        assert np.all(np.diff(t) < 0)


def test_grids_have_the_values_of_their_papers():
    np.testing.assert_allclose(diffusion.grid(4), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(diffusion.grid(4, shift=3.0), [1, 0.9, 0.75, 0.5, 0], rtol=1e-6)
    t = np.asarray(diffusion.grid(5, spacing="karras"))[1:-1]
    levels = (80 ** (1 / 7) + np.arange(1, 5) / 4 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(t / (1 - t), levels, rtol=2e-5)
    t = diffusion.grid(5, diffusion.LinearBeta(), "log_snr")
    half = -0.5 * np.asarray(diffusion.LinearBeta().log_snr(t[:-1]))
    np.testing.assert_allclose(np.diff(half), np.diff(half)[0], rtol=1e-4)


def test_steps_that_cannot_be_are_errors():
    for steps in (0, -3):
        with pytest.raises(ValueError, match=f"steps={steps}: expected a whole number of 1 or more"):
            diffusion.grid(steps)
    with pytest.raises(ValueError, match="shift=0"):
        diffusion.grid(4, shift=0)
    with pytest.raises(UnknownName, match="Did you mean 'karras'"):
        diffusion.grid(4, spacing="karas")
    assert isinstance(diffusion.DRAWS["logit_normal"](), Draw)
