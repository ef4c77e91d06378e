from io import BytesIO
from threading import Event

import numpy as np
import pytest
from PIL import Image as Pillow
from search.fake import Tricolour, folder

from sensorium.core.protocols import Item
from sensorium.search import embed as room
from sensorium.search.embed import embed, unit


def entries(items, model=None, root=None):
    found = [entry for block in embed(model or Tricolour(), items, root) for entry in block]
    assert all(entry.pieces for entry in found)
    whole = {entry.row.id: entry for entry in found if entry.fields}
    return whole, [problem for entry in found for problem in entry.problems]


def test_each_item_has_a_vector_of_what_it_has_and_no_other(tmp_path):
    found, problems = entries(folder(tmp_path))
    assert {key: set(entry.fields) for key, entry in found.items()} == {
        **{key: {"image", "text", "audio"} for key in ("red", "green", "blue")},
        "yellow": {"image", "text"},
        "words": {"text"},
        "hum": {"audio"},
    }
    assert not problems
    alone = Tricolour().encode(image=[tmp_path / "images/yellow.png"])["image"][0]
    np.testing.assert_allclose(found["yellow"].pieces[0].vectors["image"], alone, rtol=1e-6)


def test_several_captions_are_the_normalised_mean_of_their_vectors():
    found, _ = entries([Item("a", {"text": ("red", "green", "green")})])
    each = Tricolour().encode(text=["red", "green", "green"])["text"]
    np.testing.assert_allclose(found["a"].pieces[0].vectors["text"], each.mean(0) / np.linalg.norm(each.mean(0)), rtol=1e-6)
    assert found["a"].row.captions == ("red", "green", "green")


def test_broken_files_are_told_and_their_items_go_on_without(tmp_path):
    items = folder(tmp_path)
    (tmp_path / "images/green.png").write_bytes(b"no picture")
    (tmp_path / "audio/blue.wav").write_bytes(b"RIFF")
    found, problems = entries(items)
    assert set(found["green"].fields) == {"text", "audio"} and found["green"].thumbnail is None
    assert set(found["red"].fields) == {"image", "text", "audio"}
    assert "hum" not in found  # all that it had
    told = [(problem.path.removeprefix(str(tmp_path)), problem.kind) for problem in problems]
    assert told == [("/images/green.png", "image"), ("/audio/blue.wav", "audio"), ("/audio/blue.wav", "audio"), ("hum", "item")]
    assert all(problem.cause and not problem.cause.startswith(problem.path) for problem in problems)


def test_one_broken_file_costs_few_calls(tmp_path):
    folder(tmp_path)
    good, bad = tmp_path / "images/red.png", tmp_path / "none.png"
    items = [Item(str(i), {"image": (bad if i == 37 else good,)}) for i in range(64)]
    model = Tricolour()
    found, problems = entries(items, model)
    assert len(found) == 63 and len(problems) == 2
    assert len(model.calls) == 1 + 2 * 6


def test_blocks_do_not_change_what_comes_out(tmp_path, monkeypatch):
    whole, _ = entries(folder(tmp_path))
    monkeypatch.setattr(room, "_ITEMS", 2)
    blocks = list(embed(Tricolour(), folder(tmp_path), None))
    assert [len(block) for block in blocks] == [2, 2, 2]
    for entry in (entry for block in blocks for entry in block):
        assert entry.row == whole[entry.row.id].row
        for mine, other in zip(entry.pieces, whole[entry.row.id].pieces, strict=True):
            assert all(np.array_equal(v, other.vectors[name]) for name, v in mine.vectors.items())


def test_thumbnails_are_small_upright_jpegs_of_the_pictures(tmp_path):
    found, _ = entries(folder(tmp_path))
    picture = Pillow.open(BytesIO(found["red"].thumbnail or b""))
    assert (picture.format, picture.size) == ("JPEG", (160, 80))
    assert np.abs(np.asarray(picture, int) - (255, 0, 0)).max() < 8
    assert Pillow.open(BytesIO(found["yellow"].thumbnail or b"")).size == (16, 16)
    assert found["words"].thumbnail is None


def test_a_picture_that_the_model_has_no_field_for_is_still_shown_or_told(tmp_path):
    items = folder(tmp_path)
    (tmp_path / "images/green.png").write_bytes(b"no picture")
    model = Tricolour(fields=(Tricolour().fields[1],))
    found, problems = entries(items, model)
    assert found["red"].thumbnail and not found["green"].thumbnail
    assert [problem.kind for problem in problems] == ["image", "item"] or [p.kind for p in problems] == ["item", "image"]


def test_paths_inside_the_root_are_relative(tmp_path):
    items = folder(tmp_path / "in")
    outside = tmp_path / "out.png"
    Pillow.new("RGB", (8, 8)).save(outside)
    found, _ = entries([*items, Item("out", {"image": (outside,)})], root=tmp_path / "in")
    assert found["red"].row.paths == {"image": "images/red.png", "audio": "audio/red.wav"}
    assert found["out"].row.paths == {"image": str(outside)}


@pytest.mark.parametrize("vector", [np.zeros(3), np.full(3, np.nan), np.array([np.inf, 0, 0])])
def test_what_has_no_direction_has_no_unit(vector):
    assert unit(vector) is None
    np.testing.assert_allclose(np.array(unit(np.array([3.0, 0, 4.0]))), [0.6, 0, 0.8], rtol=1e-6)


def test_a_note_has_the_path_of_its_file(tmp_path):
    for place in ("a.txt", "captions/b.txt"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("red")
    found, _ = entries([Item(id, {"text": ("red",)}) for id in "abc"], root=tmp_path)
    paths = {id: entry.row.paths for id, entry in found.items()}
    assert paths == {"a": {"text": "a.txt"}, "b": {"text": "captions/b.txt"}, "c": {}}


def test_the_next_block_is_at_work_beside_the_last_one_and_comes_after_it(monkeypatch):
    """The first block is held until the second has reached the model, and no third one begins meanwhile."""
    monkeypatch.setattr(room, "_ITEMS", 2)
    model, second, pulled = Tricolour(), Event(), []
    encode = model.encode

    def held(**raws):
        if "first" in raws["text"]:
            assert second.wait(60)
            assert len(pulled) <= 4 + 2
        elif "third" in raws["text"]:
            second.set()
        return encode(**raws)

    def items():
        for text in ("first", "second", "third", "fourth", "fifth"):
            pulled.append(text)
            yield Item(text, {"text": (text,)})

    monkeypatch.setattr(model, "encode", held)
    assert [[entry.row.id for entry in block] for block in embed(model, items(), None)] == [
        ["first", "second"],
        ["third", "fourth"],
        ["fifth"],
    ]
