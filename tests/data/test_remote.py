import json
import pickle
import zipfile

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data.trees import three_folders, write
from modalities.samples import save, smooth

from sensorium import data
from sensorium.core.errors import BadFile, MissingExtra, UnknownName
from sensorium.core.protocols import Stored
from sensorium.data import remote, scan
from sensorium.data.remote import Remote
from sensorium.modalities import Image, Text

FIELDS = (Image(size=16), Text(length=32))


@pytest.fixture
def bucket(tmp_path):
    """The files of three folders under memory://bucket/photos."""
    root = three_folders(tmp_path / "here", 3)
    memory = fsspec.filesystem("memory")
    for file in sorted(root.rglob("*.*")):
        memory.pipe(f"/bucket/photos/{file.relative_to(root)}", file.read_bytes())
    yield root
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def test_a_folder_behind_an_address_gives_the_batches_of_the_same_folder_on_disk(bucket):
    listing = scan("memory://bucket/photos")
    assert [item.id for item in listing.items] == ["item0", "item1", "item2"] and listing.problems == ()
    assert listing.items[1].raws["image"] == (Remote("memory://bucket/photos/images/item1.png"),)
    assert isinstance(listing.items[1].raws["image"][0], Stored)
    assert listing.items[1].raws["text"] == ("a picture number 1", "number 1 as a picture")
    a, b = data.open("memory://bucket/photos/", FIELDS).read([2, 0]), data.open(bucket, FIELDS).read([2, 0])
    assert a["image/here"].all() and all(np.array_equal(a[key], b[key]) for key in b)
    assert [item.id for item in scan(f"file://{bucket}").items] == ["item0", "item1", "item2"]


def test_a_manifest_behind_an_address_and_addresses_in_a_manifest(bucket, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/list.csv", b"image,caption\nphotos/images/item0.png,one\nphotos/images/item2.png,two\n")
    listing = scan("memory://bucket/list.csv")
    png = (bucket / "images" / "item2.png").read_bytes()
    assert listing.layout == "manifest list.csv: image from image, text from caption"
    assert listing.items[1].raws["image"][0].read() == png and listing.items[1].raws["text"] == ("two",)
    line = json.dumps({"image": "memory://bucket/photos/images/item2.png", "caption": "far"})
    (item,) = scan(write(tmp_path / "m.jsonl", line)).items
    assert item.id == "memory://bucket/photos/images/item2" and item.raws["image"][0].read() == png
    assert data.open(tmp_path / "m.jsonl", FIELDS).read([0])["image/here"].all()


def test_a_zip_is_a_folder(bucket, tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as out:
        for file in sorted(bucket.rglob("*.png")):
            out.write(file, f"photos/{file.name}")
    listing = scan(f"zip://photos::{path}")
    assert [item.id for item in listing.items] == ["item0", "item1", "item2"]
    (picture,) = listing.items[1].raws["image"]
    assert str(picture) == f"zip://photos/item1.png::{path}"
    assert pickle.loads(pickle.dumps(picture)).read() == (bucket / "images" / "item1.png").read_bytes()


def test_what_is_absent_is_told_and_its_row_is_not_here(bucket, tmp_path):
    with pytest.raises(BadFile, match="memory://bucket/nowhere: no such file or folder"):
        scan("memory://bucket/nowhere")
    with pytest.raises(BadFile, match=r"memory://bucket/x\.png: no such object"):
        Remote("memory://bucket/x.png").read()
    with pytest.raises(BadFile, match=r"item0\.png: one object: expected a folder of them, or a manifest"):
        scan("memory://bucket/photos/images/item0.png")
    with pytest.raises(BadFile, match=r"train-000\.tar: no such object"):
        scan("memory://bucket/train-000.tar")
    with pytest.raises(UnknownName, match="there is no table here"):
        scan("memory://bucket/photos", columns={"image": "x"})
    folder = data.open(write(tmp_path / "m.csv", "image,caption\nmemory://bucket/x.png,one\n"), FIELDS)
    batch = folder.read([0])
    assert batch["image/here"].tolist() == [False] and batch["text/here"].all()
    assert [(p.path, p.kind) for p in folder.broken] == [("memory://bucket/x.png", "image")]


def test_a_protocol_without_its_library_names_what_to_install(monkeypatch):
    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "s3", {"class": "no_such_library.S3", "err": "Install s3fs to access S3"})
    with pytest.raises(MissingExtra, match=r"s3://bucket/photos needs s3fs \(Install s3fs to access S3\).*pip install s3fs"):
        scan("s3://bucket/photos")
    with pytest.raises(BadFile, match=r"a\.png: .*pip install s3fs"):
        Remote("s3://bucket/a.png").read()
    for uri in ("reference://x", "nosuch://bucket", "zip://a::reference://x"):
        with pytest.raises(BadFile, match=r"no way to read (reference|nosuch)://. Known: s3://"):
            scan(uri)


def test_a_failing_network_is_tried_again_and_an_object_is_never_more_than_the_limit(bucket, monkeypatch):
    url = "memory://bucket/photos/images/item0.png"
    tries = []

    class Flaky:
        def __init__(self, fails):
            self.fails = fails

        def open(self, path, mode):
            tries.append(path)
            if len(tries) <= self.fails:
                raise ConnectionResetError("reset by peer")
            return fsspec.filesystem("memory").open(path, mode)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(remote, "opened", lambda url: (Flaky(2), "/bucket/photos/images/item0.png"))
    assert Remote(url).read() == (bucket / "images" / "item0.png").read_bytes() and len(tries) == 3
    tries.clear()
    monkeypatch.setattr(remote, "opened", lambda url: (Flaky(3), "/bucket/photos/images/item0.png"))
    with pytest.raises(BadFile, match=r"item0\.png: cannot be read, tried 3 times: ConnectionResetError: reset by peer"):
        Remote(url).read()
    monkeypatch.undo()
    monkeypatch.setenv("SENSORIUM_LIMITS", "stored_bytes=10")
    with pytest.raises(BadFile, match="more than the limit of 10 bytes"):
        Remote(url).read()


def test_hidden_objects_are_ignored(bucket, tmp_path):
    save(tmp_path / "h.png", smooth(8, 8))
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/photos/images/.h.png", (tmp_path / "h.png").read_bytes())
    memory.pipe("/bucket/photos/images/.cache/h.png", (tmp_path / "h.png").read_bytes())
    assert len(scan("memory://bucket/photos").items) == 3


def test_a_parquet_file_of_whole_files_behind_an_address_is_refused_and_one_of_names_is_a_manifest(tmp_path):
    memory = fsspec.filesystem("memory")
    for name, column in (("whole", [{"bytes": b"x", "path": "a.png"}]), ("named", ["https://example.org/a.png"])):
        with memory.open(f"/tables/{name}/train.parquet", "wb") as file:
            pq.write_table(pa.table({"image": column, "caption": ["c"]}), file)
    for address in ("memory://tables/whole/train.parquet", "memory://tables/whole"):
        with pytest.raises(BadFile, match=r"train\.parquet: the columns image hold whole files, .*copy it first"):
            scan(address)
    [item] = scan("memory://tables/named").items
    assert item.raws == {"image": (Remote("https://example.org/a.png"),), "text": ("c",)}
    memory.rm("/tables", recursive=True)
