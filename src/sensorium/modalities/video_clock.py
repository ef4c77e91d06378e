"""The time that decoding one file may take."""

from dataclasses import dataclass
from time import monotonic

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits


@dataclass(frozen=True)
class Deadline:
    """Looked at in every loop over what a file holds, so that no file holds up the others."""

    seconds: int
    end: float
    """On the monotonic clock."""

    @classmethod
    def start(cls) -> "Deadline":
        """From now on, as long as the limits say."""
        seconds = limits().seconds
        return cls(seconds, monotonic() + seconds)

    def check(self) -> None:
        """`BadFile` once the time is over."""
        if monotonic() > self.end:
            raise BadFile(f"it took more than {self.seconds} s to decode; SENSORIUM_LIMITS='seconds=…' allows more")
