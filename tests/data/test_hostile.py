"""Files from those who mean harm, and from those who had an accident: each is told or read, the others are untouched."""

import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data.trees import write
from modalities.samples import as_bytes, clip, png, save, sine, smooth
from PIL import Image as Pillow

from sensorium.data import Folder, check, scan
from sensorium.data.fields import fields_for

GOOD = {"image": "images/good.png", "audio": "audio/good.wav", "text": "captions/good.txt", "video": "video/good.mp4"}
MOST_MEMORY = 300
"""MB above what the process had before it looked at a file."""


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(name: bytes, body: bytes) -> bytes:
    """A good PNG with one more chunk after its header."""
    whole = as_bytes(Pillow.fromarray(smooth(20, 20)), "PNG")
    return whole[:33] + chunk(name, body) + whole[33:]


def jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose header has another size."""
    data = bytearray(as_bytes(Pillow.new("RGB", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def scans_of(times: int) -> bytes:
    """A progressive JPEG whose last scan comes many times over."""
    data = as_bytes(Pillow.fromarray(smooth(64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * times + data[-2:]


def gif_of(frames: int) -> bytes:
    """A GIF of 1×1 pixel frames."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\1\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    return head + frame * frames + b"\x3b"


def tiff_of(tag: int, count: int) -> bytes:
    """A TIFF whose `tag` claims to have `count` numbers."""
    data = bytearray(as_bytes(Pillow.fromarray(smooth(20, 20)), "TIFF"))
    start = struct.unpack("<I", data[4:8])[0]
    entries = struct.unpack("<H", data[start : start + 2])[0]
    for i in range(entries):
        at = start + 2 + 12 * i
        if struct.unpack("<H", data[at : at + 2])[0] == tag:
            data[at + 4 : at + 8] = struct.pack("<I", count)
    return bytes(data)


def wav_of(rate: int = 16000, channels: int = 1, size: int | None = None, frames: int = 400) -> bytes:
    body = b"\0\1" * frames
    form = struct.pack("<HHIIHH", 1, channels, rate, min(rate * channels * 2, 2**32 - 1), min(channels * 2, 65535), 16)
    data = b"data" + struct.pack("<I", len(body) if size is None else size) + body
    return b"RIFF" + struct.pack("<I", 36 + len(body)) + b"WAVEfmt " + struct.pack("<I", 16) + form + data


def flac_of(seconds: int) -> bytes:
    """A FLAC of 0.1 s whose header claims more."""
    buffer = BytesIO()
    soundfile.write(buffer, sine(440, 8000, 0.1), 8000, format="FLAC")
    data = bytearray(buffer.getvalue())
    data[21] &= 0xF0  # STREAMINFO: 36 bits of the number of samples
    data[22:26] = struct.pack(">I", seconds * 8000)
    return bytes(data)


def floats(value: float) -> bytes:
    buffer = BytesIO()
    samples = sine(440, 16000, 0.2)
    samples[100] = value
    soundfile.write(buffer, samples, 16000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def sound_as(form: str, subtype: str | None = None) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, sine(440, 16000, 1.0), 16000, format=form, subtype=subtype)
    return buffer.getvalue()


def headers_only() -> bytes:
    """A WebM before its first cluster of frames."""
    whole = clip("webm", "libvpx")
    return whole[: whole.index(b"\x1f\x43\xb6\x75")]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def hostile() -> dict[str, tuple[bytes, str | None]]:
    """path -> (its bytes, what is told of it, or None where it is read all the same)."""
    noise = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    forms = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tiff": "TIFF"}
    sounds = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG"}
    films = {"mp4": clip(), "webm": clip("webm", "libvpx"), "avi": clip("avi", "mpeg4")}
    empty = ("images/e.png", "images/e2.jpg", "images/e3.webp", "images/e4.gif", "audio/e.wav", "audio/e2.flac", "audio/e3.mp3")
    return {
        **{path: (b"", "empty") for path in (*empty, "captions/e.txt", "video/e.mp4", "video/e2.webm")},
        **{f"images/half-{suffix}.{suffix}": (half(as_bytes(noise, form)), ".") for suffix, form in forms.items()},
        **{f"audio/half-{suffix}.{suffix}": (half(sound_as(form)), ".") for suffix, form in sounds.items()},
        **{f"video/half-{suffix}.{suffix}": (half(data), ".") for suffix, data in films.items()},
        "images/bomb.png": (png(60000, 60000, 1), "pixels"),
        "images/bomb-jpeg.jpg": (jpeg_of(13000, 13000), "(13000×13000|169000000) pixels"),
        "images/scans.jpg": (scans_of(3000), "scans are more than the limit"),
        "images/strip.png": (png(40000, 3, 3), "one side is more than"),
        "images/frames.gif": (gif_of(100_000), None),
        "images/text-bomb.png": (with_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"0" * 2**28)), "."),
        "images/profile-bomb.png": (with_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"0" * 2**28)), "."),
        "images/tags.tiff": (tiff_of(273, 2**31 - 1), "."),
        "images/names-a-text.jpg": (b"I am a text", "not a picture"),
        "images/is-a-webp.jpg": (as_bytes(noise, "WEBP"), None),
        "audio/is-a-picture.wav": (as_bytes(noise, "PNG"), "."),
        "audio/fast.wav": (wav_of(rate=10**9), "1000000000 Hz|Hz"),
        "audio/wide.wav": (wav_of(channels=65535), "."),
        "audio/beyond.wav": (wav_of(size=2**30), "cut short"),
        "audio/nan.wav": (floats(np.nan), "NaN"),
        "audio/inf.wav": (floats(np.inf), "NaN or infinite"),
        "audio/ten-hours.flac": (flac_of(36_000), "."),
        "captions/latin.txt": ("ein grüner Kreis".encode("latin-1"), "not UTF-8"),
        "captions/utf-16.txt": ("a green circle".encode("utf-16"), None),
        "captions/utf-16-bare.txt": ("a green circle".encode("utf-16-le"), "NUL"),
        "captions/mark.txt": (b"\xef\xbb\xbfa green circle", None),
        "captions/nul.txt": (b"a green\0circle", "NUL"),
        "captions/long.txt": (b"a" * 1_000_000, None),
        "captions/too-long.txt": (b"a " * 2**20, "more than the limit"),
        "captions/blank.txt": (b"\n \n", "blank lines"),
        "captions/new\nline.txt": (b"a name of two lines", None),
        "video/no-frames.webm": (headers_only(), "."),
        "video/list.mp4": (b"ffconcat version 1.0\nfile /etc/passwd\n", "."),
    }  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A good item of four kinds among all of it; with a pipe, links in circles, a folder named as a file, and odd names."""
    root = tmp_path_factory.mktemp("hostile")
    for path, (data, _) in hostile().items():
        write(root / path, data)
    save(root / GOOD["image"], smooth(64, 64))
    write(root / GOOD["audio"], sound_as("WAV"))
    write(root / GOOD["text"], "a good caption\n")
    write(root / GOOD["video"], clip())
    os.mkfifo(root / "images" / "pipe.png")
    os.mkfifo(root / "captions" / "pipe2.txt")
    (root / "images" / "round").symlink_to(root)
    (root / "images" / "itself.png").symlink_to("itself.png")
    (root / "images" / "folder.png").mkdir()
    with open(os.path.join(os.fsencode(root), b"captions", b"no-utf\xff8.txt"), "w") as file:
        file.write("its name is no UTF-8")
    return root


def test_check_tells_each_by_its_cause_and_keeps_the_rest(root):
    health = check(root)
    told = {os.path.relpath(p.path, root): p.cause for p in health.broken}
    extra = {"images/pipe.png", "images/itself.png", "captions/pipe2.txt"}
    assert told.keys() == {path for path, (_, cause) in hostile().items() if cause} | extra
    for path, (_, cause) in hostile().items():
        assert cause is None or re.search(cause, told[path]), (path, told[path])
    good = {item.id: set(item.raws) for item in health.good}
    assert good["good"] == {"image", "text", "audio", "video"}
    assert good["new\nline"] == good["no-utf\udcff8"] == {"text"}
    json.dumps(health.to_json(), allow_nan=False)


def test_reading_gives_absent_rows_for_these_and_the_others_as_they_are(root):
    listing = scan(root)
    fields = fields_for(listing.items)
    source = Folder(listing.items, fields, listing.problems)
    rows = {item.id: row for row, item in enumerate(listing.items)}
    batch = source.read(range(len(source)))
    alone = Folder([listing.items[rows["good"]]], fields).read([0])
    for field in fields:
        assert np.array_equal(batch[field.name][rows["good"]], alone[field.name][0]) and batch[f"{field.name}/here"][rows["good"]]
    kinds = {"images": "image", "audio": "audio", "captions": "text", "video": "video"}
    for path, (_, cause) in hostile().items():
        folder, _, name = path.partition("/")
        row = rows.get(name.rpartition(".")[0])
        here = row is not None and bool(batch[f"{kinds[folder]}/here"][row])
        assert here == (cause is None), path
    told = {os.path.relpath(p.path, root) for p in (*source.broken, *source.problems)}
    assert {path for path, (_, cause) in hostile().items() if cause} <= told


LARGE = {
    "rgb": lambda: Pillow.new("RGB", (8000, 6200), (9, 99, 199)),
    "rgba": lambda: Pillow.new("RGBA", (8000, 6200), (9, 99, 199, 80)),
    "grey16": lambda: Pillow.fromarray(np.full((6200, 8000), 9999, np.uint16)),
    "palette": lambda: Pillow.new("P", (8000, 6200), 3),
}
MEASURE = """
import json, sys
from pathlib import Path
from sensorium.core.errors import SensoriumError
from sensorium.data import scan
from sensorium.data.fields import fields_for
def memory(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) / 1024
listing = scan(sys.argv[1])
fields = {field.kind: field for field in fields_for(listing.items)}
good = next(item for item in listing.items if item.id == "good")
for kind, raws in good.raws.items():
    fields[kind].prepare(raws[0])  # the libraries are there
peaks = {}
for item in listing.items:
    for kind, raws in item.raws.items():
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        for look in (fields[kind].measure, fields[kind].prepare) if kind != "image" else (fields[kind].prepare,):
            try:
                look(raws[0])
            except SensoriumError:
                pass
        peaks[str(raws[0])[:200]] = memory("VmHWM") - before
print(json.dumps(peaks))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux's /proc")
def test_no_single_file_takes_much_memory(root, tmp_path):
    """With pictures just below the limit of pixels, of every kind that needs copies, beside the hostile ones."""
    for path, (data, _) in hostile().items():
        write(tmp_path / path, data)
    for path in GOOD.values():
        write(tmp_path / path, (root / path).read_bytes())
    for name, make in LARGE.items():
        save(tmp_path / "images" / f"{name}.png", make(), compress_level=1, **({"transparency": 3} if name == "palette" else {}))
    Pillow.new("CMYK", (7000, 7000)).save(tmp_path / "images" / "cmyk.jpg")
    Pillow.fromarray(np.tile(smooth(400, 500), (10, 10, 1))).save(tmp_path / "images" / "scans2.jpg", progressive=True)
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stdout)
    assert len(peaks) > 40 and peaks[str(tmp_path / "images/rgb.png")] > 100  # it is measured
    assert {path: peak for path, peak in peaks.items() if peak > MOST_MEMORY} == {}


def test_a_tar_whose_members_lead_out_of_it(tmp_path):
    def add(shard: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
        member = tarfile.TarInfo(name)
        member.size, member.type, member.linkname = len(data), kind, link
        shard.addfile(member, BytesIO(data))

    picture = as_bytes(Pillow.fromarray(smooth(20, 20)), "PNG")
    (tmp_path / "shards").mkdir()
    with tarfile.open(tmp_path / "shards" / "train.tar", "w") as shard:
        add(shard, "good.png", picture)
        add(shard, "good.txt", b"a good caption")
        add(shard, "../out.png", picture)
        add(shard, "/abs.png", picture)
        add(shard, "link.png", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add(shard, "hard.txt", kind=tarfile.LNKTYPE, link="../../etc/passwd")
        add(shard, "pipe.png", kind=tarfile.FIFOTYPE)
        add(shard, "cut.png", picture[:40])
    health = check(tmp_path / "shards")
    assert [(item.id.rpartition("/")[2], set(item.raws)) for item in health.good] == [("good", {"image", "text"})]
    told = " ".join(map(str, health.broken))
    assert all(name in told for name in ("../out.png", "abs.png", "link.png", "hard.txt", "pipe.png", "cut.png"))
    assert not any(path.name in ("out.png", "abs.png", "link.png") for path in tmp_path.rglob("*"))
