"""The gradient cache: the whole batch's value and gradient, the same dropout again, and the memory of a part."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from training.tiny import card, experiment

from sensorium.core.objective import LossRows
from sensorium.core.trainer import BadDial
from sensorium.losses import InfoNCE
from sensorium.models import Space
from sensorium.training import Step, contrast, fit
from sensorium.training.parts import in_parts

LOSSES = {"image-text": (1.0, InfoNCE("image", "text"))}


def batch(rows: int = 16) -> dict[str, jax.Array]:
    return jax.tree.map(jnp.asarray, experiment().source.read(range(rows), draw=1))


def gradients(model: nnx.Module, objective, rows: dict[str, jax.Array]) -> tuple[float, list[np.ndarray]]:
    graph, state = nnx.split(model)

    def loss(state):
        return objective(nnx.merge(graph, state), rows, jax.random.key(3), jnp.int32(0))[0]

    value, grads = jax.jit(jax.value_and_grad(loss))(state)
    return float(value), [np.asarray(leaf) for leaf in jax.tree.leaves(grads)]


@pytest.mark.parametrize("size", [1, 4, 8, 16])
def test_the_gradient_is_that_of_the_whole_batch(size):
    """Row 15 has no caption; every other one is a negative of those in other parts."""
    value, whole = gradients(card().build(0), contrast(LOSSES), batch())
    again, parts = gradients(card().build(0), contrast(LOSSES, size), batch())
    assert again == pytest.approx(value, rel=1e-5)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5 * max(1e-3, np.abs(one).max()) * 10)
    alone = gradients(card().build(0), contrast(LOSSES), batch(8))[1]
    assert any(np.abs(a - b).max() > 1e-3 * np.abs(a).max() for a, b in zip(whole, alone, strict=True)), "it is not a part's"


class Dropping(Space):
    """Vectors of which half of the numbers are dropped, and a scale."""

    def __init__(self):  # a space in nothing but its outputs
        self.matrix = nnx.Param(jnp.eye(4) + 0.1)

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array | None = None) -> dict[str, jax.Array]:
        assert key is not None
        kept = jax.random.bernoulli(key, 0.5, batch["x"].shape)
        return {"x/unit": jnp.where(kept, batch["x"] @ self.matrix[...], 0.0), "scale": jnp.float32(2.0)}


@dataclasses.dataclass(frozen=True)
class Squares:
    def __call__(self, outputs, batch):
        values = jnp.sum(jnp.square(jnp.sum(outputs["x/unit"], axis=0))) * jnp.ones(len(batch["x"])) * outputs["scale"]
        return LossRows(values, jnp.ones(len(batch["x"]), bool))


def test_dropout_is_the_same_in_both_passes():
    x = jax.random.normal(jax.random.key(0), (6, 4))

    def plainly(model, rows, key, updates):
        parts = [model({"x": rows["x"][i::3]}, jax.random.fold_in(key, i))["x/unit"] for i in range(3)]
        return 2.0 * jnp.sum(jnp.square(jnp.sum(jnp.concatenate(parts), axis=0))), {}

    value, expected = gradients(Dropping(), plainly, {"x": x})
    again, got = gradients(Dropping(), contrast({"all": (1.0, Squares())}, 2), {"x": x})
    assert again == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5)


def test_rows_stay_in_their_order_and_scalars_are_scalars():
    rows = batch()
    model = card().build(0)
    whole = model(rows)
    parts = in_parts(model, rows, jax.random.key(0), 4)
    assert parts.keys() == whole.keys() and parts["scale"].shape == ()
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6)


def test_over_a_mesh_every_device_encodes_its_own_rows():
    """Parts of neighbouring rows would lie on one device each: the others would be sent them, or wait."""
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    split, same = (jax.NamedSharding(mesh, jax.P(*names)) for names in (("data",), ()))
    graph, state = nnx.split(Dropping())

    def run(state, x):
        return in_parts(nnx.merge(graph, state), {"x": x}, jax.random.key(0), 4)["x/unit"]

    x = jax.random.normal(jax.random.key(0), (16, 4))
    program = jax.jit(run, in_shardings=(same, split), out_shardings=split).lower(state, x).compile()
    travels = [word for word in ("all-gather", "all-to-all", "collective-permute") if word in str(program.as_text())]
    assert not travels, "rows travel"
    np.testing.assert_array_equal(program(state, jax.device_put(x, split)), jax.jit(run)(state, x))


def test_the_memory_of_activations_is_that_of_a_part():
    rows = {key: jnp.tile(value, (16, *[1] * (value.ndim - 1))) for key, value in batch().items()}
    graph, state = nnx.split(card().build(0))

    def memory(objective) -> int:
        def loss(state):
            return objective(nnx.merge(graph, state), rows, jax.random.key(0), jnp.int32(0))[0]

        analysis = jax.jit(jax.grad(loss)).lower(state).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert memory(contrast(LOSSES, 16)) < 0.6 * memory(contrast(LOSSES))


def test_a_step_in_parts_trains_as_one_in_whole():
    whole = Step(card().build(0), contrast(LOSSES), optax.sgd(0.1))
    parts = Step(card().build(0), contrast(LOSSES, 4), optax.sgd(0.1))
    given = [experiment().source.read(range(16), draw=i) for i in range(3)]
    for rows in given:
        one, other = whole(rows), parts(rows)
        assert float(other["loss"]) == pytest.approx(float(one["loss"]), rel=1e-4)
    history = fit(dataclasses.replace(experiment(3), micro_batch=4))[1]
    expected = fit(experiment(3))[1]
    assert [r["loss"] for r in history[1:]] == pytest.approx([r["loss"] for r in expected[1:]], rel=1e-3)


def test_what_does_not_divide_the_batch_is_refused():
    with pytest.raises(BadDial, match="micro_batch=3: expected a divisor of the batch, 8"):
        experiment(3, micro_batch=3)
    with pytest.raises(ValueError, match="micro_batch=5 of a batch of 16 rows"):
        in_parts(card().build(0), batch(), jax.random.key(0), 5)
