"""Schedules: their formulas, their ends, their inverses, and DDPM's tables as diffusers has them."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium import diffusion
from sensorium.core.errors import UnknownName
from sensorium.core.table import made

RECORDED = Path(__file__).parent / "recorded" / "schedulers.npz"
ALL = [
    diffusion.Rectified(),
    diffusion.Cosine(),
    diffusion.LinearBeta(),
    diffusion.Betas(),
    diffusion.Betas(50, 0.001, 0.2, "scaled_linear"),
]
TIMES = jnp.linspace(0.0, 1.0, 101)


@partial(jax.jit, static_argnums=0)
def _all(schedule):
    log_snr = schedule.log_snr(TIMES)
    return schedule.alpha(TIMES), schedule.sigma(TIMES), log_snr, schedule.time(log_snr)


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_from_data_to_noise_and_back_from_the_ratio_to_the_time(schedule):
    alpha, sigma, log_snr, back = map(np.asarray, _all(schedule))
    assert (alpha[0], sigma[0]) == (1, 0)
    assert alpha[-1] < 0.15 and sigma[-1] == pytest.approx(1, abs=0.02)
    assert np.all(np.diff(alpha) < 0) and np.all(np.diff(sigma) > 0)
    np.testing.assert_allclose(log_snr[1:-1], 2 * np.log(alpha[1:-1] / sigma[1:-1]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(back, TIMES, atol=2e-6)  # at +inf and -inf too


def test_each_has_the_values_of_its_paper():
    t = jnp.asarray([0.25, 0.8])
    np.testing.assert_allclose(diffusion.Rectified().alpha(t), [0.75, 0.2])
    np.testing.assert_array_equal(diffusion.Rectified().sigma(t), t)
    f = np.cos((np.asarray([0.0, 0.25, 0.8, 1.0]) + 0.008) / 1.008 * np.pi / 2) ** 2
    alpha = diffusion.Cosine().alpha(jnp.asarray([0.0, 0.25, 0.8, 1.0]))
    np.testing.assert_allclose(alpha, np.sqrt(f / f[0]), rtol=2e-6, atol=1e-7)
    # Song et al. 2021, eq. 33: alpha = exp(-t²(max - min)/4 - t·min/2)
    vp = diffusion.LinearBeta()
    np.testing.assert_allclose(vp.alpha(t), np.exp(-0.25 * t**2 * 19.9 - 0.05 * t), rtol=1e-6)
    np.testing.assert_allclose(vp.alpha(t) ** 2 + vp.sigma(t) ** 2, 1.0, rtol=1e-6)


@pytest.mark.parametrize(("spacing", "start", "end"), [("linear", 0.0001, 0.02), ("scaled_linear", 0.00085, 0.012)])
def test_the_tables_of_ddpm_are_those_of_diffusers(spacing, start, end):
    recorded, schedule = np.load(RECORDED), diffusion.Betas(1000, start, end, spacing)
    t = jnp.asarray((recorded["k"] + 1) / 1000, jnp.float32)
    x, noise = (jnp.asarray(np.broadcast_to(recorded[name], (len(t), 2, 3))) for name in ("x", "noise"))
    np.testing.assert_allclose(diffusion.corrupt(schedule, x, noise, t), recorded[f"add/{spacing}"], atol=1e-5)
    np.testing.assert_allclose(diffusion.KINDS["v"].aim(schedule, x, noise, t), recorded[f"velocity/{spacing}"], atol=1e-5)


@pytest.mark.parametrize("name", list(diffusion.SCHEDULES))
def test_a_schedule_comes_back_from_its_name_and_arguments(name):
    usual = diffusion.SCHEDULES[name]()
    assert isinstance(usual, diffusion.Schedule)
    assert made(diffusion.SCHEDULES, name, vars(usual)) == usual == made(diffusion.SCHEDULES, name, {})


def test_what_no_schedule_has_is_an_error_that_says_so():
    with pytest.raises(UnknownName, match="Did you mean 'cosine'"):
        made(diffusion.SCHEDULES, "cosin", {})
    with pytest.raises(UnknownName, match=r"'betas' has no argument 'step'. Did you mean 'steps'"):
        made(diffusion.SCHEDULES, "betas", {"step": 10})
    with pytest.raises(UnknownName, match="scaled_linear"):
        diffusion.Betas(spacing="scaled")
    with pytest.raises(ValueError, match="steps=0: expected a whole number of 2 or more"):
        diffusion.Betas(0)
    with pytest.raises(ValueError, match="0 < start ≤ end < 1"):
        diffusion.Betas(end=1.0)
    with pytest.raises(ValueError, match="the second larger"):
        diffusion.LinearBeta(2.0, 1.0)
    with pytest.raises(ValueError, match="offset=-1"):
        diffusion.Cosine(-1)
