"""What the data doctor found, as one HTML page: counts, lengths, and every kind of finding with some of its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensorium.core.errors import BadFile
from sensorium.core.files import write_text
from sensorium.data.listing import printable
from sensorium.doctor.examine import Report
from sensorium.doctor.finding import SEVERITIES, Advice, Finding
from sensorium.modalities import MODALITIES, picture_file, sound_file
from sensorium.show.gallery import Shown, environment

CARDS = 12
"""Files of a kind of finding that are shown; the rest is counted."""
BINS = 32
SIDE = 240
LARGEST = 30.0
"""Seconds: of a longer sound no player is put into the page."""


@dataclass(frozen=True)
class Section:
    """A kind of finding: what the catalogue says of it, how often it is there, and some of the files."""

    kind: str
    advice: Advice
    count: int
    cards: list[Shown]


@dataclass(frozen=True)
class Histogram:
    """How many things of a field have each length; heights are shares of the highest bar. `window`: its place from 0 to 1."""

    name: str
    heights: list[float]
    window: float
    said: str


def write_page(report: Report, path: Path | str) -> None:
    """Writes the page; it refers to nothing outside of itself."""
    told = report.health.to_json()
    counts = {severity: sum(one.advice.severity == severity for one in report.findings) for severity in SEVERITIES}
    page = environment().get_template("check.html")
    text = page.render(
        title=printable(told["root"]),
        layout=printable(told["layout"]),
        told=told,
        counts=counts,
        scripts=report.scripts,
        histograms=[histogram(name, lengths, window) for name, (lengths, window) in report.lengths.items()],
        sections=sections(report),
    )
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def sections(report: Report) -> list[Section]:
    """The findings by kind, in the order of the report, each with the first of its files."""
    by: dict[str, list[Finding]] = {}
    for one in report.findings:
        by.setdefault(one.kind, []).append(one)
    root = str(report.health.listing.root)
    return [
        Section(kind, found[0].advice, len(found), [card for one in found for card in _cards(one, root)][:CARDS])
        for kind, found in by.items()
    ]


def histogram(name: str, lengths: Sequence[float], window: float) -> Histogram:
    """`BINS` bars from 0 to the longest, or to twice the 99th percentile: what is longer stands in the last bar."""
    x = np.asarray(lengths, float)
    end = max(min(float(x.max()), 2 * float(np.percentile(x, 99))), window) * 1.02 or 1.0
    counts, _ = np.histogram(np.minimum(x, end), BINS, (0, end))
    said = f"from {x.min():.3g} to {x.max():.3g}, the median {np.median(x):.3g}; the window is {window:.3g}"
    return Histogram(name, (counts / counts.max()).tolist(), window / end, said)


def _cards(one: Finding, root: str) -> list[Shown]:
    return [_card(path, one.what, root) for path in one.paths[:CARDS]]


def _card(path: str, what: str, root: str) -> Shown:
    """A file with its picture or its sound, where it can be read; what is wrong with it in any case."""
    name = printable(path.removeprefix(f"{root}/"))
    file, caption = Path(path), printable(what)
    suffix = file.suffix.lower()
    try:
        if suffix in MODALITIES["image"].suffixes and file.is_file():
            return Shown(caption, picture=picture_file.read(file, SIDE), label=name)
        if suffix in MODALITIES["audio"].suffixes and file.is_file() and sound_file.measure(file) <= LARGEST:
            return Shown(caption, sound=file, label=name)
    except BadFile:  # that is what the finding says: its words stand alone
        pass
    return Shown(caption, label=name)
