import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from modalities.samples import as_bytes, interlaced, png, smooth
from PIL import Image as Pillow

from sensorium.core.errors import BadFile
from sensorium.modalities.picture_file import Facts, facts, read

BIG = Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_file_that_is_cut_short_is_told(tmp_path, form):
    path = tmp_path / "half.img"
    whole = as_bytes(BIG, form)
    path.write_bytes(whole)
    assert read(path).size == (64, 64)
    for part in (0.2, 0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(BadFile, match=rf"{path.name}: \S+"):
            read(path)


def test_a_png_whose_pixels_end_early_but_properly_is_told(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png(64, 64, 64))
    assert (np.asarray(read(path)) == 200).all()
    cut = (
        [png(64, 64, rows) for rows in (1, 20, 63)]
        + [interlaced(64, 64, missing) for missing in (1, 40, 100)]
        + [interlaced(65, 65, 1)]
    )
    for data in cut:
        path.write_bytes(data)
        with pytest.raises(BadFile, match=r"x\.png: cut short: it holds"):
            read(path)
    with pytest.raises(BadFile):
        read(png(64, 64, 0))


@pytest.mark.parametrize("width, height", [(1, 1), (5, 3), (64, 64), (33, 70)])
def test_black_and_interlaced_pngs_are_whole(width, height):
    assert not np.asarray(read(as_bytes(Pillow.new("RGB", (width, height)), "PNG"))).any()
    one_bit = as_bytes(Pillow.new("1", (width, height)), "PNG")
    assert not np.asarray(read(one_bit)).any()
    assert (np.asarray(read(interlaced(width, height))) == 7).all()


def test_what_is_no_picture_is_told(tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.png").mkdir()
    expected = {
        "text.png": "not a picture in any of the formats JPEG",
        "empty.jpg": "the file is empty",
        "absent.png": "no such file",
        "folder.png": "a folder, not a file",
    }
    for name, cause in expected.items():
        with pytest.raises(BadFile) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {cause}")
    with pytest.raises(BadFile, match="a picture of 3 bytes: not a picture"):
        read(b"abc")
    with pytest.raises(BadFile, match="no such file"):
        read("a\0b.png")


def test_formats_outside_the_list_stay_shut():
    with pytest.raises(BadFile, match="not a picture in any"):
        read(as_bytes(BIG, "PPM"))
    with pytest.raises(BadFile, match="not a picture in any"):
        read(as_bytes(BIG.convert("RGB"), "EPS"))


@pytest.mark.parametrize(
    "width, height, cause", [(9_000, 9_000, "more than the limit"), (40_000, 40_000, "pixels"), (5, 600, "one side")]
)
def test_a_huge_header_is_refused_before_decoding(width, height, cause):
    tracemalloc.start()
    with pytest.raises(BadFile, match=cause):
        read(png(width, height, 1))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_noise_never_gives_another_exception():
    rng = np.random.default_rng(0)
    for form in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        whole = bytearray(as_bytes(Pillow.fromarray(smooth(24, 24)), form))
        for _ in range(60):
            broken = bytearray(whole)
            for at in rng.integers(0, len(broken), 4):
                broken[at] = rng.integers(256)
            with suppress(BadFile):
                assert read(bytes(broken)).mode == "RGB"
            with suppress(BadFile):
                assert facts(bytes(broken)).width > 0


@pytest.mark.parametrize(
    "mode, form, most",
    [
        ("RGB", "PNG", 1.0),
        ("RGBA", "PNG", 5.5 / 8),
        ("CMYK", "JPEG", 5.5 / 8),
        ("RGB", "WEBP", 5.5 / 18),
        ("LA", "TIFF", 5.5 / 8),
    ],
)
def test_kinds_that_need_more_memory_have_a_lower_limit(monkeypatch, mode, form, most):
    monkeypatch.setenv("SENSORIUM_LIMITS", "pixels=10000")
    fits, not_any_more = (int(np.sqrt(10_000 * most * share)) for share in (0.9, 1.1))
    assert read(as_bytes(Pillow.new(mode, (fits, fits)), form)).size == (fits, fits)
    with pytest.raises(BadFile, match="limit"):
        read(as_bytes(Pillow.new(mode, (not_any_more, not_any_more)), form))


def test_coefficients_of_progressive_jpegs_count_at_full_size_even_if_they_are_decoded_smaller(monkeypatch):
    monkeypatch.setenv("SENSORIUM_LIMITS", "pixels=10000")
    whole = Pillow.fromarray(smooth(98, 98))
    plain, progressive = (as_bytes(whole, "JPEG", progressive=p, subsampling=0) for p in (False, True))
    assert read(plain).size == (98, 98) and read(plain, near=8).size == (25, 25)
    for near in (None, 8):
        with pytest.raises(BadFile, match="would take") if near is None else pytest.raises(BadFile, match="JPEG"):
            read(progressive, near)


def test_limits_are_settings(monkeypatch, tmp_path):
    data = as_bytes(BIG, "PNG")
    for setting, cause in (
        ("pixels=4000", "more than the limit of 4000"),
        ("picture_bytes=500", "bytes are more than the limit of 500"),
    ):
        monkeypatch.setenv("SENSORIUM_LIMITS", setting)
        with pytest.raises(BadFile, match=cause):
            read(data)
    monkeypatch.setenv("SENSORIUM_LIMITS", "aspect=2")
    with pytest.raises(BadFile, match="more than 2 times the other"):
        read(as_bytes(Pillow.new("RGB", (30, 10)), "PNG"))


def test_decoding_stops_when_it_takes_too_long(monkeypatch):
    data, clock = as_bytes(Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)), "PNG"), [0.0]

    def tick() -> float:
        clock[0] += 4.0
        return clock[0]

    monkeypatch.setattr("sensorium.modalities.picture_file.time.monotonic", tick)
    with pytest.raises(BadFile, match=r"a picture of \d+ bytes: it took more than 30 s to decode"):
        read(data)


def test_large_pictures_are_converted_in_bands_without_a_seam(monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (90, 70, 4), np.uint8)
    deep = np.random.default_rng(1).integers(0, 65536, (90, 70), np.uint16)
    pictures = [
        Pillow.fromarray(x),
        Pillow.fromarray(x).convert("LA"),
        Pillow.fromarray(deep),
        Pillow.fromarray(x[..., :3]).quantize(16),
    ]
    whole = [np.asarray(read(as_bytes(p, "PNG"))) for p in pictures]
    monkeypatch.setattr("sensorium.modalities.picture_file.BAND", 700)
    for p, expected in zip(pictures, whole, strict=True):
        assert np.array_equal(np.asarray(read(as_bytes(p, "PNG"))), expected)


def test_facts_are_those_of_the_header():
    exif = Pillow.Exif()
    exif[274] = 8
    assert facts(as_bytes(Pillow.new("RGB", (30, 20)), "JPEG", exif=exif)) == Facts("JPEG", 30, 20, False, True)
    moving = as_bytes(Pillow.new("L", (5, 6)), "GIF", save_all=True, append_images=[Pillow.new("L", (5, 6), 9)])
    assert facts(moving) == Facts("GIF", 5, 6, True, False)
    with pytest.raises(BadFile, match="not a picture"):
        facts(b"abc")
