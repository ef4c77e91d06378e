import json
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
from data.trees import write
from doctor.planted import plant, world
from modalities.samples import clip, moving, save, smooth

from sensorium.core.protocols import Item
from sensorium.doctor import Audit, captions, examine
from sensorium.doctor.finding import CATALOGUE, SEVERITIES
from sensorium.doctor.pairs import better_share, mismatched
from sensorium.doctor.plan import ACTIONS
from sensorium.doctor.spread import outliers


def film(frames: np.ndarray) -> bytes:
    """An MP4 of these frames, u8[T H W 3]."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """(root, what is wrong with it, what was found)."""
    root = world(tmp_path_factory.mktemp("planted"), 1000)
    expected = plant(root)
    return root, expected, examine(root)


def test_every_planted_fault_is_found_and_none_is_invented(planted):
    root, expected, report = planted
    found = {(one.kind, path.removeprefix(f"{root}/")) for one in report.findings for path in one.paths}
    assert found == expected
    assert len({kind for kind, _ in expected}) >= 25 and len(report.health.listing.items) == 1000


def test_a_world_without_faults_has_no_findings(tmp_path):
    report = examine(world(tmp_path, 300))
    assert report.findings == () and report.scripts == {"latin": 300}


def test_the_report_is_json_with_the_keys_of_health(planted):
    _, _, report = planted
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert told.keys() == {*report.health.to_json(), "scripts", "findings"}
    first = told["findings"][0]
    assert first.keys() == {"kind", "severity", "paths", "what", "why", "do"} and first["severity"] == "error"
    ranks = [("error", "warning", "note").index(one["severity"]) for one in told["findings"]]
    assert ranks == sorted(ranks) and set(ranks) == {0, 1, 2}


def test_a_manifest_and_videos(tmp_path):
    """What folders of pictures, captions and sounds cannot have: absent files, and films in which nothing moves."""
    write(tmp_path / "films" / "moves.mp4", clip())
    frames = np.repeat(moving(20)[9:10], 20, axis=0)
    write(tmp_path / "films" / "still.mp4", film(frames))
    write(tmp_path / "films" / "blank.mp4", film(np.full_like(frames, 80)))
    write(tmp_path / "films" / "one.mp4", film(frames[:1]))
    rows = [
        "video,caption",
        *(f"films/{name}.mp4,a film of {name} things" for name in ("moves", "still", "blank", "one", "gone")),
    ]
    write(tmp_path / "manifest.csv", "\n".join(rows))
    found = {(one.kind, path.removeprefix(f"{tmp_path}/")) for one in examine(tmp_path).findings for path in one.paths}
    assert found == {
        ("frozen video", "films/still.mp4"),
        ("blank video", "films/blank.mp4"),
        ("single frame", "films/one.mp4"),
        ("absent file", "films/gone.mp4"),
    }


def test_readings_with_gaps_and_a_dead_channel(tmp_path):
    times = np.arange(100) / 50
    for start, name in enumerate(("good", "also", "gaps", "dead")):
        rows = [f"{t},{np.sin(t + start)},{np.cos(7 * t)}" for t in times]
        if name == "gaps":
            rows = rows[:20] + rows[80:]
        if name == "dead":
            rows = [f"{t},{np.sin(t)},1.5" for t in times]
        write(tmp_path / "sensor" / f"{name}.csv", "\n".join(["time,ax,ay", *rows]))
    found = {(one.kind, path.removeprefix(f"{tmp_path}/")) for one in examine(tmp_path).findings for path in one.paths}
    assert found == {("gaps in readings", "sensor/gaps.csv"), ("constant channel", "sensor/dead.csv")}


class TestAudit:
    """A model that knows the number in a caption, of 200 pairs, the first of which are exchanged."""

    items = tuple(Item(f"{i:03d}", {"image": (str(i),), "text": (str(i),)}) for i in range(200))
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 16)) / 4

    def unit(self, rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def audit(self, exchanged: int, noise: float) -> Audit:
        order = np.arange(200)
        order[:exchanged] = np.roll(order[:exchanged], 1)
        far = noise * np.random.default_rng(1).normal(size=(200, 16)) / 4

        def encode(kind, raws):
            rows = np.array([int(raw) for raw in raws])
            return self.unit(self.vectors[rows] if kind == "image" else (self.vectors + far)[order][rows])

        return Audit(("image", "text"), encode)

    def test_exchanged_pairs_are_told_and_true_ones_are_not(self):
        found = mismatched(self.items, self.audit(10, 0.3), lambda item: item.id)
        told = {path for one in found for path in one.paths}
        assert told <= {item.id for item in self.items[:10]} and len(told) >= 3
        assert mismatched(self.items, self.audit(0, 0.3), lambda item: item.id) == []

    def test_a_model_that_cannot_tell_tells_nothing(self):
        assert mismatched(self.items, self.audit(200, 0.3), lambda item: item.id) == []
        assert mismatched(self.items[:20], self.audit(10, 0.3), lambda item: item.id) == []

    def test_the_share_that_fits_better_is_that_of_all_others(self):
        a, b = self.unit(self.vectors[:60]), self.unit(self.vectors[:60] + self.rng.normal(size=(60, 16)) / 4)
        cosines = a @ b.T
        own = np.diag(cosines)
        rows, columns = (cosines > own[:, None]).sum(1), (cosines > own[None, :]).sum(0)
        assert np.allclose(better_share(a, b), (rows + columns) / (2 * 59))


@pytest.mark.parametrize(
    "text, kinds",
    [
        ("a red boat", []),
        ("Ein grüner Kreis – schön!", []),
        ("IMG_2041", ["caption is a file name"]),
        ("holiday.jpeg", ["caption is a file name"]),
        ("boat", []),  # as the file is named, but a word
        ("www.example.org/a?b=c", ["caption is an address"]),
        ("see www.example.org for more", []),
        ("a <b>red</b> boat", ["markup in a caption"]),
        ("5 < 7 and 9 > 3", []),
        ("Tom &amp; Jerry", ["markup in a caption"]),
        ("naÃ¯ve", ["garbled letters"]),
        ("a \x07 bell", ["control characters"]),
        ("\ufefftext", ["byte order mark"]),
        ("семь красных линий", []),
        ("赤い船", []),
    ],
)
def test_what_is_told_of_a_caption(text, kinds):
    assert [one.kind for one in captions.findings([captions.Caption("x.txt", "a/boat", text)], 1)] == kinds


def test_scripts_are_those_of_most_letters():
    said = {"a red boat": "latin", "семь линий": "cyrillic", "赤い船 赤": "cjk", "٣ قارب": "arabic", "42 !": "none"}
    assert [captions.script(text) for text in said] == list(said.values())


def test_outliers_are_far_by_both_measures():
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 1000), [20.0]])
    assert np.flatnonzero(outliers(values, 5.0)).tolist() == [1000]
    assert not outliers(values, 50.0).any() and not outliers(values[:20] * 0, 0.0).any()
    assert np.flatnonzero(outliers(np.array([1.0] * 40 + [9.0]), 2.0)).tolist() == [40]


@pytest.mark.parametrize("kind", CATALOGUE)
def test_the_catalogue_says_how_bad_why_and_what_to_do(kind):
    severity, why, do, action = CATALOGUE[kind]
    assert severity in SEVERITIES and why and do and (not action or action in ACTIONS)


def test_a_group_in_two_splits_is_told_and_one_that_a_hash_splits_is_not(tmp_path):
    rows = ["image,caption,group,split"]
    sides = {
        "film": ("train", "train", "test"),
        "trip": ("train", "train"),
        "zoo": ("", ""),
        "mix": ("train", ""),
        "cat": ("validation", "test"),
    }
    for group, each in sides.items():
        for i, side in enumerate(each):
            save(tmp_path / f"{group}{i}.png", smooth(20, 20, seed=len(rows)))
            rows.append(f"{group}{i}.png,the picture {i} of a {group},{group},{side}")
    write(tmp_path / "manifest.csv", "\n".join(rows))
    told = {one.what: one.paths for one in examine(tmp_path).findings if one.kind == "group across splits"}
    files = {name: tuple(str(tmp_path / f"{name}{i}.png") for i in range(3)) for name in sides}
    assert told == {
        "of the items of group 'film' are 2 in train, 1 in test": files["film"],
        "of the items of group 'cat' are 1 in validation, 1 in test": files["cat"][:2],
    }


def test_a_model_that_is_sure_is_asked_for_more_and_the_worst_come_first(tmp_path):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(60, 64))
    b = a + 0.1 * rng.normal(size=a.shape)
    b[5] = 0.1 * a[5] + rng.normal(size=64)  # hardly like its own, but more than most are
    b[9] = -a[9]
    a, b = ((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (a, b))
    worse = better_share(a, b)
    assert 0.05 < worse[5] < 0.5 and worse[9] == 1.0 and np.delete(worse, [5, 9]).max() < 0.05
    for i in range(60):
        save(tmp_path / f"{i:02d}.png", smooth(16, 16, seed=i))
        write(tmp_path / f"{i:02d}.txt", f"picture {i:02d} of all sixty")

    def encode(kind: str, raws: list[Any]) -> np.ndarray:
        return a[[int(raw.stem) for raw in raws]] if kind == "image" else b[[int(raw[8:10]) for raw in raws]]

    found = [one for one in examine(tmp_path, audit=Audit(("image", "text"), encode)).findings if one.kind == "looks mismatched"]
    assert [(one.paths[0], one.degree) for one in found] == [(str(tmp_path / f"{i:02d}.png"), worse[i]) for i in (9, 5)]
