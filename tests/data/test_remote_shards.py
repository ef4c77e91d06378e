"""Tar shards behind an address: the index is built once and kept here, members are read by their ranges."""

import io
import pickle
import tarfile

import fsspec
import numpy as np
import pytest
from data.lazy import check_lazy
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from modalities.samples import save, smooth

from sensorium import data
from sensorium.core.errors import BadFile, UnknownName
from sensorium.data import scan, tar_index
from sensorium.data.remote import Remote
from sensorium.modalities import Image, Text

FIELDS = (Image(size=12), Text(length=32))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sensorium" / "tars"


@pytest.fixture
def bucket(tmp_path, cache):
    """Two shards of two pictures with captions under memory://bucket/shards, and the same on a disk."""
    memory, here = fsspec.filesystem("memory"), tmp_path / "shards"
    here.mkdir()
    for shard in range(2):
        (here / f"part-{shard:03d}.tar").write_bytes(_tar(tmp_path, range(2 * shard, 2 * shard + 2)))
        memory.pipe(f"/bucket/shards/part-{shard:03d}.tar", (here / f"part-{shard:03d}.tar").read_bytes())
    yield here
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def _tar(tmp_path, numbers) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for i in numbers:
            save(tmp_path / "made.png", smooth(12, 12, seed=i))
            for name, content in ((f"{i:04d}.png", (tmp_path / "made.png").read_bytes()), (f"{i:04d}.txt", b"picture %d" % i)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["part-{000..001}.tar", "part-*.tar", ""])
def test_shards_behind_an_address_give_the_batches_of_the_same_shards_on_disk(bucket, name):
    there, here = data.open(f"memory://bucket/shards/{name}", FIELDS), data.open(f"{bucket}/{name}", FIELDS)
    assert [there.name(i) for i in range(4)] == ["part-000/0000", "part-000/0001", "part-001/0002", "part-001/0003"]
    a, b = there.read([3, 0]), here.read([3, 0])
    assert a["image/here"].all() and all(np.array_equal(a[key], b[key]) for key in b)
    assert there.fingerprint() == here.fingerprint()
    member = pickle.loads(pickle.dumps(there.items[3].raws["image"][0]))
    assert (
        str(member) == "memory://bucket/shards/part-001.tar/0003.png" and member.read() == here.items[3].raws["image"][0].read()
    )
    check_lazy(there.items)


def test_the_index_is_built_once_and_again_when_the_object_is_another(bucket, cache, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(tar_index, "build", lambda path, build=tar_index.build: asked.append(str(path)) or build(path))
    url = "memory://bucket/shards/part-000.tar"
    for _ in range(2):
        assert scan(url).items[1].raws["text"] == ("picture 1",)
    assert asked == [url] and len(list(cache.iterdir())) == 1
    fsspec.filesystem("memory").pipe("/bucket/shards/part-000.tar", _tar(tmp_path, [8, 9]))  # as many bytes as before
    assert scan(url).items[1].raws["text"] == ("picture 9",) and asked == [url] * 2


def test_only_what_is_asked_for_is_read(bucket, monkeypatch):
    items = scan("memory://bucket/shards/part-001.tar").items
    member = items[0].raws["image"][0]
    ranges = []
    plain = MemoryFileSystem.cat_file

    def cat_file(self, path, start=None, end=None, **kwargs):
        ranges.append((path, start, end))
        return plain(self, path, start, end, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    assert len(member.read()) == member.size
    assert ranges == [("/bucket/shards/part-001.tar", member.offset, member.offset + member.size)]


def test_what_was_cut_or_cannot_seek_or_knows_no_ranges_is_told(bucket, tmp_path, monkeypatch):
    memory, url = fsspec.filesystem("memory"), "memory://bucket/shards/part-000.tar"
    whole = memory.cat("/bucket/shards/part-000.tar")
    member = scan(url).items[1].raws["image"][0]
    memory.pipe("/bucket/shards/part-000.tar", whole[: member.offset + 9])
    with pytest.raises(BadFile, match=rf"0001\.png: 9 of its {member.size} bytes came: it was cut off"):
        member.read()
    listing = scan(url)
    assert len(listing.items) == 1 and "0001.png: cut off: 9 of its" in str(listing.problems[0])
    memory.pipe("/bucket/shards/other.tar", b"no tar at all" * 100)
    with pytest.raises(BadFile, match=r"other\.tar: not a tar file"):
        scan("memory://bucket/shards/other.tar")
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda self, path, **ranges: whole)
    with pytest.raises(BadFile, match=r"more than its .* its store knows no ranges"):
        member.read()
    memory.pipe("/bucket/shards/stream.tar", whole)
    plain = MemoryFileSystem.info
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path, **_: plain(self, path) | {"size": None})
    with pytest.raises(BadFile, match=r"cannot be read at random places.*copy it to a disk first"):
        scan("memory://bucket/shards/stream.tar")


def test_what_is_not_there_or_has_no_columns_is_told(bucket, monkeypatch):
    monkeypatch.setattr("sensorium.data.remote.time.sleep", lambda seconds: None)
    with pytest.raises(BadFile, match=r"part-002\.tar: no such object"):
        scan("memory://bucket/shards/part-{000..002}.tar")
    with pytest.raises(BadFile, match="no such object"):
        scan("memory://bucket/shards/x-*.tar")
    with pytest.raises(BadFile, match=r"compressed: decompress it first"):
        scan("memory://bucket/shards/part-000.tar.gz")
    with pytest.raises(UnknownName, match="there is no table here"):
        scan("memory://bucket/shards/part-000.tar", {"text": "x"})
    with pytest.raises(BadFile, match="leads through another one"):
        scan("zip://part-*.tar::memory://bucket/x.zip")
    assert Remote("memory://bucket/a/b.tar?x=1").place == "bucket/a/b.tar"


@pytest.mark.parametrize("size", [512, 9], ids=["header", "caption"])
def test_a_connection_that_fails_leaves_no_index_of_half_a_shard(bucket, cache, monkeypatch, size):
    monkeypatch.setattr("sensorium.data.remote.time.sleep", lambda seconds: None)
    url, plain, reads = "memory://bucket/shards/part-000.tar", MemoryFile.read, []

    def failing(self, asked=-1):
        reads.append(asked)
        if asked == size and len(reads) > 1:  # the very first header tells a tar file from another one
            raise EOFError("the line is dead")
        return plain(self, asked)

    monkeypatch.setattr(MemoryFile, "read", failing)
    with pytest.raises(BadFile, match="tried 3 times: EOFError: the line is dead"):
        scan(url)
    assert not cache.exists()
    monkeypatch.setattr(MemoryFile, "read", plain)
    assert len(scan(url).items) == 2 and scan(url).problems == ()
