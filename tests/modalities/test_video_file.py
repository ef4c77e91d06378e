"""Video files from strangers: whatever is wrong with them is a `BadFile` that says what, and none opens another file."""

import struct
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from modalities.samples import clip, sine, sound

from sensorium.core.errors import BadFile, MissingExtra
from sensorium.modalities import video_file, video_index

FORMS = [("mp4", "libx264"), ("webm", "libvpx"), ("matroska", "mpeg4"), ("avi", "mpeg4"), ("gif", "gif")]


def read(source, choose: Callable[[int], Sequence[int]] = range, seconds=None) -> video_file.Chosen:
    return video_file.read(source, choose, lambda frame: frame.mean((0, 1)), seconds)


@pytest.fixture(scope="module")
def faststart(tmp_path_factory) -> bytes:
    """An MP4 with its table of frames in front: cut anywhere behind it, FFmpeg opens it as if it were whole."""
    data = clip(frames=30, g="1")
    out = tmp_path_factory.mktemp("video") / "faststart.mp4"
    with av.open(BytesIO(data), "r") as whole, av.open(str(out), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    return out.read_bytes()


@pytest.mark.parametrize(("form", "codec"), FORMS)
def test_a_file_that_is_cut_short_is_told_wherever_it_is_cut(form, codec):
    data = clip(form, codec, frames=30)
    assert read(data).total == 30
    for share in np.linspace(0, 0.999, 40):
        with pytest.raises(BadFile, match=r"^a video of \d+ bytes: "):
            read(data[: int(share * len(data))])


def test_a_file_that_is_cut_after_its_header_is_told(faststart):
    """FFmpeg gives no frame and no error."""
    data = faststart
    body = data.index(b"mdat") + 4
    assert data.index(b"moov") < body and read(data).total == 30
    for end in (body, body + 200, len(data) - 1):
        with pytest.raises(BadFile, match=rf"cut short: {end} of {len(data)} bytes"):
            read(data[:end])


@pytest.mark.parametrize(("form", "codec"), FORMS)
def test_damaged_bytes_are_told_or_read_and_never_anything_else(form, codec):
    data = clip(form, codec, frames=8)
    rng = np.random.default_rng(0)
    for _ in range(40):
        broken = np.frombuffer(data, np.uint8).copy()
        at = rng.integers(0, len(broken), rng.integers(1, 30))
        broken[at] = rng.integers(0, 256, len(at))
        try:
            assert all(np.isfinite(frame).all() for frame in read(broken.tobytes()).frames)
        except BadFile as error:
            assert str(error).startswith(f"a video of {len(data)} bytes: ")


def test_damaged_frames_are_told(faststart):
    data = bytearray(faststart)
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    with pytest.raises(BadFile):
        read(bytes(data))


def test_what_is_no_video_is_told(tmp_path):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip())
    playlist = tmp_path / "list.mp4"
    for text in (
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    ):
        playlist.write_text(text)
        with pytest.raises(BadFile, match=rf"^{playlist}: not a video in any of the formats MP4"):
            read(playlist)
    for name, content, told in (
        ("empty.mp4", b"", r"the file is empty \(0 bytes\)"),
        ("text.webm", b"no video at all, but text", "not a video"),
        ("wave.avi", sound(tmp_path / "a.wav", sine(440, 8000, 0.1), 8000).read_bytes(), "not a video"),
        ("box.mp4", struct.pack(">I4s", 8, b"ftyp"), "there is no 'moov' box"),
        ("box2.mp4", struct.pack(">I4s", 3, b"ftyp") + bytes(8), "a box of 3 bytes at 0"),
        ("head.mkv", b"\x1aE\xdf\xa3", "its header is not whole"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadFile, match=rf"^{tmp_path / name}: .*{told}"):
            read(tmp_path / name)
    with pytest.raises(BadFile, match="no such file"):
        read(tmp_path / "absent.mp4")
    with pytest.raises(BadFile, match="a folder, not a file"):
        read(tmp_path)


def test_sound_alone_is_told():
    buffer = BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(BadFile, match="no pictures in it, only sound"):
        read(buffer.getvalue())


def test_limits_are_looked_at_before_decoding(monkeypatch):
    data = clip()
    monkeypatch.setenv("SENSORIUM_LIMITS", "frames=10")
    with pytest.raises(BadFile, match="more than 10 frames"):
        read(data)
    monkeypatch.setenv("SENSORIUM_LIMITS", "pixels=3000")
    with pytest.raises(BadFile, match="its frames: 64×48 pixels are more than the limit of 3000"):
        read(data)
    monkeypatch.setenv("SENSORIUM_LIMITS", "pixels=15359")  # five times 64 · 48 are 15360
    with pytest.raises(BadFile, match="its frames: 64×48 pixels are more than the limit of 3071 in a video"):
        read(data)
    monkeypatch.delenv("SENSORIUM_LIMITS")
    monkeypatch.setattr(video_file, "CODECS", ("vp9",))
    with pytest.raises(BadFile, match="the codec is h264; expected one of vp9"):
        read(data)


def test_only_the_chosen_frames_are_converted():
    counts, converted = [], []

    def choose(n):
        counts.append(n)
        return [2, 5]

    made = video_file.read(clip(frames=9), choose, lambda frame: converted.append(frame.shape) or frame[:1, :1])
    assert made.total == 9 and counts == [9] and converted == [(48, 64, 3)] * 2
    assert made.times == pytest.approx([0.2, 0.5])


@pytest.mark.parametrize("guess", [5, 13])
def test_frames_are_chosen_among_those_that_there_are(monkeypatch, guess):
    """Packets that are no frames of their own (hidden ones of VP8, halves of interlaced pictures) make the first count wrong."""
    index = video_index.Index((0.0,) * guess, (), (), Fraction(1), 1.0)
    monkeypatch.setattr(video_index, "of", lambda container, stream, deadline, seconds: index)
    made = read(clip(frames=9), lambda n: [0, n - 1])
    assert made.total == 9 and len(made.frames) == 2 and made.times == pytest.approx([0, 0.8])


def test_without_pyav_the_error_names_the_extra(monkeypatch):
    data = clip()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r'pip install "sensorium\[media\]"'):
        read(data)
