"""Modules as one compiled program: op by op, a test would spend its time on compiling each."""

import jax
import numpy as np
from flax import nnx


def run(module: nnx.Module, *arguments) -> np.ndarray:
    graph, state = nnx.split(module)
    return np.asarray(jax.jit(lambda state, *rest: nnx.merge(graph, state)(*rest))(state, *arguments))
