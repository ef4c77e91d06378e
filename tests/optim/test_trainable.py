"""What trains and from when, by hand; a thaw that leaves the others' memory alone; the table's counts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from sensorium.optim.lora import lora
from sensorium.optim.names import parameters
from sensorium.optim.optimizer import optimizer, shares
from sensorium.optim.trainable import Row, Trainable, staged, table

NAMES = ["encoders.image.stem.kernel", "encoders.image.stem.bias", "encoders.text.table", "projections.image.kernel", "log_scale"]


class Tower(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.stem = nnx.Linear(3, 4, rngs=rngs)
        self.out = nnx.Linear(4, 2, use_bias=False, rngs=rngs)


class Pair(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.encoders = nnx.Dict({"image": Tower(rngs), "text": Tower(rngs)})
        self.projections = nnx.Dict({"image": nnx.Linear(2, 2, use_bias=False, rngs=rngs)})
        self.log_scale = nnx.Param(jnp.zeros(()))


def test_everything_trains_unless_said_otherwise():
    assert set(Trainable().starts(NAMES).values()) == {0} and Trainable().frozen(NAMES) == ()


def test_frozen_locked_and_thawed_by_hand():
    assert Trainable(freeze=("*.bias", "log_scale")).frozen(NAMES) == ("encoders.image.stem.bias", "log_scale")
    assert Trainable(lit="image").frozen(NAMES) == tuple(NAMES[:2]), "the projection of a locked tower trains"
    assert Trainable(only=("projections.*", "log_scale")).frozen(NAMES) == tuple(NAMES[:3])
    thaw = {300: ("encoders.image.*",), 200: ("*.kernel",)}
    starts = Trainable(lit="image", thaw=thaw).starts(NAMES)
    assert starts == dict(zip(NAMES, (200, 300, 0, 200, 0), strict=True)), "the earliest thaw counts"
    assert Trainable(lit="image", thaw=thaw).frozen(NAMES) == (), "what thaws later has its place in the optimizer"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"freeze": ("encoder.image.*",)}, r"freeze=\['encoder.image.\*'\]: no parameter"),
        ({"lit": "sound"}, r"lit='sound'.*no parameter"),
        ({"thaw": {200: ("enc.*",)}}, r"thaw=\['enc.\*'\]: no parameter"),
        ({"only": ("*.lora.*",)}, r"only=\['\*.lora.\*'\]: no parameter"),
        ({"freeze": ("*",)}, "nothing is left to train"),
        ({"thaw": {10: ("*",)}}, "nothing is left to train at the first step"),
    ],
    ids=["freeze", "lit", "thaw", "only", "all-frozen", "all-later"],
)
def test_what_trains_nothing_or_names_nothing_is_told(given, text):
    with pytest.raises(ValueError, match=text):
        Trainable(**given).starts(NAMES)


def run(made: optax.GradientTransformation, steps: int) -> list[dict]:
    """The parameters after each update, for gradients of 1 and 2 at `early` and of 30 at `late`."""
    start = {"early": np.array([[1.0, -1.0]], np.float32), "late": np.array([[1.0]], np.float32)}
    gradient = {"early": np.array([[1.0, 2.0]], np.float32), "late": np.array([[30.0]], np.float32)}

    @jax.jit
    def all_of_them():
        def one(carry, _):
            change, memory = made.update(gradient, carry[1], carry[0])
            after = optax.apply_updates(carry[0], change)
            return (after, memory), after

        return jax.lax.scan(one, (start, made.init(start)), None, steps)[1]

    with jax.numpy_dtype_promotion("standard"):
        after = jax.device_get(all_of_them())
    return [start, *(jax.tree.map(lambda x, i=i: x[i], after) for i in range(steps))]


def test_a_held_parameter_stands_still_and_the_others_do_not_feel_its_thaw():
    dials = {"schedule": "constant", "warmup": 0, "weight_decay": 0.5}
    plain, held = run(optimizer("adamw", 0.1, 9, **dials), 6), run(staged(optimizer("adamw", 0.1, 9, **dials), {3: ("late",)}), 6)
    for at in range(7):
        np.testing.assert_array_equal(held[at]["early"], plain[at]["early"], err_msg=f"after {at} updates")
        np.testing.assert_allclose(held[at]["late"], plain[max(at - 3, 0)]["late"], rtol=1e-6, err_msg=f"after {at} updates")
    assert plain[3]["late"] < 0.7


def test_a_held_gradient_counts_in_no_norm():
    after = run(staged(optimizer("sgd", 0.1, 9, clip=1.0, schedule="constant", warmup=0), {1: ("late",)}), 2)
    first = after[1]["early"] - after[0]["early"]
    np.testing.assert_allclose(first, [[-0.1 / 5**0.5, -0.2 / 5**0.5]], rtol=1e-5)
    np.testing.assert_allclose(after[2]["late"] - after[1]["late"], -0.1 * 30 / 905**0.5, rtol=1e-5)


def test_without_a_thaw_the_optimizer_is_the_one_given():
    made = optax.sgd(0.1)
    assert staged(made, {}) is made


def test_the_table_by_hand():
    model = Pair(nnx.Rngs(0))
    rates = shares(list(parameters(model)), None, {"*.out.*": 0.1})
    assert table(model, Trainable(lit="image", thaw={200: ("encoders.text.stem.*",)}), rates) == [
        Row("encoders.image", 24, 0, "frozen", "–"),
        Row("encoders.text", 24, 24, "1 full, 2 thaws at step 200", "0.1 to 1"),
        Row("log_scale", 1, 1, "full", "1"),
        Row("projections.image", 4, 4, "full", "1"),
        Row("total", 53, 29, "", ""),
    ]


def test_the_table_of_adapters_by_hand():
    model = lora(Pair(nnx.Rngs(0)), rank=2, patterns=("encoders.image.*",), key=jax.random.key(0))
    rows = table(model, Trainable(only=("*.lora.*", "projections.*")))
    # 3·2 + 2·4 beside the stem, 4·2 + 2·2 beside the way out.
    assert rows[0] == Row("encoders.image", 24 + 26, 26, "LoRA r=2", "1")
    assert rows[1] == Row("encoders.text", 24, 0, "frozen", "–")
    assert rows[-1] == Row("total", 53 + 26, 26 + 4, "", "")
