"""What a row has to remember of the candidates that it has met: contrastive losses as sums over candidates, block by block.

A form has four parts. `start` is what a row that has met nobody remembers; `add` is that after one more block of logits;
`values` is the loss of a row that has met everybody; `coefficients` and `slope` are the gradient of it all wrt one block.
`axis` is the one along which a block's candidates lie: 1 for its rows, 0 for its columns.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

NOBODY = -1e9  # the logit of who is not there: finite, so that a row without candidates is too

Rows = Float[jax.Array, " N"]
Logits = Float[jax.Array, "Q K"]
Mask = Bool[jax.Array, "Q K"]


@runtime_checkable
class Form(Protocol):
    """A contrastive loss that can be computed block by block; pytrees of arrays with a row's numbers on their first axis."""

    biased: bool

    def start(self, rows: int) -> Any: ...
    def add(self, sums: Any, logits: Logits, alike: Mask, both: Mask, axis: int) -> Any: ...
    def values(self, sums: Any, here: Bool[jax.Array, " N"]) -> tuple[Rows, Bool[jax.Array, " N"]]: ...
    def coefficients(self, sums: Any, here: Bool[jax.Array, " N"], cotangents: Rows) -> Any: ...
    def slope(self, coefficients: Any, logits: Logits, alike: Mask, both: Mask, axis: int) -> Logits: ...


class SoftmaxSums(NamedTuple):
    """Σ exp(t·logit) of each term t as peak + log total, and plain sums and counts of positives and of all candidates."""

    peaks: Float[jax.Array, "N S"]
    totals: Float[jax.Array, "N S"]
    right: Rows
    every: Rows
    positives: Rows
    candidates: Rows


class SoftmaxSlopes(NamedTuple):
    """The derivative of the loss wrt each of a row's sums, and the logarithms that it is relative to."""

    logs: Float[jax.Array, "N S"]
    by_logs: Float[jax.Array, "N S"]
    by_right: Rows
    by_every: Rows


@dataclass(frozen=True)
class SoftmaxForm:
    """−log softmax of the positives, with label smoothing, and with negatives weighed by how near they are.

    `hardness` β weighs a negative by exp(β·logit), relative to the mean of these over the negatives (Robinson et al. 2021,
    "Contrastive learning with hard negative samples", eq. 4 with τ⁺ = 0); 0 is plain InfoNCE.
    """

    smoothing: float = 0.0
    hardness: float = 0.0
    biased = False  # one number added to all logits leaves a softmax as it is

    @property
    def terms(self) -> tuple[tuple[str, float], ...]:
        """Whose exponentials are summed, and by what their logits are multiplied first."""
        if not self.hardness:
            return (("all", 1.0),)
        return (("positives", 1.0), ("negatives", 1.0 + self.hardness), ("negatives", self.hardness))

    def start(self, rows: int) -> SoftmaxSums:
        zeros, shape = jnp.zeros(rows, jnp.float32), (rows, len(self.terms))
        return SoftmaxSums(jnp.full(shape, NOBODY, jnp.float32), jnp.zeros(shape, jnp.float32), zeros, zeros, zeros, zeros)

    def add(self, sums: SoftmaxSums, logits: Logits, alike: Mask, both: Mask, axis: int) -> SoftmaxSums:
        masks = {"all": both, "positives": both & alike, "negatives": both & ~alike}
        peaks, totals = [], []
        for at, (whose, times) in enumerate(self.terms):
            seen = jnp.where(masks[whose], logits if times == 1.0 else times * logits, NOBODY)
            peak = jnp.maximum(sums.peaks[:, at], jnp.max(seen, axis))
            fresh = jnp.sum(jnp.exp(seen - _across(peak, axis)), axis)
            peaks.append(peak)
            totals.append(sums.totals[:, at] * jnp.exp(sums.peaks[:, at] - peak) + fresh)
        every = sums.every + jnp.sum(jnp.where(both, logits, 0.0), axis) if self.smoothing else sums.every
        return SoftmaxSums(
            jnp.stack(peaks, 1),
            jnp.stack(totals, 1),
            sums.right + jnp.sum(jnp.where(masks["positives"], logits, 0.0), axis),
            every,
            sums.positives + jnp.sum(masks["positives"], axis, dtype=jnp.float32),
            sums.candidates + jnp.sum(both, axis, dtype=jnp.float32),
        )

    def values(self, sums: SoftmaxSums, here: Bool[jax.Array, " N"]) -> tuple[Rows, Bool[jax.Array, " N"]]:
        counts = here & (sums.positives > 0)
        return jnp.where(counts, self._value(_logs(sums), sums.right, sums.every, sums), 0.0), counts

    def coefficients(self, sums: SoftmaxSums, here: Bool[jax.Array, " N"], cotangents: Rows) -> SoftmaxSlopes:
        logs = _logs(sums)

        def value(logs: jax.Array, right: jax.Array, every: jax.Array) -> Rows:
            return self._value(logs, right, every, sums)

        back = jax.vjp(value, logs, sums.right, sums.every)[1]
        by_logs, by_right, by_every = back(jnp.where(here & (sums.positives > 0), cotangents, 0.0))
        return SoftmaxSlopes(logs, by_logs, by_right, by_every)

    def slope(self, coefficients: SoftmaxSlopes, logits: Logits, alike: Mask, both: Mask, axis: int) -> Logits:
        logs, by_logs, by_right, by_every = coefficients
        masks = {"all": both, "positives": both & alike, "negatives": both & ~alike}
        out = jnp.where(masks["positives"], _across(by_right, axis), 0.0)
        for at, (whose, times) in enumerate(self.terms):
            shares = jnp.exp((logits if times == 1.0 else times * logits) - _across(logs[:, at], axis))
            out += jnp.where(masks[whose], _across(times * by_logs[:, at], axis) * shares, 0.0)
        return out + jnp.where(both, _across(by_every, axis), 0.0) if self.smoothing else out

    def _value(self, logs: Float[jax.Array, "N S"], right: Rows, every: Rows, sums: SoftmaxSums) -> Rows:
        target = right / jnp.maximum(sums.positives, 1.0)
        if self.smoothing:
            target = (1.0 - self.smoothing) * target + self.smoothing * every / jnp.maximum(sums.candidates, 1.0)
        if not self.hardness:
            return logs[:, 0] - target
        negatives = sums.candidates - sums.positives
        weighed = logs[:, 1] - logs[:, 2] + jnp.log(jnp.maximum(negatives, 1.0))
        return jnp.logaddexp(logs[:, 0], jnp.where(negatives > 0, weighed, NOBODY)) - target


class SigmoidSums(NamedTuple):
    """The sum of −log σ(±logit) over the candidates met."""

    total: Rows


@dataclass(frozen=True)
class SigmoidForm:
    """−log σ(±logit) summed over candidates (Zhai et al. 2023, algorithm 1)."""

    biased = True

    def start(self, rows: int) -> SigmoidSums:
        return SigmoidSums(jnp.zeros(rows, jnp.float32))

    def add(self, sums: SigmoidSums, logits: Logits, alike: Mask, both: Mask, axis: int) -> SigmoidSums:
        values = jnp.where(both, -jax.nn.log_sigmoid(jnp.where(alike, logits, -logits)), 0.0)
        return SigmoidSums(sums.total + jnp.sum(values, axis))

    def values(self, sums: SigmoidSums, here: Bool[jax.Array, " N"]) -> tuple[Rows, Bool[jax.Array, " N"]]:
        return jnp.where(here, sums.total, 0.0), here

    def coefficients(self, sums: SigmoidSums, here: Bool[jax.Array, " N"], cotangents: Rows) -> SigmoidSums:
        return SigmoidSums(jnp.where(here, cotangents, 0.0))

    def slope(self, coefficients: SigmoidSums, logits: Logits, alike: Mask, both: Mask, axis: int) -> Logits:
        wrong = jax.nn.sigmoid(logits) - alike.astype(logits.dtype)
        return jnp.where(both, _across(coefficients.total, axis) * wrong, 0.0)


def _across(rows: Rows, axis: int) -> Float[jax.Array, "..."]:
    return jnp.expand_dims(rows, axis)


def _logs(sums: SoftmaxSums) -> Float[jax.Array, "N S"]:
    return sums.peaks + jnp.log(jnp.maximum(sums.totals, 1e-30))  # of nobody at all the sum is 0
