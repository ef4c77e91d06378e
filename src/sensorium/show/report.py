"""The report of a run: one HTML file that opens offline. Data in, page out; it knows no recipe and no data set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sensorium.core.files import write_text
from sensorium.show.gallery import QueryResult as QueryResult
from sensorium.show.gallery import Shown as Shown
from sensorium.show.gallery import environment
from sensorium.show.heat import plot_similarity
from sensorium.show.inline import figure_svg
from sensorium.show.plots import axes, plot_curves, plot_embedding
from sensorium.show.samples import Made as Made
from sensorium.show.samples import Measure as Measure
from sensorium.show.samples import Sheet as Sheet
from sensorium.show.tables import Contrast as Contrast
from sensorium.show.tables import DirectionRow as DirectionRow
from sensorium.show.tables import SplitTable as SplitTable


@dataclass(frozen=True)
class Headline:
    """A number that the reader should take home: "R@1, text → image", "87.2 %", "of 1,000; chance 0.1 %"."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class SimilarityMap:
    """Cosines between some items: rows are read against columns."""

    matrix: Float[np.ndarray, "R C"]
    row_labels: list[str]
    column_labels: list[str]
    note: str = ""


@dataclass(frozen=True)
class Confusion:
    """A query, what should have been found first, and what was."""

    query: Shown
    expected: Shown
    got: Shown
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What a report says. An empty list, or None, leaves its section out.

    `history`: records with a `step` and a `loss`, perhaps `loss/<term>`, `samples_per_second`, `seconds`; `embedding`: unit
    vectors by field, where row i is the same item in each.
    """

    title: str
    command: str
    summary: str
    facts: dict[str, str]
    headlines: list[Headline] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    splits: list[SplitTable] = field(default_factory=list)
    similarity: SimilarityMap | None = None
    embedding: dict[str, np.ndarray] | None = None
    queries: list[QueryResult] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)
    contrasts: list[Contrast] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)


def write_report(report: Report, path: Path | str) -> None:
    """Writes the page; it refers to nothing outside of itself."""
    write_text(path, environment().get_template("report.html").render(report=report, figures=_figures(report)))


def _figures(report: Report) -> dict[str, str]:
    """The figures by name, as inline SVG; empty text for those that there is nothing for."""
    figures = {}
    if report.history:
        terms = sorted({key for row in report.history for key in row if key.startswith("loss/")})
        figures["loss"] = plot_curves(report.history, ["loss", *terms][:6], axes(6.7, 3.1))
        if any("samples_per_second" in row for row in report.history):
            figures["speed"] = plot_curves(report.history, ["samples_per_second"], axes(4.0, 3.1))
    if report.similarity:
        s = report.similarity
        figures["similarity"] = plot_similarity(s.matrix, s.row_labels, s.column_labels)
    if report.embedding:
        figures["map"] = plot_embedding(report.embedding, pairs=len({len(x) for x in report.embedding.values()}) == 1)
    names = ("loss", "speed", "similarity", "map")
    return {name: figure_svg(figures[name], name) if name in figures else "" for name in names}
