"""A joint autoencoder: data whose posterior, evidence and intervals are known in closed form, and what is missing is absent."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from nn.once import run

from sensorium.core.encoding import Encoding
from sensorium.decoders.likelihood import GridLikelihood, Imputed
from sensorium.losses import Elbo, total
from sensorium.models import MODELS, JointVAE

WIDTH, STRENGTH, FIELDS = 2, 0.8, ("a", "b", "c")
"""Each field tells of a latent of standard normals with noise: strength·z + √(1 − strength²)·e, as the guide's copies do."""
STEPS, ROWS = 500, 256
LATE = STRENGTH**2 / (1 - STRENGTH**2)
"""The precision that one field adds to that of the prior, 1."""


class Plain(nnx.Module):
    """Numbers as they are."""

    pooled_width = WIDTH

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["Plain", jax.Array]:
        return cls(), jnp.ones((2, WIDTH, 1))

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> Encoding:
        return Encoding(x, jnp.ones(x.shape[:2], bool), x[..., 0])


def built(joint: str, ways: int = 2) -> JointVAE:
    rngs = nnx.Rngs(0)
    grids = {name: GridLikelihood(WIDTH, (WIDTH,), 1, (WIDTH,), 8, rngs=rngs) for name in FIELDS}
    return JointVAE({name: Plain() for name in FIELDS}, grids, WIDTH, joint, ways, rngs=rngs)


def told(key: jax.Array, rows: int) -> dict[str, jax.Array]:
    keys = jax.random.split(key, 1 + len(FIELDS))
    draw = [jax.random.normal(each, (rows, WIDTH, 1)) for each in keys]
    return {name: STRENGTH * draw[0] + np.sqrt(1 - STRENGTH**2) * e for name, e in zip(FIELDS, draw[1:], strict=True)}


class Third(nnx.Module):
    """What a model says of the third field."""

    def __init__(self, model: JointVAE):
        self.model = model

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array) -> Imputed:
        return self.model.impute(batch, ("c",), key, 100)["c"]


@cache
def trained() -> JointVAE:
    graph, state = nnx.split(built("product"))
    losses, rule = {"elbo": (1.0, Elbo(FIELDS))}, optax.adam(optax.cosine_decay_schedule(2e-2, STEPS))

    def step(carry, i):
        state, memory = carry
        key, batch = jax.random.fold_in(jax.random.key(1), i), told(jax.random.fold_in(jax.random.key(2), i), ROWS)
        slope = jax.grad(lambda state: total(losses, nnx.merge(graph, state)(batch, key), batch)[0])(state)
        with jax.numpy_dtype_promotion("standard"):
            change, memory = rule.update(slope, memory, state)
        return (optax.apply_updates(state, change), memory), None

    start = (state, rule.init(state))
    return nnx.merge(graph, jax.jit(lambda start: jax.lax.scan(step, start, jnp.arange(STEPS))[0][0])(start))


def log_evidence(batch: dict[str, jax.Array], names: tuple[str, ...]) -> np.ndarray:
    """ln of the normal density of the fields, which correlate by strength²."""
    x = np.stack([np.asarray(batch[name])[..., 0] for name in names], axis=2)
    correlation = STRENGTH**2 + (1 - STRENGTH**2) * np.eye(len(names))
    square = np.einsum("bdm,mn,bdn->b", x, np.linalg.inv(correlation), x)
    return -0.5 * (square + WIDTH * np.log(np.linalg.det(2 * np.pi * correlation)))


def only(batch: dict[str, jax.Array], given: tuple[str, ...]) -> dict[str, jax.Array]:
    return batch | {f"{name}/here": jnp.full(len(x), name in given) for name, x in batch.items()}


@pytest.mark.parametrize("given", [("a",), ("b", "c"), FIELDS], ids="".join)
def test_the_posterior_of_any_fields_is_the_true_one_and_the_bound_is_below_the_evidence_and_near_it(given):
    batch = only(told(jax.random.key(5), 2000), given)
    np.testing.assert_allclose(
        np.exp(run(trained(), batch, method="infer").log_variance).mean(0), 1 / (1 + LATE * len(given)), rtol=0.1
    )
    away = run(trained(), batch, jax.random.key(0), method="evidence") - log_evidence(batch, given)
    assert -0.04 < away.mean() < 3 * away.std() / np.sqrt(2000), "nats"


@pytest.mark.parametrize("given", [("a",), ("a", "b")], ids="".join)
def test_what_is_imputed_has_the_true_mean_and_spread_and_its_intervals_cover_as_often_as_they_say(given):
    batch = told(jax.random.key(6), 2000)
    found = run(Third(trained()), only({name: batch[name] for name in "ab"}, given), jax.random.key(0))
    precision = 1 + LATE * len(given)
    mean = LATE / precision * sum(np.asarray(batch[name]) for name in given)
    assert found.draws.shape == (100, 2000, WIDTH, 1)
    assert np.sqrt(np.mean((found.mean - mean) ** 2)) < 0.1, "of a spread of 0.7 to 0.8"
    np.testing.assert_allclose(found.deviation.mean(), np.sqrt(STRENGTH**2 / precision + 1 - STRENGTH**2), rtol=0.04)
    for share in (0.5, 0.8, 0.95):
        low, high = np.quantile(found.draws, [(1 - share) / 2, (1 + share) / 2], axis=0)
        np.testing.assert_allclose(found.interval(share), (low, high), atol=1e-5)
        covered = np.mean((batch["c"] >= low) & (batch["c"] <= high))
        assert abs(covered - share) < 0.03, (share, covered)


@pytest.mark.parametrize("joint", ["product", "subsets"])
def test_what_a_row_lacks_is_as_if_it_had_never_been(joint):
    model = built(joint)
    batch = told(jax.random.key(3), 3)
    there = jnp.array([True, False, True])
    both = jax.jit(lambda batch: (model(batch), model.infer(batch)))
    hidden, about = both(batch | {"b/here": there, "b": jnp.where(there[:, None, None], batch["b"], jnp.nan)})
    without, without_about = both({name: batch[name] for name in "ac"})
    whole, whole_about = both(batch)
    rows = {
        name: Elbo(FIELDS)(out, batch | {"b/here": there} if name == "hidden" else batch).values
        for name, out in (("hidden", hidden), ("without", without), ("whole", whole))
    }
    np.testing.assert_allclose(rows["hidden"][1], rows["without"][1], rtol=1e-5)
    np.testing.assert_allclose(rows["hidden"][::2], rows["whole"][::2], rtol=1e-5)
    for part, bare, full in zip(about, without_about, whole_about, strict=True):
        np.testing.assert_allclose(part[1], bare[1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(part[::2], full[::2], rtol=1e-5, atol=1e-6)
    assert (np.abs(whole_about.mean - without_about.mean) > 1e-3).all(), "what is there counts"


def test_a_product_of_experts_is_reckoned_from_what_each_says_alone():
    model, batch = built("product"), told(jax.random.key(3), 4)
    alone = [run(model, only(batch, (name,)), method="infer") for name in FIELDS]
    precision = sum(np.exp(-g.log_variance) - 1 for g in alone) + 1
    mean = sum(g.mean * np.exp(-g.log_variance) for g in alone) / precision
    whole = run(model, only(batch, FIELDS), method="infer")
    np.testing.assert_allclose(whole.mean, mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(whole.log_variance), 1 / precision, rtol=1e-4)


def test_sets_are_drawn_of_the_fields_that_are_there_and_weigh_one_in_all():
    here = {"a/here": jnp.array([True] * 500 + [False]), "c/here": jnp.array([False] * 501), "b/here": jnp.ones(501, bool)}
    out = run(built("product", 4), told(jax.random.key(3), 501) | here, jax.random.key(0))
    np.testing.assert_allclose(out["joint/share"], 1 / 4)
    assert (out["a/share"][:500, 0] > 0).all() and not out["a/share"][500].any() and not out["c/share"].any()
    drawn = (out["a/share"][:500, 1:] > 0).mean()
    assert abs(drawn - 2 / 3) < 0.05, "two of the three sets of two fields hold the first"


def test_json_describes_a_model_of_texts_and_traces_and_masked_readings_count_nowhere():
    words = {"vocabulary": 7, "length": 5, "width": 8, "heads": 2}
    encoders = {
        "text": {"encoder": "text_transformer", **words},
        "sensor": {"encoder": "sensor", "length": 6, "channels": 2, "patch": 3, "width": 8},
    }
    decoders = {
        "text": {"decoder": "tokens", **words},
        "sensor": {"decoder": "grid", "shape": [6], "channels": 2, "patch": [6], "width": 8, "mean": [0, 9], "std": [1, 2]},
    }
    assert MODELS["joint_vae"] is JointVAE
    model = JointVAE.build(encoders=encoders, decoders=decoders, latent=3, rngs=nnx.Rngs(0))
    mask = jnp.arange(6)[None] < jnp.array([[6], [4]])
    batch = {"text": jnp.arange(10).reshape(2, 5) % 7, "sensor": jnp.ones((2, 6, 2)), "sensor/mask": mask}
    found = run(model, batch | {"sensor": jnp.where(mask[:, :, None], batch["sensor"], jnp.nan)})
    for name, x in run(model, batch).items():
        np.testing.assert_array_equal(x, found[name])
    values, counts = Elbo(("text", "sensor"))(jax.tree.map(jnp.asarray, found), batch)
    assert np.isfinite(values).all() and counts.all()


@pytest.mark.parametrize(
    ("missing", "match"), [((), "expected some of the fields"), (("d",), "a, b, c"), (FIELDS, "has no field left")]
)
def test_what_cannot_be_imputed_is_told(missing, match):
    with pytest.raises(ValueError, match=match):
        built("product").impute(told(jax.random.key(0), 2), missing, jax.random.key(0))
