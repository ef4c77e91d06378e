"""Losses around losses: weights a row and prefixes, by hand, with gradients that are exactly zero where they should be."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.core.objective import LossRows
from sensorium.losses import InfoNCE, Matryoshka, Weighted, mean


@dataclass(frozen=True)
class First:
    """The first number of each row of `"x/unit"`, where the batch says that it counts."""

    def __call__(self, outputs: dict[str, jax.Array], batch: dict[str, jax.Array]) -> LossRows:
        return LossRows(outputs["x/unit"][:, 0], batch["x/here"])


def test_the_mean_is_that_of_the_weights_and_their_level_does_not_matter():
    outputs = {"x/unit": jnp.array([[1.0], [2.0], [7.0], [50.0]])}
    batch = {"x/here": jnp.array([True, True, True, False]), "alignment": jnp.array([0.75, 0.25, 0.0, 9.0])}
    rows = Weighted(First())(outputs, batch)
    assert rows.counts.tolist() == [True, True, False, False]
    np.testing.assert_allclose(rows.values, [1.5, 1.0, 0, 0])
    assert mean(rows) == pytest.approx(1.25)
    assert mean(Weighted(First())(outputs, batch | {"alignment": 40 * batch["alignment"]})) == pytest.approx(1.25)
    assert mean(Weighted(First())(outputs, batch | {"alignment": jnp.zeros(4)})) == 0
    some = Weighted(First())(outputs, batch | {"alignment/here": jnp.array([True, False, True, True])})
    assert mean(some) == 1.0 and some.counts.tolist() == [True, False, False, False]
    assert jnp.isnan(mean(Weighted(First())(outputs, batch | {"alignment": jnp.array([0.5, -0.1, 0.0, 0.0])})))
    with pytest.raises(ValueError, match=r"no weights 'trust'.*'alignment'"):
        Weighted(First(), by="trust")(outputs, batch)


def test_a_row_of_weight_zero_learns_nothing_and_stays_a_candidate():
    random = np.random.default_rng(0)
    outputs = {f"{name}/unit": jnp.asarray(random.normal(size=(5, 3)).astype(np.float32)) for name in "ab"}
    outputs |= {"scale": jnp.float32(2.0)}
    batch = {"alignment": jnp.array([1.0, 0.0, 2.0, 0.5, 1.0])}
    gradient = jax.jit(jax.grad(lambda x: mean(Weighted(InfoNCE("a", "b"))(x, batch))))(outputs)
    for name in ("a/unit", "b/unit"):
        assert not gradient[name][1].any() and jnp.abs(gradient[name]).sum(1)[jnp.array([0, 2, 3, 4])].min() > 0
    plain = InfoNCE("a", "b")(outputs, batch).values
    np.testing.assert_allclose(
        Weighted(InfoNCE("a", "b"))(outputs, batch).values, plain * batch["alignment"] * 4 / 4.5, rtol=1e-5
    )


def test_prefixes_by_hand():
    """Whole vectors: cosines 1 and 0; their first two numbers: (3, 4) and (0, 1) of length 5 and 1, cosine 0.8."""
    a = jnp.array([[0.3, 0.4, math.sqrt(0.75)], [0.0, 0.1, -math.sqrt(0.99)]])
    outputs, batch = {"a/unit": a, "b/unit": a, "scale": jnp.float32(2.0)}, {"x": jnp.zeros(2)}
    off = float(a[0] @ a[1])
    whole, short = math.log(1 + math.exp(2 * (off - 1))), math.log(1 + math.exp(2 * (0.8 - 1)))
    np.testing.assert_allclose(Matryoshka(InfoNCE("a", "b"), (2,))(outputs, batch).values, [(whole + short) / 2] * 2, rtol=1e-5)
    uneven = Matryoshka(InfoNCE("a", "b"), (2,), (3.0, 1.0))(outputs, batch).values
    np.testing.assert_allclose(uneven, [(whole + 3 * short) / 4] * 2, rtol=1e-5)
    with pytest.raises(ValueError, match=r"prefix of 3 of 'a/unit', which has 3"):
        Matryoshka(InfoNCE("a", "b"), (2, 3))(outputs, batch)


@pytest.mark.parametrize("wrong", [{"widths": ()}, {"widths": (4, 2)}, {"widths": (2,), "weights": (1.0,)}], ids=str)
def test_widths_and_weights_that_do_not_fit_are_told(wrong):
    with pytest.raises(ValueError, match=r"widths=|weights="):
        Matryoshka(First(), **wrong)
