"""The guide's losses: contrast between two and more modalities, a reconstruction fit for each, and cycles. Scalars out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Bool, Float, Int, Shaped

from sensorium.core.objective import LossRows
from sensorium.core.table import Table
from sensorium.losses import mean, next_token
from sensorium.losses.contrast import Contrast
from sensorium.losses.cycle import came_back, turned
from sensorium.losses.reconstruct import absolute, charbonnier, spectral, squared
from sensorium.losses.walk import Tilt
from sensorium.nn.norms import unit

Array = Shaped[jax.Array, "..."] | Shaped[np.ndarray, "..."]
Scalar = Float[jax.Array, ""]
Translation = Callable[[Array], Array]
Measure = Callable[..., LossRows]  # (target, prediction, mask)
_CYCLES = Table("form of the cycle loss", {"absolute": came_back, "cosine": turned})


def contrastive_loss(
    *arrays: Array | float | None,
    temperature: Array | float | None = None,
    groups: Array | tuple[Array, Array] | None = None,
    weights: Array | None = None,
    here: Array | Sequence[Array | None] | None = None,
    pairs: Sequence[tuple[int, int]] | None = None,
    symmetric: bool = True,
    form: str = "softmax",
    bias: Array | float | None = None,
    label_smoothing: float = 0.0,
) -> Scalar:
    """What should be near is near, what should not is not: a mean over rows, directions and pairs of modalities.

    Three ways to call it:
    - `contrastive_loss(logits)`: scores `[B B]`, the true ones on the diagonal, or `[Q K]` with `groups=(of rows, of columns)`.
      They are taken as they are, and divided by `temperature` only where it is given.
    - `contrastive_loss(image, text, temperature=0.07)`: embeddings `[B D]` of any length, normalised here.
    - `contrastive_loss(image, text, audio, …)`: the mean over all pairs, or over `pairs=((0, 1), (1, 2))`, by position.
    Of embeddings of more than 1,024 rows the logits are made block by block, and memory grows with B instead of B².
    A number in the last place is the temperature. None stands for a modality that the whole batch lacks.

    `form`: "softmax" (van den Oord et al. 2018; Radford et al. 2021, fig. 3) or "sigmoid" (Zhai et al. 2023, algorithm 1),
    whose `bias` is added to the logits: −10 for embeddings and 0 for logits, unless given. `symmetric=False` asks the first of
    a pair among the second only. `label_smoothing` moves that share of a softmax's target to all candidates.
    `groups` i32[B]: rows of one group are positives of each other (Khosla et al. 2020, eq. 2), never negatives.
    `weights` f32[B], or f32[B P] with a column a pair (alignment scores): Σ w·value / Σ w; a row of weight 0 stays a candidate.
    `here`: bool[B], or one a modality (of rows and columns, for logits): a row that lacks one of a pair is neither query nor
    candidate there, and has no gradient. A pair without any complete row is left out of the mean; if all are, it is 0.
    """
    arrays, temperature = _temperature(arrays, temperature)
    loss = Contrast(form, symmetric, label_smoothing)
    if form == "softmax" and bias is not None:
        raise ValueError('bias= belongs to form="sigmoid": a softmax does not see it')
    if len(arrays) == 1:
        if pairs is not None:
            raise ValueError("pairs= belongs to embeddings; a matrix of logits is one pair")
        return _of_logits(loss, arrays[0], temperature, groups, here, 0.0 if bias is None else bias, weights)
    if isinstance(groups, tuple):
        raise ValueError("groups=(of rows, of columns) belongs to logits; embeddings share their rows: give one i32[B]")
    return _of_embeddings(loss, arrays, temperature, groups, here, bias, weights, pairs)


@dataclass(frozen=True)
class _Kind:
    """How one modality is compared: the rank of one sample, and its measures, the usual one first."""

    rank: int
    measures: Table


def _wave(target: jax.Array, prediction: jax.Array, mask: jax.Array) -> LossRows:
    wave, spectrum = squared(target, prediction, mask), spectral(target, prediction, mask)
    return LossRows(wave.values + spectrum.values, wave.counts)


_PLAIN = {"squared": squared, "absolute": absolute, "charbonnier": charbonnier}
_KINDS = Table(
    "modality",
    {
        "image": _Kind(3, Table("error of pictures", _PLAIN)),
        "video": _Kind(4, Table("error of clips", _PLAIN)),
        "sensor": _Kind(2, Table("error of sensor traces", _PLAIN)),
        "audio": _Kind(1, Table("error of sounds", {"wave": _wave, "spectral": spectral, **_PLAIN})),
        "text": _Kind(1, Table("error of text", {"cross_entropy": lambda text, logits, mask: next_token(logits, text, mask)})),
    },
)


def reconstruction_loss(
    modality: str | Measure | Array,
    target: Array,
    prediction: Array,
    mask: Array | None = None,
    *,
    error: str | None = None,
    weights: Array | None = None,
) -> Scalar:
    """The mean of `reconstruction_rows` over the rows that count, or Σ w·value / Σ w with `weights` f32[B] (alignment scores)."""
    rows = reconstruction_rows(modality, target, prediction, mask, error=error)
    weights = _weights(weights, len(rows.values), 1)
    return mean(rows, None if weights is None else weights[:, 0])


def reconstruction_rows(
    modality: str | Measure | Array,
    target: Array,
    prediction: Array,
    mask: Array | None = None,
    *,
    error: str | None = None,
) -> LossRows:
    """How far each of a batch (or one sample, a batch of one) is from what it should be, measured as its modality asks.

    - "image" `[B H W C]`, "video" `[B T H W C]`, "sensor" `[B T C]`: "squared", or "absolute", or "charbonnier".
    - "audio" `[B N]`: "wave", which is the squared error plus the multi-resolution STFT loss (Yamamoto et al. 2020), or one
      of "spectral", "squared", "absolute", "charbonnier".
    - "text": ids i32 `[B L]` against logits f32 `[B L V]`: "cross_entropy". Predicted ids are an error: the distance between
      two ids means nothing.
    A target u8 is taken as 255ths. `mask` is True where the target is real: bool `[B]`, or `[B L]`, `[B T]`, `[B N]` … as far as
    the target has axes; without it everything is, except padding (id 0) in text. In place of a name, `modality` may be a
    function (target, prediction, mask) -> LossRows, which is given batches.
    """
    if isinstance(modality, jax.Array | np.ndarray):
        raise ValueError('what is compared? Give the modality first: reconstruction_loss("image", target, prediction)')
    if not isinstance(modality, str):
        real = jnp.ones(len(target), bool) if mask is None else jnp.asarray(mask)
        return modality(jnp.asarray(target), jnp.asarray(prediction), real)
    kind = _KINDS[modality]
    measure = next(iter(kind.measures.values())) if error is None else kind.measures[error]
    target, prediction = _comparable(modality, jnp.asarray(target), jnp.asarray(prediction))
    one = target.ndim == kind.rank
    if target.ndim not in (kind.rank, kind.rank + 1):
        raise ValueError(f"a target of {modality} has {kind.rank} axes, a batch {kind.rank + 1}; got {list(target.shape)}")
    mask = None if mask is None else jnp.asarray(mask)[None] if one else jnp.asarray(mask)
    target, prediction = (target[None], prediction[None]) if one else (target, prediction)
    return measure(target, prediction, _real(modality, target, mask))


def cycle_consistency(x: Array, back: Array, here: Array | None = None, *, form: str = "absolute") -> Scalar:
    """How far what came back is from what went out: its mean absolute difference (Zhu et al. 2017, eq. 2), or for embeddings
    `[D]` or `[B D]` with `form="cosine"` 1 − cosine. `here` bool[B]: the rows that count."""
    measure, x, back = _CYCLES[form], _floats(x, "x"), _floats(back, "what came back")
    if x.shape != back.shape:
        raise ValueError(f"what came back has shape {list(back.shape)}, what went out {list(x.shape)}: they must be equal")
    if form == "cosine" and x.ndim not in (1, 2):
        raise ValueError(f'form="cosine" compares embeddings [D] or [B D], got {list(x.shape)}')
    if x.ndim < 2:
        x, back = x.reshape(1, x.size), back.reshape(1, x.size)
    return mean(measure(x, back, _mask(here, len(x))))


def cycle_loss(
    forward: Translation, backward: Translation, x: Array, y: Array | None = None, *, form: str = "absolute"
) -> Scalar:
    """`cycle_consistency` of x with backward(forward(x)), and with `y` also of y with forward(backward(y)): their sum, as in
    Zhu et al. 2017, eq. 2. `forward` and `backward` translate a batch from one modality to the other and back."""
    there = cycle_consistency(x, backward(forward(x)), form=form)
    return there if y is None else there + cycle_consistency(y, forward(backward(y)), form=form)


def _of_logits(loss: Contrast, logits, temperature, groups, here, bias, weights) -> Scalar:
    logits = _floats(logits, "logits", 2)
    q, k = logits.shape
    if q != k and not isinstance(groups, tuple):
        raise ValueError(f"logits of shape {[q, k]} are not square: say what belongs together, groups=(i32[{q}], i32[{k}])")
    if weights is not None and q != k and loss.symmetric:
        raise ValueError("weights= belong to the rows: with logits that are not square, give symmetric=False too")
    both = tuple(here) if isinstance(here, list | tuple) else (here, here)
    if len(both) != 2:
        raise ValueError(f"here= of logits holds {len(both)} masks: give one, or (of rows, of columns)")
    rows, columns = _mask(both[0], q), _mask(both[1], k)
    logits = jnp.where(rows[:, None] & columns[None, :], logits, 0.0)
    logits = logits if temperature is None else logits / _number(temperature, "temperature", above=0.0)
    weights = _weights(weights, q, 1)
    weights = None if weights is None else weights[:, 0]
    return loss.pair(logits + _number(bias, "bias"), _alike(groups, q, k), rows, columns, weights)[0]


def _of_embeddings(loss: Contrast, arrays: tuple, temperature, groups, here, bias, weights, pairs) -> Scalar:
    chosen = _pairs(arrays, pairs)
    units, masks = _units(arrays, here)
    rows = len(next(iter(units.values())))
    scale = 1.0 / _number(0.07 if temperature is None else temperature, "temperature", above=0.0)
    offset = 0.0 if loss.form == "softmax" else -10.0 if bias is None else bias
    weights = _weights(weights, rows, len(chosen))
    groups = None if groups is None else _group(groups, rows)
    return loss.pairs(units, masks, chosen, Tilt(scale, _number(offset, "bias")), groups, weights)


def _temperature(arrays: tuple, temperature) -> tuple[tuple, Array | float | None]:
    """The arrays, and the temperature, which may stand after them."""
    if len(arrays) > 1 and arrays[-1] is not None and np.ndim(arrays[-1]) == 0:
        if temperature is not None:
            raise ValueError(f"two temperatures: {arrays[-1]} in the last place and temperature={temperature}")
        arrays, temperature = arrays[:-1], arrays[-1]
    if not arrays or arrays == (None,):
        raise ValueError("nothing to contrast: give logits [B B], or the embeddings [B D] of two modalities or more")
    return arrays, temperature


def _pairs(arrays: tuple, pairs: Sequence[tuple[int, int]] | None) -> list[tuple[int, int]]:
    chosen = list(combinations(range(len(arrays)), 2) if pairs is None else pairs)
    for i, j in chosen:
        if i == j or not (0 <= i < len(arrays) and 0 <= j < len(arrays)):
            raise ValueError(f"pair {(i, j)}: {len(arrays)} modalities were given, a pair names two of 0 … {len(arrays) - 1}")
    if not any(arrays[i] is not None and arrays[j] is not None for i, j in chosen):
        raise ValueError("nothing to contrast: no pair has both of its modalities; a modality that some rows lack takes here=")
    return chosen


def _units(arrays: tuple, here) -> tuple[dict[int, jax.Array], dict[int, jax.Array]]:
    """Unit vectors and row masks by position, of the modalities that were given; a missing row is 0 before it is used."""
    given = {i: _floats(x, f"embedding {i}", 2) for i, x in enumerate(arrays) if x is not None}
    if len({x.shape for x in given.values()}) > 1:
        shapes = {i: list(x.shape) for i, x in given.items()}
        raise ValueError(f"the embeddings have the shapes {shapes}: all must be [rows, width] of one batch and one space")
    each = list(here) if isinstance(here, list | tuple) else [here] * len(arrays)
    if len(each) != len(arrays):
        raise ValueError(f"here= holds {len(each)} masks for {len(arrays)} modalities: give one (or None) for each")
    masks = {i: _mask(each[i], len(x)) for i, x in given.items()}
    return {i: unit(jnp.where(masks[i][:, None], x, 0.0)) for i, x in given.items()}, masks


def _floats(x, name: str, rank: int | None = None) -> Float[jax.Array, "..."]:
    if not isinstance(x, jax.Array | np.ndarray) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name}: expected an array of floats, got {getattr(x, 'dtype', type(x).__name__)}")
    if rank is not None and x.ndim != rank:
        raise ValueError(f"{name}: expected a batch, an array of {rank} axes; got the shape {list(x.shape)}")
    return jnp.asarray(x, jnp.float32)


def _number(x, name: str, above: float | None = None) -> Scalar:
    if np.ndim(x) != 0:
        raise ValueError(f"{name}: expected a number, got the shape {list(np.shape(x))}")
    if above is not None and not isinstance(x, Tracer) and not float(x) > above:
        raise ValueError(f"{name} is {float(x)}: it must be above {above}")
    return jnp.asarray(x, jnp.float32)


def _mask(x, rows: int) -> Bool[jax.Array, " B"]:
    if x is None:
        return jnp.ones(rows, bool)
    if not isinstance(x, jax.Array | np.ndarray) or x.shape != (rows,) or x.dtype != bool:
        raise ValueError(f"a mask of rows is bool[{rows}], got {getattr(x, 'dtype', type(x).__name__)}{list(np.shape(x))}")
    return jnp.asarray(x)


def _alike(groups, q: int, k: int) -> Bool[jax.Array, "Q K"]:
    if groups is None:
        return jnp.eye(q, dtype=bool)
    rows, columns = groups if isinstance(groups, tuple) else (groups, groups)
    return _group(rows, q)[:, None] == _group(columns, k)[None, :]


def _group(x, rows: int) -> Int[jax.Array, " B"]:
    if not isinstance(x, jax.Array | np.ndarray) or x.shape != (rows,) or not jnp.issubdtype(x.dtype, jnp.integer):
        raise ValueError(f"groups are i32[{rows}], got {getattr(x, 'dtype', type(x).__name__)}{list(np.shape(x))}")
    return jnp.asarray(x, jnp.int32)


def _weights(x, rows: int, pairs: int) -> Float[jax.Array, "B P"] | None:
    if x is None:
        return None
    fits = isinstance(x, jax.Array | np.ndarray) and x.shape in ((rows,), (rows, pairs))
    if not fits or not jnp.issubdtype(x.dtype, jnp.floating):
        allowed = f"f32[{rows}] or f32[{rows} {pairs}], a column a pair"
        raise ValueError(f"weights are {allowed}; got {getattr(x, 'dtype', type(x).__name__)}{list(np.shape(x))}")
    if not isinstance(x, Tracer) and not (np.isfinite(x).all() and (np.asarray(x) >= 0).all()):
        raise ValueError("weights hold negative or not finite numbers: a weight is 0 or more")
    return jnp.asarray(x, jnp.float32).reshape(rows, 1 if x.ndim == 1 else pairs)


def _comparable(modality: str, target: jax.Array, prediction: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The two as the measure takes them; an error where they cannot be compared."""
    if modality == "text":
        if not jnp.issubdtype(target.dtype, jnp.integer):
            raise ValueError(f"the target of text is ids, i32[B L]; got {target.dtype}{list(target.shape)}")
        if not jnp.issubdtype(prediction.dtype, jnp.floating):
            raise ValueError(
                f"text was predicted as {prediction.dtype}{list(prediction.shape)}: ids have no distance and no gradient. "
                "Give the decoder's logits, f32[B L V]"
            )
        if prediction.shape[:-1] != target.shape:
            raise ValueError(f"logits of {list(target.shape)} ids are [..., V], got {list(prediction.shape)}")
        if not isinstance(target, Tracer) and target.size:
            low, high = int(target.min()), int(target.max())
            if low < 0 or high >= prediction.shape[-1]:
                raise ValueError(
                    f"ids from {low} to {high} in the target of text; the logits know 0 … {prediction.shape[-1] - 1}"
                )
        return target.astype(jnp.int32), prediction.astype(jnp.float32)
    if target.dtype == jnp.uint8:
        target = target.astype(jnp.float32) / 255.0
    target, prediction = _floats(target, f"the target of {modality}"), _floats(prediction, f"the prediction of {modality}")
    if target.shape != prediction.shape:
        turned_round = modality in ("image", "video") and jnp.moveaxis(prediction, -3, -1).shape == target.shape
        hint = ": channels come last here, jnp.moveaxis(prediction, -3, -1)" if turned_round else ""
        raise ValueError(f"{modality}: the target has shape {list(target.shape)}, the prediction {list(prediction.shape)}{hint}")
    return target, prediction


def _real(modality: str, target: jax.Array, mask: jax.Array | None) -> Bool[jax.Array, "*P"]:
    """The mask, checked; or what is real without one."""
    if mask is None:
        return target != 0 if modality == "text" else jnp.ones(len(target), bool)
    if mask.dtype != bool or mask.shape != target.shape[: mask.ndim]:
        known = " or ".join(f"bool{list(target.shape[: n + 1])}" for n in range(target.ndim))
        raise ValueError(f"the mask of {modality} is {known}; got {mask.dtype}{list(mask.shape)}")
    if modality == "text" and mask.ndim == 1:
        return mask[:, None] & (target != 0)
    return mask
