"""Why a hit was found: which patch, moment or word of it is like which of the query, said and shown."""

from collections.abc import Sequence
from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from sensorium.modalities import Audio
from sensorium.models.summarizing import clock
from sensorium.nn.spectrogram import log_mel
from sensorium.search.late import Match, Tokens
from sensorium.show.heat import plot_attention
from sensorium.show.plots import axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image as Pillow
else:  # an extra, imported when a figure is drawn
    Figure = Pillow = Any

MOST = 10
"""Words that have a map of their own."""
_PLACES = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the middle", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)
_TALL, _STEP = 224, 200  # pixels of a spectrogram's height, samples of a column of it


def said(match: Match, start: float | None = None) -> list[dict[str, Any]]:
    """For each word of the query (or, where it is no text, for the whole of it) the nearest token of the hit: `asked`, `cosine`,
    and `found`, in words. `start`: the second at which the hit begins."""
    return [
        {"asked": word, "found": place(match.found, int(line.argmax()), start), "cosine": round(float(line.max()), 4)}
        for word, line in lines(match)
    ]


def lines(match: Match) -> list[tuple[str, Float[np.ndarray, " L"]]]:
    """How much each token of the hit is like each word of the query (the mean of its pieces), or like the nearest token of a
    query that is no text, which is called by its field."""
    words: list[tuple[str, list[int]]] = []
    for i, piece in enumerate(match.asked.words):
        if not piece.strip() or not match.asked.mask[i]:
            continue
        if words and not piece[0].isspace() and words[-1][1][-1] == i - 1:
            words[-1] = words[-1][0] + piece, [*words[-1][1], i]
        else:
            words.append((piece.strip(), [i]))
    if words:
        return [(word, match.cosines[own].mean(0)) for word, own in words]
    return [(match.asked.field.name, match.cosines[match.asked.mask].max(0))]


def place(found: Tokens, token: int, start: float | None = None) -> str:
    """Where a token of a hit lies, in words."""
    at, _ = cell(found, token)
    if not at:
        return "as a whole"
    if found.words:
        return found.words[token].strip() or "as a whole"
    if (rate := _rate(found)) is not None:
        step = found.grid[0][1] / rate
        low = (start or 0.0) + at[0] * step
        return f"{low:.1f} to {low + step:.1f} s" if low < 60 else f"{clock(low)} to {clock(low + step)}"
    axis = ("row", "column") if len(at) == 2 else ("frame",)
    return ", ".join(f"{name} {i + 1} of {n}" for name, i, (n, _) in zip(axis, at, found.grid, strict=True))


def cell(found: Tokens, token: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which cell of its grid a token is, counted from 0, and how many there are along each axis; of one that stands for the
    whole, nothing."""
    shape = tuple(n for n, _ in found.grid)
    first = len(found.vectors) - prod(shape)
    return (tuple(map(int, np.unravel_index(token - first, shape))), shape) if token >= first else ((), ())


def alt(match: Match, start: float | None = None) -> str:
    """What `drawn` shows, for those who do not see it: `'red' is like the patch in the upper left, 0.83; 'dog' is like …`."""
    told = _nearest(lines(match))
    return "; ".join(f"{word!r} is like {glance(match.found, int(x.argmax()), start)}, {x.max():.2f}" for word, x in told)


def glance(found: Tokens, token: int, start: float | None = None) -> str:
    """Where a token of a hit lies, as one would say it: "the patch in the upper left"."""
    at, of = cell(found, token)
    where = place(found, token, start)
    if where == "as a whole":
        return "it as a whole"
    if found.words:
        return repr(where)
    if found.array.ndim == 3:
        down, across = (min(2, int(3 * (i + 0.5) / n)) for i, n in zip(at, of, strict=True))
        return f"the patch {_PLACES[down][across]}"
    return where if where.startswith("frame") else f"it from {where}"


def marked(match: Match) -> list[tuple[str, float]]:
    """The words of a hit that is a text, each with how much the nearest token of the query is like it, from 0 to 1."""
    near = np.clip(match.cosines[match.asked.mask].max(0), 0, 1)
    return [(word, float(near[i])) for i, word in enumerate(match.found.words) if word and match.found.mask[i]]


def drawn(match: Match, start: float | None = None) -> "Figure | None":
    """The hit with a map for each word of the query: over its picture, over the spectrogram of its sound, or as curves over its
    time. None for a text, which is `marked`. Cosines below 0 are shown as 0."""
    found = match.found
    if found.words:
        return None
    told = _nearest(lines(match))
    titles = [f"{word} {line.max():.2f}" for word, line in told]
    maps = np.stack([np.clip(found.laid(line), 0, None) for _, line in told])
    if found.array.ndim == 3:
        return plot_attention(found.field.show(found.array), maps, titles)
    if isinstance(found.field, Audio):
        picture, laid = _heard(found, maps, found.field.rate)
        when = [f"{title}, {place(found, int(line.argmax()), start)}" for title, (_, line) in zip(titles, told, strict=True)]
        return plot_attention(picture, laid, when)
    return _over_time(found, maps.reshape(len(maps), -1), [word for word, _ in told], start or 0.0)


def _nearest(told: list[tuple[str, Float[np.ndarray, " L"]]]) -> list[tuple[str, Float[np.ndarray, " L"]]]:
    """Of many words those that something is like the most, in the query's order."""
    kept = np.sort(np.argsort([-line.max() for _, line in told], kind="stable")[:MOST])
    return [told[i] for i in kept.tolist()]


def png(figure: "Figure") -> bytes:
    out = BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _heard(found: Tokens, maps: Float[np.ndarray, "N ..."], rate: int) -> tuple["Pillow.Image", Float[np.ndarray, "N h w"]]:
    """The spectrogram, low bands at the bottom, of as many samples as the grid spans, and maps that lie as it does."""
    from PIL import Image

    n, step = found.grid[0]
    wave = np.zeros(n * step, np.float32)
    wave[: min(len(wave), len(found.array))] = found.array[: len(wave)]
    mel = np.asarray(log_mel(jnp.asarray(wave)[None], rate, hop=_STEP, bins=min(64, rate // 125)))[0].T[::-1]
    level = np.clip((mel + 2) / 3, 0, 1)  # from silence to loud
    laid = maps.reshape(len(maps), n, -1).transpose(0, 2, 1)[:, ::-1]
    size = n * max(1, 256 // n), _TALL // laid.shape[1] * laid.shape[1]
    picture = Image.fromarray((255 * level).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    return picture.convert("RGB"), laid


def _over_time(found: Tokens, maps: Float[np.ndarray, "N L"], words: Sequence[str], start: float) -> "Figure":
    n, step = found.grid[0]
    rate = _rate(found)
    ax = axes(5.2, 2.6)
    at = start + (np.arange(n) + 0.5) * step / rate if rate else np.arange(n) + 1
    for word, line in zip(words, maps, strict=True):
        ax.plot(at, line[:n], label=word, marker="o" if n < 40 else None, linewidth=1.6)
    ax.set_xlabel("seconds" if rate else "frame")
    ax.set_ylabel("cosine")
    ax.legend(fontsize=8, frameon=False)
    return ax.figure  # type: ignore[return-value]


def _rate(found: Tokens) -> float | None:
    """Numbers of the array's first axis in a second, where it is time and the field says how many."""
    shown = found.field.show(found.array)
    return float(shown[1]) if isinstance(shown, tuple) else None
