"""What can be wrong with a raw thing that was given in memory; for files there is `core.errors.BadFile`."""

from sensorium.core.errors import SensoriumError


class BadRaw(SensoriumError, ValueError):
    """An array, a pair or a string that a modality cannot take. The text says what was got and what is taken."""


def described(raw: object) -> str:
    """A few words on a raw thing for an error: its type, and its shape and dtype where it has them."""
    shape, dtype = getattr(raw, "shape", None), getattr(raw, "dtype", None)
    return type(raw).__name__ if shape is None else f"{type(raw).__name__} {dtype}{list(shape)}"
