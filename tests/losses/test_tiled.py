"""The block-by-block forms against the dense ones: values, gradients, absence, and the memory that they take."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.losses import InfoNCE, Sigmoid, infonce, sigmoid, tiled
from sensorium.losses.walk import Side, Tiles

WIDTH = 5
SIZES = ((1, 1), (13, 13), (9, 14))
BLOCKS = (Tiles(4, 4), Tiles(3, 5), Tiles(64, 64))
FORMS = {"softmax": (0.0, 0.0), "smoothed": (0.2, 0.0), "hard": (0.0, 0.7), "smoothed, hard": (0.1, 1.5), "sigmoid": None}
Case = tuple[Side, Side, jax.Array, jax.Array]


def case(q: int, k: int, seed: int, *, groups: bool = False, absent: float = 0.0, keys: int = 2) -> Case:
    """Two sides of random vectors, square where q = k (then row i is a positive of row i), and a weight for every value."""
    random = np.random.default_rng(seed)
    sides = []
    for n in (q, k):
        x = random.normal(size=(n, WIDTH)).astype(np.float32)
        more = random.integers(0, 6 if groups else 10_000, (n, keys)).astype(np.int32)
        named = np.concatenate([np.arange(n, dtype=np.int32)[:, None], more], axis=1)
        here = random.random(n) >= absent
        sides.append(Side(*map(jnp.asarray, (x / np.linalg.norm(x, axis=1, keepdims=True), named, here))))
    weights = [jnp.asarray(random.random(n).astype(np.float32)) for n in (q, k)]
    return sides[0], sides[1], weights[0], weights[1]


@partial(jax.jit, static_argnames=("form", "blocks"))
def value_and_gradients(made: Case, scale: jax.Array, bias: jax.Array, form: str, blocks: Tiles | None):
    """(value, the rows), gradients wrt both sides, the scale and the bias; in blocks, or of the whole table (None)."""
    a, b, to_there, to_back = made

    def loss(x, y, scale, bias):
        rows, columns = a._replace(units=x), b._replace(units=y)
        alike = jnp.any(a.keys[:, None] == b.keys[None], axis=2)
        options = FORMS[form]
        if blocks is None:
            table = (scale * x @ y.T + bias, alike, a.here, b.here)
            found = (
                sigmoid.sigmoid(*table) if options is None else infonce.softmax(*table, smoothing=options[0], hardness=options[1])
            )
        elif options is None:
            found = tiled.sigmoid(rows, columns, scale, bias, tiles=blocks)
        else:
            found = tiled.softmax(rows, columns, scale, *options, tiles=blocks)
        return jnp.sum(to_there * found[0].values) + jnp.sum(to_back * found[1].values), found

    return jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)(a.units, b.units, scale, bias)


def close(got, expected, name: str) -> None:
    """Within 1e-5 of the largest number."""
    got, expected = np.asarray(got), np.asarray(expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max(initial=0)), err_msg=name)


@settings(max_examples=30)
@given(
    sizes=st.sampled_from(SIZES),
    blocks=st.sampled_from(BLOCKS),
    form=st.sampled_from(sorted(FORMS)),
    groups=st.booleans(),
    absent=st.sampled_from((0.0, 0.3, 0.9)),
    seed=st.integers(0, 100),
    scale=st.sampled_from((1.0, 20.0)),
)
def test_blocks_give_the_values_and_the_gradients_of_the_whole_table(sizes, blocks, form, groups, absent, seed, scale):
    made = case(sizes[0], sizes[1], seed, groups=groups, absent=absent)
    tilt = jnp.float32(scale), jnp.float32(-1.0)
    (value, rows), gradients = value_and_gradients(made, *tilt, form=form, blocks=blocks)
    (value_whole, rows_whole), gradients_whole = value_and_gradients(made, *tilt, form=form, blocks=None)
    close(value, value_whole, "value")
    for got, expected, way in zip(rows, rows_whole, ("there", "back"), strict=True):
        close(got.values, expected.values, way)
        assert (got.counts == expected.counts).all()
    for got, expected, name in zip(gradients, gradients_whole, ("rows", "columns", "scale", "bias"), strict=True):
        close(got, expected, name)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_there_has_exactly_no_gradient_even_where_it_is_nan(form):
    made = case(13, 13, 3, groups=True, absent=0.4)
    lost = ~np.asarray(made[0].here), ~np.asarray(made[1].here)
    holes = [side._replace(units=jnp.where(side.here[:, None], side.units, jnp.nan)) for side in made[:2]]
    tilt = jnp.float32(9.0), jnp.float32(-1.0)
    (value, _), gradients = value_and_gradients((*holes, *made[2:]), *tilt, form=form, blocks=Tiles(4, 6))
    (same, _), _ = value_and_gradients(made, *tilt, form=form, blocks=Tiles(4, 6))
    assert value == same and all(jnp.isfinite(gradient).all() for gradient in gradients)
    for gradient, absent in zip(gradients[:2], lost, strict=True):
        assert absent.sum() >= 3 and not np.asarray(gradient)[absent].any()
        assert np.abs(np.asarray(gradient)[~absent]).sum(1).min() > 0, "who is there learns"


@pytest.mark.parametrize("form", FORMS)
def test_where_nobody_is_there_value_and_gradients_are_zero(form):
    a, b, *weights = case(7, 7, 0, absent=1.0)
    made = (*(side._replace(units=jnp.full((7, WIDTH), jnp.nan)) for side in (a, b)), *weights)
    (value, rows), gradients = value_and_gradients(made, jnp.float32(9.0), jnp.float32(-1.0), form=form, blocks=Tiles(4, 4))
    assert value == 0 and not any(side.counts.any() for side in rows)
    assert all((gradient == 0).all() for gradient in gradients)


def test_a_scale_of_a_hundred_neither_overflows_nor_forgets():
    """exp(±100) is beyond float32, and the largest logit may come in the last block: it has to be a running maximum."""
    eye = jnp.eye(6)
    side = Side(eye, jnp.arange(6, dtype=jnp.int32)[:, None], jnp.ones(6, bool))
    there, back = tiled.softmax(side, side._replace(units=-eye), jnp.float32(200.0), tiles=Tiles(2, 2))
    np.testing.assert_allclose(there.values, [200 + np.log(5)] * 6, rtol=1e-6)  # true −200 among five of 0
    np.testing.assert_allclose(back.values, there.values, rtol=1e-6)
    hot = jax.jit(jax.grad(lambda x: jnp.sum(tiled.softmax(side, side._replace(units=x), jnp.float32(200.0))[0].values)))
    assert jnp.isfinite(hot(-eye)).all()


@pytest.mark.parametrize("kind", [InfoNCE, Sigmoid])
def test_the_losses_take_either_road_to_the_same_place(kind):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 9, WIDTH)).astype(np.float32)
    outputs = {"a/unit": jnp.asarray(x[0]), "b/unit": jnp.asarray(x[1]), "scale": jnp.float32(2.0)}
    batch = {"group": jnp.array([0, 1, 2, 3, 3, 4, 5, 6, 0]), "b/id": jnp.array([1, 2, 3, 4, 5, 6, 7, 1, 2])}
    batch |= {"a/here": jnp.arange(9) != 5, "b/here": jnp.arange(9) != 2}
    for more in ({}, {"symmetric": False, "smoothing": 0.1, "hardness": 0.5}) if kind is InfoNCE else ({},):
        dense, flat = (jax.jit(kind("a", "b", tiled=tiled, **more))(outputs, batch) for tiled in (False, True))
        np.testing.assert_allclose(flat.values, dense.values, rtol=1e-5, atol=1e-6)
        assert (flat.counts == dense.counts).all() and flat.counts.sum() == 7


def test_hard_negatives_by_hand():
    """A row whose true logit is 0 and whose two negatives have logits 0 and ln 4: with β = 1 they weigh 1 and 4, mean 5/2."""
    logits = jnp.log(jnp.array([[1.0, 1.0, 4.0]]))
    alike, here = jnp.array([[True, False, False]]), (jnp.ones(1, bool), jnp.ones(3, bool))
    plain, hard = (infonce.softmax(logits, alike, *here, hardness=beta)[0].values for beta in (0.0, 1.0))
    np.testing.assert_allclose(plain, [np.log(1 + 1 + 4)], rtol=1e-6)
    np.testing.assert_allclose(hard, [np.log(1 + 2 * (1 * 1 + 4 * 4) / (1 + 4))], rtol=1e-6)


def test_one_way_and_smoothing_by_hand():
    """Logits (0, 2; 0, 0): rows ask 0 among (0, 2) and 0 among (0, 0); columns ask 0 among (0, 0) and 0 among (2, 0)."""
    outputs = {"a/unit": jnp.eye(2), "b/unit": jnp.array([[0.0, 0.0], [1.0, 0.0]]), "scale": jnp.float32(2.0)}
    batch, far, even = {"x": jnp.zeros(2)}, np.log(1 + np.exp(2)), np.log(2)
    for tiled_ in (False, True):
        one = InfoNCE("a", "b", symmetric=False, tiled=tiled_)(outputs, batch).values
        np.testing.assert_allclose(one, [far, even], rtol=1e-6)
        np.testing.assert_allclose(InfoNCE("a", "b", tiled=tiled_)(outputs, batch).values, [(far + even) / 2] * 2, rtol=1e-6)
        smooth = InfoNCE("a", "b", symmetric=False, smoothing=0.3, tiled=tiled_)(outputs, batch).values
        np.testing.assert_allclose(smooth, [far - 0.3 * 1.0, even], rtol=1e-6)  # a mean logit of 1 takes 0.3 of the target


@pytest.mark.parametrize("wrong", [{"smoothing": 1.0}, {"hardness": -1.0}, {"tiled": False, "axis": "data"}], ids=str)
def test_dials_out_of_range_are_told(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        InfoNCE("a", "b", **wrong)


def memory(loss: InfoNCE | Sigmoid, rows: int) -> int:
    """Bytes of temporaries of loss and gradient."""
    unit, number = jax.ShapeDtypeStruct((rows, 16), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    batch = {"group": jax.ShapeDtypeStruct((rows,), jnp.int32), "b/here": jax.ShapeDtypeStruct((rows,), jnp.bool_)}
    program = jax.jit(jax.grad(lambda outputs, batch: jnp.sum(loss(outputs, batch).values)))
    given_ = {"a/unit": unit, "b/unit": unit, "scale": number}
    found = program.lower(given_, batch).compile().memory_analysis()
    assert found is not None
    return found.temp_size_in_bytes


@pytest.mark.parametrize("kind", [InfoNCE, Sigmoid])
def test_memory_grows_with_the_rows_and_not_with_their_square(kind):
    """A row more of the 16,384 costs a few hundred bytes (16 numbers a side, keys, sums), and no 4·16,384 of logits."""
    few, many = (memory(kind("a", "b"), rows) for rows in (8_192, 16_384))
    assert (many - few) / 8_192 < 1_000
    assert many < 16_384**2 * 4 / 20
    assert memory(kind("a", "b", tiled=False), 8_192) > 8_192**2 * 4, "what it is compared with does hold the table"


def test_a_small_batch_is_dense_and_a_large_one_is_not():
    small, large = memory(InfoNCE("a", "b"), 1024), memory(InfoNCE("a", "b"), 4096)
    assert small == memory(InfoNCE("a", "b", tiled=False), 1024)
    assert large == memory(InfoNCE("a", "b", tiled=True), 4096)
