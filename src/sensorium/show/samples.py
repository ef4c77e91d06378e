"""Sheets of what a model made: each thing beside what it was asked for, and what a judge reads in it."""

from dataclasses import dataclass, field

from sensorium.show.gallery import Shown


@dataclass(frozen=True)
class Measure:
    """A number of a sheet, from 0 to 1, with what chance would give; NaN where nothing is said of chance."""

    name: str
    value: float
    chance: float = float("nan")


@dataclass(frozen=True)
class Made:
    """What was asked for and what was made of it; `read`: what the judge reads in it."""

    asked: Shown
    made: Shown
    read: str = ""


@dataclass(frozen=True)
class Sheet:
    """Samples as they came, and the numbers that were measured on many more."""

    title: str
    note: str
    measures: list[Measure] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
