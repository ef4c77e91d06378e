from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from search.fake import Tricolour, folder

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.search import Collection, mixed
from sensorium.search.grouping import grouped
from sensorium.search.mixed import Term, is_mixed, terms
from sensorium.search.reading import Unreadable


@pytest.fixture
def made(tmp_path, monkeypatch) -> Collection:
    items = folder(tmp_path / "files")
    monkeypatch.chdir(tmp_path / "files/images")
    return Collection.update(Tricolour(), items, "memory:", root=tmp_path / "files")


def test_a_sum_is_the_sum_of_unit_vectors_times_their_weights(made):
    model = Tricolour()
    z = model.encode(text=["red", "blue"], image=["green.png"])
    for text, total, field in (
        ('"red" - 0.5*"blue"', z["text"][0] - 0.5 * z["text"][1], "image"),
        ('2 * "red" + image:green.png', 2 * z["text"][0] + z["image"][0], "audio"),
        ('- "blue" + image:"green.png"', z["image"][0] - z["text"][1], "audio"),
    ):
        expected = made.search(total, k=9, within=["audio"] if field == "audio" else ["image", "audio"])
        found = mixed.query(made, model, text, k=9)
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], rtol=1e-5)
    assert mixed.query(made, model, '"red" + "green" - "red"', k=1)[0].id == "green"
    assert mixed.query(made, model, '"red" + 0.9*"green"', k=1, where="id != 'yellow'")[0].id == "red"


def test_what_is_a_sum_and_what_are_words():
    model = Tricolour()
    for text in ('"a dog"', ' - 2*"a"', "0.5*image:x.jpg", "image:x.jpg", "text:dog"):
        assert is_mixed(text, model), text
    for text in ("a dog - no cat", "note: buy milk", "http://a.b", "'tis the season", "2 dogs", "3*4", "", 'the "dog"'):
        assert not is_mixed(text, model), text


def test_the_terms_of_a_sum(made):
    assert terms('"say ""hi""" + 1e-1*text:"b c"', Tricolour()) == [Term(1, "text", 'say "hi"'), Term(0.1, "text", "b c")]
    assert terms('0.5*image:red.png - "snow" − text:fog', Tricolour()) == [
        Term(0.5, "image", Path("red.png")),
        Term(-1, "text", "snow"),
        Term(-1, "text", "fog"),
    ]


@pytest.mark.parametrize(
    ("text", "cause", "at"),
    [
        ('"a" "b"', "expected + or -", 4),
        ('"a" +', "got the end", 5),
        ('"a" + image:no.png', "no.png: no such file", 12),
        ('"a" + imge:x.png', "Did you mean 'image'", 6),
        ('0.5 "a"', "expected * after a weight", 4),
        ('"a" + ""', "nothing in it", 6),
        ('"a', "a quote that is not closed", 0),
        ('"a" * 2', "expected + or -", 4),
    ],
)
def test_errors_of_a_sum_point_at_the_place(made, text, cause, at):
    with pytest.raises(Unreadable) as error:
        terms(text, Tricolour())
    message, _, mark = str(error.value).split("\n")
    assert cause in message and mark == f"  {' ' * at}^"


def test_a_sum_without_files(made):
    assert terms('"a" - 0.5*text:"b"', Tricolour().fields, root=None) == [Term(1.0, "text", "a"), Term(-0.5, "text", "b")]
    with pytest.raises(Unreadable, match="files are sent along with a query"):
        terms('"a" + image:/etc/passwd', Tricolour(), root=None)


def test_a_sum_of_another_model_or_without_a_direction_is_refused(made):
    with pytest.raises(SensoriumError, match="cannot be compared"):
        mixed.query(made, Tricolour(fingerprint="other"), '"a"')
    with pytest.raises(SensoriumError, match="no direction"):
        mixed.query(made, Tricolour(), '"red" - "red"')


def test_nearly_the_same_is_told_once(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (8, 8, 3)).astype(np.uint8).repeat(20, 0).repeat(20, 1) for _ in range(3)]
    items = []
    for i, pixels in enumerate(pictures):
        for name, side in (("png", 160), ("jpg", 120)):
            path = tmp_path / f"{i}.{name}"
            Pillow.fromarray(pixels).resize((side, side)).save(path, quality=60)
            items.append(Item(f"{i}{name}", {"image": (path,)}))
    items += [Item(f"text {i}", {"text": (word,)}) for i, word in enumerate(["red", "red ", "blue"])]
    made = Collection.update(Tricolour(), items, "memory:", root=tmp_path)
    seen = grouped(made, made.query(Tricolour(), text="red", k=9, within="image"))
    assert len(seen) == 3 and sorted([hit.id, *hit.alike] for hit in seen)
    assert {frozenset([hit.id, *hit.alike]) for hit in seen} == {frozenset([f"{i}jpg", f"{i}png"]) for i in range(3)}
    for i, at in enumerate(((20, 20), (100, 100))):  # small things on a plain ground, of which nearly all is the same
        plain = np.full((160, 160, 3), 40, np.uint8)
        plain[at[0] : at[0] + 24, at[1] : at[1] + 24] = (220, 30, 30)
        Pillow.fromarray(plain).save(tmp_path / f"plain {i}.png")
    plain = [Item(f"plain {i}", {"image": (tmp_path / f"plain {i}.png",)}) for i in range(2)]
    other = Collection.update(Tricolour(), plain, "memory:", root=tmp_path)
    assert [hit.alike for hit in grouped(other, other.query(Tricolour(), text="red", k=9, within="image"))] == [(), ()]
    scores = [hit.score for hit in seen]
    assert scores == sorted(scores, reverse=True)
    said = grouped(made, made.query(Tricolour(), text="red", k=9, within="text"))
    assert [(hit.id, hit.alike) for hit in said] == [("text 0", ("text 1",)), ("text 2", ())]
