"""Traces of sensors: f32 channels in units of their own, at `rate` Hz, with a mask of the moments that were measured."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.protocols import Raw, Stored
from sensorium.modalities import sensor_file, sensor_header
from sensorium.modalities.raw import BadRaw, described
from sensorium.modalities.sensor_file import Readings
from sensorium.modalities.sensor_grid import resampled

LOOKED = 200
"""As many files are looked at to tell what field suits them."""
_FILE = (str, Path, bytes, Stored)


@dataclass(frozen=True)
class Sensor:
    """A field of traces.

    `channels`: the names of the columns, in the order of the array; or how many there are, for files that do not name them.
    `units`: one a channel, "" where unknown; a file that says another unit is refused. Columns beyond `channels` are refused
    unless `extra`. The first `seconds` are kept, on a grid of `rate` Hz (see `sensor_grid.resampled`); readings more than
    `gap` of a file's usual steps apart have a gap between them, which is masked. `file_rate`: of what comes without times
    and without a rate, None for `rate`.
    """

    name: str = "sensor"
    channels: Sequence[str] | int = 3
    rate: float = 50.0
    seconds: float = 2.0
    units: Sequence[str] = ()
    gap: float = 3.0
    file_rate: float | None = None
    extra: bool = False

    kind: ClassVar[str] = "sensor"
    folder: ClassVar[str] = "sensor"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet", ".npy", ".npz")
    tower: ClassVar[str] = "sensor"

    def __post_init__(self):
        if not isinstance(self.channels, int):
            object.__setattr__(self, "channels", tuple(self.channels))  # JSON has lists only
        object.__setattr__(self, "units", tuple(sensor_header.unit(said) for said in self.units))
        if self.width < 1 or len(set(self.names)) != len(self.names):
            raise BadRaw(f"Sensor(channels={self.channels!r}): expected at least one channel, each name once")
        if self.units and len(self.units) != self.width:
            raise BadRaw(
                f"Sensor(units={self.units}): {len(self.units)} units for {self.width} channels; expected one each, or none"
            )
        rates = (self.rate, self.seconds, self.gap, self.rate if self.file_rate is None else self.file_rate)
        if not all(0 < number < float("inf") for number in rates) or self.length < 1:
            raise BadRaw(
                f"Sensor(rate={self.rate}, seconds={self.seconds}, gap={self.gap}, file_rate={self.file_rate}): expected numbers "
                "above 0, and room for at least one moment"
            )

    @classmethod
    def from_files(
        cls, files: Iterable[Raw], name: str = "sensor", file_rate: float | None = None, longest: int = 2000
    ) -> "Sensor":
        """The field that suits some files: the columns and units that most of them have, their median rate and median length.

        `LOOKED` evenly spaced ones are read. `file_rate` is for those without times; where none tells and none is given, time
        is counted in readings: a rate of 1. At most `longest` moments are kept. `BadFile` where no file can be read.
        """
        files = list(files)
        found: list[Readings] = []
        for file in files[:: max(1, len(files) // LOOKED)]:
            try:
                found.append(sensor_file.read(file))
            except BadFile as error:  # told when it is read, or by the doctor
                broken = str(error)
        if not found:
            raise BadFile(broken if files else "no files of sensor readings were given")
        heads = Counter((readings.names or readings.values.shape[1], readings.units) for readings in found)
        channels, units = heads.most_common(1)[0][0]
        rates = [rate for readings in found if (rate := _rate(readings, file_rate)) is not None]
        rate = float(f"{median(rates):.6g}") if rates else 1.0
        lengths = [_duration(readings, _rate(readings, file_rate) or rate) for readings in found]
        moments = int(np.clip(round(median(lengths) * rate), 1, longest))
        units = units if any(units) else ()
        return cls(name, channels, rate, moments / rate, units, file_rate=file_rate)

    @property
    def length(self) -> int:
        """T, the moments of an array."""
        return round(self.rate * self.seconds)

    @property
    def width(self) -> int:
        """C, how many channels there are."""
        return self.channels if isinstance(self.channels, int) else len(self.channels)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels; () where the field only counts them."""
        return () if isinstance(self.channels, int) else tuple(self.channels)

    def prepare(self, raw: Raw) -> dict[str, np.ndarray]:
        """`{name: f32[T C], name/mask: bool[T]}` of a path, the bytes of a file, an array of readings×channels, a pair of one
        and its rate in Hz, or a dict of columns by name (see `sensor_file.columns_of`). Where the mask is False stands 0.

        `BadFile` for a file that cannot be read as this field, `BadRaw` for anything else.
        """
        readings, where, error = self._readings(raw, self.seconds + 1 / self.rate)
        times, readings = self._window(readings)
        period = float(np.median(np.diff(times))) if len(times) > 1 else 1 / (readings.rate or self.file_rate or self.rate)
        values = self._ordered(readings, where, error)
        x, mask = resampled(times, values, self.rate, self.length, period, self.gap)
        if not mask.any():
            raise error(f"{where}: no moment of its first {self.seconds:g} s was measured")
        if np.abs(x).max() > np.finfo(np.float32).max:
            raise error(f"{where}: readings up to {np.abs(x).max():g}, which are beyond f32")
        return {self.name: x.astype(np.float32), f"{self.name}/mask": mask}

    def blank(self) -> dict[str, np.ndarray]:
        """No moment at all: the mask is False everywhere."""
        return {
            self.name: np.zeros((self.length, self.width), np.float32),
            f"{self.name}/mask": np.zeros(self.length, bool),
        }

    def show(self, x: Float[np.ndarray, "T C"]) -> tuple[Float[np.ndarray, "T C"], float]:
        """The (array, rate) pair that plots take."""
        return np.asarray(x), self.rate

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(how many seconds the whole trace has, how many are kept); reads a file to its end, `BadFile` where it is broken."""
        readings, where, error = self._readings(raw, np.inf)
        self._ordered(readings, where, error)
        return _duration(readings, readings.rate or self.file_rate or self.rate), self.seconds

    def _readings(self, raw: Raw, seconds: float) -> tuple[Readings, str, type[SensoriumError]]:
        rate = self.file_rate or self.rate
        if isinstance(raw, _FILE):
            return sensor_file.read(raw, self.names, seconds, rate), sensor_file.named(raw), BadFile
        try:
            if isinstance(raw, dict):
                return sensor_file.columns_of(raw, self.names), "a dict of columns", BadRaw
            array, given = raw if isinstance(raw, tuple | list) and len(raw) == 2 and np.ndim(raw[1]) == 0 else (raw, None)
            if isinstance(array, np.ndarray) and array.ndim in (1, 2) and (given is None or 0 < given < float("inf")):
                table = array[:, None] if array.ndim == 1 else array
                return sensor_file.columns_of({"readings": table, "rate": np.asarray(given or rate)}, ()), "a trace", BadRaw
        except BadFile as error:
            raise BadRaw(f"a trace of a sensor: {error}") from error
        raise BadRaw(
            f"a trace cannot be made of {described(raw)}: give a path, the bytes of a file, an array of readings×channels, a "
            "pair of such an array and its rate in Hz (above 0), or a dict of columns"
        )

    def _window(self, readings: Readings) -> tuple[np.ndarray, Readings]:
        """When each reading was made, and the readings, up to the first one after the window: the same of every format."""
        times = readings.times
        if times is None:
            times = np.arange(len(readings.values)) / (readings.rate or self.file_rate or self.rate)
        kept = slice(0, int(np.searchsorted(times, self.seconds, side="right")) + 1)
        return times[kept], replace(readings, values=readings.values[kept], rows=readings.rows[kept])

    def _ordered(self, readings: Readings, where: str, error: type[SensoriumError]) -> np.ndarray:
        """The readings of the field's channels, in their order and in its units."""
        has = f"it has {', '.join(readings.names) or readings.values.shape[1]}"
        if readings.names and self.names:
            missing = [name for name in self.names if name not in readings.names]
            beyond = [name for name in readings.names if name not in self.names]
            if missing:
                raise error(f"{where}: no column {', '.join(map(repr, missing))}; {has}")
            if beyond and not self.extra:
                raise error(
                    f"{where}: {', '.join(map(repr, beyond))} is none of {', '.join(self.names)}; with extra=True it is left out"
                )
            order = [readings.names.index(name) for name in self.names]
        elif readings.values.shape[1] != self.width:
            raise error(f"{where}: expected {self.width} channels, {has}")
        else:
            order = list(range(self.width))
        for ours, column in zip(self.units, order, strict=False):
            theirs = readings.units[column] if readings.units else ""
            if ours and theirs and ours != theirs:
                raise error(
                    f"{where}: {readings.called(column)} is in {theirs}, this field in {ours}: convert the file, "
                    "or make another field"
                )
        values = readings.values[:, order]
        if np.isinf(values).any():
            row, at = (int(i) for i in np.argwhere(np.isinf(values))[0])
            line = f"line {readings.rows[row]}, {readings.called(order[at])}"
            raise error(f"{where}: {line}: infinite; leave the cell empty where nothing was read")
        return values


def _rate(readings: Readings, file_rate: float | None) -> float | None:
    if readings.times is not None and len(readings.times) > 1:
        return 1 / float(np.median(np.diff(readings.times)))
    return readings.rate or file_rate


def _duration(readings: Readings, rate: float) -> float:
    """Seconds from the first reading to one step after the last."""
    if readings.times is None or len(readings.times) < 2:
        return len(readings.values) / rate
    return float(readings.times[-1] + np.median(np.diff(readings.times)))
