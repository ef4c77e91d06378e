"""Heat maps: what is like what, and where in a picture a model looks. Figures as in `plots`; nothing global is touched."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import need
from sensorium.modalities.picture import as_pillow
from sensorium.show.plots import INK, MUTED, axes, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image as Pillow
else:  # an extra, imported when a figure is drawn
    Axes = Figure = Pillow = Any

_VALUES = 144  # matrices of at most this many cells have their values written in
_WIDE, _NARROW = 8, 4  # of so many rows and columns cells are large, and labels stand upright: on an own figure, within another
_LINE, _LINES, _UPRIGHT = 26, 3, 11  # characters of a line of a label, lines of a label, and characters below a large cell
_SHORT = 34  # characters of a label that has one line
_CELL, _SMALL, _THUMB = 0.74, 0.32, 0.5  # inches


def plot_similarity(
    matrix: Float[np.ndarray, "R C"],
    row_labels: Sequence[Any],
    column_labels: Sequence[Any],
    ax: "Axes | None" = None,
    title: str = "",
    *,
    pairs: bool = False,
    limits: tuple[float, float] | None = None,
) -> "Figure":
    """A heat map of cosines: row i of the matrix is the line labelled `row_labels[i]`, its columns run to the right.

    A label is a text, which is wrapped, or a picture (PIL, array, path), which is shown small. `pairs`: row i belongs to
    column i, as far as both go: these cells are framed, and below the title stands how many rows (→) and columns (↓) have
    their largest cosine there. `limits`: what the darkest and the brightest colour stand for, so that several maps compare.
    """
    if matrix.shape != (len(row_labels), len(column_labels)):
        raise ValueError(f"a matrix of shape {matrix.shape} with {len(row_labels)} row and {len(column_labels)} column labels")
    if not matrix.size:
        raise ValueError(f"a matrix of shape {matrix.shape} has nothing to show")
    large = max(matrix.shape) <= (_WIDE if ax is None else _NARROW)
    rows, columns = _Labels(row_labels, _LINE), _Labels(column_labels, _UPRIGHT if large else 0)
    said = [line for line in (title, _of_pairs(matrix) if pairs else "") if line]
    ax = ax or axes(*_inches(matrix.shape, rows, columns, large, said))
    low, high = limits or (float(matrix.min()), float(matrix.max()))
    picture = ax.imshow(matrix, cmap="viridis", interpolation="nearest", aspect="equal", vmin=low, vmax=high)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    rows.write(ax, ax.yaxis)
    columns.write(ax, ax.xaxis)
    if not large:
        for label in ax.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    if matrix.size <= _VALUES:
        _write_values(ax, matrix, low, high, 9 if large else 7)
    if pairs:
        _frame_pairs(ax, matrix)
    ax.set_title("\n".join(said), fontsize=10, color=INK, loc="left")
    figure = figure_of(ax)
    tall = 23 * matrix.shape[0] / matrix.shape[1]  # as tall as the matrix: 0.93 of the width is its own
    bar = figure.colorbar(picture, ax=ax, fraction=0.04, pad=0.03, aspect=tall)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, labelcolor=MUTED)
    return figure


def plot_attention(
    picture: Any,
    maps: Float[np.ndarray, "h w"] | Float[np.ndarray, "N h w"],
    titles: Sequence[str] = (),
    ax: "Axes | None" = None,
) -> "Figure":
    """Maps over patches, each laid over its picture: light where the map is high, dark where it is low.

    `picture`: as the model saw it (`s.prepare(image=path)["image"][0]`; what was cut off has no patches), or a list of one for
    each map. The brightest place of a map is its largest value, whatever that is: compare maps by their numbers.
    """
    maps = maps[None] if maps.ndim == 2 else maps
    pictures = picture if isinstance(picture, list) else [picture] * len(maps)
    if not len(maps) or len(pictures) != len(maps) or (titles and len(titles) != len(maps)):
        raise ValueError(
            f"{len(maps)} maps with {len(pictures)} pictures and {len(titles)} titles: expected one of each for a map"
        )
    if ax is not None and len(maps) > 1:
        raise ValueError(f"{len(maps)} maps do not go into one place: leave out ax, or give one map")
    columns = min(len(maps), 5)
    drawn = [ax] if ax is not None else panels(-(-len(maps) // columns), columns, 2.1, 2.3)
    for place in drawn:
        place.set_axis_off()
    for place, shown, one, title in zip(drawn, pictures, maps, titles or [""] * len(maps), strict=False):
        place.imshow(overlaid(as_pillow(shown), one))
        place.set_title("\n".join(wrap(title, _LINE)), fontsize=9, color=INK)
    return figure_of(drawn[0])


def overlaid(picture: "Pillow.Image", values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "H W 3"]:
    """A picture, enlarged where it is small, with a map over it: grey and dark where the map is 0, as it is where it is
    largest, warmer in between. What is left over at the far edges of the patches has a value of 0."""
    from PIL import Image

    scale = max(1, 256 // max(picture.size))
    large = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    h, w = values.shape
    patch = picture.height // h * scale, picture.width // w * scale
    top = max(float(values.max()), 1e-12)
    grown = Image.fromarray((values / top).astype(np.float32)).resize((w * patch[1], h * patch[0]), Image.Resampling.BICUBIC)
    share = np.zeros((large.height, large.width, 1), np.float32)
    share[: h * patch[0], : w * patch[1], 0] = np.clip(np.asarray(grown), 0, 1)
    x = np.asarray(large, np.float32) / 255
    grey = x.mean(-1, keepdims=True)
    warm = need("matplotlib", "report", "drawing a figure").colormaps["inferno"](share[..., 0])[..., :3]
    return np.clip((1 - share) * 0.6 * grey + share * 0.5 * x + 0.5 * warm, 0, 1).astype(np.float32)


def panels(rows: int, columns: int, width: float = 4.6, height: float = 3.9) -> list["Axes"]:
    """Places for figures, row by row, each of so many inches: `similarity(…, ax=panels(2, 2)[0])` draws into the first."""
    made = need("matplotlib.figure", "report", "drawing a figure").Figure((width * columns, height * rows))
    made.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    return list(made.subplots(rows, columns, squeeze=False).ravel())


class _Labels:
    """The labels of one axis: texts, in lines of so many letters or in one, or pictures."""

    def __init__(self, labels: Sequence[Any], line: int):
        self.pictures = {i: as_pillow(label) for i, label in enumerate(labels) if not isinstance(label, str)}
        self.texts = ["" if i in self.pictures else _wrapped(label, line) for i, label in enumerate(labels)]
        lines, least = [text.split("\n") for text in self.texts], _THUMB * bool(self.pictures)
        self.width = max(least, *(_inches_of(line, 8) for one in lines for line in one))
        self.height = max(least, *(0.16 * len(one) for one in lines))

    def write(self, ax: "Axes", axis: Any) -> None:
        box = need("matplotlib.offsetbox", "report", "drawing a figure")
        axis.set_ticks(range(len(self.texts)), self.texts, fontsize=8, color=INK)
        down = axis is ax.xaxis
        frame = {"frameon": False, "pad": 0, "boxcoords": "offset points", "box_alignment": (0.5, 1) if down else (1, 0.5)}
        for i, picture in self.pictures.items():
            shown = picture.copy()
            shown.thumbnail((96, 96))
            image = box.OffsetImage(np.asarray(shown), zoom=72 * _THUMB / max(shown.size))
            at = {"xycoords": ("data", "axes fraction") if down else ("axes fraction", "data")}
            ax.add_artist(box.AnnotationBbox(image, (i, 0) if down else (0, i), (0, -4) if down else (-4, 0), **at, **frame))


def _inches(shape: tuple[int, int], rows: _Labels, columns: _Labels, large: bool, said: Sequence[str]) -> tuple[float, float]:
    """Of a figure that holds such a matrix, its labels, its title and its bar."""
    cell = _CELL if large else _SMALL
    across, down = (cell * min(n, 24) for n in (shape[1], shape[0]))
    beside = max(1.1 * across + 0.8, *(_inches_of(line, 10) for line in said), 0.0)
    below = columns.height if large else 0.7 * columns.width
    return rows.width + beside + 0.3, below + down + 0.22 * len(said) + 0.2


def _inches_of(text: str, size: float) -> float:
    """How wide a line is, in letters of so many points."""
    paths = need("matplotlib.textpath", "report", "drawing a figure")
    font = need("matplotlib.font_manager", "report", "drawing a figure").FontProperties(size=size)
    return paths.text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def _wrapped(label: str, line: int) -> str:
    """A label in a few lines; in one, where lines have no width."""
    if not line:
        return label if len(label) <= _SHORT else f"{label[: _SHORT - 1]}…"
    return "\n".join(wrap(label, line, max_lines=_LINES, placeholder=" …"))


def _write_values(ax: "Axes", matrix: Float[np.ndarray, "R C"], low: float, high: float, size: int) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        bright = value > low + 0.6 * (high - low)
        text = f"{round(float(value), 2) + 0.0:.2f}".replace("0.", ".", 1)
        ax.text(column, row, text, ha="center", va="center", fontsize=size, color="#000000" if bright else "#ffffff")


def _frame_pairs(ax: "Axes", matrix: Float[np.ndarray, "R C"]) -> None:
    patches = need("matplotlib.patches", "report", "drawing a figure")
    for i in range(min(matrix.shape)):
        ax.add_patch(patches.Rectangle((i - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor="#ffffff", linewidth=1.4))


def _of_pairs(matrix: Float[np.ndarray, "R C"]) -> str:
    """How many rows, and how many columns, have their largest value where they belong."""
    n = min(matrix.shape)
    there, back = (int((x[:n].argmax(1) == np.arange(n)).sum()) for x in (matrix, matrix.T))
    return f"right: {there} of {n} →, {back} of {n} ↓"
