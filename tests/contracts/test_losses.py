"""What every loss of the room has to hold: a value a row, rows that do not mind their order, and absence that is absence."""

import copy
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium import losses
from sensorium.core.objective import Loss, LossRows
from sensorium.losses import (
    Captioning,
    Cycle,
    Denoise,
    Distill,
    Divergence,
    Elbo,
    InfoNCE,
    Matryoshka,
    Outline,
    Reconstruct,
    Sigmoid,
    Triplet,
    Weighted,
    total,
)

ROWS, WIDTH = 6, 5
ABSENT = np.array([False, False, True, False, True, False])
PAIR = ("a/unit", "b/unit")
WAYS = np.full((ROWS, 2), 0.5, np.float32)
LOSSES: dict[str, tuple[Loss, tuple[str, ...]]] = {  # the loss, and the outputs that each row of it teaches
    "InfoNCE": (InfoNCE("a", "b"), PAIR),
    "InfoNCE hard": (InfoNCE("a", "b", smoothing=0.1, hardness=0.5), PAIR),
    "Sigmoid": (Sigmoid("a", "b"), PAIR),
    "Triplet": (Triplet("a", "b", margin=2.0), PAIR),
    "Triplet all": (Triplet("a", "b", margin=2.0, negatives="all"), PAIR),
    "Weighted": (Weighted(InfoNCE("a", "b"), by="trust"), PAIR),
    "Matryoshka": (Matryoshka(InfoNCE("a", "b"), (2, 3)), PAIR),
    "Weighted Matryoshka": (Weighted(Matryoshka(Sigmoid("a", "b"), (2,)), by="trust"), PAIR),
    "Distill": (Distill("b"), ("b/unit",)),
    "Distill relational": (Distill("b", "relational", temperature=0.5), ("b/unit",)),
    "Distill among": (Distill("a", "relational", "b", 0.5), PAIR),
    "Captioning": (Captioning("b", smoothing=0.1), ("b/logits",)),
    "Reconstruct": (Reconstruct("b"), ("b/made",)),
    "Cycle": (Cycle("b"), ("b/back",)),
    "Cycle cosine": (Cycle("b", "cosine"), ("b/back", "b/unit")),
    "Elbo": (Elbo(("b",), beta=0.5, free=0.1), ("b/nats", "joint/kl")),
    "Denoise": (Denoise("b", ("a",)), ("b/said",)),
    "Outline": (Outline("b"), ("b/sketch",)),
    "Divergence": (Divergence(given=("b",)), ("joint/kl",)),
}


def test_every_loss_of_the_room_stands_here():
    kinds = {thing for thing in vars(losses).values() if dataclasses.is_dataclass(thing)}
    assert kinds == {type(loss) for loss, _ in LOSSES.values()}


@pytest.fixture(params=LOSSES)
def name(request) -> str:
    return request.param


def given(name: str) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """(outputs, batch); `"b"` is what the loss takes it for: ids, or numbers."""
    random = np.random.default_rng(0)
    a, b, teacher, other, made, back = random.normal(size=(6, ROWS, WIDTH)).astype(np.float32)
    units = {f"{side}/unit": x / np.linalg.norm(x, axis=1, keepdims=True) for side, x in (("a", a), ("b", b))}
    logits = random.normal(size=(ROWS, WIDTH, 7)).astype(np.float32)
    outputs = {**units, "scale": np.float32(3), "b/logits": logits, "b/made": made, "b/back": back}
    outputs |= {"b/nats": made[:, :2], "b/share": WAYS, "joint/kl": np.abs(back[:, :2]) + 0.2, "joint/share": WAYS}
    outputs |= {"b/said": made, "b/wanted": back, "b/weight": np.arange(1, ROWS + 1, dtype=np.float32)}
    outputs |= {"b/sketch": back, "b/clean": made}
    words = random.integers(0, 7, (ROWS, WIDTH)).astype(np.int32)
    batch = {
        "b": words if name == "Captioning" else random.normal(size=(ROWS, WIDTH)).astype(np.float32),
        "group": np.array([0, 1, 2, 3, 3, 4], np.int32),
        "a/here": np.ones(ROWS, bool),
        "b/here": ~ABSENT,
        "a/teacher": other,
        "b/teacher": teacher,
        "trust": np.array([0.5, 2.0, 1.0, 0.3, 1.0, 1.5], np.float32),
    }
    return jax.tree.map(jnp.asarray, outputs), jax.tree.map(jnp.asarray, batch)


def permuted(x: dict[str, jax.Array], order: np.ndarray) -> dict[str, jax.Array]:
    return {key: value[order] if value.ndim else value for key, value in x.items()}


def rows_of(loss: Loss) -> Callable[..., LossRows]:
    return jax.jit(lambda outputs, batch: loss(outputs, batch))


def test_it_gives_a_value_a_row_and_says_which_count(name):
    loss, _ = LOSSES[name]
    assert isinstance(loss, Loss) and hash(loss) == hash(copy.copy(loss)), "frozen: equal losses are one"
    values, counts = rows_of(loss)(*given(name))
    assert values.shape == counts.shape == (ROWS,)
    assert jnp.isfinite(values).all() and len(np.unique(values[counts])) > 2
    assert (counts == ~ABSENT).all() and not values[ABSENT].any()


def test_permuted_rows_give_permuted_values(name):
    order = np.random.default_rng(0).permutation(ROWS)
    run, (outputs, batch) = rows_of(LOSSES[name][0]), given(name)
    values, counts = run(outputs, batch)
    again, counts_again = run(permuted(outputs, order), permuted(batch, order))
    np.testing.assert_allclose(again, values[order], rtol=1e-5, atol=1e-6)
    assert (counts_again == counts[order]).all()


def test_a_row_that_is_dropped_has_no_gradient_and_no_effect_even_where_it_is_nan(name):
    loss, taught = LOSSES[name]
    outputs, batch = given(name)
    slope = jax.jit(jax.value_and_grad(lambda x, batch: total({"it": (1.0, loss)}, x, batch)[0]))
    value, gradient = slope(outputs, batch)
    broken = {key: jnp.where(ABSENT.reshape(-1, *[1] * (x.ndim - 1)), jnp.nan, x) if x.ndim else x for key, x in outputs.items()}
    again, gradient_again = slope(broken, batch)
    assert again == value
    for key in outputs:
        assert jnp.isfinite(gradient_again[key]).all() and (gradient_again[key] == gradient[key]).all(), key
    for key in taught:
        assert not gradient[key][ABSENT].any(), "exactly zero"
        assert jnp.abs(gradient[key][~ABSENT]).reshape((~ABSENT).sum(), -1).sum(1).min() > 0, "every row that counts learns"
    nobody = batch | {"b/here": jnp.zeros(ROWS, bool)}
    value, gradient = slope(broken, nobody)
    assert value == 0 and not any(x.any() for x in gradient.values()), "no row is complete"
    kept = np.flatnonzero(~ABSENT)
    alone = rows_of(loss)(permuted(outputs, kept), permuted(batch, kept))
    np.testing.assert_allclose(rows_of(loss)(outputs, batch).values[kept], alone.values, rtol=1e-5, atol=1e-6)
