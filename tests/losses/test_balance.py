"""The balanced sum: by hand, and blind to units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses.balance import balanced, evened, modulated, norms, shares


def test_it_is_the_geometric_mean():
    parts = {"a": jnp.float32(4.0), "b": jnp.float32(9.0)}
    assert float(balanced(parts)) == pytest.approx(6.0, rel=1e-5)
    assert float(balanced(parts, {"b": 3.0})) == pytest.approx(4**0.25 * 9**0.75, rel=1e-5)
    assert float(balanced(parts, {"b": 0.0})) == pytest.approx(4.0, rel=1e-5)


def test_a_loss_in_other_units_moves_the_parameters_the_same_way():
    def direction(unit: float):
        slope = jax.grad(lambda x: balanced({"a": unit * jnp.sum(jnp.square(x - 1)), "b": jnp.sum(jnp.square(x + 2))}))
        g = slope(jnp.array([0.5, 3.0]))
        return g / jnp.linalg.norm(g)

    np.testing.assert_allclose(direction(1.0), direction(1e4), rtol=1e-4)


def test_a_loss_of_zero_has_a_finite_gradient():
    assert np.isfinite(jax.grad(lambda x: balanced({"a": jnp.square(x), "b": jnp.square(x - 1)}))(jnp.float32(0.0)))


@pytest.mark.parametrize(
    ("weights", "match"), [({"c": 1.0}, r"\['c'\]"), ({"a": 0.0, "b": 0.0}, "not all 0"), ({"a": -1.0}, "0 or more")]
)
def test_bad_weights_are_told(weights, match):
    with pytest.raises(ValueError, match=match):
        balanced({"a": jnp.float32(1.0), "b": jnp.float32(2.0)}, weights)


def test_norms_go_by_the_parts_of_a_name():
    arrays = {
        "encoders.image.stem": jnp.array([3.0]),
        "projections.image.kernel": jnp.array([[4.0]]),
        "encoders.images.x": jnp.ones(9),
    }
    found = norms(arrays | {"encoders.text.x": jnp.array([2.0], jnp.bfloat16)}, ["image", "text"])
    assert {name: float(x) for name, x in found.items()} == {"image": 5.0, "text": 2.0}
    assert float(shares(found)["image"]) == pytest.approx(5 / 7)
    assert float(shares({"a": jnp.zeros(())})["a"]) == 0
    with pytest.raises(ValueError, match=r"no parameters of \['audio'\]"):
        norms(arrays, ["image", "audio"])


def test_what_is_loud_is_turned_down_and_what_is_faint_up():
    given = {"a": jnp.float32(8.0), "b": jnp.float32(0.5), "absent": jnp.float32(0.0), "broken": jnp.float32(jnp.nan)}
    whole = {name: float(x) for name, x in jax.jit(lambda x: evened(x, 1.0))(given).items()}
    assert whole == pytest.approx({"a": 0.25, "b": 4.0, "absent": 1.0, "broken": 1.0}, rel=1e-5), "both come to 2"
    half = evened(given, 0.5)
    assert float(half["a"]) == pytest.approx(0.5, rel=1e-5) and float(half["b"]) == pytest.approx(2.0, rel=1e-5)
    assert float(evened(given, 1.0, most=3.0)["b"]) == 3.0
    assert all(float(x) == 1.0 for x in evened(given, 0.0).values())
    with pytest.raises(ValueError, match="strength=2"):
        evened(given, 2.0)


def test_who_is_ahead_waits():
    """Scores of 3 and 1: ρ is 3 and 1/3 (Peng et al. 2022, eq. 8 to 10)."""
    found = modulated({"a": jnp.float32(3.0), "b": jnp.float32(1.0)}, 0.5)
    assert float(found["a"]) == pytest.approx(1 - np.tanh(1.5), rel=1e-5) and float(found["b"]) == 1.0
    even = modulated({name: jnp.float32(2.0) for name in "abc"})
    assert all(float(x) == 1.0 for x in even.values())
    with pytest.raises(ValueError, match="two modalities"):
        modulated({"a": jnp.float32(3.0)})
