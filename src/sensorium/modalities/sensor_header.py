"""What the heads of a table's columns say: names, units, and which column is the time."""

import re
from collections.abc import Sequence

SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}
"""Units of time, in seconds."""
TIMES = ("time", "t", "timestamp", "timestamps", "ts", "datetime", "date", "elapsed", "epoch", "utc")
"""Names of a column of time; each may be followed by `_` and a unit."""
_AMBIGUOUS = ("s", "h", "min")  # alone, these may be anything
_UNIT = re.compile(r"\s*[\[(]\s*([^\[\]()]*?)\s*[\])]$")


def parsed(head: str) -> tuple[str, str]:
    """(name, unit) of "ax (m/s^2)" or "ax [g]"; the unit is "" where none is said."""
    head = " ".join(head.split())
    found = _UNIT.search(head)
    return (head[: found.start()], unit(found[1])) if found and found.start() else (head, "")


def unit(said: str) -> str:
    """One spelling for the common ways to write a unit: m/s², m/s**2 and m/s^2 are one."""
    said = said.replace("²", "^2").replace("³", "^3").replace("**", "^").replace(" ", "")
    return re.sub(r"(?<=[a-z])(?=[23]$)", "^", said)


def time_scale(name: str, unit: str = "") -> float | None:
    """How many seconds one step of a column of that name is, None where it is no time. Without a unit it is in seconds."""
    word = re.sub(r"[ \-]+", "_", name.strip().lower())
    if word in TIMES:
        return SECONDS.get(unit.lower(), 1.0)
    if word in SECONDS and word not in _AMBIGUOUS:
        return SECONDS[word]
    before, _, after = word.rpartition("_")
    if before in TIMES and after in SECONDS:
        return SECONDS[after]
    return 1.0 if word in ("seconds_elapsed", "time_elapsed", "elapsed_time") else None


def time_columns(heads: Sequence[tuple[str, str]], channels: Sequence[str]) -> list[int]:
    """The columns that hold time, of which the first counts; one that the field calls a channel is none."""
    return [i for i, (name, unit) in enumerate(heads) if name not in channels and time_scale(name, unit) is not None]


def has_unit(name: str, unit: str) -> bool:
    """Whether a column of time says its unit, in its name or beside it."""
    word = re.sub(r"[ \-]+", "_", name.strip().lower())
    return unit.lower() in SECONDS or word in SECONDS or word.rpartition("_")[2] in SECONDS or word.startswith("seconds")
