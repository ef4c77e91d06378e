"""One step: traced once a shape, equal to an update written plainly, and the owner of its parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from training.tiny import card, experiment

from sensorium.losses import total
from sensorium.models import Space
from sensorium.training import Step, adamw, contrast


def leaves(model: nnx.Module) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def batches(rows: int, n: int) -> list[dict[str, np.ndarray]]:
    source = experiment().source
    return [source.read(np.random.default_rng(i).permutation(16)[:rows], draw=i) for i in range(n)]


def plain(model, losses, optimizer, batches) -> tuple[list[np.ndarray], list[float]]:
    """The same updates on the module's own state, as the documentation of optax has them."""
    graph, state = nnx.split(model)

    @jax.jit
    def update(state, memory, batch):
        def loss(state):
            return total(losses, nnx.merge(graph, state)(batch), batch)[0]

        value, gradients = jax.value_and_grad(loss)(state)
        updates, memory = optimizer.update(gradients, memory, state)
        return optax.apply_updates(state, updates), memory, value

    with jax.numpy_dtype_promotion("standard"):
        memory, values = optimizer.init(state), []
        for batch in batches:
            state, memory, value = update(state, memory, jax.tree.map(jnp.asarray, batch))
            values.append(float(value))
    return leaves(nnx.merge(graph, state)), values


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1, momentum=0.9), adamw(1e-2, 20, weight_decay=0.1)], ids=["sgd", "adamw"])
def test_it_is_the_plain_update(optimizer):
    losses, given = experiment().losses, batches(8, 3)
    step = Step(card().build(0), contrast(losses), optimizer)
    values = [float(step(batch)["loss"]) for batch in given]
    expected, expected_values = plain(card().build(0), losses, optimizer, given)
    np.testing.assert_allclose(values, expected_values, rtol=1e-5)
    before = leaves(card().build(0))
    for got, right, old in zip(leaves(step.model()), expected, before, strict=True):
        np.testing.assert_allclose(got, right, atol=2e-5)
        assert np.abs(right - old).max() > 1e-3 * np.abs(old).max(), "the update is far larger than the tolerance"


def test_it_is_traced_once_for_each_shape_of_batch():
    step = Step(card().build(0), contrast(experiment().losses), adamw(1e-2, 20))
    eight, four = batches(8, 3), batches(4, 2)
    assert step.compile(eight[0]) > 0 and step.traces == 1
    assert step.compile(eight[1]) == 0
    for batch in (*eight, *four, *eight, *four):
        step(batch)
    assert step.traces == 2


def test_the_model_is_a_copy_of_now():
    """Nothing is read before the end: an array that NumPy looks at cannot be donated, and would stay whole by accident."""
    start, same = card().build(0), card().build(0)
    one, *rest = batches(8, 4)
    optimizer = adamw(1e-1, 20, warmup=1)
    step, short = Step(start, contrast(experiment().losses), optimizer), Step(same, contrast(experiment().losses), optimizer)
    for which in (step, short):
        which(one)
        which(one)
    taken = step.model()
    for batch in rest:
        step(batch)
    for a, b, c in zip(leaves(taken), leaves(short.model()), leaves(step.model()), strict=True):
        np.testing.assert_array_equal(a, b)
        assert (b != c).any(), "further steps do change the parameters"
    for a, b in zip(leaves(start), leaves(card().build(0)), strict=True):
        np.testing.assert_array_equal(a, b, err_msg="the caller's model stays as it was given")


def test_it_tells_the_loss_of_each_pair_and_holds_the_scale():
    step = Step(card().build(0), contrast(experiment().losses), optax.sgd(0.0))
    out = step(batches(8, 1)[0])
    assert set(out) == {"loss", "scale", "loss/image-text"}
    assert out["loss"] == out["loss/image-text"] and float(out["scale"]) == pytest.approx(1 / 0.07, rel=1e-5)
    model = card().build(0)
    model.log_scale[...] = jnp.float32(6.0)
    step = Step(model, contrast(experiment().losses), optax.sgd(0.0), settle=Space.settle)
    step(batches(8, 1)[0])
    assert float(jnp.exp(step.model().log_scale[...])) == pytest.approx(100, rel=1e-5)
