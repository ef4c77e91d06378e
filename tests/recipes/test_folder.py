"""The recipe for a user's own folder: what it makes of the files, and what it cannot learn from."""

import json

import numpy as np
import pytest
from data.trees import three_folders

from sensorium.core.errors import SensoriumError
from sensorium.data import Mixture, split
from sensorium.doctor import examine
from sensorium.recipes import folder
from sensorium.recipes.folder import BadWeights, TooLittle, of_report


def test_it_trains_on_whole_items_and_keeps_the_rest_for_validation(tmp_path):
    root = three_folders(tmp_path, 30)
    (root / "images" / "item3.png").unlink()
    for kind, suffix in (("images", "png"), ("audio", "wav")):
        (root / kind / f"item4.{suffix}").unlink()
    experiment = folder(root)
    names = {item.id for item in experiment.source.items}  # pyright: ignore[reportAttributeAccessIssue]
    validation = {item.id for item in experiment.validation}
    assert names and validation and not names & validation
    assert all(len(item.raws) > 1 for item in experiment.source.items)  # pyright: ignore[reportAttributeAccessIssue]
    assert len(names | validation) in (29, 30), "item 4 has one modality only: there is nothing to compare it with"
    assert validation == {item.id for item in split(experiment.validation, "validation")}
    assert set(experiment.losses) == {"image-text", "image-audio", "text-audio"}
    assert [field.kind for field in experiment.fields] == ["image", "text", "audio"]


def test_steps_and_batch_follow_the_number_of_items_unless_given(tmp_path):
    root = three_folders(tmp_path, 12)
    experiment = folder(root)
    n = len(experiment.source)
    assert experiment.batch == n // 2 and experiment.steps == max(50, 60 * n // experiment.batch)
    assert folder(root, steps=3, batch=5).arguments | {"path": ""} == {
        "path": "",
        "columns": None,
        "weights": None,
        "steps": 3,
        "batch": 5,
        "lr": 2e-3,
        "width": 256,
        "micro_batch": None,
        "augment": False,
        "workers": 0,
        "max_bad": 0.05,
        "seed": 0,
    }


def test_the_dials_of_the_data_reach_the_stream(tmp_path):
    root = three_folders(tmp_path, 12)
    plain, augmented = folder(root, steps=2, batch=4), folder(root, steps=2, batch=4, augment=True, workers=1, max_bad=0.5)
    assert augmented.workers == 1 and augmented.max_bad == 0.5
    with plain.stream() as one, plain.stream() as same, augmented.stream() as other:
        a, b, c = next(one), next(same), next(other)
    assert all(np.array_equal(a[key], b[key]) for key in a)
    assert np.array_equal(a["group"], c["group"]) and not np.array_equal(a["image"], c["image"])


def test_a_broken_file_is_left_out(tmp_path):
    root = three_folders(tmp_path, 12)
    broken = folder(root).source.items[0].id  # pyright: ignore[reportAttributeAccessIssue]
    (root / "images" / f"{broken}.png").write_bytes(b"no picture")
    experiment = folder(root)
    batch = experiment.source.read(range(len(experiment.source)))
    items = experiment.source.items  # pyright: ignore[reportAttributeAccessIssue]
    assert [item.id for item, here in zip(items, batch["image/here"], strict=True) if not here] == [broken]
    assert batch["text/here"].all() and batch["audio/here"].all()
    (said,) = experiment.left_out
    assert f"{broken}.png" in said and "picture" in said


def test_items_of_one_modality_are_left_out_and_told(tmp_path):
    root = three_folders(tmp_path, 12)
    whole = folder(root)
    for kind in ("captions", "audio"):
        for item in whole.source.items[:3]:  # pyright: ignore[reportAttributeAccessIssue]
            next((root / kind).glob(f"{item.id}.*")).unlink()
    experiment = folder(root)
    assert len(experiment.source) == len(whole.source) - 3
    assert experiment.left_out == ("3 items have one modality only: there is nothing to learn from them",)


@pytest.mark.parametrize("lost", [("images", "audio"), ("captions", "audio")])
def test_one_modality_is_too_little(tmp_path, lost):
    root = three_folders(tmp_path, 6)
    for kind in lost:
        for file in (root / kind).iterdir():
            file.unlink()
        (root / kind).rmdir()
    with pytest.raises(TooLittle, match=f"{root}: holds (image|text), and 0 items .* same stem .*sensorium data check") as caught:
        folder(root)
    assert isinstance(caught.value, SensoriumError)


def test_files_that_do_not_belong_together_are_too_little(tmp_path):
    root = three_folders(tmp_path, 6)
    for i, file in enumerate(sorted((root / "images").iterdir())):
        file.rename(file.with_name(f"other{i}.png"))
    for i, file in enumerate(sorted((root / "audio").iterdir())):
        file.rename(file.with_name(f"third{i}.wav"))
    with pytest.raises(TooLittle, match="holds image, text, audio, and 0 items"):
        folder(root)


def test_items_of_one_group_are_kept_apart(tmp_path):
    root = three_folders(tmp_path, 24)
    lines = [
        {"id": f"item{i}", "image": f"images/item{i}.png", "caption": f"number {i}", "group": f"visit{i // 3}"} for i in range(24)
    ]
    (root / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    experiment = folder(root / "manifest.jsonl", steps=6, batch=4)
    items = experiment.source.items  # pyright: ignore[reportAttributeAccessIssue]
    with experiment.stream() as stream:
        for batch in stream:
            visits = [items[row].group for row in batch["group"]]
            assert len(set(visits)) == 4
    assert folder(root / "manifest.jsonl", steps=6, batch=12).order is None, "too few batches to keep three of a visit apart"


def test_copies_of_what_is_kept_for_validation_are_left_out(tmp_path):
    root = three_folders(tmp_path, 24)
    whole = folder(root)
    kept, learnt = whole.validation[0].id, whole.source.items[0].id  # pyright: ignore[reportAttributeAccessIssue]
    (root / "images" / f"{learnt}.png").write_bytes((root / "images" / f"{kept}.png").read_bytes())
    experiment = folder(root)
    left = {item.id for item in whole.source.items} - {item.id for item in experiment.source.items}  # pyright: ignore[reportAttributeAccessIssue]
    assert left == {learnt} and kept in {item.id for item in experiment.validation}
    assert any("copies, or nearly, of items that are kept for validation" in said for said in experiment.left_out)


@pytest.fixture
def two(tmp_path):
    """A folder of 30 items, and a table with ten other ones, the caption column of which has to be named."""
    root, other = three_folders(tmp_path / "photos", 30), three_folders(tmp_path / "other", 40)
    rows = [f"images/item{i}.png;das ist Bild {i};bei Tag {i} gemacht" for i in range(30, 40)]
    table = other / "liste.csv"
    table.write_text("\n".join(["was;a;b", *rows]))
    return root, table


def test_several_sources_are_drawn_from_by_weight_and_split_as_each_alone(two):
    experiment = folder(two, columns={"text": "b"}, weights=[1, 3], batch=8, steps=10)
    mixture = experiment.source
    assert isinstance(mixture, Mixture) and experiment.order and list(mixture.sources) == ["photos", "liste.csv"]
    with experiment.stream() as stream:
        drawn = [mixture.source_of(int(row))[0] for row in np.concatenate([experiment.order.rows(i) for i in range(10)])]
        batch = next(stream)
    assert drawn.count("photos") == 20 and drawn.count("liste.csv") == 60
    from_table = np.array([mixture.source_of(int(row))[0] == "liste.csv" for row in experiment.order.rows(0)])
    assert batch["text/here"].all() and (batch["audio/here"] == ~from_table).all()
    assert experiment.arguments["path"] == [str(one) for one in two]
    assert experiment.arguments["columns"] == {"text": ["b"]} and experiment.arguments["weights"] == [1, 3]
    alone = {f"photos/{item.id}" for item in folder(two[0]).validation}
    assert {item.id for item in experiment.validation if item.id.startswith("photos/")} == alone and alone
    assert json.loads(json.dumps(experiment.identity()))["arguments"]["weights"] == [1, 3]


def test_copies_in_another_source_of_what_is_kept_for_validation_are_not_trained_on(two):
    before = folder(two, columns={"text": "b"})
    kept = next(item for item in before.validation if item.id.startswith("photos/"))
    trained = before.source.sources["liste.csv"].items[0]  # pyright: ignore[reportAttributeAccessIssue]
    trained.raws["image"][0].write_bytes(kept.raws["image"][0].read_bytes())
    after = folder(two, columns={"text": "b"})
    names = [item.id for item in after.source.sources["liste.csv"].items]  # pyright: ignore[reportAttributeAccessIssue]
    assert trained.id not in names and len(after.source) == len(before.source) - 1
    assert any(trained.id in said and "kept for validation" in said for said in after.left_out)


def test_weights_and_sources_that_make_no_mixture_are_told(two):
    alone, both = examine(two[0]), examine(two, columns={"text": "b"})
    for report, sources, weights, text in (
        (alone, two[0], [1], "for a single source"),
        (both, two, [1], "1 weights for 2 sources"),
        (both, two, [1, 0], "expected positive numbers"),
    ):
        with pytest.raises(BadWeights, match=text):
            of_report(report, sources, weights=weights)
    with pytest.raises(TooLittle, match=r"liste\.csv: of these sources nothing is left"):
        folder(two)
