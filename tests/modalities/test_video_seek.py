"""Long videos are not decoded whole, and give the same frames; times are right whatever the clock of the file."""

from io import BytesIO

import av
import numpy as np
import pytest
from modalities.films import film, number_of

from sensorium.core.errors import BadFile
from sensorium.modalities import Video, video_clock, video_file, video_index
from sensorium.modalities.video_clock import Deadline
from sensorium.modalities.video_index import Index
from sensorium.modalities.video_open import opened

FORMS = {
    "mp4": ("mp4", "libx264", {"g": "25", "bf": "3"}),
    "mp4 open groups": ("mp4", "libx264", {"g": "30", "bf": "3", "x264-params": "open-gop=1"}),
    "mov": ("mov", "mpeg4", {"g": "12", "bf": "2"}),
    "mkv": ("matroska", "libx264", {"g": "25", "bf": "2"}),
    "webm vp8": ("webm", "libvpx", {"g": "25", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    "webm vp9": ("webm", "libvpx-vp9", {"g": "25"}),
    "avi": ("avi", "mjpeg", {}),
}
STAMPS = [i + i // 100 for i in range(700)]
"""A frame is missing every four seconds."""


def whole(source: bytes, monkeypatch) -> video_file.Chosen:
    """Every frame, decoded from the beginning to the end."""
    with monkeypatch.context() as patch:
        patch.setattr(video_file, "WORTH", 10**9)
        return video_file.read(source, range, lambda frame: frame)


@pytest.mark.parametrize("name", FORMS)
def test_seeking_gives_the_frames_and_times_of_decoding_all(name, monkeypatch):
    form, codec, options = FORMS[name]
    first = 0 if form == "avi" else 7  # AVI holds no time before its first frame
    source = film(form, codec, [first + stamp for stamp in STAMPS], **options)
    every = whole(source, monkeypatch)
    assert every.total == every.decoded == 700 and len(every.frames) == 700
    np.testing.assert_allclose(every.times, np.array(STAMPS) / 25, atol=1.1e-3)
    asked = 0
    for wanted in ([3, 352, 354, 695], [0, 699], [24, 25, 26, 349, 350], [399]):
        got = video_file.read(source, lambda n, wanted=wanted: wanted, lambda frame: frame)
        assert got.total == 700 and got.decoded < 200
        asked += got.decoded
        for number, frame, time in zip(wanted, got.frames, got.times, strict=True):
            np.testing.assert_array_equal(frame, every.frames[number])
            assert number_of(frame) == number and time == pytest.approx(every.times[number], abs=1e-9)
    assert asked < 600


def test_hidden_frames_of_vp8_count_for_nothing(monkeypatch):
    """The bit that says so is cleared in three packets that are no key frames."""
    packets, out = [], BytesIO()
    with av.open(BytesIO(film("webm", "libvpx", range(700), g="25")), "r") as container, av.open(out, "w", format="webm") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                data = bytearray(bytes(packet))
                if len(packets) in (60, 351, 610):
                    assert not packet.is_keyframe
                    data[0] &= ~0x10
                packets.append(av.Packet(bytes(data)))
                packets[-1].pts, packets[-1].dts, packets[-1].time_base = packet.pts, packet.dts, packet.time_base
                packets[-1].is_keyframe, packets[-1].stream = packet.is_keyframe, stream
                copy.mux(packets[-1])
    every = whole(out.getvalue(), monkeypatch)
    got = video_file.read(out.getvalue(), lambda n: [59, 60, 349, 350, n - 1], lambda frame: frame)
    assert len(packets) == 700 and every.total == got.total == 697 and got.decoded < 100
    for number, frame in zip([59, 60, 349, 350, 696], got.frames, strict=True):
        np.testing.assert_array_equal(frame, every.frames[number])


def test_a_clip_of_which_much_is_wanted_is_decoded_once(monkeypatch):
    source = film(stamps=range(300), g="25")
    got = video_file.read(source, lambda n: range(0, n, 10), lambda frame: frame)
    assert got.decoded == 300 and [number_of(frame) for frame in got.frames] == list(range(0, 300, 10))


def test_a_frame_that_is_not_found_at_its_time_is_found_by_decoding_all(monkeypatch):
    source = film(stamps=range(600), g="25")
    monkeypatch.setattr(Index, "key_before", lambda self, number: self.stamps[min(number + 40, 599)])
    got = video_file.read(source, lambda n: [3, 500], lambda frame: frame)
    assert got.decoded == 600 and [number_of(frame) for frame in got.frames] == [3, 500]


@pytest.mark.parametrize(("form", "first"), [("mp4", 0), ("mp4", 30), ("matroska", 30)])
def test_only_the_window_of_a_long_video_is_gone_through_and_chosen_from(form, first):
    source = film(form, stamps=range(first, first + 700), g="25", bf="3")
    got = video_file.read(source, lambda n: [0, 83, 166, n - 1], lambda frame: frame, 10.0)
    assert got.total == 250 and [number_of(frame) for frame in got.frames] == [0, 83, 166, 249]
    np.testing.assert_allclose(got.times, [0, 83 / 25, 166 / 25, 249 / 25], atol=1.1e-3)
    deadline = Deadline.start()
    with opened(source, "", deadline) as container:
        index = video_index.of(container, container.streams.video[0], deadline, 10.0)
    assert 250 <= len(index.times) < 260 and index.within(10.0) == 250


@pytest.mark.parametrize("form", ["mp4", "matroska", "webm"])
def test_times_are_those_of_a_variable_rate_from_the_first_frame_on(form):
    stamps = [40, 41, 42, 60, 61, 100, 101, 102]
    codec = "libvpx" if form == "webm" else "libx264"
    source = film(form, codec, stamps)
    arrays = Video(size=16, frames=10).prepare(source)
    np.testing.assert_allclose(arrays["video/time"][:8], (np.array(stamps) - 40) / 25, atol=1.1e-3)
    assert arrays["video/mask"].tolist() == [True] * 8 + [False] * 2
    within = Video(size=16, frames=10, seconds=0.9).prepare(source)
    assert within["video/mask"].sum() == 5
    assert video_file.measure(source) == pytest.approx(63 / 25, abs=0.05)


def test_measure_tells_the_whole_and_what_is_looked_at(tmp_path):
    source = film(stamps=range(50))
    assert Video().measure(source) == (pytest.approx(2.0), pytest.approx(2.0))
    assert Video(seconds=1.5).measure(source) == (pytest.approx(2.0), 1.5)
    assert Video(seconds=1.5).measure((np.zeros((30, 4, 4, 3), np.uint8), 10)) == (3.0, 1.5)
    with pytest.raises(BadFile, match="cut short"):
        Video().measure(source[:-10])


def test_no_file_takes_longer_than_the_limit(monkeypatch):
    source = film(stamps=range(60), sound="aac", wave=np.zeros(48000, np.float32))
    late = Deadline(7, 0.0)
    with pytest.raises(BadFile, match="it took more than 7 s to decode"):
        late.check()
    monkeypatch.setenv("SENSORIUM_LIMITS", "seconds=3")
    assert Deadline.start().seconds == 3
    with pytest.raises(BadFile, match=r"^here: it took more than 7 s"), opened(source, "here", late):
        pass  # already the search for a header ends
    ticks = iter(range(10**6))
    monkeypatch.setattr(video_clock, "monotonic", lambda: next(ticks) / 10)  # every look at the clock is 0.1 s later
    with pytest.raises(BadFile, match=r"^a video of \d+ bytes: it took more than 3 s"):
        video_file.read(source, range, lambda frame: frame)


def test_more_frames_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setenv("SENSORIUM_LIMITS", "frames=59")
    with pytest.raises(BadFile, match="more than 59 frames"):
        video_file.read(film(stamps=range(60)), range, lambda frame: frame)
