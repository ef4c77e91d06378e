"""Each optimizer against optax's own or by hand, what decays, which rate is whose, and the traps of clipping."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sensorium.core.errors import UnknownName
from sensorium.core.trainer import Trainer
from sensorium.optim.dials import optimizer_of
from sensorium.optim.optimizer import OPTIMIZERS, hold_norm, optimizer, shares
from sensorium.training import adamw

PARAMETERS = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32), "scale": np.ones((), np.float32)}
CONSTANT: dict[str, Any] = {"schedule": "constant", "warmup": 0}


@pytest.fixture(autouse=True)
def promotion():
    with jax.numpy_dtype_promotion("standard"):  # as the step does around optax
        yield


def updates(made: optax.GradientTransformation, gradients: list[dict], parameters: dict = PARAMETERS) -> list[dict]:
    """The updates for some gradients in a row, as one program: a test is quick that compiles once."""

    @jax.jit
    def all_of_them(stacked: dict) -> dict:
        def one(state, gradient: dict):
            change, state = made.update(gradient, state, parameters)
            return state, change

        return jax.lax.scan(one, made.init(parameters), stacked)[1]  # pyright: ignore[reportReturnType]

    out = jax.device_get(all_of_them(jax.tree.map(lambda *given: np.stack(given), *gradients)))
    return [jax.tree.map(lambda x, i=i: x[i], out) for i in range(len(gradients))]


def some(seed: int, parameters: dict = PARAMETERS) -> dict:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=x.shape).astype(np.float32) for name, x in parameters.items()}


def constant(value: float, steps: int) -> list[dict]:
    return [{name: np.full(x.shape, value, np.float32) for name, x in PARAMETERS.items()}] * steps


def test_the_rate_rises_to_its_highest_and_falls_to_a_hundredth():
    changes = updates(adamw(0.5, 20, warmup=4), constant(1.0, 20))
    rates = [-float(change["bias"][0]) for change in changes]  # Adam's step for a constant gradient is the rate
    np.testing.assert_allclose(rates[:4], [0.125, 0.25, 0.375, 0.5], rtol=1e-4)
    assert (np.diff(rates[3:]) < 0).all()
    assert rates[19] == pytest.approx(0.005, rel=1e-3)
    assert rates[11] == pytest.approx((0.5 + 0.005) / 2, rel=1e-3), "half way down the cosine"


def test_only_matrices_decay_and_tables_do_not():
    parameters = PARAMETERS | {"encoders.text.table": jnp.ones((3, 2)), "encoders.image.positions": jnp.ones((2, 2, 4))}
    nothing = {name: jnp.zeros_like(x) for name, x in parameters.items()}
    (change,) = updates(adamw(0.5, 20, warmup=1, weight_decay=0.1), [nothing], parameters)
    np.testing.assert_allclose(change.pop("kernel"), -0.05, rtol=1e-4)
    assert all((x == 0).all() for x in change.values()) and len(change) == 4


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("adamw", optax.adamw(0.1, b2=0.98, weight_decay=0.3, mask={"kernel": True, "bias": False, "scale": False})),
        ("lion", optax.lion(0.1, weight_decay=0.3, mask={"kernel": True, "bias": False, "scale": False})),
        ("adafactor", optax.adafactor(0.1, multiply_by_parameter_scale=False)),
        ("sgd", optax.sgd(0.1, momentum=0.9)),
    ],
    ids=["adamw", "lion", "adafactor", "sgd"],
)
def test_three_updates_are_those_of_optax(name, reference):
    decay = 0.3 if name in ("adamw", "lion") else 0.0
    gradients = [some(seed) for seed in range(3)]
    for ours, theirs in zip(
        updates(optimizer(name, 0.1, 9, weight_decay=decay, **CONSTANT), gradients), updates(reference, gradients), strict=True
    ):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), ours, theirs)


def test_sgd_and_lion_by_hand():
    first, second = ({"x": jnp.array([value, -value])} for value in (2.0, 1.0))
    sgd = updates(optimizer("sgd", 0.1, 9, **CONSTANT), [first, second], {"x": jnp.zeros(2)})
    np.testing.assert_allclose([change["x"] for change in sgd], [[-0.2, 0.2], [-0.28, 0.28]], rtol=1e-6)  # 1 + 0.9 · 2
    # The momentum after the first is 0.01 · 2; 0.9 · 0.02 + 0.1 · (−0.1) is above 0 still: the sign does not turn yet.
    back = {"x": jnp.array([-0.1, -1.0])}
    lion = updates(optimizer("lion", 0.1, 9, **CONSTANT), [first, back], {"x": jnp.zeros(2)})
    np.testing.assert_allclose([change["x"] for change in lion], [[-0.1, 0.1], [-0.1, 0.1]], rtol=1e-6)


def test_muon_makes_matrices_orthogonal_and_leaves_the_rest_to_adamw():
    parameters = {"kernel": jnp.zeros((4, 8)), "bias": jnp.zeros(8), "table": jnp.zeros((5, 8))}
    gradient = some(0, parameters)
    (change,) = updates(optimizer("muon", 0.1, 9, **CONSTANT), [gradient], parameters)
    # The singular values of gradient × sign come out near 1, times 0.2·√8 and the rate, against the gradient's direction.
    left, values, right = np.linalg.svd(gradient["kernel"], full_matrices=False)
    found = np.diag(left.T @ np.asarray(change["kernel"]) @ right.T) / (-0.1 * 0.2 * 8**0.5)
    assert (np.abs(found - 1) < 0.35).all() and values.max() / values.min() > 1.5
    (theirs,) = updates(optax.adamw(0.1, b2=0.98, weight_decay=0.0), [gradient], parameters)
    for name in ("bias", "table"):
        np.testing.assert_allclose(change[name], theirs[name], rtol=1e-5)


def test_what_is_plain_moves_as_by_adamw_and_the_rest_does_not_notice():
    parameters = {"a.kernel": jnp.zeros((4, 8)), "b.kernel": jnp.zeros((4, 8))}
    gradient = some(0, parameters)
    (whole,) = updates(optimizer("muon", 0.1, 9, **CONSTANT), [gradient], parameters)
    (parted,) = updates(optimizer("muon", 0.1, 9, plain=("a.*",), **CONSTANT), [gradient], parameters)
    (theirs,) = updates(optimizer("adamw", 0.1, 9, **CONSTANT), [gradient], parameters)
    np.testing.assert_allclose(parted["a.kernel"], theirs["a.kernel"], rtol=1e-6)
    np.testing.assert_allclose(parted["b.kernel"], whole["b.kernel"], rtol=1e-6)
    assert np.abs(whole["a.kernel"] - theirs["a.kernel"]).max() > 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_moves_at_its_first_update_and_reaches_the_ground_of_a_bowl(name):
    made = optimizer(name, 0.1, 200, warmup=5, clip=1.0)
    parameters = {"kernel": np.full((3, 2), 1.0, np.float32), "bias": np.full(3, -1.0, np.float32)}

    @jax.jit
    def run(steps: int):
        def step(_, carry):
            change, memory = made.update(carry[0], carry[1], carry[0])  # the gradient of |x|² / 2
            return optax.apply_updates(carry[0], change), memory

        return jax.lax.fori_loop(0, steps, step, (parameters, made.init(parameters)))[0]

    after, end = run(1), run(200)
    assert all(bool((abs(after[key]) < abs(parameters[key])).all()) for key in parameters)
    assert max(float(jnp.abs(x).max()) for x in end.values()) < 0.05


def test_shares_of_the_rate_by_depth_and_by_pattern():
    names = [
        "encoders.image.patches.project.kernel",
        "encoders.image.positions",
        "encoders.image.transformer.layers.0.qkv.kernel",
        "encoders.image.transformer.layers.2.qkv.kernel",
        "encoders.image.pool.out.kernel",
        "encoders.text.blocks.0.up.bias",
        "encoders.text.table",
        "encoders.audio.trunk.halve.0.kernel",
        "projections.image.kernel",
    ]
    rates = {"encoders.image.pool.*": 0.1, "encoders.image.*": 10.0, "projections.*": 0.0}
    by_hand = [10 / 16, 10 / 16, 10 / 8, 10 / 2, 0.1, 1 / 2, 1 / 4, 1, 0]
    assert shares(names, 0.5, rates) == pytest.approx(dict(zip(names, by_hand, strict=True)))
    assert shares(["layers.0.w", "layers.1.w", "table", "head"], 0.5) == {
        "layers.0.w": 0.25,
        "layers.1.w": 0.5,
        "table": 0.125,
    } | {"head": 1}
    parameters = {name: jnp.ones(()) for name in names}
    made = optimizer("sgd", 0.1, 9, layer_decay=0.5, rates=rates, **CONSTANT)
    (change,) = updates(made, [parameters], parameters)
    np.testing.assert_allclose([float(change[name]) for name in names], [-0.1 * share for share in by_hand], rtol=1e-6)


def test_a_recipe_lets_a_part_of_its_model_move_at_a_rate_of_its_own():
    made = optimizer_of(Trainer(schedule="constant"), 1e-2, 9, rates={"bias": 4.0, "frozen.*": 2.0})
    first = updates(made, [{name: np.ones_like(x) for name, x in PARAMETERS.items()}])[0]
    assert first["scale"] < 0
    np.testing.assert_allclose(first["bias"], 4 * first["scale"], rtol=1e-6)


def test_clipping_scales_what_is_too_long_and_nothing_else():
    clip = hold_norm(1.0)
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    (held,) = updates(clip, [gradient], gradient)
    np.testing.assert_allclose(np.concatenate([held["a"], held["b"][0]]), [0.6, 0.0, 0.8], rtol=1e-6)
    for short in (0.1, 1e-30, 0.0):
        (same,) = updates(clip, [{"a": jnp.array([short])}], gradient)
        assert same["a"] == jnp.float32(short)


@pytest.mark.parametrize("great", [3e19, 3e38])
def test_a_great_gradient_is_clipped_and_not_lost(great):
    gradient = {"a": jnp.array([great, -great]), "b": jnp.array(great / 2)}
    (held,) = updates(hold_norm(0.5), [gradient], gradient)
    np.testing.assert_allclose(np.append(held["a"], held["b"]), np.array([2, -2, 1]) / 6, rtol=1e-5)
    _, second = updates(optimizer("adamw", 0.1, 9, clip=0.5, **CONSTANT), [gradient, gradient], gradient)
    assert float(second["b"]) == pytest.approx(-0.1, rel=1e-3), "Adam's squares did not overflow"


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_what_is_not_finite_stays_where_it_arose(wrong):
    gradient = {"a": jnp.array([5.0, wrong]), "b": jnp.array([2.0])}
    (held,) = updates(hold_norm(1.0), [gradient], gradient)
    np.testing.assert_array_equal(held["a"], gradient["a"])
    assert held["b"] == 2


def test_a_parameter_without_a_gradient_stands_still_and_later_starts_as_if_the_run_began_there():
    parameters = {"early": jnp.zeros(2), "late": jnp.zeros(2)}
    on, off = jnp.ones(2), jnp.zeros(2)
    changes = updates(
        optimizer("adamw", 0.1, 99, **CONSTANT), [{"early": on, "late": off}] * 5 + [{"early": on, "late": on}] * 3, parameters
    )
    assert all((change["late"] == 0).all() for change in changes[:5])
    np.testing.assert_allclose([change["late"][0] for change in changes[5:]], -0.1, rtol=1e-5)


def test_what_cannot_be_is_told():
    with pytest.raises(UnknownName, match="Did you mean 'adamw'"):
        optimizer("adam", 0.1, 9)
    with pytest.raises(ValueError, match="clip=0"):
        optimizer("adamw", 0.1, 9, clip=0)
    with pytest.raises(ValueError, match=r"rates=\['encoder.*'\]: no parameter"):
        optimizer("adamw", 0.1, 9, rates={"encoder.*": 0.1}).init(PARAMETERS)
    with pytest.raises(ValueError, match="no parameter is in a list of blocks"):
        optimizer("adamw", 0.1, 9, layer_decay=0.9).init(PARAMETERS)
    with pytest.raises(ValueError, match="master weights in f32; got kernel bfloat16"):
        optimizer("adamw", 0.1, 9).init({"kernel": jnp.ones((2, 2), jnp.bfloat16)})
