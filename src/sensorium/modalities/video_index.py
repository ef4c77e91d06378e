"""Where the frames of a video stand, and which of them can be decoded without those before: read off without decoding."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sensorium.core.errors import BadFile
from sensorium.core.limits import limits
from sensorium.modalities.video_clock import Deadline
from sensorium.modalities.video_open import InputContainer, VideoStream


@dataclass(frozen=True)
class Index:
    """The frames of a clip in the order in which they are seen.

    `times`: seconds, sorted, on the clock of the file. `stamps` and `keys`: the same in units of `base`, of all frames and of
    the key frames; both empty where the file does not tell of each frame when it is seen. `seconds`: to the end of the last.
    """

    times: tuple[float, ...]
    stamps: tuple[int, ...]
    keys: tuple[int, ...]
    base: Fraction
    seconds: float

    def within(self, seconds: float | None) -> int:
        """How many frames there are in the first `seconds`, at least one."""
        if seconds is None:
            return len(self.times)
        return max(1, sum(time - self.times[0] < seconds for time in self.times))

    def key_before(self, number: int) -> int:
        """The stamp of the last key frame at or before a frame."""
        return self.keys[bisect_right(self.keys, self.stamps[number]) - 1]

    def time(self, number: int) -> float:
        """When a frame stands, by its stamp."""
        return float(self.stamps[number] * self.base)

    def cost(self, wanted: Sequence[int]) -> int:
        """Frames that are decoded to see the wanted ones, when what lies before the last key frame is jumped over."""
        total, last = 0, -1
        for number in wanted:
            key = bisect_right(self.stamps, self.key_before(number)) - 1
            total += number - max(last, key - 1)
            last = number
        return total


def of(container: InputContainer, stream: VideoStream, deadline: Deadline, seconds: float | None = None) -> Index:
    """Goes through the packets of a stream, to its end or (about) as far as its first `seconds` go.

    `BadFile` where there are none, or more than the limit.
    """
    stamps: list[int | None] = []
    times: list[float] = []
    keys: list[int] = []
    most, shown = limits().frames, _shown(stream)
    base, duration, first = stream.time_base or Fraction(1), 0.0, 0.0
    for packet in container.demux(stream):
        deadline.check()
        if not packet.size or packet.is_discard or not shown(packet):
            continue
        stamp = packet.dts if packet.pts is None else packet.pts
        time = 0.0 if stamp is None else float(stamp * base)
        first = min(first, time) if times else time
        if times and seconds is not None and packet.dts is not None and packet.dts * base > first + seconds:
            break  # no frame is seen before it is decoded: this one, and what follows, is past the window
        times.append(time)
        duration = float((packet.duration or 0) * base)
        stamps.append(packet.pts)
        if packet.is_keyframe and packet.pts is not None:
            keys.append(packet.pts)
        if len(times) > most:
            raise BadFile(f"more than {most} frames: cut it into parts first")
    if not times:
        raise BadFile("the header is there, but there is no frame in it")
    times.sort()
    known = sorted(stamp for stamp in stamps if stamp is not None)
    clear = len(set(known)) == len(times) and bool(keys) and min(keys) == known[0]
    last = times[-1] - times[-2] if len(times) > 1 else duration  # what MP4 tells of a frame is when the next is decoded
    whole = times[-1] - times[0] + last
    return Index(tuple(times), tuple(known) if clear else (), tuple(sorted(keys)) if clear else (), base, whole)


def _shown(stream: VideoStream) -> Any:
    """Whether a packet is a frame that is seen: VP8 has others, and says so in its first byte (RFC 6386, section 9.1)."""
    if stream.codec_context.codec.canonical_name == "vp8":
        return lambda packet: memoryview(packet)[0] >> 4 & 1
    return lambda packet: True
