from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from sensorium.core.errors import BadFile
from sensorium.modalities.audio import wav_bytes
from sensorium.show import inline
from sensorium.show.heat import plot_similarity
from sensorium.show.inline import envelope, figure_svg, picture_uri, sound_uri, waveform
from sensorium.show.plots import plot_curves


def decoded(uri: str) -> tuple[str, bytes]:
    media, data = uri.removeprefix("data:").split(";base64,")
    return media, b64decode(data)


def test_a_small_picture_is_kept_bit_by_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    picture = Pillow.fromarray(pixels)
    picture.save(tmp_path / "a.png")
    for raw in (picture, tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        media, data = decoded(picture_uri(raw))
        assert media == "image/png"
        np.testing.assert_array_equal(np.asarray(Pillow.open(BytesIO(data))), pixels)


def test_a_large_picture_is_made_smaller_and_stays_itself():
    picture = Pillow.new("RGB", (900, 300), (200, 30, 60))
    media, data = decoded(picture_uri(picture))
    small = Pillow.open(BytesIO(data))
    assert media == "image/jpeg" and small.size == (384, 128)
    assert picture.size == (900, 300)


def test_a_sound_is_a_wav_or_its_own_file(tmp_path):
    wave = np.linspace(-1, 1, 800, dtype=np.float32)
    assert decoded(sound_uri((wave, 8000))[0]) == ("audio/wav", wav_bytes(wave, 8000))
    (tmp_path / "a.wav").write_bytes(wav_bytes(wave, 8000))
    assert sound_uri(tmp_path / "a.wav") == sound_uri((wave, 8000))


def test_a_large_sound_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(inline, "MOST_BYTES", 1000)
    monkeypatch.setattr(inline, "CUT", 0.5)
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(16_000, np.float32), 16_000))
    uri, said = sound_uri(tmp_path / "a.wav")
    assert said == "the first 0 s"
    assert len(decoded(uri)[1]) == 44 + 2 * 8000


def test_the_envelope_is_the_largest_magnitude_of_each_part():
    wave = np.array([0, 0.5, -1, 0.2, 0, 0.1])
    np.testing.assert_allclose(envelope(wave, 3), [0.5, 1, 0.1])
    assert envelope(np.zeros(0), 3).tolist() == [0, 0, 0]
    assert envelope(wave, 12).shape == (12,)


def test_a_waveform_has_a_stroke_a_bar_and_starts_where_the_sound_does(tmp_path):
    wave = np.concatenate([np.zeros(8000), np.full(8000, 0.25)]).astype(np.float32)
    path = waveform((wave, 16_000), bars=4)
    assert path == "M0.5 -0.02V0.02M1.5 -0.02V0.02M2.5 -1.00V1.00M3.5 -1.00V1.00"
    (tmp_path / "a.wav").write_bytes(wav_bytes(wave, 16_000))
    assert waveform(tmp_path / "a.wav", bars=4) == path


def test_what_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(BadFile, match=r"a\.png"):
        picture_uri(tmp_path / "a.png")


def test_a_figure_becomes_svg_with_text_in_the_colours_of_the_page():
    svg = figure_svg(plot_curves([{"step": i, "loss": 5 - i} for i in range(4)]), "loss")
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")
    assert ">step</text>" in svg
    assert "var(--ink)" in svg and "var(--muted)" in svg and "var(--faint)" in svg
    assert "http" not in svg and "DejaVu" not in svg


def test_two_figures_in_one_page_share_no_id_and_are_the_same_every_time():
    def draw(name):
        return figure_svg(plot_similarity(np.eye(2), ["a", "b"], ["c", "d"]), name)

    assert draw("one") == draw("one")
    ids = [set(part.split('"')[0] for part in draw(name).split('id="')[1:]) for name in ("one", "two")]
    assert ids[0] and not ids[0] & ids[1]
