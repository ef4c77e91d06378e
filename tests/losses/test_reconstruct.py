"""Reconstruction by hand, masks that hold, and a spectral loss that is the paper's and finite everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.losses import Cycle, Reconstruct, mean
from sensorium.losses.cycle import came_back, turned
from sensorium.losses.reconstruct import absolute, charbonnier, spectral, squared

ALL = {"squared": squared, "absolute": absolute, "charbonnier": charbonnier, "spectral": spectral}
SHORT = ((64, 16, 48), (32, 8, 32))
compiled = {name: jax.jit(measure) for name, measure in ALL.items()}


def waves(rows: int = 3, samples: int = 200) -> tuple[jax.Array, jax.Array]:
    a, b = jax.random.split(jax.random.key(0))
    return jax.random.normal(a, (rows, samples)), jax.random.normal(b, (rows, samples))


def test_by_hand():
    target = jnp.array([[[0.0, 1.0], [2.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    prediction = jnp.array([[[0.0, 3.0], [2.0, 2.0]], [[1.0, 9.0], [9.0, 9.0]]])
    everything, some = jnp.ones(2, bool), jnp.array([[[True, True], [False, True]], [[True, False], [False, False]]])
    assert compiled["squared"](target, prediction, everything).values.tolist() == [5 / 4, 244 / 4]
    assert compiled["absolute"](target, prediction, everything).values.tolist() == [3 / 4, 28 / 4]
    np.testing.assert_allclose(compiled["squared"](target, prediction, some).values, [5 / 3, 1.0], rtol=1e-6)
    np.testing.assert_allclose(
        compiled["squared"](target, prediction, some[:, 0]).values, [1.25, 41.0], rtol=1e-6
    )  # [B T]: whole frames
    hand = [(np.sqrt(4 + 1e-6) + np.sqrt(1 + 1e-6) - 2e-3) / 4]
    np.testing.assert_allclose(compiled["charbonnier"](target, prediction, everything).values[:1], hand, rtol=1e-5)
    assert not compiled["charbonnier"](target, target, everything).values.any()


@pytest.mark.parametrize("name", ALL)
def test_what_is_masked_has_no_effect_and_no_gradient_even_if_it_is_nan(name):
    target, prediction = waves()
    mask = jnp.arange(200)[None, :] < jnp.array([200, 120, 0])[:, None]

    def loss(target, prediction):
        return mean(ALL[name](target, prediction, mask))

    loss = jax.jit(jax.value_and_grad(loss, 1))
    value, gradient = loss(target, prediction)
    again, gradient_again = loss(*(jnp.where(mask, x, jnp.nan) for x in (target, prediction)))
    assert value == again and value > 0
    np.testing.assert_array_equal(gradient, gradient_again)
    assert not np.asarray(gradient)[~np.asarray(mask)].any() and np.asarray(gradient)[:2].any(1).all()
    assert compiled[name](target, prediction, mask).counts.tolist() == [True, True, False]


@pytest.mark.parametrize("name", ALL)
def test_perfect_and_silent_things_have_finite_gradients_and_the_perfect_ones_no_loss(name):
    wave, other = waves()
    silence, real = jnp.zeros_like(wave), jnp.ones(3, bool)
    loss = jax.jit(jax.value_and_grad(lambda p, t: mean(ALL[name](t, p, real))))
    for target, prediction in ((wave, wave), (silence, silence), (silence, wave), (wave, silence), (wave, other)):
        value, gradient = loss(prediction, target)
        assert jnp.isfinite(value) and jnp.isfinite(gradient).all()
        if target is prediction:
            assert 0 <= value < 1e-7, "compiled, equal sounds are rounded apart by the last bit"
        else:
            assert value > 0


def test_the_spectral_loss_is_the_definition():
    target, prediction = waves(2, 150)
    values = jax.jit(lambda a, b: spectral(a, b, jnp.ones(2, bool), SHORT).values)(target, prediction)
    for row in range(2):
        parts = []
        for size, hop, window in SHORT:
            padded = [np.pad(np.asarray(x[row], np.float64), (window // 2, window)) for x in (target, prediction)]
            hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
            frames = [[np.abs(np.fft.rfft(x[at : at + window] * hann, size)) for at in range(0, 151, hop)] for x in padded]
            a, b = (np.maximum(np.array(x), np.sqrt(1e-7)) for x in frames)
            parts.append(np.linalg.norm(a - b) / np.linalg.norm(a) + np.abs(np.log(a / b)).mean())
        np.testing.assert_allclose(values[row], np.mean(parts), rtol=1e-3)


def test_the_spectral_loss_hears_what_a_squared_error_does_not_and_the_other_way_round():
    """A tone a sixth of a period late is near to it, noise of the same squared error is far; a negative sounds the same."""
    time = jnp.arange(1600) / 1600
    tone, late = jnp.sin(2 * jnp.pi * 100 * time)[None], jnp.sin(2 * jnp.pi * 100 * time - jnp.pi / 3)[None]
    noise = jax.random.normal(jax.random.key(1), tone.shape)
    real = jnp.ones(1, bool)
    noisy = tone + noise * jnp.sqrt(jnp.mean((tone - late) ** 2) / jnp.mean(noise**2))
    np.testing.assert_allclose(
        compiled["squared"](tone, noisy, real).values, compiled["squared"](tone, late, real).values, rtol=1e-4
    )
    heard = {name: float(compiled["spectral"](tone, x, real).values[0]) for name, x in (("late", late), ("noisy", noisy))}
    assert heard["noisy"] > 3 * heard["late"]
    assert compiled["spectral"](tone, -tone, real).values[0] < 1e-5 < compiled["squared"](tone, -tone, real).values[0]


def test_a_silent_target_does_not_rule_the_batch():
    wave, _ = waves()
    assert compiled["spectral"](jnp.zeros_like(wave), wave, jnp.ones(3, bool)).values.max() < 200


def test_cycles_by_hand():
    x, back, here = (
        jnp.array([[1.0, 0.0], [3.0, 4.0], [1.0, 1.0]]),
        jnp.array([[0.0, 2.0], [6.0, 8.0], [jnp.nan, 0.0]]),
        jnp.arange(3) < 2,
    )
    assert came_back(x, back, here).values.tolist() == [1.5, 3.5, 0.0]
    np.testing.assert_allclose(turned(x, back, here).values, [1.0, 0.0, 0.0], atol=1e-6)
    for measure in (came_back, turned):
        gradient = jax.jit(jax.grad(lambda b, measure=measure: mean(measure(x, b, here))))(back)
        assert jnp.isfinite(gradient).all() and not gradient[2].any() and gradient[0].any()
    assert jnp.isfinite(jax.jit(jax.grad(lambda b: mean(turned(x, b, here))))(jnp.zeros_like(x))).all()


def test_as_losses_they_read_what_was_made_and_what_came_back():
    pixels = jnp.array([[[[0, 255, 51]]], [[[0, 0, 0]]], [[[9, 9, 9]]]], jnp.uint8)
    made = jnp.array([[[[0.0, 0.0, 0.2]]], [[[1.0, 1.0, 1.0]]], [[[jnp.nan] * 3]]])
    batch = {"image": pixels, "image/here": jnp.array([True, True, False]), "text/here": jnp.array([True, False, True])}
    outputs = {"image/made": made, "image/back": 2.0 * made}
    np.testing.assert_allclose(Reconstruct("image")(outputs, batch).values, [1 / 3, 1, 0], atol=1e-6)
    told = Reconstruct("image", "absolute", ("text",))(outputs, batch)
    assert told.counts.tolist() == [True, False, False]
    np.testing.assert_allclose(told.values, [1 / 3, 0, 0], atol=1e-6)
    np.testing.assert_allclose(Cycle("image")(outputs, batch).values, [(1 + 0.2) / 3, 2, 0], atol=1e-6)
    trace = {"trace": jnp.array([[1.0, 5.0]]), "trace/mask": jnp.array([[True, False]])}
    assert Reconstruct("trace")({"trace/made": jnp.zeros((1, 2))}, trace).values.tolist() == [1.0]
    turn = {"x/unit": jnp.array([[0.6, 0.8]]), "x/back": jnp.array([[3.0, 0.0]])}
    np.testing.assert_allclose(Cycle("x", "cosine")(turn, {"x": jnp.zeros((1, 7))}).values, [0.4], rtol=1e-6)
    with pytest.raises(UnknownName, match="Did you mean 'squared'"):
        Reconstruct("image", "square")
    with pytest.raises(ValueError, match="form='cos'"):
        Cycle("image", "cos")
