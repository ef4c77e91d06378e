"""Normal distributions of independent numbers, and what is made of several: products, mixtures, how far from the standard one."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float


class Gaussian(NamedTuple):
    """Independent normal numbers by their means and the logs of their variances."""

    mean: Float[jax.Array, "*B D"]
    log_variance: Float[jax.Array, "*B D"]

    @property
    def deviation(self) -> Float[jax.Array, "*B D"]:
        return jnp.exp(0.5 * self.log_variance)

    def draw(self, key: jax.Array) -> Float[jax.Array, "*B D"]:
        """One sample of each, through which the gradient passes (Kingma & Welling 2014, §2.4)."""
        return self.mean + self.deviation * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def log_density(self, x: Float[jax.Array, "*B D"]) -> Float[jax.Array, "*B"]:
        """ln p(x), of all D numbers together."""
        parts = self.log_variance + jnp.square(x - self.mean) * jnp.exp(-self.log_variance) + math.log(2 * math.pi)
        return -0.5 * jnp.sum(parts, axis=-1)


def standard(shape: tuple[int, ...]) -> Gaussian:
    """Means 0, variances 1."""
    return Gaussian(jnp.zeros(shape), jnp.zeros(shape))


def divergence(g: Gaussian) -> Float[jax.Array, "*B"]:
    """KL(g ‖ standard) in nats, of all D numbers together (Kingma & Welling 2014, appendix B)."""
    return 0.5 * jnp.sum(jnp.exp(g.log_variance) + jnp.square(g.mean) - 1.0 - g.log_variance, axis=-1)


def product(experts: Gaussian, chosen: Bool[jax.Array, "B W M"]) -> Gaussian:
    """The standard normal times some of M experts [B M D], renormed, for each of W choices of them: [B W D].

    Precisions add, and means are weighted by them (Wu & Goodman 2018, §2.1). An expert that is not chosen counts nowhere,
    whatever it holds; where none is, the standard normal is left.
    """
    used = jnp.any(chosen, axis=1)[:, :, None]
    precision = jnp.where(used, jnp.exp(-jnp.where(used, experts.log_variance, 0.0)), 0.0)
    share = chosen.astype(precision.dtype)
    whole = 1.0 + _summed(share, precision)
    return Gaussian(_summed(share, precision * jnp.where(used, experts.mean, 0.0)) / whole, -jnp.log(whole))


def moments(parts: Gaussian, weights: Float[jax.Array, "B K"]) -> Gaussian:
    """The normal distribution of the mean and the variance of a mixture of K parts [B K D]; the weights of a row sum to 1."""
    mean = _summed(weights[:, None], parts.mean)
    variance = _summed(weights[:, None], jnp.exp(parts.log_variance) + jnp.square(parts.mean - mean))
    return Gaussian(mean[:, 0], jnp.log(variance[:, 0]))


def mixed(parts: Gaussian, weights: Float[jax.Array, "B K"], key: jax.Array) -> Float[jax.Array, "B D"]:
    """One sample a row of a mixture of K parts [B K D]."""
    which, normal = jax.random.split(key)
    part = jax.random.categorical(which, jnp.log(weights), axis=1)[:, None, None]
    chosen = Gaussian(*(jnp.take_along_axis(x, part, axis=1)[:, 0] for x in parts))
    return chosen.draw(normal)


def mixed_log_density(parts: Gaussian, weights: Float[jax.Array, "B K"], x: Float[jax.Array, "B D"]) -> Float[jax.Array, " B"]:
    """ln p(x) under a mixture of K parts [B K D]."""
    each = parts.log_density(jnp.broadcast_to(x[:, None], parts.mean.shape))
    return jax.scipy.special.logsumexp(each, axis=1, b=weights)


def _summed(weights: Float[jax.Array, "B W M"], x: Float[jax.Array, "B M D"]) -> Float[jax.Array, "B W D"]:
    return jnp.einsum("bwm,bmd->bwd", weights, x, precision="highest")
