"""A thousand good items of the built-in world, and faults of many kinds planted among them, each with what is to be found."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from sensorium.core.protocols import Item
from sensorium.data.splits import split
from sensorium.data.synthetic import write_world
from sensorium.world import caption, scene

Expected = set[tuple[str, str]]
"""(kind, path under the root)."""


def world(root: Path, n: int) -> Path:
    """`n` good items: folders of pictures, captions and sounds."""
    scenes = scene.distinct("train", n)
    write_world(root, scenes, [caption.render(scenes, "list")])
    (root / "manifest.jsonl").unlink()
    return root


def plant(root: Path) -> Expected:
    """Damages a world of at least 450 items; gives all that is wrong with it then."""
    expected: Expected = set()
    for part in (_files, _captions, _pictures, _sounds, _copies):
        expected |= part(root)
    return expected


def _files(root: Path) -> Expected:
    image, audio = root / "images", root / "audio"
    (image / "00010.png").write_bytes(b"")
    for file in (image / "00020.png", audio / "00030.wav"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    _sound(audio / "00040.wav", lambda x: np.where(np.arange(len(x))[:, None] == 99, np.nan, x), subtype="FLOAT")
    (audio / "00330.wav").unlink()
    for name in ("Readme.md", "README.md"):
        (image / name).write_text("about these files")
    (image / "00380.jpg").write_bytes(_bytes(_picture(image / "00381.png").rotate(90), "JPEG"))
    (image / "00250.png").write_bytes(_bytes(_picture(image / "00250.png"), "WEBP"))
    _sound(audio / "00390.wav", lambda x: x, format="FLAC")
    return {
        *(("empty file", "images/00010.png"), ("unreadable", "images/00020.png"), ("unreadable", "audio/00030.wav")),
        *(("NaN sound", "audio/00040.wav"), ("missing partner", "images/00330.png"), ("unclear", "images/00380.png")),
        *(("belongs to no item", f"images/{name}.md") for name in ("Readme", "README")),
        *(("names differ by case", f"images/{name}.md") for name in ("Readme", "README")),
        *(("wrong suffix", "images/00250.png"), ("wrong suffix", "audio/00390.wav")),
    }


def _captions(root: Path) -> Expected:
    letters = "Пёстрый красный круг слева"
    texts = {
        50: ("not UTF-8", "ein grüner Kreis".encode("latin-1")),
        60: ("byte order mark", b"\xef\xbb\xbfa red ring on a green field\n"),
        70: ("NUL in text", b"a red\0ring over a green star\n"),
        71: ("control characters", b"a red \x07ring over a green star\n"),
        80: ("empty caption", b" \n\n \n"),
        90: ("caption is cut", " ".join(f"word{i}" for i in range(200)).encode()),
        120: ("caption is a file name", b"IMG_4032.jpg\n"),
        121: ("caption is a file name", b"00121\n"),
        130: ("caption is an address", b"https://example.org/photos/17?size=large\n"),
        140: ("markup in a caption", b"<p>a red ring</p>\n"),
        150: ("garbled letters", "a red ring in a café".encode().decode("cp1252").encode()),
        160: ("other script", letters.encode()),
    }
    expected = set()
    for row, (kind, text) in texts.items():
        (root / f"captions/{row:05d}.txt").write_bytes(text)
        expected.add((kind, f"captions/{row:05d}.txt"))
    for row in range(100, 112):
        (root / f"captions/{row:05d}.txt").write_text("Photo courtesy of the archive. All rights reserved.\n")
        expected.add(("boilerplate caption", f"captions/{row:05d}.txt"))
    said = "a tall ship with three masts leaves the harbour while people on the pier wave their hats"
    for row, text in ((360, said), (361, said.replace("harbour while", "harbour, while").capitalize() + ".")):
        (root / f"captions/{row:05d}.txt").write_text(text)
        expected.add(("near-equal captions", f"captions/{row:05d}.txt"))
    return expected


def _pictures(root: Path) -> Expected:
    image = root / "images"
    own = {row: _picture(image / f"{row:05d}.png") for row in range(170, 250, 10)}
    noise = np.random.default_rng(0).integers(0, 25, (64, 64, 3))
    Image.new("RGB", (64, 64), (90, 20, 30)).save(image / "00170.png")
    own[180].resize((8, 8)).save(image / "00180.png")
    wide = Image.new("RGB", (640, 64))
    wide.paste(own[190], (288, 0))
    wide.save(image / "00190.png")
    own[200].convert("L").save(image / "00200.png")
    exif = Image.Exif()
    exif[274] = 6
    _replace(image / "00210.png", ".jpg", _bytes(own[210].rotate(90), "JPEG", exif=exif, quality=95))
    frames = [own[220], own[220].rotate(180)]
    _replace(image / "00220.png", ".gif", _bytes(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    Image.fromarray((255 - noise).astype(np.uint8)).save(image / "00230.png")
    own[240].resize((1500, 1500)).save(image / "00240.png")
    return {
        *(("blank picture", "images/00170.png"), ("tiny picture", "images/00180.png"), ("extreme aspect", "images/00190.png")),
        *(
            ("grey among colour", "images/00200.png"),
            ("turned by EXIF", "images/00210.jpg"),
            ("moving picture", "images/00220.gif"),
        ),
        *(("unusual brightness", "images/00230.png"), ("unusual size", "images/00240.png")),
    }


def _sounds(root: Path) -> Expected:
    audio = root / "audio"
    _sound(audio / "00270.wav", lambda x: 0 * x)
    _sound(audio / "00280.wav", lambda x: np.clip(40 * x, -1, 1))
    _sound(audio / "00290.wav", lambda x: np.clip(x * 0.5 + 0.2, -1, 1))
    _sound(audio / "00300.wav", lambda x: x[::2], rate=8000)
    _sound(audio / "00310.wav", lambda x: x[:800])
    _sound(audio / "00320.wav", lambda x: np.tile(x, (15, 1)))
    kinds = ("silent sound", "clipped sound", "constant offset", "unlike rate", "short sound", "long sound")
    return {(kind, f"audio/{row:05d}.wav") for kind, row in zip(kinds, range(270, 330, 10), strict=True)}


def _copies(root: Path) -> Expected:
    image, audio = root / "images", root / "audio"
    items = [Item(f"{row:05d}") for row in range(400, 450)]
    learnt, kept = ([item.id for item in split(items, name)] for name in ("train", "validation"))
    a, b, c, d, e, f = (*learnt[:5], kept[0])
    (image / f"{b}.png").write_bytes((image / f"{a}.png").read_bytes())
    _replace(image / f"{f}.png", ".jpg", _bytes(_picture(image / f"{c}.png").resize((90, 90)), "JPEG", quality=85))
    samples, rate = soundfile.read(audio / f"{d}.wav")
    (audio / f"{e}.wav").unlink()
    soundfile.write(audio / f"{e}.ogg", 0.98 * samples, rate)
    return {
        *(("equal files", f"images/{id}.png") for id in (a, b)),
        *(
            (kind, path)
            for kind in ("near-equal pictures", "copies across splits")
            for path in (f"images/{c}.png", f"images/{f}.jpg")
        ),
        *(("near-equal sounds", path) for path in (f"audio/{d}.wav", f"audio/{e}.ogg")),
    }


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _bytes(picture: Image.Image, form: str, **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def _replace(path: Path, suffix: str, data: bytes) -> None:
    path.unlink()
    path.with_suffix(suffix).write_bytes(data)


def _sound(path: Path, change: Callable[[np.ndarray], np.ndarray], rate: int | None = None, **options) -> None:
    samples, own = soundfile.read(path)
    soundfile.write(path, change(samples), rate or own, **options)
