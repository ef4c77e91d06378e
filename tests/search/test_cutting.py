from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modalities.films import film, number_of
from search.fake import RATE, Tricolour, tone

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Item
from sensorium.modalities import Audio, Image, Text, Video
from sensorium.modalities.audio import wav_bytes
from sensorium.search import Collection
from sensorium.search import cutting as room
from sensorium.search.cutting import passages, windows


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(0.5, None), (1.0, None), (1.25, None), (1.5, [0, 0.5]), (3.0, [0, 1, 2]), (3.25, [0, 0.75, 1.5, 2.25])],
)
def test_windows_of_a_sound_are_its_parts_evenly_spaced_to_its_end(seconds, starts):
    whole = np.random.default_rng(0).uniform(-0.9, 0.9, round(seconds * RATE)).astype(np.float32)
    found = windows(Audio(rate=RATE, seconds=1.0), wav_bytes(whole, RATE))
    if starts is None:
        assert found is None
        return
    assert found is not None
    parts = list(found)
    assert [part.start for part in parts] == starts and [part.end for part in parts] == [start + 1 for start in starts]
    for part, start in zip(parts, starts, strict=True):
        wave, rate = part.raw
        assert rate == RATE
        np.testing.assert_allclose(wave, whole[round(start * RATE) :][:RATE], atol=1e-4)


def test_moments_of_a_film_show_its_frames_in_equal_steps(monkeypatch):
    field = Video(size=32, frames=4)
    data = film(stamps=range(300), g="30")
    for held in (128, 4):  # all at once, and one moment at a time
        monkeypatch.setattr(room, "FRAMES", held)
        parts = list(windows(field, data) or ())
        assert [(part.start, part.end) for part in parts] == [(0, 5), (3.5, 8.5), (7, 12)]
        numbers = [[number_of(frame) for frame in part.raw[0]] for part in parts]
        assert numbers == [[0, 31, 62, 93], [87, 118, 150, 181], [175, 206, 237, 268]]
        assert all(part.raw[1] == pytest.approx(4 / 5) for part in parts)
        assert [field.prepare(part.raw)["video/mask"].sum() for part in parts] == [4, 4, 4]
    assert windows(field, film(stamps=range(150))) is None
    assert len(list(windows(Video(size=32, frames=2, seconds=1.0), film(stamps=range(150))) or ())) == 6


def test_other_things_are_taken_whole():
    assert windows(Image(), b"no picture") is None and windows(Audio(), (np.zeros(10**6, np.float32), RATE)) is None
    with pytest.raises(BadFile):
        windows(Audio(), b"no sound")


WORDS = st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=60)


@given(WORDS, st.lists(st.sampled_from([" ", ". ", "\n", "! "]), min_size=60, max_size=60))
def test_passages_hold_every_word_once_and_each_is_read_whole(words, between):
    field = Text(length=24)
    text = "".join(word + gap for word, gap in zip(words, between, strict=False))
    whole, parts = passages(field, [text], alone=True)
    found = list(parts)
    if whole:
        assert whole == (text,) and not found and field.measure(text)[0] <= 24
        return
    assert " ".join(part.passage for part in found).split() == text.split()
    assert all(field.measure(part.raw)[0] <= 24 and part.raw == part.passage for part in found)
    for a, b in pairwise(found):  # as many sentences as fit
        first = b.passage.split(".")[0].split("!")[0].split("\n")[0]
        assert field.measure(f"{a.passage} {first}")[0] > 12


def test_lines_of_a_note_are_read_together_and_captions_of_a_picture_each_by_itself():
    field, lines = Text(length=24), ("a first line", "a second line", "a third line that is long enough")
    whole, parts = passages(field, lines, alone=True)
    assert whole == () and "\n".join(part.passage for part in parts).replace("\n", " ") == " ".join(lines)
    whole, parts = passages(field, lines, alone=False)
    assert whole == lines[:2] and [part.passage for part in parts] == ["a third line", "that is long enough"]
    assert passages(field, lines[:1], alone=True)[0] == lines[:1]


def test_a_hit_says_from_when_to_when_and_which_passage(tmp_path):
    sound = tmp_path / "long.wav"
    sound.write_bytes(wav_bytes(np.concatenate([tone(i) for i in (0, 1, 2, 0)]), RATE))
    note = "here is something red for now. and there is a green, green one. at last it is all about blue."
    items = [
        Item("long", {"audio": (sound,)}, {"year": 2020}),
        Item("note", {"text": (note,)}),
        Item("short", {"text": ("green",)}),
    ]
    made = Collection.update(Tricolour(), items, "memory:", root=tmp_path)
    assert len(made) == 3 and made.counts == {"text": 2, "audio": 1} and made.store.count() > 6
    (hit,) = made.query(Tricolour(), text="blue", k=9, within="audio", where="year = 2020")
    assert (hit.id, hit.start, hit.end) == ("long", 0.5, 0.75) and hit.path == str(sound)
    hits = made.query(Tricolour(), text="blue", k=9, within="text")
    assert [hit.id for hit in hits] == ["note", "short"] and "blue" in hits[0].caption and "red" not in hits[0].caption
    assert hits[0].start is None and made.row("note").captions == (note,)
