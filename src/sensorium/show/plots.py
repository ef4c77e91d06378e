"""Figures for papers, notebooks and the report. Each function returns a matplotlib `Figure` and touches no global state."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:  # an extra, imported when a figure is drawn
    Axes = Figure = Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which the colour-blind can tell apart: fields take them in order, in every figure."""
INK, MUTED, FAINT = "#1b1f24", "#6b7480", "#d5d9de"
"""Text and axes, what is said beside them, and lines in the background. The report turns them into its own."""


def plot_embedding(
    points_by_field: dict[str, Float[np.ndarray, "N D"]], pairs: bool = True, ax: "Axes | None" = None, title: str = ""
) -> "Figure":
    """The two directions in which all points together vary most (PCA about their common mean).

    `pairs`: row i is the same item in every field (as many rows in each), and a line joins its points.
    """
    names = list(points_by_field)
    flat = project(np.concatenate([points_by_field[name] for name in names]))
    places = np.split(flat[0], np.cumsum([len(points_by_field[name]) for name in names])[:-1])
    ax = ax or axes(5.4, 4.6)
    if pairs:
        if len({len(p) for p in places}) > 1:
            raise ValueError(f"pairs need as many rows in each field: got { {n: len(p) for n, p in points_by_field.items()} }")
        for item in np.stack(places, 1):
            closed = np.concatenate([item, item[:1]]) if len(item) > 2 else item
            ax.plot(*closed.T, color=MUTED, linewidth=0.6, alpha=0.45, zorder=1)
    for name, place, colour in zip(names, places, COLOURS * len(names), strict=False):
        ax.scatter(*place.T, s=16, color=colour, label=name, linewidths=0, alpha=0.9, zorder=2)
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_color(FAINT)
    for label, share in ((ax.set_xlabel, flat[1][0]), (ax.set_ylabel, flat[1][1])):
        label(f"{100 * share:.0f} % of the variance", fontsize=8, color=MUTED)
    legend = {"loc": "upper left", "bbox_to_anchor": (0, 1.1), "ncols": len(names), "handletextpad": 0}
    ax.legend(frameon=False, fontsize=9, labelcolor=INK, **legend)

    ax.set_title(title, fontsize=10, color=INK, loc="left", pad=20)
    return figure_of(ax)


def plot_curves(
    history: Sequence[dict[str, Any]], names: Iterable[str] = ("loss",), ax: "Axes | None" = None, title: str = ""
) -> "Figure":
    """The values `names` of a training history over its `step`; records that lack one are left out of its line."""
    ax, names = ax or axes(6.4, 3.0), list(names)
    for name, colour in zip(names, COLOURS * len(names), strict=False):
        points = np.array([(row["step"], row[name]) for row in history if name in row], float).reshape(-1, 2)
        if not len(points):
            raise ValueError(f"the history holds no {name!r}: its records have {sorted({k for row in history for k in row})}")
        ax.plot(*points.T, color=colour, linewidth=1.6, label=f"{name.replace('_', ' ')}, last {_number(points[-1, 1])}")
    ax.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best", handlelength=1.2)
    ax.set_xlabel("step", fontsize=9, color=MUTED)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(length=0, labelsize=8, labelcolor=MUTED)
    ax.grid(axis="y", color=FAINT, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
    ax.margins(x=0)
    ax.set_title(title, fontsize=10, color=INK, loc="left")
    return figure_of(ax)


def project(points: Float[np.ndarray, "N D"]) -> tuple[Float[np.ndarray, "N 2"], Float[np.ndarray, " 2"]]:
    """The first two principal components of points, and the share of the variance that each has.

    Of the two signs that a direction may have, the one is taken that makes its largest entry positive.
    """
    if len(points) < 2 or points.shape[1] < 2:
        raise ValueError(f"a map needs at least two points of two numbers: got an array of shape {points.shape}")
    centred = points - points.mean(0)
    _, spread, directions = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    two = directions[:2]
    two = two * np.sign(two[[0, 1], np.abs(two).argmax(1)])[:, None]
    return centred @ two.T, spread[:2] ** 2 / max(float((spread**2).sum()), 1e-12)


def axes(width: float, height: float) -> "Axes":
    """Axes on a figure of their own, in inches; made without pyplot, so that no window and no global state is touched."""
    figure = need("matplotlib.figure", "report", "drawing a figure").Figure((width, height), layout="constrained")
    return figure.add_subplot()


def figure_of(ax: "Axes") -> "Figure":
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    return figure


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
