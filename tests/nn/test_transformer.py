"""The stack against attention written out, who hears whom, places, and the table of words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.nn.transformer import Layer, Positions, Transformer, look_up, sinusoids

MASK = jnp.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], bool)


@pytest.fixture
def x() -> jax.Array:
    return jax.random.normal(jax.random.key(0), (2, 5, 12))


def rms(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True))


def dense(layer: nnx.Linear) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias in float64."""
    assert layer.bias is not None
    return np.asarray(layer.kernel[...], np.float64), np.asarray(layer.bias[...], np.float64)


def reference(layer: Layer, x: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The equations for each row, head and token, in float64: heads stand side by side, queries before keys before values."""
    width, depth = x.shape[-1], x.shape[-1] // layer.heads
    qkv, out = (np.asarray(part.kernel[...], np.float64) for part in (layer.qkv, layer.out))
    mixed = np.zeros(x.shape)
    for row, head, i in np.ndindex(len(x), layer.heads, x.shape[1]):
        cut = slice(head * depth, (head + 1) * depth)
        q, k, v = ((rms(x[row]) @ qkv[:, part * width : (part + 1) * width])[:, cut] for part in range(3))
        shares = np.exp(k @ q[i] / np.sqrt(depth)) * seen[row, 0, i]
        mixed[row, i, cut] = shares / shares.sum() @ v
    x = x + mixed @ out
    up, down = (dense(part) for part in (layer.up, layer.down))
    gate, value = np.split(rms(x) @ up[0] + up[1], 2, axis=-1)
    gate = 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
    return x + (gate * value) @ down[0] + down[1]


@pytest.mark.parametrize("heads", [1, 3])
def test_a_layer_is_its_equations(x, heads):
    layer = Layer(12, heads, rngs=nnx.Rngs(1))
    for part in (layer.up, layer.down):
        assert part.bias is not None
        part.bias[...] = jax.random.normal(jax.random.key(2), part.bias[...].shape)
    seen = np.asarray(MASK)[:, None, None, :] & np.tri(5, dtype=bool)
    np.testing.assert_allclose(run(layer, x, jnp.asarray(seen)), reference(layer, np.asarray(x, np.float64), seen), atol=5e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_who_hears_whom(x, causal):
    """Token j is changed: the tokens that hear it change, and no others; masked it is heard by none."""
    model = Transformer(12, 2, 3, causal=causal, rngs=nnx.Rngs(1))
    before = run(model, x, MASK)
    heard = np.zeros((5, 5), bool)
    for j in range(5):
        after = run(model, x.at[1, j].set(3.0 * jnp.sin(jnp.arange(12.0))), MASK)
        np.testing.assert_array_equal(after[0], before[0])
        heard[:, j] = np.abs(after[1] - before[1]).max(-1) > 1e-4
    mask = np.asarray(MASK[1])
    expected = mask[:, None] & mask[None] & (np.tri(5, dtype=bool) if causal else True)
    np.testing.assert_array_equal(heard, expected)


def test_what_comes_out_is_normed_and_zero_where_masked(x):
    model = Transformer(12, 1, 3, rngs=nnx.Rngs(1))
    out = run(model, x, MASK)
    np.testing.assert_allclose((out**2).mean(-1), np.asarray(MASK, np.float32), atol=1e-4)
    np.testing.assert_allclose(run(model, x), run(model, x, jnp.ones((2, 5), bool)), atol=1e-6)


def test_a_row_without_tokens_is_zero_with_finite_gradients(x):
    graph, state = nnx.split(Transformer(12, 2, 3, rngs=nnx.Rngs(1)))
    mask = MASK.at[0].set(False)

    def loss(state, x):
        return jnp.sum(jnp.square(nnx.merge(graph, state)(x, mask)[:, :, 0]))

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(state, x.at[0].set(0.0))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert not run(nnx.merge(graph, state), x, mask)[0].any()


def test_heads_that_do_not_divide_the_width_are_an_error():
    with pytest.raises(ValueError, match="width 12 cannot be split into 5 heads: take"):
        Transformer(12, 1, 5, rngs=nnx.Rngs(0))


def test_positions_are_learned_and_run_out():
    places = Positions(4, 6, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(places(3), places.table[...][:3])
    with pytest.raises(ValueError, match="a sequence of 5, where there are places for 4"):
        places(5)


def test_sinusoids_turn_at_their_rates():
    table = np.asarray(sinusoids(50, 4, longest=100.0))
    at = np.arange(50)
    np.testing.assert_allclose(table.T, [np.sin(at), np.sin(at / 10), np.cos(at), np.cos(at / 10)], atol=1e-6)
    with pytest.raises(ValueError, match="width 5: expected an even width"):
        sinusoids(3, 5)


@pytest.mark.parametrize("words", [512, 513])
def test_the_product_and_the_look_up_are_one(words):
    """Up to 512 words the table is multiplied with one-hot rows, above it is indexed."""
    table = jax.random.normal(jax.random.key(0), (words, 3))
    ids = jnp.array([[0, 3, words - 1, 3]])
    np.testing.assert_allclose(look_up(table, ids)[0], np.asarray(table)[np.asarray(ids[0])], atol=1e-6)


def lowered(how: dict[str, bool], depth: int = 3) -> tuple[jax.stages.Lowered, nnx.State]:
    """A stack and its gradients by name, over texts of 32 tokens; not yet compiled."""
    graph, state = nnx.split(Transformer(12, depth, 3, causal=True, rngs=nnx.Rngs(1), **how))

    def loss(state: nnx.State, x: jax.Array, mask: jax.Array):
        out = nnx.merge(graph, state)(x, mask)
        return jnp.sum(jnp.sin(3.0 * out)), out

    shapes = jax.ShapeDtypeStruct((4, 32, 12), jnp.float32), jax.ShapeDtypeStruct((4, 32), jnp.bool_)
    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True)).lower(state, *shapes), state


HOW = [{}, {"remat": True}, {"scan": True}, {"remat": True, "scan": True}]


def test_remat_and_scan_change_nothing_but_how_it_is_computed():
    x, mask = jax.random.normal(jax.random.key(0), (4, 32, 12)), jnp.arange(32)[None] < jnp.array([32, 20, 1, 0])[:, None]
    found, held = [], []
    for how in HOW:
        before, state = lowered(how)
        program = before.compile()
        (of_state, of_x), out = program(state, x, mask)
        named = {"/".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(of_state)}
        found.append(jax.tree.map(np.asarray, named | {"x": of_x, "out": out}))
        held.append(program.memory_analysis().temp_size_in_bytes)  # pyright: ignore[reportOptionalMemberAccess]
    assert "layers/2/qkv/kernel" in found[0], "the parameters of a layer are its own"
    for how, got in zip(HOW[1:], found[1:], strict=True):
        assert got.keys() == found[0].keys()
        for name, plain in found[0].items():
            close = 1e-6 * max(1.0, np.abs(plain).max())
            np.testing.assert_allclose(got[name], plain, atol=close, err_msg=f"{how} {name}")
    assert held[3] < 0.6 * held[2], "remat holds the inputs of the layers, and the inside of one"


def test_a_scanned_stack_is_one_program_at_any_depth():
    """Its layers stand in the program once, and so does their gradient: products of matrices at two and at five layers."""
    products = {
        how: [lowered({"scan": how}, depth)[0].as_text().count("dot_general") for depth in (2, 5)] for how in (False, True)
    }
    assert products[True][0] == products[True][1]
    assert products[False][1] == 2.5 * products[False][0]
