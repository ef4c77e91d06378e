"""The triplet loss by hand, by loops, in strips, and what its memory is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import Triplet

A = jnp.eye(3)
B = jnp.array([[0.5, 0.4, 0.1], [0.3, 0.9, -0.2], [0.6, 0.0, 0.7]])  # cosine of row i of a with row j of b: B[j, i]
ROWS = {"x": jnp.zeros(3)}


def values(batch: dict = ROWS, **dials) -> np.ndarray:
    outputs = {"a/unit": A, "b/unit": B}
    return np.asarray(Triplet("a", "b", **dials)(outputs, batch).values)


def test_by_hand():
    """Row 0 has 0.5 with its own, 0.3 and 0.6 with the others; row 1 0.9, 0.4 and 0; row 2 0.7, 0.1 and −0.2."""
    np.testing.assert_allclose(values(symmetric=False), [0.3, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(values(symmetric=False, margin=0.9), [1.0, 0.4, 0.3], atol=1e-6)
    np.testing.assert_allclose(values(symmetric=False, margin=0.9, negatives="all"), [0.7 + 1.0, 0.4, 0.3], atol=1e-6)
    np.testing.assert_allclose(values(symmetric=False, negatives="semihard", margin=0.3), [0.1, 0.0, 0.0], atol=1e-6)
    back = [0.9 - 0.5 + 0.4, 0.9 - 0.9 + 0.3, 0.9 - 0.7 + 0.6]
    np.testing.assert_allclose(values(margin=0.9), (np.array([1.0, 0.4, 0.3]) + back) / 2, atol=1e-6)


def test_the_other_positives_are_no_negatives_and_their_mean_is_what_is_near():
    """Rows 0 and 2 are of one item: row 0 has (0.5 + 0.6) / 2 with its own, and only 0.3 against it."""
    got = values(ROWS | {"group": jnp.array([7, 1, 7])}, symmetric=False, margin=0.9)
    np.testing.assert_allclose(got, [0.9 - 0.55 + 0.3, 0.4, 0.9 - (0.7 + 0.1) / 2 - 0.2], atol=1e-6)
    alone = values(ROWS | {"group": jnp.array([7, 7, 7])})
    np.testing.assert_array_equal(alone, [0, 0, 0])


@pytest.mark.parametrize("negatives", ["hardest", "semihard", "all"])
def test_in_strips_it_is_the_same(negatives):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 1100, 3)).astype(np.float32)
    outputs = {f"{name}/unit": jnp.asarray(x[i] / np.linalg.norm(x[i], axis=1, keepdims=True)) for i, name in enumerate("ab")}
    batch = {
        "group": jnp.asarray(random.integers(0, 900, 1100).astype(np.int32)),
        "b/here": jnp.asarray(random.random(1100) < 0.8),
    }

    def run(tiled):
        loss = Triplet("a", "b", negatives=negatives, tiled=tiled)
        return jax.jit(jax.value_and_grad(lambda x: jnp.sum(loss(x, batch).values)))(outputs)

    (value, gradient), (expected, gradients) = run(True), run(False)
    assert value == pytest.approx(float(expected), rel=1e-5) and value > 0
    for name, want in gradients.items():
        np.testing.assert_allclose(gradient[name], want, atol=2e-5 * float(jnp.abs(want).max()))


def test_memory_grows_with_the_rows():
    def memory(rows: int) -> int:
        units = {f"{name}/unit": jax.ShapeDtypeStruct((rows, 4), jnp.float32) for name in "ab"}
        batch = {"x": jax.ShapeDtypeStruct((rows,), jnp.float32)}
        found = jax.jit(jax.grad(lambda x, batch: jnp.sum(Triplet("a", "b")(x, batch).values))).lower(units, batch).compile()
        analysis = found.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert memory(16_384) < 2.2 * memory(8_192) < 2.2 * 8_192**2


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"margin": 3.0}, {"negatives": "hard"}], ids=str)
def test_dials_out_of_range_are_told(wrong):
    with pytest.raises((ValueError, KeyError), match=r"margin|Did you mean 'hardest'"):
        Triplet("a", "b", **wrong)
