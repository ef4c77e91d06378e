"""Running through equal layers: in turn, with less memory, or as one program that is compiled once for all."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.nn.standard import Shifted

Tokens = Float[jax.Array, "B L D"]
Seen = Bool[jax.Array, "#B 1 #L L"] | Shifted


class Stack(nnx.Module):
    """What a module with a list of `layers`, each (tokens, seen) -> tokens, is made of. To inherit from; it is no layer itself.

    `remat`: of every layer only its input is kept for the gradient, and the rest computed once more (Chen et al. 2016): less
    memory, a third more time. `scan`: one program for all layers, which run over their stacked parameters one after another:
    the time to compile does not grow with the depth. Neither changes the parameters, their names, or what is computed.
    """

    layers: nnx.List
    remat: bool = False
    scan: bool = False

    def through(self, x: Tokens, seen: Seen | None = None) -> Tokens:
        """What comes out of the last layer."""
        return self._scanned(x, seen) if self.scan and self.layers else self._in_turn(x, seen)

    def each(self, x: Tokens, seen: Seen | None = None) -> list[Tokens]:
        """What goes into the first layer, and what comes out of each."""
        out = [x]
        for layer in self.layers:
            out.append(layer(out[-1], seen))
        return out

    def _in_turn(self, x: Tokens, seen: Seen | None) -> Tokens:
        for layer in self.layers:
            x = self._layer(nnx.graphdef(layer))(nnx.state(layer), x, seen) if self.remat else layer(x, seen)
        return x

    def _scanned(self, x: Tokens, seen: Seen | None) -> Tokens:
        graph = nnx.graphdef(self.layers[0])
        if other := [i for i, layer in enumerate(self.layers) if nnx.graphdef(layer) != graph]:
            raise ValueError(f"scan: layer {other[0]} is not made as layer 0 is (adapters in some layers only?); leave scan out")
        states = [nnx.state(layer) for layer in self.layers]
        # Stacked inside the program: outside of it every layer has parameters of its own, under names of its own.
        stacked = jax.tree.map(lambda *each: jnp.stack(each), *states)
        layer = self._layer(graph)
        return jax.lax.scan(lambda x, state: (layer(state, x, seen), None), x, stacked)[0]

    def _layer(self, graph: nnx.GraphDef) -> Callable[[Any, jax.Array, Any], jax.Array]:
        """A layer as a function of its parameters."""

        def call(state: Any, x: jax.Array, seen: Any) -> jax.Array:
            return nnx.merge(graph, state)(x, seen)

        # Within a scan the passes are apart already, and what keeps XLA from merging them would only cost time.
        return jax.checkpoint(call, prevent_cse=not self.scan) if self.remat else call
