"""The card of a generator that tells of some fields in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sensorium.core.encoding import encoded
from sensorium.core.protocols import Modality
from sensorium.encoders import ENCODERS
from sensorium.modalities import Text
from sensorium.training import Card


def teller(
    fields: Sequence[Modality],
    target: Text,
    width: int,
    dials: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    depth: int = 2,
    heads: int = 4,
    fusion: Mapping[str, Any] | None = None,
    asked: str = "question",
) -> Card:
    """A `Generator` that writes the texts of `target` about `fields`, each read by its modality's own tower.

    `dials[field]` are further arguments of the encoder of a field, among them another `encoder`. `width`, `depth` and `heads` are
    those of the decoder. `fusion`: one of `FUSIONS` by its name, with further arguments, such as `{"fusion": "attention"}`; its
    widths are put in here. `asked`: which of the fields is a question about the others.
    """
    encoders, shapes = {}, {}
    for field in fields:
        given = {"encoder": field.tower, **(dials or {}).get(field.name, {})}
        arguments = given | ENCODERS[given["encoder"]].arguments(field) | given
        if given["encoder"] in PLACED:
            arguments = {"placed": True} | arguments
        encoders[field.name], shapes[field.name] = arguments, _widths(field, arguments)
    more: dict[str, Any] = {}
    (looked, pooled), (end, pad) = next(iter(shapes.values())), _ends(target)
    if fusion is not None:
        more["fusion"] = {**fusion, "widths": {name: tokens for name, (tokens, _) in shapes.items()}, "width": width}
        looked = pooled = width
    places = {"vocabulary": target.vocabulary_size, "length": target.length - 1}
    sizes = {"width": width, "context_width": looked, "gist_width": pooled, "depth": depth, "heads": heads}
    decoder = {"decoder": "tokens", **places, **sizes}
    said = {"encoders": encoders, "decoder": decoder, "target": target.name, "asked": asked, "end": end, "pad": pad}
    return Card("generator", said | more)


PLACED = ("convnet", "audio_convnet")
"""Encoders whose tokens know their places only if they are told to."""


def _ends(target: Text) -> tuple[int, int]:
    """The ids that end and fill a text."""
    if target.end is None:
        raise ValueError(f"{target.name}: its texts have no mark of their end, so nobody could learn when to stop")
    return target.end, int(target.blank()[target.name][0])


def _widths(field: Modality, arguments: Mapping[str, Any]) -> tuple[int, int]:
    """How wide the tokens and the pooled vector are that an encoder makes of a field."""

    def encode() -> Any:
        rest = {key: value for key, value in arguments.items() if key != "encoder"}
        encoder = ENCODERS[arguments["encoder"]](**rest, rngs=nnx.Rngs(0))
        return encoded(encoder, {key: jnp.asarray(x)[None] for key, x in field.blank().items()}, field.name)

    made = jax.eval_shape(encode)
    return made.tokens.shape[-1], made.pooled.shape[-1]
