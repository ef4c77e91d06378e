"""What every fusion of the room has to hold, however it fuses: each is asked through `tiny`."""

from collections.abc import Callable
from functools import cache
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.encoding import Encoding
from sensorium.core.errors import UnknownName
from sensorium.fusions import FUSIONS, Fusion
from sensorium.nn.attention import Attention, CrossAttention

every = pytest.mark.parametrize("name", sorted(FUSIONS))
DROPS = [name for name in sorted(FUSIONS) if name not in ("mean", "gated", "projector")]
FIELDS = ("a", "b", "c")


@cache
def made(name: str) -> tuple:
    """The tiny fusion, its encodings, and itself compiled: `fuse(encodings, key, state)`, without a state its own."""
    fusion, encodings = FUSIONS[name].tiny(nnx.Rngs(0))
    graph, own = nnx.split(fusion)
    compiled = jax.jit(lambda state, encodings, key: nnx.merge(graph, state)(encodings, key))

    def fuse(encodings, key=None, state=None) -> Encoding:
        return jax.tree.map(np.asarray, compiled(own if state is None else state, encodings, key))

    return fusion, jax.tree.map(np.asarray, encodings), fuse


@cache
def slopes(name: str) -> Callable:
    """Compiled: the gradients of a sum in which every output has its own weight, wrt the state and all tokens and pooled."""
    graph, state = nnx.split(made(name)[0], nnx.Param)

    def total(state, inputs, masks):
        out = nnx.merge(graph, state)({field: Encoding(x, masks[field], p) for field, (x, p) in inputs.items()})
        return sum(
            jnp.sum(x * (0.5 + np.sin(np.arange(x.size, dtype=np.float32))).reshape(x.shape)) for x in (out.pooled, out.tokens)
        )

    compiled = jax.jit(jax.grad(total, argnums=(0, 1)))
    return lambda encodings: compiled(
        state, {field: (x.tokens, x.pooled) for field, x in encodings.items()}, {field: x.mask for field, x in encodings.items()}
    )


def close(a, b) -> bool:
    return all(np.allclose(p, q, atol=1e-5) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def absent(encoding: Encoding, rows: int | slice = slice(None)) -> Encoding:
    """The same with a mask that is False in `rows`, and what is no number where nothing is."""
    mask = encoding.mask.copy()
    mask[rows] = False
    return encoding._replace(
        tokens=np.where(mask[..., None], encoding.tokens, np.float32(np.nan)),
        mask=mask,
        pooled=np.where(mask.any(1)[:, None], encoding.pooled, np.float32(np.nan)),
    )


@every
def test_it_is_as_wide_as_it_says_and_real_tokens_are_numbers(name):
    fusion, encodings, fuse = made(name)
    assert isinstance(fusion, Fusion) and fusion.fields == FIELDS
    tokens, mask, pooled = fuse(encodings)
    assert pooled.shape == (3, fusion.pooled_width) and tokens.shape[:2] == mask.shape
    assert mask.any(1).all() and np.isfinite(tokens).all() and np.isfinite(pooled).all()


@every
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_that_is_there_has_an_effect_on_its_row_and_on_no_other(name, field):
    _, encodings, fuse = made(name)
    before, (tokens, mask, pooled) = fuse(encodings).pooled, encodings[field]
    turned = Encoding(tokens.copy(), mask, pooled.copy())
    turned.tokens[1], turned.pooled[1] = -tokens[1, ::-1], -pooled[1]
    after = fuse(encodings | {field: turned}).pooled
    assert np.abs(after[1] - before[1]).max() > 1e-3
    np.testing.assert_allclose(after[::2], before[::2], atol=1e-6)


@every
def test_rows_do_not_mix(name):
    _, encodings, fuse = made(name)
    order = np.array([2, 0, 1])
    whole = fuse(encodings)
    assert close(fuse(jax.tree.map(lambda x: x[order], encodings)), jax.tree.map(lambda x: x[order], whole))
    assert close(fuse(jax.tree.map(lambda x: x[1:2], encodings)), jax.tree.map(lambda x: x[1:2], whole))


@every
@pytest.mark.parametrize("there", ["a", "bc"])
def test_absence_is_one_thing_in_each_of_its_forms(name, there):
    fusion, encodings, fuse = made(name)
    left_out = {field: encodings[field] for field in there}
    alone = fuse(left_out)
    graph, state = nnx.split(fusion)
    trace = jax.make_jaxpr(lambda state, encodings: nnx.merge(graph, state)(encodings))
    said = left_out | {field: None for field in FIELDS if field not in there}
    assert str(trace(state, said)) == str(trace(state, left_out)), "None is one program with left out"
    masked = fuse({field: x if field in there else absent(x) for field, x in encodings.items()})
    np.testing.assert_allclose(masked.pooled, alone.pooled, atol=1e-5)
    for row in range(3):
        real, expected = masked.tokens[row][masked.mask[row]], alone.tokens[row][alone.mask[row]]
        np.testing.assert_allclose(real, expected, atol=1e-5)
    assert np.abs(alone.pooled - fuse(encodings).pooled).max(1).min() > 1e-3, "it was there before"


@every
def test_a_field_may_be_absent_in_some_rows_only(name):
    _, encodings, fuse = made(name)
    mixed = fuse(encodings | {"a": absent(encodings["a"], 1)}).pooled
    np.testing.assert_allclose(mixed[::2], fuse(encodings).pooled[::2], atol=1e-5)
    np.testing.assert_allclose(mixed[1], fuse({"b": encodings["b"], "c": encodings["c"]}).pooled[1], atol=1e-5)


@every
def test_a_row_without_anything_is_zeros_and_gradients_are_finite(name):
    _, encodings, fuse = made(name)
    gone = {field: absent(x, 1) for field, x in encodings.items()}
    tokens, mask, pooled = fuse(gone)
    assert not pooled[1].any() and not mask[1].any() and not tokens[1].any()
    zero = jax.tree.map(lambda x: x if x.dtype == bool else np.where(np.isnan(x), x, x * 0), gone)
    for case in (gone, zero):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes(name)(case)))


@every
def test_every_parameter_has_an_effect(name):
    for path, gradient in nnx.to_flat_state(slopes(name)(made(name)[1])[0]):
        assert np.isfinite(gradient[...]).all() and np.abs(gradient[...]).max() > 0, path


@every
def test_compiled_it_gives_the_same(name):
    fusion, encodings, fuse = made(name)
    assert close(fuse(encodings), fusion(jax.tree.map(jnp.asarray, encodings)))


@every
def test_fields_go_by_their_names_and_are_told_apart(name):
    _, encodings, fuse = made(name)
    whole = fuse(encodings)
    assert close(fuse(dict(reversed(encodings.items()))), whole), "the order of the dict is nothing"
    swapped = fuse(encodings | {"a": encodings["b"], "b": encodings["a"]}).pooled
    assert np.abs(swapped - whole.pooled).max(1).min() > 1e-3


@every
def test_the_order_of_the_tokens_counts_where_it_says_so(name):
    fusion, encodings, fuse = made(name)
    turned = jax.tree.map(lambda x: x, encodings) | {"a": encodings["a"]._replace(tokens=encodings["a"].tokens[:, ::-1])}
    assert np.allclose(fuse(turned).pooled, fuse(encodings).pooled, atol=1e-5) != fusion.ordered


@every
def test_no_field_is_louder_than_another(name):
    _, encodings, fuse = made(name)
    loud = encodings | {"a": Encoding(encodings["a"].tokens * 1000, encodings["a"].mask, encodings["a"].pooled * 1000)}
    np.testing.assert_allclose(fuse(loud).pooled, fuse(encodings).pooled, atol=1e-4)


@every
def test_every_head_matters(name):
    fusion, encodings, fuse = made(name)
    attentions = [(path, m) for path, m in nnx.iter_modules(fusion) if isinstance(m, Attention | CrossAttention)]
    if name not in ("mean", "gated", "projector"):
        assert attentions
    whole = fuse(encodings).pooled
    for path, module in attentions:
        kernel = module.out.kernel[...]
        for head in np.split(np.arange(len(kernel)), module.heads):
            without = np.array(kernel)
            without[head] = 0.0
            module.out.kernel[...] = jnp.asarray(without)
            assert np.abs(fuse(encodings, state=nnx.state(fusion)).pooled - whole).max() > 1e-5, (path, head)
        module.out.kernel[...] = kernel


@pytest.mark.parametrize("name", DROPS)
def test_it_drops_out_only_with_a_key_and_by_that_key(name):
    _, encodings, fuse = made(name)
    still = fuse(encodings).pooled
    one, again, other = (fuse(encodings, jax.random.key(seed)).pooled for seed in (1, 1, 2))
    assert close(one, again) and not close(one, other) and not close(one, still)


@every
def test_what_does_not_fit_is_an_error_that_says_so(name):
    fusion, encodings = made(name)[0], jax.tree.map(jnp.asarray, made(name)[1])
    with pytest.raises(UnknownName, match="no field 'd'"):
        fusion(encodings | {"d": encodings["a"]})
    with pytest.raises(ValueError, match="nothing to fuse"):
        fusion({"a": None})
    with pytest.raises(ValueError, match=r"rows differ.*'a': 2"):
        fusion(encodings | {"a": jax.tree.map(lambda x: x[:2], encodings["a"])})
    with pytest.raises(ValueError, match=r"'a' is \d wide, where this fusion was built for [67]"):
        fusion(encodings | {"a": encodings["c"]})


def test_unlike_fusions_are_unlike():
    pooled = [made(name)[2](made(name)[1]).pooled for name in sorted(FUSIONS)]
    assert all(not np.allclose(x, y, atol=1e-2) for x, y in combinations(pooled, 2))
