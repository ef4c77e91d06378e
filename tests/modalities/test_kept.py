"""What was made as files: ordinary ones that our own readers take, with a note of how within."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from sensorium.core.errors import BadFile
from sensorium.modalities import Audio, BadRaw, Image, Sensor, Text, Video
from sensorium.modalities.kept import WRITERS, kept, provenance, suffixes

NOTE = {"software": "Sensorium 0.10.0", "prompt": "ein „roter“ Kreis\nand more, " * 20, "seed": 3}
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (4, 8, 6, 3)).astype(np.uint8)
PIXELS[1:] //= 64  # few colours, as a GIF has them
TRACE = Sensor(channels=("x", "y"), units=("g", "m/s^2"), rate=8.0, seconds=2.0)
FIELDS = {
    "image": (Image(size=8), Pillow.fromarray(PIXELS[0])),
    "audio": (Audio(rate=2000, seconds=0.5), (0.3 * np.sin(np.arange(1000, dtype=np.float32)), 2000)),
    "video": (Video(size=8, frames=3, seconds=1.5), (PIXELS[1:, :, :, [0, 0, 1]], 2.0)),
    "sensor": (TRACE, (RANDOM.normal(size=(16, 2)).astype(np.float32), 8.0)),
    "text": (Text(), "a red circle"),
}
every = pytest.mark.parametrize(("kind", "suffix"), WRITERS)


def written(folder, kind: str, suffix: str):
    field, thing = FIELDS[kind]
    path = folder / f"out{suffix}"
    path.write_bytes(kept(field, thing, suffix, NOTE))
    (folder / "out.txt.json").write_text(json.dumps(NOTE))
    return field, thing, path


@every
def test_a_file_says_how_it_was_made_and_equal_things_are_equal_files(tmp_path, kind, suffix):
    field, thing, path = written(tmp_path, kind, suffix)
    assert provenance(path) == NOTE
    assert kept(field, thing, suffix, NOTE) == path.read_bytes()
    assert suffix == ".txt" or kept(field, thing, suffix, NOTE | {"seed": 4}) != path.read_bytes()


@every
def test_what_is_in_the_file_is_the_thing(tmp_path, kind, suffix):
    field, thing, path = written(tmp_path, kind, suffix)
    if kind == "image":
        with Pillow.open(path) as picture:
            assert (np.asarray(picture) == PIXELS[0]).all() and picture.info["Description"] == NOTE["prompt"]  # type: ignore[attr-defined]
            assert picture.info["Software"] == NOTE["software"]  # type: ignore[attr-defined]
    elif kind == "text":
        assert path.read_text() == "a red circle\n"
    elif kind == "video":
        sides = replace(field, size=6).prepare(path)  # type: ignore[type-var]
        expected = replace(field, size=6).prepare(thing)  # type: ignore[type-var]
        assert np.abs(sides["video"].astype(int) - expected["video"].astype(int)).max() <= (0 if suffix == ".gif" else 16)
        np.testing.assert_allclose(sides["video/time"], [0, 0.5, 1.0], atol=1e-3)
    else:
        back, precise = field.prepare(path), 1e-4
        assert back[f"{kind}/mask"].all() and np.abs(back[kind] - thing[0]).max() < precise


def test_the_columns_of_a_trace_have_their_units_and_other_readers_are_told_by_a_number_sign(tmp_path):
    *_, path = written(tmp_path, "sensor", ".csv")
    comment, head, first, *_ = path.read_text().splitlines()
    assert comment.startswith("# {") and head == "time,x (g),y (m/s^2)" and first.startswith("0,")
    nameless = kept(Sensor(channels=2, rate=8.0), FIELDS["sensor"][1], ".csv", NOTE).decode().splitlines()
    assert nameless[1] == "time,channel 1,channel 2" and nameless[3].startswith("0.125,")


def test_the_times_of_a_gif_do_not_drift():
    from io import BytesIO

    frames = np.arange(30, dtype=np.uint8)[:, None, None, None] * np.ones((30, 4, 4, 3), np.uint8)
    with Pillow.open(BytesIO(kept(Video(), (frames, 24.0), ".gif", NOTE))) as gif:
        lasts = []
        for i in range(30):
            gif.seek(i)
            lasts.append(gif.info["duration"])
    assert sum(lasts) == 1250 and set(lasts) == {40, 50} and gif.info["loop"] == 0


def test_a_thing_that_no_file_holds_is_an_error(tmp_path):
    assert suffixes(Video()) == (".mp4", ".gif")
    field, thing = FIELDS["image"]
    with pytest.raises(BadRaw, match=r"\.jpg: image is kept in \.png"):
        kept(field, thing, ".jpg", NOTE)
    with pytest.raises(BadRaw, match="even sides"):
        kept(Video(), (PIXELS[:, :7], 2.0), ".mp4", NOTE)


def test_a_file_that_does_not_say_how_it_was_made_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "other.png"
    FIELDS["image"][1].save(path)
    for content in (path.read_bytes(), b"", b"GIF89a", b"RIFF", b"# {not json\n", b'# {"software": "other"}\n', b"nothing"):
        path.write_bytes(content)
        with pytest.raises(BadFile, match=str(path)):
            provenance(path)
    with pytest.raises(BadFile, match="no such file"):
        provenance(tmp_path / "absent.png")
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(BadFile, match=r"a\.txt\.json"):
        provenance(tmp_path / "a.txt")
