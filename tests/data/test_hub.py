import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data.lazy import check_lazy
from data.trees import half, write
from datasets.table import InMemoryTable
from modalities.samples import save, smooth

from sensorium import data
from sensorium.core.errors import BadFile
from sensorium.core.protocols import Stored
from sensorium.data import scan
from sensorium.modalities import Image, Text

datasets.disable_progress_bars()
FEATURES = datasets.Features(
    {
        "photo": datasets.Image(),
        "captions": datasets.List(datasets.Value("string")),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "sound": datasets.Audio(),
        "year": datasets.Value("int32"),
    }
)


def png(tmp_path, seed) -> bytes:
    path = tmp_path / "made" / f"{seed}.png"
    save(path, smooth(12, 10, seed=seed))
    return path.read_bytes()


def dataset(tmp_path, n=7) -> datasets.Dataset:
    rows = [
        {
            "photo": {"bytes": png(tmp_path, i), "path": None} if i != 3 else None,
            "captions": [f"a picture {i}", f"number {i}"],
            "label": i % 2 if i != 5 else -1,
            "sound": {"bytes": b"RIFF" + bytes([i]), "path": f"{i}.wav"},
            "year": 1990 + i,
        }
        for i in range(n)
    ]
    return datasets.Dataset(InMemoryTable(pa.Table.from_pylist(rows, schema=FEATURES.arrow_schema)))


def check(tmp_path, items, numbers):
    """The items are the rows `numbers` of `dataset`."""
    assert len(items) == len(numbers)
    for item, i in zip(items, numbers, strict=True):
        assert item.raws["text"] == (f"a picture {i}", f"number {i}")
        assert item.metadata["year"] == 1990 + i and item.metadata["label"] == ("cat", "dog")[i % 2] if i != 5 else -1
        assert item.raws["audio"][0].read() == b"RIFF" + bytes([i])
        assert ("image" in item.raws) == (i != 3)
        if i != 3:
            assert isinstance(item.raws["image"][0], Stored) and item.raws["image"][0].read() == png(tmp_path, i)


@pytest.mark.parametrize("shards", [1, 3])
def test_a_saved_data_set_is_read_without_its_library(tmp_path, shards):
    dataset(tmp_path).save_to_disk(tmp_path / "d", num_shards=shards)
    listing = scan(tmp_path / "d")
    check(tmp_path, listing.items, range(7))
    assert [item.id for item in listing.items] == [f"row-{i:07d}" for i in range(7)]
    assert listing.layout == "Hugging Face data set: image from photo, audio from sound, text from captions"
    again = pickle.loads(pickle.dumps(listing.items))
    assert again[2] == listing.items[2] and again[-1] == listing.items[6]
    assert str(again[6].raws["image"][0]).endswith(
        f"data-0000{shards - 1}-of-0000{shards}.arrow#photo[{6 if shards == 1 else 1}]"
    )
    listing = scan(tmp_path / "d", columns={"text": "year"})
    assert listing.items[0].raws["text"] == ("1990",) and "captions" in listing.items[0].metadata


def test_selected_and_shuffled_rows_come_in_their_order(tmp_path):
    whole = dataset(tmp_path)
    whole.select([4, 1, 2]).save_to_disk(tmp_path / "some")
    check(tmp_path, scan(tmp_path / "some").items, [4, 1, 2])
    whole.save_to_disk(tmp_path / "mapped", num_shards=2)  # an older library left the rows, and wrote which of them count
    with pa.ipc.new_stream(tmp_path / "mapped" / "indices.arrow", pa.schema({"indices": pa.uint64()})) as out:
        out.write_table(pa.table({"indices": pa.array([6, 0, 5, 4, 0], pa.uint64())}))
    state = tmp_path / "mapped" / "state.json"
    about = json.loads(state.read_text()) | {"_indices_data_files": [{"filename": "indices.arrow"}]}
    state.write_text(json.dumps(about))
    listing = scan(tmp_path / "mapped")
    check(tmp_path, listing.items, [6, 0, 5, 4, 0])
    check_lazy(listing.items)
    assert [item.id for item in listing.items] == [f"row-{i:07d}" for i in range(5)]


def test_the_splits_of_a_data_set_are_kept(tmp_path):
    whole = dataset(tmp_path)
    datasets.DatasetDict({"train": whole.select(range(5)), "test": whole.select([5, 6])}).save_to_disk(tmp_path / "d")
    listing = scan(tmp_path / "d")
    check(tmp_path, listing.items, range(7))
    assert listing.layout.startswith("Hugging Face data set with the splits train, test: ")
    check_lazy(listing.items)
    assert [item.id for item in data.split(listing.items, "test")] == ["test-0000000", "test-0000001"]
    rest = [data.split(listing.items, name, 0.4, 0.4) for name in ("train", "validation")]  # no validation: a hash takes it
    assert rest[0] and rest[1] and sorted(i.id for one in rest for i in one) == [f"train-{i:07d}" for i in range(5)]
    three = {"train": range(3), "dev": [3, 4], "test": [5, 6]}
    datasets.DatasetDict({name: whole.select(rows) for name, rows in three.items()}).save_to_disk(tmp_path / "e")
    assert [i.id for i in data.split(scan(tmp_path / "e").items, "train")] == [f"train-{i:07d}" for i in range(3)]


def test_a_train_split_alone_is_split_as_if_it_were_none(tmp_path):
    rows = dataset(tmp_path, 60)
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "d")
    rows.save_to_disk(tmp_path / "plain")
    one, other = (scan(tmp_path / name).items for name in ("d", "plain"))
    sizes = [[len(data.split(items, name)) for name in ("train", "validation", "test")] for items in (one, other)]
    assert sizes[0] == sizes[1] and sizes[0][1] > 0 and sizes[0][2] == 0 and one[0].metadata == other[0].metadata


def test_unknown_words_of_a_split_column_are_told_and_go_by_a_hash(tmp_path):
    words = ["train", "val", "test", "extra"] * 20
    rows = [{"image": {"bytes": b"x", "path": f"{i}.png"}, "caption": f"c{i}", "split": word} for i, word in enumerate(words)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "part.parquet")
    listing = scan(tmp_path / "part.parquet")
    assert [p.cause.partition(": expected")[0] for p in listing.problems] == ["column 'split': 'extra' (line 4)"]
    check_lazy(listing.items)
    assert [item.metadata.get("split", "") for item in listing.items[:4]] == ["train", "validation", "test", ""]
    aside = scan(tmp_path / "part.parquet", columns={"split": []}).items
    check_lazy(aside)
    assert not [item for item in aside if item.metadata.get("split", "extra") != "extra"]


def test_parquet_files_of_the_hub_are_rows(tmp_path):
    whole = dataset(tmp_path)
    (tmp_path / "d" / "data").mkdir(parents=True)
    write(tmp_path / "d" / "README.md", "a card")
    for name, rows in (("test-00000-of-00001", [5, 6]), ("train-00000-of-00002", [0, 1, 2]), ("train-00001-of-00002", [3, 4])):
        pq.write_table(
            whole.select(rows).data.table.combine_chunks(), tmp_path / "d" / "data" / f"{name}.parquet", row_group_size=2
        )
        whole.select(rows).to_parquet(tmp_path / "d" / "data" / f"{name}.parquet", batch_size=2)
    listing = scan(tmp_path / "d")
    check(tmp_path, listing.items, [5, 6, 0, 1, 2, 3, 4])
    assert [item.metadata["split"] for item in listing.items] == ["test"] * 2 + ["train or validation"] * 5
    assert [path.name for path in listing.unused] == ["README.md"]
    check(tmp_path, scan(tmp_path / "d" / "data" / "train-00000-of-00002.parquet").items, [0, 1, 2])
    expected = {item.id: item.raws["audio"][0].read() for item in listing.items}
    with ThreadPoolExecutor(8) as pool:  # a Parquet file that threads share crashes
        rows = [int(i) for i in np.random.default_rng(0).integers(0, 7, 200)]
        for row, got in zip(rows, pool.map(lambda row: listing.items[row].raws["audio"][0].read(), rows), strict=True):
            assert got == expected[listing.items[row].id]


def test_batches_of_a_data_set_are_those_of_its_pictures(tmp_path):
    dataset(tmp_path).save_to_disk(tmp_path / "d")
    fields = (Image(size=8), Text(length=16))
    folder = pickle.loads(pickle.dumps(data.open(tmp_path / "d", fields)))
    batch = folder.read([2, 3, 0])
    assert batch["image/here"].tolist() == [True, False, True] and batch["text/here"].all() and not folder.broken
    assert np.array_equal(batch["image"][0], fields[0].prepare(png(tmp_path, 2))["image"])


def test_ids_groups_paths_and_plain_bytes(tmp_path):
    save(tmp_path / "d" / "pics" / "x.png", smooth(8, 8))
    rows = [{"uid": f"u{i % 3}", "img_bytes": png(tmp_path, i), "caption": f"c{i}"} for i in range(4)]
    (tmp_path / "e").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e" / "part.parquet")
    # a column of bytes goes by its name, with or without _bytes
    listing = scan(tmp_path / "e", columns={"image": "img_bytes", "id": "uid"})
    assert [(item.id, item.group) for item in listing.items] == [(f"row-{i:07d}", f"u{i % 3}") for i in range(4)]
    assert listing.items[3].raws["image"][0].read() == png(tmp_path, 3)
    check_lazy(listing.items)
    pq.write_table(pa.Table.from_pylist(rows[:3]), tmp_path / "e" / "part.parquet")
    assert [(item.id, item.group) for item in scan(tmp_path / "e").items] == [(f"u{i}", "") for i in range(3)]
    table = pa.table({"image": [{"bytes": None, "path": "pics/x.png"}, {"bytes": None, "path": "gone.png"}]})
    pq.write_table(table, tmp_path / "d" / "part.parquet")
    first, second = scan(tmp_path / "d" / "part.parquet").items
    assert first.raws["image"][0].read() == (tmp_path / "d" / "pics" / "x.png").read_bytes()
    with pytest.raises(BadFile, match=r"part\.parquet#image\[1\]: names gone\.png: No such file"):
        second.raws["image"][0].read()


def test_damaged_files_and_too_large_cells_are_errors_with_their_place(tmp_path, monkeypatch):
    dataset(tmp_path).save_to_disk(tmp_path / "d")
    cell = scan(tmp_path / "d").items[0].raws["image"][0]
    monkeypatch.setenv("SENSORIUM_LIMITS", "stored_bytes=10")
    with pytest.raises(BadFile, match=r"arrow#photo\[0\]: \d+ bytes are more than the limit of 10"):
        cell.read()
    dataset(tmp_path).save_to_disk(tmp_path / "cut")
    half(tmp_path / "cut" / "data-00000-of-00001.arrow")
    with pytest.raises(BadFile, match=r"data-00000-of-00001\.arrow: not a whole Arrow file"):
        scan(tmp_path / "cut")
    write(tmp_path / "cut" / "state.json", "{}")
    with pytest.raises(BadFile, match=r"state\.json: no list of _data_files in it"):
        scan(tmp_path / "cut")
    (tmp_path / "p").mkdir()
    buffer = BytesIO()
    pq.write_table(pa.table({"image": [b"x"]}), buffer)
    write(tmp_path / "p" / "a.parquet", buffer.getvalue()[:-20])
    with pytest.raises(BadFile, match=r"a\.parquet: not a whole Parquet file"):
        scan(tmp_path / "p" / "a.parquet")
