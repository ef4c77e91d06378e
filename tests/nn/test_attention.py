"""Attention against a NumPy softmax, one query at a time; blocks and convolutions over tokens against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.nn.attention import Attention, Block, CrossAttention, Neighbours, geglu, mixed_by

MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], bool)


@pytest.fixture
def x() -> jax.Array:
    return jax.random.normal(jax.random.key(0), (2, 5, 12))


def weights(layer: nnx.Linear) -> tuple[np.ndarray, np.ndarray | float]:
    """Kernel and bias in float64."""
    return np.asarray(layer.kernel[...], np.float64), 0.0 if layer.bias is None else np.asarray(layer.bias[...], np.float64)


def dense(layer: nnx.Linear, x: np.ndarray) -> np.ndarray:
    kernel, bias = weights(layer)
    return x @ kernel + bias


def rms(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True))


def gated(x: np.ndarray) -> np.ndarray:
    """GELU (its tanh form) of the first half, times the second."""
    gate, value = np.split(x, 2, axis=-1)
    return 0.5 * gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3))) * value


def reference(module: Attention, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Vaswani et al. 2017, eq. 1, for each row, head and query, in float64. A head's q, k and v stand together in the kernel."""
    qkv, out = (weights(layer)[0] for layer in (module.qkv, module.out))
    depth = x.shape[-1] // module.heads
    mixed = np.zeros(x.shape)
    for row in range(len(x)):
        heads = np.split(np.asarray(x[row], np.float64) @ qkv, module.heads, axis=-1)
        for head, i in np.ndindex(module.heads, x.shape[1]):
            q, k, v = np.split(heads[head], 3, axis=-1)
            shares = np.exp(k @ q[i] / np.sqrt(depth)) * mask[row]
            mixed[row, i, head * depth : (head + 1) * depth] = shares / shares.sum() @ v
    return mixed @ out


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_is_a_softmax_over_the_keys_that_the_mask_leaves(x, heads):
    module = Attention(12, heads, rngs=nnx.Rngs(1))
    np.testing.assert_allclose(run(module, x, jnp.asarray(MASK)), reference(module, np.asarray(x), MASK), atol=2e-5)


@pytest.mark.parametrize("heads", [1, 3])
def test_cross_attention_looks_at_another_sequence_and_gives_its_weights(x, heads):
    """Against the same loops, over a context of another width; a row that may look at nothing gets 0, gradients too."""
    module = CrossAttention(12, heads, 8, rngs=nnx.Rngs(1))
    context = jax.random.normal(jax.random.key(1), (2, 4, 8))
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)
    compiled = nnx.jit(lambda m, *a: m.with_weights(*a))
    got, shares = compiled(module, x, context, jnp.asarray(mask))
    query, kv, out = (weights(layer)[0] for layer in (module.query, module.key_value, module.out))
    q, c = np.asarray(x[0], np.float64) @ query, np.asarray(context[0], np.float64) @ kv
    depth, mixed = 12 // heads, np.zeros((5, 12))
    for head, i in np.ndindex(heads, 5):
        k, v = np.split(c.reshape(4, heads, -1)[:, head], 2, axis=-1)
        share = np.exp(k @ q[i, head * depth : (head + 1) * depth] / np.sqrt(depth)) * mask[0]
        share /= share.sum()
        np.testing.assert_allclose(shares[0, head, i], share, atol=1e-5)
        mixed[i, head * depth : (head + 1) * depth] = share @ v
    np.testing.assert_allclose(got[0], mixed @ out, atol=2e-5)
    np.testing.assert_array_equal(got[1], 0)
    np.testing.assert_array_equal(shares[1], 0)
    slope = nnx.jit(nnx.grad(lambda m, *a: jnp.sum(jnp.square(m(*a)))))(module, x, context, jnp.asarray(mask))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("compiled", [False, True])
def test_float16_is_mixed_on_every_device(x, compiled):
    """JAX itself has no such products of float16 on CPUs."""
    q, k, v = (part.reshape(2, 5, 2, 6) for part in (x, 2 * x, x[::-1]))
    mask, bias = jnp.asarray(MASK)[:, None, None, :], jax.random.normal(jax.random.key(1), (1, 2, 5, 5))
    expected = mixed_by(q, k, v, mask, bias)
    mix = jax.jit(mixed_by) if compiled else mixed_by
    half = mix(q.astype(jnp.float16), k.astype(jnp.float16), v.astype(jnp.float16), mask, bias)
    assert half.dtype == jnp.float16
    np.testing.assert_allclose(half.astype(jnp.float32), expected, atol=5e-3, rtol=0)


def test_a_width_that_heads_do_not_divide_is_an_error():
    with pytest.raises(ValueError, match="width 12 cannot be split into 5 heads"):
        Attention(12, 5, rngs=nnx.Rngs(0))


def test_a_block_adds_to_its_residual_stream(x):
    module = Block(12, 2, rngs=nnx.Rngs(1))
    first = np.asarray(x, np.float64)
    first = first + reference(module.attention, rms(first), MASK)
    expected = first + dense(module.down, gated(dense(module.up, rms(first))))
    np.testing.assert_allclose(run(module, x, jnp.asarray(MASK)), expected, atol=1e-4)


def test_neighbours_hear_a_window_and_nothing_masked(x):
    module = Neighbours(12, 3, rngs=nnx.Rngs(1))
    whole = run(module, x, jnp.ones(MASK.shape, bool))
    changed = run(module, x.at[:, 4].set(7.0), jnp.ones(MASK.shape, bool))
    np.testing.assert_array_equal(changed[:, :3], whole[:, :3])
    assert not np.allclose(changed[:, 3], whole[:, 3]), "token 3 hears token 4"
    masked = run(module, x.at[1, 4].set(7.0), jnp.asarray(MASK))
    np.testing.assert_array_equal(masked[:, :4], run(module, x, jnp.asarray(MASK))[:, :4])
    assert not np.allclose(masked[1, 3], whole[1, 3]), "token 3 hears that token 4 is not there"


def test_neighbours_are_the_loop_that_they_stand_for(x):
    module = Neighbours(12, 3, rngs=nnx.Rngs(1))
    normed = rms(np.asarray(x, np.float64)) * MASK[..., None]
    expected = np.array(x, np.float64)
    for row, at in np.ndindex(2, 5):
        near = [normed[row, j] if 0 <= j < 5 else np.zeros(12) for j in (at - 1, at, at + 1)]
        expected[row, at] += dense(module.down, gated(dense(module.up, np.concatenate(near))))
    np.testing.assert_allclose(run(module, x, jnp.asarray(MASK)), expected, atol=2e-5)


def test_geglu_gates_the_second_half_with_the_first():
    got = geglu(jnp.array([[-20.0, 0.0, 20.0, 3.0, 5.0, 7.0]]))
    np.testing.assert_allclose(got, [[0, 0, 140]], atol=1e-5)
