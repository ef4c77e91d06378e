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
from sensorium.training.weights import arrays


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


def test_whether_all_is_finite_is_not_asked_anew_in_every_update():
    """XLA copied the conjunction of all parameters' flags into each of their updates: a quarter of what compiling took."""

    class Many(nnx.Module):
        def __init__(self):
            self.all = nnx.List([nnx.Param(jnp.ones(i + 1)) for i in range(24)])

    def squares(model, *_):
        return jnp.sum(jnp.concatenate([p[...] for p in model.all]) ** 2), {}

    step = Step(Many(), squares, adamw(1e-2, 9))
    step.compile({"x": np.zeros(1, np.float32)})
    (program,) = step._programs.values()
    assert (program.as_text() or "").count(" and(") < 10 * 24


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
    assert set(out) == {"loss", "scale", "loss/image-text", "skipped", "bad", "finite"}
    assert out["loss"] == out["loss/image-text"] and float(out["scale"]) == pytest.approx(1 / 0.07, rel=1e-5)
    model = card().build(0)
    assert isinstance(model, Space)
    model.log_scale[...] = jnp.float32(6.0)
    step = Step(model, contrast(experiment().losses), optax.sgd(0.0), settle=Space.settle)
    step(batches(8, 1)[0])
    assert float(jnp.exp(step.model().log_scale[...])) == pytest.approx(100, rel=1e-5)


def test_what_is_frozen_stays_and_can_be_thawed():
    given, objective = batches(8, 4), contrast(experiment().losses)
    whole = Step(card().build(0), objective, optax.sgd(0.1))
    step = Step(card().build(0), objective, optax.sgd(0.1), frozen=["encoders.image.*", "projections.image.*"])
    assert 0 < step.trained < whole.trained
    for batch in given[:2]:
        step(batch)
    changed = {name for name, x in arrays(step.model()).items() if (x != arrays(card().build(0))[name]).any()}
    assert changed and not any(".image." in name for name in changed)
    assert any(name.startswith("encoders.text.") for name in changed) and "log_scale" in changed
    thawed = Step(step.model(), objective, optax.sgd(0.1))
    thawed(given[2])
    before = arrays(step.model())
    assert any((x != before[name]).any() for name, x in arrays(thawed.model()).items() if ".image." in name)
    with pytest.raises(ValueError, match=r"\['encoder.image'\]: no parameter has such a name; there are "):
        Step(card().build(0), objective, optax.sgd(0.1), frozen=["encoder.image"])
    with pytest.raises(ValueError, match="nothing is left"):
        Step(card().build(0), objective, optax.sgd(0.1), frozen=["*"])


def test_statistics_are_carried_along_and_not_trained():
    class Normed(nnx.Module):
        def __init__(self):
            self.norm = nnx.BatchNorm(3, momentum=0.5, rngs=nnx.Rngs(0))

    step = Step(
        Normed(), lambda model, batch, key, updates: (jnp.mean(model.norm(batch["x"])), {}), adamw(1.0, 9, weight_decay=0.9)
    )
    step({"x": np.full((4, 3), 8.0, np.float32)})
    np.testing.assert_allclose(step.model().norm.mean[...], 4.0)
    np.testing.assert_allclose(step.model().norm.var[...], 0.5)


def test_every_step_has_its_own_key_and_a_seed_makes_them_again():
    def run(seed):
        step = Step(
            card().build(0),
            lambda model, batch, key, updates: (jnp.zeros(()), {"x": jax.random.normal(key)}),
            optax.sgd(0.1),
            seed=seed,
        )
        return [float(step(batches(8, 1)[0])["x"]) for _ in range(3)]

    assert len(set(run(0))) == 3 and run(0) == run(0) != run(1)
