"""The sigmoid loss against loops in float64 and by hand; what every loss holds is in tests/contracts."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import InfoNCE, Sigmoid, total

LOSS = Sigmoid("image", "text")
ROWS = 5
rows_of = jax.jit(LOSS)


def units() -> dict[str, jax.Array]:
    x = np.random.default_rng(0).normal(size=(2, ROWS, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return {"image/unit": jnp.asarray(x[0]), "text/unit": jnp.asarray(x[1]), "scale": jnp.float32(4.0), "bias": jnp.float32(-1.5)}


def test_two_rows_by_hand():
    """Cosines of 1 on the diagonal and 0 off it, scale 2, bias −1: yes at logit 1, no at logit −1, a row has one of each."""
    eye = jnp.eye(2)
    values, _ = rows_of({"image/unit": eye, "text/unit": eye, "scale": jnp.float32(2.0), "bias": jnp.float32(-1.0)}, {"x": eye})
    np.testing.assert_allclose(values, [2 * math.log(1 + math.exp(-1))] * 2, rtol=1e-6)


def test_without_a_bias_of_the_model_it_is_that_of_the_loss():
    x = units()
    given = rows_of(x | {"bias": jnp.float32(-10.0)}, {"image": x["image/unit"]}).values
    x.pop("bias")
    np.testing.assert_allclose(rows_of(x, {"image": x["image/unit"]}).values, given, rtol=1e-6)
    other = Sigmoid("image", "text", bias=-2.0)(x, {"image": x["image/unit"]}).values
    assert (jnp.abs(other - given) > 0.1).all()


@pytest.mark.parametrize("case", ["whole", "groups", "missing"])
def test_it_equals_the_definition(case):
    x, batch = units(), {"image": jnp.zeros((ROWS, 1))}
    group, counts = np.arange(ROWS), np.ones(ROWS, bool)
    if case == "groups":
        group = np.array([0, 1, 0, 2, 2])
        batch["group"] = jnp.asarray(group)
    if case == "missing":
        counts = np.array([True, False, True, True, False])
        batch["text/here"] = jnp.asarray(counts)
    expected = np.zeros(ROWS)
    for i in np.flatnonzero(counts):
        for j in np.flatnonzero(counts):
            logit = 4.0 * float(np.asarray(x["image/unit"], np.float64)[i] @ np.asarray(x["text/unit"], np.float64)[j]) - 1.5
            value = math.log(1 + math.exp(-logit if group[i] == group[j] else logit))
            expected[i] += value / 2
            expected[j] += value / 2
    values, got = rows_of(x, batch)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert (got == counts).all()
    loss, _ = total({"it": (1.0, LOSS)}, x, batch)
    np.testing.assert_allclose(loss, expected[counts].mean(), rtol=1e-5)


@pytest.mark.parametrize("tiled", [False, True])
def test_a_pair_goes_by_its_own_scale_and_bias_where_it_has_them_and_else_by_those_of_all(tiled):
    x = units()
    own = {"scale/text-image": jnp.float32(9.0), "bias/image-text": jnp.float32(0.5), "scale/image-audio": jnp.float32(1.0)}
    batch = {"image": x["image/unit"]}
    for loss in (Sigmoid("image", "text", tiled=tiled), InfoNCE("image", "text", tiled=tiled)):
        got, expected = loss(x | own, batch).values, loss(x | {"scale": jnp.float32(9.0), "bias": jnp.float32(0.5)}, batch).values
        np.testing.assert_array_equal(got, expected)
        assert (jnp.abs(got - loss(x, batch).values) > 1e-2).any()
        gradient = jax.grad(lambda x, loss=loss: jnp.sum(loss(x, batch).values))(x | own)
        assert gradient["scale"] == gradient["scale/image-audio"] == 0 != gradient["scale/text-image"], "its own is learned"
    x.pop("scale")
    with pytest.raises(ValueError, match='no "scale/image-text" and no "scale"'):
        LOSS(x, batch)
