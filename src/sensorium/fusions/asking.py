"""Fusion by asking: one field is a question, and what it asks for is looked up in the tokens of the others."""

from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.entry import Stream, TokenEntry, join
from sensorium.fusions.fusion import TINY_POOLED, TINY_TOKENS, Encodings, present, tiny_encodings
from sensorium.fusions.layer import drop, step_key
from sensorium.fusions.weighing import silenced
from sensorium.nn.attention import Attention, CrossAttention, geglu
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import check_heads, flat, whole


class Asking(nnx.Module):
    """What the field `asked` pooled becomes `queries` vectors, which look at the tokens of the other fields and at each other,
    `depth` times. So the second look may depend on what the first has found ("where is the red circle beside the blue square").

    The question is one vector that a linear map takes apart (as in the multi-step attention of Yang et al. 2016, with several
    queries in place of one): whoever asks for two things asks for them at once. `tokens` are the queries, all of them there if
    any field is; `pooled` a linear map of them side by side. `widths`: of the tokens of all fields; `asked_width`: of the vector
    that the question pooled. A batch may hold several questions about each row of the others: `several` times as many rows of
    `asked`, those about one thing one after another.
    """

    ordered: ClassVar[bool] = False

    def __init__(
        self,
        widths: Mapping[str, int],
        width: int,
        asked: str,
        asked_width: int,
        queries: int = 4,
        heads: int = 4,
        depth: int = 2,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        others = {name: size for name, size in widths.items() if name != asked}
        if asked not in widths or depth < 1:
            raise ValueError(f"a question in {asked!r} and depth {depth}, of {', '.join(widths)}: expected one of these, and 1")
        self.fields, self.asked, self.pooled_width = tuple(widths), asked, width
        self.queries, self.asked_width = whole("queries", queries), whole("asked_width", asked_width)
        self.entry = TokenEntry(others, width, rngs=rngs) if others else None
        self.ask = nnx.Linear(asked_width, queries * width, bias_init=nnx.initializers.normal(0.5), rngs=rngs)
        self.layers = nnx.List([LookUp(width, heads, dropout, bool(others), rngs=rngs) for _ in range(depth)])
        self.out = nnx.Linear(queries * width, width, rngs=rngs)

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> "tuple[Asking, dict[str, Encoding]]":
        made = cls(TINY_TOKENS, 8, "c", TINY_POOLED["c"], queries=3, heads=2, depth=1, dropout=0.5, rngs=rngs)
        return made, tiny_encodings(rngs.data())

    def __call__(self, encodings: Encodings, key: jax.Array | None = None) -> Encoding:
        question, context = self._parts(encodings)
        rows = len(context.mask) if question is None else len(question.mask)
        several = rows // len(context.mask)
        here = jnp.repeat(context.mask.any(axis=1), several, axis=0)
        x = jnp.zeros((rows, self.asked_width))
        if question is not None:
            _check(self.asked, question.pooled.shape[-1], self.asked_width)
            asked = question.mask.any(axis=1)
            # What is masked may be anything, a NaN too: it goes before the first operation that could spread it.
            x, here = rms_norm(jnp.where(asked[:, None], question.pooled, 0.0)), here | asked
        x = self.ask(x).reshape(rows, self.queries, self.pooled_width)
        for i, layer in enumerate(self.layers):
            x = layer(x, context, step_key(key, f"layer {i}"))
        mask = jnp.broadcast_to(here[:, None], x.shape[:2])
        return Encoding(jnp.where(mask[:, :, None], x, 0.0), mask, silenced(self.out(flat(rms_norm(x))), mask))

    def _parts(self, encodings: Encodings) -> tuple[Encoding | None, Stream]:
        """The question, if there is one, and the tokens to look at: those of the other fields, or a masked one."""
        question = encodings.get(self.asked)
        others = {name: x for name, x in encodings.items() if name != self.asked and x is not None}
        if question is None or not others:
            found = present(self.fields, encodings)
        else:
            found = present(self.fields, others)
            rows = len(next(iter(found.values())).mask)
            if rows < 1 or len(question.mask) % rows:
                found = present(self.fields, encodings)
        if self.entry is None or not others:
            rows = len(next(iter(found.values())).mask)
            return question, Stream(jnp.zeros((rows, 1, self.pooled_width)), jnp.zeros((rows, 1), bool))
        return question, join(self.entry(others))


class LookUp(nnx.Module):
    """Queries look at each other, then at a context, then a gated perceptron (GEGLU, Shazeer 2020): each reads them normed, is
    dropped out, and added to the residual stream. `looks`: there is a context at all."""

    def __init__(self, width: int, heads: int, dropout: float, looks: bool, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: give a share from 0 to below 1")
        self.dropout = dropout
        self.among = Attention(width, heads, rngs=rngs)
        self.look = CrossAttention(width, heads, rngs=rngs) if looks else None
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "R S D"], context: Stream, key: jax.Array | None = None) -> Float[jax.Array, "R S D"]:
        """Those R = several × B queries that ask about one row of the context look at it together: its keys are made once."""
        x = x + drop(self.among(rms_norm(x), jnp.ones(x.shape[:2], bool)), self.dropout, key, "among")
        if self.look is not None:
            side_by_side = rms_norm(x).reshape(len(context.mask), -1, x.shape[2])
            seen = self.look(side_by_side, rms_norm(context.tokens), context.mask).reshape(x.shape)
            x = x + drop(seen, self.dropout, key, "look")
        return x + drop(self.down(geglu(self.up(rms_norm(x)))), self.dropout, key, "think")


def _check(name: str, got: int, width: int) -> None:
    if got != width:
        raise ValueError(f"the vector of {name!r} is {got} wide, where this fusion was built for {width}")
