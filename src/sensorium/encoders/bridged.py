"""An encoder of another space, with a bridge from that space to the one that it is used in."""

from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Bool, Int

from sensorium.core.encoding import Encoder, Encoding, encoded
from sensorium.nn.bridge import Bridge
from sensorium.nn.norms import unit
from sensorium.nn.standard import Perceptron


class Bridged(nnx.Module):
    """The encoding of another encoder; pooled is what its own space makes of it (projected to `own` numbers, brought to length
    1), and a bridge with `hidden` units then to a space of `to`.

    `inner`: the name of an encoder ("encoder") and its arguments. `projected`: its space has a projection, linear or, with an
    activation `between`, of two layers (see `Space`). `sensorium.join` makes such encoders.
    """

    def __init__(
        self,
        inner: Mapping[str, Any],
        own: int,
        to: int,
        projected: bool = True,
        between: str | None = None,
        hidden: int = 0,
        *,
        rngs: nnx.Rngs,
    ):
        from sensorium.encoders import ENCODERS  # the table that holds this class too

        rest = {key: value for key, value in inner.items() if key != "encoder"}
        self.inner: Encoder = ENCODERS[inner["encoder"]](**rest, rngs=rngs)
        width = self.inner.pooled_width
        if not projected and width != own:
            raise ValueError(f"own={own}: without a projection it is the width of what the encoder pools, {width}")
        if not projected:
            self.projection = None
        elif between is None:
            self.projection = nnx.Linear(width, own, use_bias=False, rngs=rngs)
        else:
            self.projection = Perceptron(width, own, own, between, rngs=rngs)
        self.bridge = Bridge(own, to, hidden, rngs=rngs)
        self.pooled_width = to

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        from sensorium.encoders import ENCODERS

        return {"inner": {"encoder": field.tower, **ENCODERS[field.tower].arguments(field)}, "own": 256, "to": 256}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["Bridged", jax.Array]:
        from sensorium.encoders.convnet import ConvNet

        pictures = ConvNet.tiny(rngs)[1]
        return cls({"encoder": "convnet", "size": 16, "widths": [8, 12]}, 6, 5, rngs=rngs), pictures

    def __call__(self, x: jax.Array, mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        return self._across(self.inner(x, mask))

    def on_grid(self, x: jax.Array, mask: Bool[jax.Array, "B L"] | None, shape: Int[jax.Array, "B 2"]) -> Encoding:
        """For an encoder that is `Gridded`."""
        given = {"x": x, "x/shape": shape} | ({} if mask is None else {"x/mask": mask})
        return self._across(encoded(self.inner, given, "x"))

    def _across(self, encoding: Encoding) -> Encoding:
        pooled = encoding.pooled if self.projection is None else self.projection(encoding.pooled)
        return encoding._replace(pooled=self.bridge(unit(pooled).astype(pooled.dtype)))
