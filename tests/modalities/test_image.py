import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from modalities.samples import as_bytes, save, smooth
from PIL import ExifTags
from PIL import Image as Pillow

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import MODALITIES, BadRaw, Image
from sensorium.modalities.picture_file import FORMATS

FIELD = Image(size=16)


def near(a, b, most):
    assert np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max() <= most


@given(arrays(np.uint8, (16, 16, 3)))
def test_pixels_of_the_right_size_pass_unchanged_from_memory_and_through_files(x):
    assert FIELD.prepare(x)["image"] is x
    assert np.array_equal(FIELD.prepare(Pillow.fromarray(x))["image"], x)
    for form in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(FIELD.prepare(as_bytes(Pillow.fromarray(x), form))["image"], x)
    assert np.array_equal(FIELD.prepare(FIELD.show(x))["image"], x)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(tmp_path, form):
    x = smooth(40, 40)
    path = save(tmp_path / "x.bin", Pillow.fromarray(x), format=form)
    near(Image(size=40).prepare(path)["image"].mean((0, 1)), x.mean((0, 1)), 6)
    assert np.array_equal(FIELD.prepare(path)["image"], FIELD.prepare(str(path))["image"])
    assert np.array_equal(FIELD.prepare(path)["image"], FIELD.prepare(path.read_bytes())["image"])


def test_the_middle_square_is_kept():
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, 16:32] = 255
    assert (FIELD.prepare(wide)["image"] == 255).all()
    assert (FIELD.prepare(wide.transpose(1, 0, 2).copy())["image"] == 255).all()


def test_an_odd_margin_does_not_blur():
    x = np.random.default_rng(0).integers(0, 256, (16, 19, 3), np.uint8)
    assert np.array_equal(FIELD.prepare(x)["image"], x[:, 1:17])


def test_resizing_does_not_alias():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    near(FIELD.prepare(stripes)["image"], np.full((16, 16, 3), 127), 4)


def test_resizing_equals_resizing_the_whole_picture_first():
    x = smooth(90, 60)
    whole = np.asarray(Pillow.fromarray(x).resize((16, 24), Pillow.Resampling.BICUBIC))
    near(FIELD.prepare(x)["image"], whole[4:20], 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    from PIL import ImageOps

    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = save(tmp_path / "x.jpg", smooth(32, 48), quality=95, exif=exif)
    with Pillow.open(path) as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    assert expected.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))
    field = Image(size=32)
    got = field.prepare(path)["image"]
    near(got, expected[:, 8:40] if orientation < 5 else expected[8:40], 8)
    with Pillow.open(path) as opened:  # and for a picture that the user opened
        assert np.array_equal(field.prepare(opened)["image"], field.prepare(path)["image"])


def test_grey_palette_and_cmyk():
    x = smooth(16, 16)
    grey = Pillow.fromarray(x).convert("L")
    assert np.array_equal(FIELD.prepare(as_bytes(grey, "PNG"))["image"], np.repeat(np.asarray(grey)[..., None], 3, -1))
    palette = Pillow.fromarray(x).quantize(64)
    assert np.array_equal(FIELD.prepare(as_bytes(palette, "PNG"))["image"], np.asarray(palette.convert("RGB")))
    red = Pillow.new("CMYK", (16, 16), (0, 255, 255, 0))
    near(FIELD.prepare(as_bytes(red, "JPEG", quality=95))["image"], np.full((16, 16, 3), (255, 0, 0)), 6)
    bits = Pillow.fromarray(np.eye(16, dtype=bool))
    assert np.array_equal(FIELD.prepare(as_bytes(bits, "PNG"))["image"][..., 1], 255 * np.eye(16, dtype=np.uint8))


def test_sixteen_bit_grey_is_scaled_not_clipped():
    x = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    for form in ("PNG", "TIFF"):
        assert np.array_equal(FIELD.prepare(as_bytes(Pillow.fromarray(x), form))["image"][..., 0], np.arange(256).reshape(16, 16))
    with pytest.raises(BadFile, match="grey values from -1 to 3"):
        FIELD.prepare(as_bytes(Pillow.fromarray(np.full((16, 16), 3, np.int32) - 4 * np.eye(16, dtype=np.int32)), "TIFF"))


def test_transparency_is_laid_on_white():
    clear = Pillow.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert (FIELD.prepare(clear)["image"] == 255).all()
    half = Pillow.new("RGBA", (16, 16), (0, 0, 0, 128))
    near(FIELD.prepare(as_bytes(half, "PNG"))["image"], np.full((16, 16, 3), 127), 1)
    palette = Pillow.new("P", (16, 16), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    seen = FIELD.prepare(as_bytes(palette, "PNG", transparency=0))["image"]
    hidden = FIELD.prepare(as_bytes(palette, "PNG", transparency=1))["image"]
    assert (seen == (40, 50, 60)).all() and (hidden == 255).all()
    with_alpha = np.dstack([smooth(16, 16), np.full((16, 16), 255, np.uint8)])
    assert np.array_equal(FIELD.prepare(with_alpha)["image"], with_alpha[..., :3])


def test_an_animation_gives_its_first_frame():
    frames = [Pillow.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = as_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (FIELD.prepare(data)["image"] == (255, 0, 0)).all()


def test_a_large_jpeg_is_the_same_picture_when_it_is_decoded_smaller():
    x = smooth(640, 640)
    got = FIELD.prepare(as_bytes(Pillow.fromarray(x), "JPEG", quality=95))["image"]
    near(got, FIELD.prepare(x)["image"], 6)


def test_floats_are_taken_in_0_to_1_only():
    x = smooth(16, 16)
    assert np.array_equal(FIELD.prepare(x / 255)["image"], x)
    assert np.array_equal(FIELD.prepare((x / 255).astype(np.float32)[..., :1])["image"][..., 2], x[..., 0])
    for wrong in (x.astype(np.float32), x / 127.5 - 1, np.full((16, 16), np.nan)):
        with pytest.raises(BadRaw, match=r"floats are taken in \[0, 1\]"):
            FIELD.prepare(wrong)


@pytest.mark.parametrize(
    "raw",
    [np.zeros((3, 16, 16), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4), np.int64), 3, None],
)
def test_other_things_are_refused(raw):
    with pytest.raises(BadRaw, match=r"H×W|u8"):
        FIELD.prepare(raw)
    with pytest.raises(BadRaw, match="one side"):
        FIELD.prepare(np.zeros((1, 101, 3), np.uint8))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24))
def test_shape_and_dtype_are_those_of_blank(height, width, size):
    field = Image("photo", size)
    x, blank = field.prepare(np.zeros((height, width), np.uint8)), field.blank()
    assert x.keys() == blank.keys() == {"photo"}
    assert x["photo"].shape == blank["photo"].shape == (size, size, 3) and x["photo"].dtype == blank["photo"].dtype


def test_it_is_a_modality_that_json_can_hold():
    assert isinstance(FIELD, Modality)
    assert MODALITIES["image"](**json.loads(json.dumps(asdict(FIELD)))) == FIELD
    with pytest.raises(BadRaw, match="size=0"):
        Image(size=0)
