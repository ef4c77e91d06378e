"""What a step tells of itself beside its loss: pure functions of arrays, computed inside the compiled step.

They look at the first `MOST_ROWS` rows of a batch (rows are shuffled before they come here), make one product of vectors a field
and one a pair, and hold no gradient. `training.monitor` judges what they give.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Shaped, UInt32

from sensorium.core.batch import here
from sensorium.losses.pair import positives

MOST_ROWS = 256
"""The products grow with the square of the rows; 256 rows tell a rank of up to 255 and a hit rate within 0.03."""
NO_SPREAD = 1e-10
"""Variance of unit vectors below which only rounding is left of it (f32: about 1e-14 a number): there is no rank to speak of."""
NO_UNIT = 1e-6
"""A dimension whose variance is below this share of the mean over dimensions never changes."""
TWIN = 1e-5
"""Squared distance, as a share of the spread, below which two vectors are equal but for rounding."""
TOWERS = ("encoders", "projections")
"""The parts of a `Space` that have a child for each field."""


class _Seen(NamedTuple):
    """The rows of one field that are looked at. What is absent or not finite is 0 in `centred` and False in `here`."""

    units: Float[jax.Array, "N D"]
    here: Bool[jax.Array, " N"]
    away: Float[jax.Array, "N N"]  # squared distances
    marks: UInt32[jax.Array, " N"]  # equal where the input is


def of_outputs(outputs: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> dict[str, Float[jax.Array, ""]]:
    """Numbers about the vectors of every field that has `"<field>/unit"`, and about every pair of such fields.

    A field: `rank` the effective rank (tr C)² / tr C² of its centred vectors, `spread` their variance (1 − |mean|²: 0 where all
    are one), `uniformity` (Wang & Isola 2020, eq. 2, t = 2), `dead` the share of dimensions that never change, `same` 1 where the
    input is one and the same in all rows, `broken` the share of rows whose vector is not finite, `rows` how many rows of the
    whole batch have it.
    A pair: `alignment` (Wang & Isola, eq. 1, α = 2), `gap` between the centres (Liang et al. 2022, eq. 1), `hit` the R@1 within
    the rows looked at, mean of both directions, `luck` what guessing reaches there, `twins` the share of rows with a negative
    that has an equal input or vector in one of the fields, `kin` how far rows that are near in the one field are near in the
    other (correlation of the distances, Mantel 1967: 0 for unrelated fields, whatever the towers), `rows` how many rows of the
    whole batch have both, and `chance` their logarithm: InfoNCE where all candidates look alike.

    Absent rows (`"<field>/here"`) count nowhere. Every number is finite; it is 0 where fewer than two rows are there.
    """
    units = {name.removesuffix("/unit"): x for name, x in outputs.items() if name.endswith("/unit")}
    first = {name: jnp.asarray(x[:MOST_ROWS]) for name, x in batch.items()}
    told: dict[str, jax.Array] = {}
    seen: dict[str, _Seen] = {}
    for field, unit in units.items():
        seen[field], numbers = _of_field(unit[:MOST_ROWS], jnp.asarray(here(first, field)), _marks(first[field]))
        numbers |= {"rows": jnp.sum(jnp.asarray(here(dict(batch), field)), dtype=jnp.float32)}
        told |= {f"{name}/{field}": x for name, x in numbers.items()}
    for a, b in combinations(units, 2):
        rows = jnp.sum(jnp.asarray(here(dict(batch), a, b)), dtype=jnp.float32)
        numbers = _of_pair(seen[a], seen[b], positives(first, a, b))
        numbers |= {"rows": rows, "chance": jnp.log(jnp.maximum(rows, 1.0))}
        told |= {f"{name}/{a}-{b}": x for name, x in numbers.items()}
    return told


def of_update(
    gradients: Mapping[str, jax.Array], parameters: Mapping[str, jax.Array], updates: Mapping[str, jax.Array]
) -> dict[str, Float[jax.Array, ""]]:
    """Norms of one update. The three hold the trained arrays by their dotted names, `"encoders.image.stem.kernel"`.

    `norm/gradient`, `norm/parameters`, `norm/update` over everything (inf above 1e19), and `norm/step`, the last over the one
    before it. For a field that has a tower: `gradient/<field>` its share of the towers' gradient norms, `silent/<field>` the
    largest share, over its matrices, of units (last axis) whose gradient is exactly 0 while others' is not. For each part of a
    tower: `still/encoders.<field>` 1 where its gradients or its updates are exactly 0.
    """
    told = {"norm/gradient": _norm(gradients), "norm/parameters": _norm(parameters), "norm/update": _norm(updates)}
    told["norm/step"] = _over(told["norm/update"], told["norm/parameters"])
    parts: dict[str, list[str]] = {}
    fields: dict[str, list[str]] = {}
    for name in gradients:
        head, _, rest = name.partition(".")
        if head in TOWERS:
            field = rest.partition(".")[0]
            parts.setdefault(f"{head}.{field}", []).append(name)
            fields.setdefault(field, []).append(name)
    for part, names in parts.items():
        moves = _any([gradients[name] for name in names]) & _any([updates[name] for name in names])
        told[f"still/{part}"] = 1.0 - moves.astype(jnp.float32)
    norms = {field: _norm({name: gradients[name] for name in names}) for field, names in fields.items()}
    whole = sum(norms.values(), jnp.zeros(()))
    for field, names in fields.items():
        told[f"gradient/{field}"] = _over(norms[field], whole)
        told[f"silent/{field}"] = _silent([gradients[name] for name in names])
    return told


def _of_field(
    unit: Float[jax.Array, "N D"], there: Bool[jax.Array, " N"], marks: UInt32[jax.Array, " N"]
) -> tuple[_Seen, dict[str, jax.Array]]:
    unit = jax.lax.stop_gradient(unit).astype(jnp.float32)
    finite = jnp.all(jnp.isfinite(unit), axis=1)
    counts = there & finite
    n = jnp.sum(counts, dtype=jnp.float32)
    units = jnp.where(counts[:, None], unit, 0.0)
    centred = jnp.where(counts[:, None], units - _over(jnp.sum(units, axis=0), n)[None, :], 0.0)
    gram = jnp.matmul(centred, centred.T, precision="highest")
    squares = jnp.diagonal(gram)
    trace = jnp.sum(squares)
    spread = _over(trace, n)
    some = (spread > NO_SPREAD) & (n > 1)
    away = jnp.maximum(squares[:, None] + squares[None, :] - 2.0 * gram, 0.0)
    others = counts[:, None] & counts[None, :] & ~jnp.eye(len(unit), dtype=bool)
    near = _over(jnp.sum(jnp.where(others, jnp.exp(-2.0 * away), 0.0)), n * (n - 1.0))
    variance = jnp.sum(centred * centred, axis=0)
    first = marks[jnp.argmax(there)]
    same = jnp.all((marks == first) | ~there) & (jnp.sum(there) > 1)
    numbers = {
        "rank": jnp.where(some, _over(trace * trace, jnp.sum(gram * gram)), 0.0),
        "spread": spread,
        "uniformity": jnp.where(n > 1, jnp.log(jnp.maximum(near, 1e-30)), 0.0),
        "dead": jnp.where(some, _share(variance <= NO_UNIT * jnp.mean(variance)), 0.0),
        "same": same.astype(jnp.float32),
        "broken": _over(jnp.sum(there & ~finite, dtype=jnp.float32), jnp.sum(there, dtype=jnp.float32)),
    }
    return _Seen(units, counts, away, marks), numbers


def _of_pair(a: _Seen, b: _Seen, alike: Bool[jax.Array, "N N"]) -> dict[str, jax.Array]:
    counts = a.here & b.here
    n = jnp.sum(counts, dtype=jnp.float32)
    units = [jnp.where(counts[:, None], x.units, 0.0) for x in (a, b)]
    centres = [_over(jnp.sum(x, axis=0), n) for x in units]
    both = counts[:, None] & counts[None, :]
    cosines = jnp.matmul(units[0], units[1].T, precision="highest")
    twins = jnp.any(both & ~alike & (_equal(a, both) | _equal(b, both)), axis=1)
    told = {
        "alignment": _over(jnp.sum(jnp.where(counts, jnp.sum((units[0] - units[1]) ** 2, axis=1), 0.0)), n),
        "gap": jnp.sqrt(jnp.sum((centres[0] - centres[1]) ** 2)),
        "hit": 0.5 * (_hit(cosines, alike, counts) + _hit(cosines.T, alike.T, counts)),
        "luck": _over(jnp.sum(both & alike, dtype=jnp.float32), n * n),
        "twins": _over(jnp.sum(twins, dtype=jnp.float32), n),
        "kin": _correlation(a.away, b.away, both & ~jnp.eye(len(both), dtype=bool)),
    }
    return {name: jnp.where(n > 1, x, 0.0) for name, x in told.items()}


def _hit(cosines: Float[jax.Array, "N N"], alike: Bool[jax.Array, "N N"], counts: Bool[jax.Array, " N"]) -> jax.Array:
    """R@1 of the rows that count among the columns that count."""
    best = jnp.argmax(jnp.where(counts[None, :], cosines, -jnp.inf), axis=1)
    right = jnp.take_along_axis(alike, best[:, None], axis=1)[:, 0]
    return _over(jnp.sum(right & counts, dtype=jnp.float32), jnp.sum(counts, dtype=jnp.float32))


def _correlation(a: Float[jax.Array, "N N"], b: Float[jax.Array, "N N"], where: Bool[jax.Array, "N N"]) -> jax.Array:
    """Pearson's, of the entries that count; 0 where one of the two does not vary."""
    n = jnp.sum(where, dtype=jnp.float32)
    a, b = (jnp.where(where, x - _over(jnp.sum(jnp.where(where, x, 0.0)), n), 0.0) for x in (a, b))
    vary = (jnp.sum(a * a), jnp.sum(b * b))
    return _over(jnp.sum(a * b), jnp.sqrt(vary[0]) * jnp.sqrt(vary[1]))


def _equal(x: _Seen, both: Bool[jax.Array, "N N"]) -> Bool[jax.Array, "N N"]:
    """Rows with equal inputs, or with equal vectors where the vectors differ at all (a collapse is another matter)."""
    mean = _over(jnp.sum(jnp.where(both, x.away, 0.0)), jnp.sum(both, dtype=jnp.float32))
    vectors = (x.away <= TWIN * mean) & (mean > NO_SPREAD)
    return (x.marks[:, None] == x.marks[None, :]) | vectors


def _marks(x: Shaped[jax.Array, "N ..."]) -> UInt32[jax.Array, " N"]:
    """A number a row, equal where all of its entries are (else with a chance of 2⁻³²)."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        x = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    bits = x.astype(jnp.uint32).reshape(len(x), -1)
    places = _mixed(jnp.arange(bits.shape[1], dtype=jnp.uint32))
    return jnp.sum(_mixed(bits ^ places[None, :]), axis=1, dtype=jnp.uint32)


def _mixed(x: UInt32[jax.Array, "*N"]) -> UInt32[jax.Array, "*N"]:
    """The finalizer of MurmurHash3 (Appleby 2011): every bit of a number changes half of the bits."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def _silent(gradients: list[jax.Array]) -> Float[jax.Array, ""]:
    moving = [jnp.any(x != 0, axis=tuple(range(x.ndim - 1))) for x in gradients if x.ndim > 1]
    shares = [jnp.where(jnp.any(moves), _share(~moves), 0.0) for moves in moving]
    return jnp.max(jnp.stack([jnp.zeros(()), *shares]))


def _share(x: Bool[jax.Array, " N"]) -> Float[jax.Array, ""]:
    return jnp.mean(x, dtype=jnp.float32)


def _over(x: jax.Array, whole: Float[jax.Array, ""]) -> jax.Array:
    """`x` over `whole`, and 0 where `whole` is."""
    return jnp.where(whole > 0, x / jnp.where(whole > 0, whole, 1.0), 0.0)


def _any(arrays: list[jax.Array]) -> Bool[jax.Array, ""]:
    return jnp.any(jnp.stack([jnp.any(x != 0) for x in arrays]))


def _norm(arrays: Mapping[str, jax.Array]) -> Float[jax.Array, ""]:
    return jnp.sqrt(sum((jnp.sum(jnp.square(x.astype(jnp.float32))) for x in arrays.values()), jnp.zeros(())))
