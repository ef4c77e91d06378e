"""Modules as compiled programs, made once for each structure and shape: modules that are built alike share theirs."""

from functools import partial

import jax
import numpy as np
from flax import nnx


def run(module: nnx.Module, *x, method: str = "__call__"):
    """What the module (or one of its methods) gives for some arrays, as NumPy arrays."""
    return jax.tree.map(np.asarray, _call(*nnx.split(module), method, *x))


@partial(jax.jit, static_argnums=(0, 2))
def _call(graph, state, method, *x):
    return getattr(nnx.merge(graph, state), method)(*x)
