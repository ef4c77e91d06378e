"""An encoding passes through JAX's transformations as one thing."""

import jax
import jax.numpy as jnp

from sensorium.core.encoding import Encoding


def test_an_encoding_goes_through_jit_and_grad_and_keeps_its_type():
    x = Encoding(tokens=jnp.ones((2, 3, 4)), mask=jnp.array([[True, True, False]] * 2), pooled=jnp.full((2, 4), 2.0))

    @jax.jit
    def masked(e: Encoding) -> Encoding:
        return e._replace(tokens=e.tokens * e.mask[:, :, None].astype(e.tokens.dtype))

    out = masked(x)
    assert isinstance(out, Encoding)
    assert out.tokens.sum(axis=(1, 2)).tolist() == [8.0, 8.0]
    slope = jax.grad(lambda pooled: (x._replace(pooled=pooled).pooled ** 2).sum())(x.pooled)
    assert (slope == 4.0).all()
