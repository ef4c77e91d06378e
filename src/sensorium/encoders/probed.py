"""Any encoder with a linear classifier of what it pools."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoder, Encoding, encoded


class Probed(nnx.Module):
    """The encoding of another encoder, as it is, and `logits` of its pooled vectors for the classes that `labels` names.

    `inner`: the name of an encoder ("encoder") and its arguments.
    """

    def __init__(self, inner: Mapping[str, Any], labels: Sequence[str], *, rngs: nnx.Rngs):
        from sensorium.encoders import ENCODERS  # the table that holds this class too

        rest = {key: value for key, value in inner.items() if key != "encoder"}
        self.inner: Encoder = ENCODERS[inner["encoder"]](**rest, rngs=rngs)
        self.labels, self.pooled_width = tuple(labels), self.inner.pooled_width
        self.classes = nnx.Linear(self.pooled_width, len(labels), rngs=rngs) if labels else None

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        from sensorium.encoders import ENCODERS

        return {"inner": {"encoder": field.tower, **ENCODERS[field.tower].arguments(field)}, "labels": []}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["Probed", jax.Array]:
        from sensorium.encoders.convnet import ConvNet

        pictures = ConvNet.tiny(rngs)[1]
        return cls({"encoder": "convnet", "size": 16, "widths": [8, 12]}, (), rngs=rngs), pictures

    def __call__(self, x: jax.Array, mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        return self.inner(x, mask)

    def on_grid(self, x: jax.Array, mask: Bool[jax.Array, "B L"] | None, shape: Int[jax.Array, "B 2"]) -> Encoding:
        """For an encoder that is `Gridded`."""
        return encoded(self.inner, {"x": x, "x/shape": shape} | ({} if mask is None else {"x/mask": mask}), "x")

    def logits(self, pooled: Float[jax.Array, "B P"]) -> Float[jax.Array, "B labels"]:
        """What a softmax makes shares of the labels from. A `ValueError` where there are none."""
        if self.classes is None:
            raise ValueError("this encoder has no labels")
        return self.classes(pooled)
