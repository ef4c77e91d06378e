"""Samplers: where the best denoiser is known in closed form they go there, as fast as they should; and as diffusers."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium import diffusion
from sensorium.core.errors import UnknownName
from sensorium.diffusion import samplers
from sensorium.diffusion.corruption import at

RECORDED = Path(__file__).parent / "recorded" / "schedulers.npz"
MEAN, DEVIATION = 0.7, 0.4
SAMPLERS = ("euler", "heun", "dpm++")
TWO = jnp.asarray([1.0, 0.5, 0.0])


def gaussian(schedule, x, t):
    """What data from a normal distribution are thought to be, given x_t: the best denoiser there is."""
    alpha, sigma = at(schedule, t, x.ndim)
    share = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + sigma**2)
    return MEAN + share * (x - alpha * MEAN)


@partial(jax.jit, static_argnames=("steps", "spacing", "schedule", "sampler", "eta"))
def sampled(x, steps, spacing, schedule, sampler, keys=None, eta=0.0):
    times = diffusion.grid(steps, schedule, spacing)
    return diffusion.sample(partial(gaussian, schedule), x, times, schedule, sampler, keys=keys, eta=eta)


def exact(x, schedule):
    """Where the probability flow takes x from t = 1 to 0: every x_t is normal, and it keeps its place among the others."""
    alpha, sigma = float(schedule.alpha(jnp.ones(()))), float(schedule.sigma(jnp.ones(())))
    return MEAN + DEVIATION * (x - alpha * MEAN) / np.hypot(alpha * DEVIATION, sigma)


@pytest.mark.parametrize("schedule", [diffusion.Rectified(), diffusion.LinearBeta()], ids=lambda s: type(s).__name__)
def test_samplers_converge_to_the_data_with_their_order(schedule):
    x, found = jnp.linspace(-2.0, 2.0, 9)[:, None], {}
    for sampler in SAMPLERS:
        made = [sampled(x, steps, "log_snr", schedule, sampler) for steps in (24, 72)]
        errors = [float(np.abs(one - exact(np.asarray(x), schedule)).max()) for one in made]
        found[sampler] = np.log(errors[0] / errors[1]) / np.log(3), errors[1]
    assert 0.9 < found["euler"][0] < 1.1
    assert 1.8 < found["heun"][0] < 2.2
    assert 1.8 < found["dpm++"][0] < 2.2
    assert max(found["heun"][1], found["dpm++"][1]) < 2e-3 < found["euler"][1]


@pytest.mark.parametrize("schedule", [diffusion.Rectified(), diffusion.Cosine()], ids=lambda s: type(s).__name__)
def test_fresh_noise_leads_to_the_same_distribution(schedule):
    keys = jax.random.split(jax.random.key(0), 4000)
    x = diffusion.draw_noise(keys, (1,))
    made = sampled(x, 100, "karras", schedule, "ddim", keys, 1.0)
    assert np.mean(made) == pytest.approx(MEAN, abs=0.03)
    assert np.std(made) == pytest.approx(DEVIATION, abs=0.03)
    assert abs(np.corrcoef(x[:, 0], made[:, 0])[0, 1]) < 0.3  # without fresh noise it is 1


@pytest.mark.parametrize("sampler", ["ddim", "heun"])
def test_a_row_does_not_depend_on_the_rows_beside_it(sampler):
    keys, eta = jax.random.split(jax.random.key(0), 3), 0.5 * (sampler == "ddim")
    x = diffusion.draw_noise(keys, (2, 2))
    together = sampled(x, 4, "uniform", diffusion.Rectified(), sampler, keys, eta)
    last = sampled(x[2:], 4, "uniform", diffusion.Rectified(), sampler, keys[2:], eta)
    np.testing.assert_allclose(together[2:], last, rtol=1e-5, atol=1e-6)
    assert np.abs(together[0] - together[1]).min() > 1e-3


def test_a_straight_line_takes_one_step():
    @jax.jit
    def all_of_them():
        x, flow = jnp.full((1, 2), 5.0), diffusion.Rectified()
        line = partial(diffusion.sample, lambda x, t: jnp.full_like(x, -2.0), x, schedule=flow)
        whole = [line(diffusion.grid(steps), sampler=sampler) for sampler in SAMPLERS for steps in (1, 3)]
        return jnp.stack(whole), line(jnp.asarray([1.0, 0.7, 0.5]))

    whole, half = all_of_them()
    np.testing.assert_allclose(whole, np.full((6, 1, 2), -2.0), rtol=1e-6)
    np.testing.assert_allclose(half, [[1.5, 1.5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("run", "sampler", "schedule"),
    [
        ("ddim", "ddim", diffusion.Betas(1000, 0.00085, 0.012, "scaled_linear")),
        ("ddim_noisy", "ddim", diffusion.Betas(1000, 0.00085, 0.012, "scaled_linear")),
        ("dpm", "dpm++", diffusion.Betas()),
        ("euler", "euler", diffusion.Betas()),
        ("flow_euler", "euler", diffusion.Rectified()),
        ("flow_heun", "heun", diffusion.Rectified()),
    ],
)
def test_samplers_do_what_those_of_diffusers_do(run, sampler, schedule, monkeypatch):
    recorded = np.load(RECORDED)
    times = {
        "ddim": lambda: np.append(recorded["ddim/steps"] + 1, 1) / 1000,  # it ends one step from the data
        "ddim_noisy": lambda: np.append(recorded["ddim/steps"] + 1, 1) / 1000,
        "dpm": lambda: np.append(recorded["dpm/steps"] + 1, 0) / 1000,
        "euler": lambda: schedule.time(-2 * jnp.log(jnp.asarray(recorded["euler/levels"]))),
        "flow_euler": lambda: recorded["flow_euler/times"],
        "flow_heun": lambda: recorded["flow_heun/times"][[0, *range(1, 16, 2)]],
    }[run]()
    eta, keys = (0.7, jax.random.split(jax.random.key(0))) if run == "ddim_noisy" else (0.0, None)
    monkeypatch.setattr(samplers, "draw_noise", lambda keys, shape: jnp.asarray(recorded["noise"]))
    x = jnp.asarray(recorded["x"])
    made = jax.jit(partial(diffusion.sample, lambda x, t: jnp.tanh(1.5 * x), schedule=schedule, sampler=sampler, eta=eta))(
        x, times=jnp.asarray(times, jnp.float32), keys=keys
    )
    np.testing.assert_allclose(made, recorded[f"{run}/end"], atol=2e-5)


def test_each_evaluation_is_told_of_and_counted():
    for sampler, expected in (("euler", 3), ("heun", 5), ("dpm++", 3)):
        told = []
        sample = partial(diffusion.sample, lambda x, t: x, schedule=diffusion.Rectified(), sampler=sampler, tell=told.append)
        jax.jit(sample)(jnp.ones((1, 1)), jnp.asarray([1.0, 0.5, 0.2, 0.0]))
        jax.effects_barrier()
        assert sorted(map(int, told)) == list(range(expected)) == list(range(samplers.evaluations(sampler, 3)))


@pytest.mark.parametrize(("rows", "size", "parts"), [(12, 4, 3), (12, 5, 1), (4, 4, 1), (12, None, 1)])
def test_in_parts_rows_become_what_they_are_all_at_once_and_progress_goes_on(rows, size, parts):
    told, seen = [], []

    def work(part, many, things):
        seen.append((many, len(things["x"])))
        place = (part, many)
        grid = jnp.asarray([1.0, 0.5, 0.2, 0.0])
        return diffusion.sample(
            lambda x, t: jnp.sin(x + things["shift"][:, None]),
            things["x"],
            grid,
            diffusion.Rectified(),
            tell=told.append,
            place=place,
        )

    things = {"x": jax.random.normal(jax.random.key(0), (rows, 3)), "shift": jnp.arange(float(rows))}
    whole = diffusion.sample(
        lambda x, t: jnp.sin(x + things["shift"][:, None]), things["x"], jnp.asarray([1.0, 0.5, 0.2, 0.0]), diffusion.Rectified()
    )
    made = jax.jit(lambda things: diffusion.in_parts(work, things, size))(things)
    jax.effects_barrier()
    np.testing.assert_allclose(made, whole, atol=1e-6)
    assert seen == [(parts, rows // parts)]
    assert sorted(map(int, told)) == sorted(number // parts for number in range(3 * parts))


def test_what_cannot_be_sampled_is_an_error():
    def sample(times=TWO, sampler="euler", **more):
        return diffusion.sample(lambda x, t: x, jnp.ones((1, 1)), times, diffusion.Rectified(), sampler, **more)

    with pytest.raises(UnknownName, match="Did you mean 'euler'"):
        sample(sampler="eular")
    with pytest.raises(ValueError, match=r"times of shape \(1,\): expected two or more"):
        sample(jnp.ones(1))
    with pytest.raises(ValueError, match="each smaller than the one before"):
        sample(jnp.asarray([0.0, 1.0]))
    with pytest.raises(ValueError, match="eta=2"):
        sample(sampler="ddim", eta=2)
    with pytest.raises(ValueError, match="only 'ddim'"):
        sample(eta=0.5)
    with pytest.raises(ValueError, match="a key for each row"):
        sample(sampler="ddim", eta=0.5)
