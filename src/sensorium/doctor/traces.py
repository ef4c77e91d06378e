"""Sensor readings with holes, or of sensors that were not connected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensorium.data.health import Seen
from sensorium.doctor.finding import Finding, found

GAPS = 0.2
"""The share of the time between the first and the last reading that may be missing: a lost radio packet is less."""


@dataclass(frozen=True)
class Trace:
    """What is kept of a file of readings. `constant`: the numbers of the channels that never change."""

    path: str
    gaps: float
    constant: tuple[int, ...]


def measure(seen: Seen) -> Trace:
    """Of resampled readings f32[T C] and their mask."""
    name = seen.field.name
    x, mask = seen.arrays[name], seen.arrays[f"{name}/mask"]
    there = mask if mask.ndim == 1 else mask.all(-1)
    rows = np.flatnonzero(there)
    span = int(rows[-1] - rows[0] + 1) if len(rows) else 0
    values = x[there]
    constant = np.flatnonzero(np.ptp(values, axis=0) == 0).tolist() if len(values) > 1 else []
    return Trace(str(seen.raw), 1 - len(rows) / span if span else 1.0, tuple(constant))


def findings(traces: Sequence[Trace]) -> list[Finding]:
    """What is told of single files of readings. A channel that is constant in most of them is meant to be."""
    out = []
    for t in traces:
        if t.gaps > GAPS:
            out.append(found("gaps in readings", [t.path], f"{100 * t.gaps:.0f} % of the time has no reading"))
        odd = [c for c in t.constant if 2 * sum(c in other.constant for other in traces) <= max(len(traces), 2)]
        if odd:
            what = f"channel {', '.join(map(str, odd))} (from 0) has one value throughout"
            out.append(found("constant channel", [t.path], what))
    return out
