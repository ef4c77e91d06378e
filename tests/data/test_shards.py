import io
import json
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from data.lazy import check_lazy
from data.trees import write
from modalities.samples import save, sine, smooth, sound

from sensorium import data
from sensorium.core.errors import BadFile
from sensorium.core.files import replacing
from sensorium.data import scan, tar_index
from sensorium.data.shards import Member
from sensorium.modalities import MODALITIES, Image, Text


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """The user's own cache is left alone."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def png(tmp_path, seed) -> bytes:
    path = tmp_path / "made" / f"{seed}.png"
    save(path, smooth(12, 10, seed=seed))
    return path.read_bytes()


def tar(path, members):
    """A tar file with members (name, bytes) or ready `TarInfo`s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as out:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                out.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                out.addfile(info, io.BytesIO(member[1]))
    return path


def shard(tmp_path, name, numbers):
    members = []
    for i in numbers:
        members += [(f"{i:04d}.png", png(tmp_path, i)), (f"{i:04d}.txt", f"picture {i}".encode())]
    return tar(tmp_path / "shards" / name, members)


def test_members_of_one_key_are_an_item_and_are_read_where_they_lie(tmp_path):
    for n in range(3):
        shard(tmp_path, f"s-{n:03d}.tar", range(3 * n, 3 * n + 3))
    uri = str(tmp_path / "shards" / "s-{000..002}.tar")
    listing = scan(uri)
    assert [item.id for item in listing.items] == [f"s-{i // 3:03d}/{i:04d}" for i in range(9)]
    assert listing.items[4].raws["text"] == ("picture 4",) and listing.items[4].metadata == {}
    (member,) = listing.items[4].raws["image"]
    assert isinstance(member, Member) and member.read() == png(tmp_path, 4)
    assert str(member).endswith("s-001.tar/0004.png")
    assert listing.layout == "3 tar shards: members with equal names up to the first dot are one item (.png, .txt)"
    assert listing.problems == () and listing.items[-1] == listing.items[8] and len(listing.items[2:5]) == 3
    for other in (tmp_path / "shards", str(tmp_path / "shards" / "s-*.tar")):
        assert [item.id for item in scan(other).items] == [item.id for item in listing.items]
    assert scan(tmp_path / "shards").unused == ()
    with pytest.raises(IndexError):
        listing.items[9]


def test_batches_are_those_of_the_same_files_in_a_folder(tmp_path):
    shard(tmp_path, "s.tar", range(6))
    for i in range(6):
        write(tmp_path / "plain" / f"{i:04d}.png", png(tmp_path, i))
        write(tmp_path / "plain" / f"{i:04d}.txt", f"picture {i}")
    fields = (Image(size=16), Text(length=16))
    ours, theirs = data.open(tmp_path / "shards" / "s.tar", fields), data.open(tmp_path / "plain", fields)
    a, b = pickle.loads(pickle.dumps(ours)).read([5, 0, 3]), theirs.read([5, 0, 3])
    assert a["image/here"].all() and a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
    with ThreadPoolExecutor(8) as pool:
        rows = [int(i) for i in np.random.default_rng(0).integers(0, 6, 200)]
        for row, batch in zip(rows, pool.map(lambda row: ours.read([row]), rows), strict=True):
            assert np.array_equal(batch["image"], theirs.read([row])["image"])


def test_json_numbers_sounds_and_nested_keys(tmp_path):
    sound(tmp_path / "a.wav", sine(440, 8000, 0.1), 8000)
    about = {"caption": ["one", "two"], "url": "x", "group": "film"}
    path = tar(
        tmp_path / "t.tar",
        [
            ("b/x.wav", (tmp_path / "a.wav").read_bytes()),
            ("b/x.json", json.dumps(about).encode()),
            ("a/y.seg.png", png(tmp_path, 1)),
            ("a/y.cls", b"7\n"),
            ("a/y.weights.bin", b"unknown"),
            ("a/._y.png", b"of a Mac"),
        ],
    )
    y, x = scan(path).items
    assert (y.id, x.id) == ("t/a/y", "t/b/x") and y.metadata == {"cls": 7} and set(y.raws) == {"image"}
    assert x.raws["text"] == ("one", "two") and x.metadata == {"url": "x", "group": "film"} and x.group == "film"
    assert x.raws["audio"][0].read()[:4] == b"RIFF"
    check_lazy(scan(path).items)


def test_the_index_is_kept_and_made_anew_when_the_tar_changes(tmp_path, monkeypatch):
    path = shard(tmp_path, "s.tar", range(2))
    built = []
    make = tar_index.build
    monkeypatch.setattr(tar_index, "build", lambda path: built.append(path) or make(path))
    first = list(scan(path).items)
    kept = path.with_name("s.tar.index.npz")
    assert kept.is_file() and list(scan(path).items) == first and len(built) == 1
    shard(tmp_path, "s.tar", range(3))
    assert len(scan(path).items) == 3 and len(built) == 2
    kept.write_bytes(kept.read_bytes()[:200])
    assert len(scan(path).items) == 3 and len(built) == 3
    kept.write_bytes(b"")
    assert len(scan(path).items) == 3 and len(scan(path).items) == 3 and len(built) == 4


def test_where_the_folder_is_read_only_the_index_goes_to_the_cache(tmp_path, monkeypatch, cache):
    path = shard(tmp_path, "s.tar", range(2))

    def refusing(place):
        if place.parent == path.parent:
            raise PermissionError(13, "Permission denied")
        return replacing(place)

    monkeypatch.setattr("sensorium.data.tar_index.replacing", refusing)
    assert len(scan(path).items) == 2 and not path.with_name("s.tar.index.npz").exists()
    assert len(list(cache.rglob("*.index.npz"))) == 1
    monkeypatch.setattr(tar_index, "build", None)
    assert len(scan(path).items) == 2


def test_what_leads_out_and_what_is_no_file_is_never_followed(tmp_path):
    secret = write(tmp_path / "secret.txt", "secret")
    link, hard, device = tarfile.TarInfo("l.txt"), tarfile.TarInfo("h.txt"), tarfile.TarInfo("d.png")
    link.type, link.linkname = tarfile.SYMTYPE, str(secret)
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret.txt"
    device.type = tarfile.CHRTYPE
    path = tar(
        tmp_path / "in" / "t.tar",
        [("../secret.txt", b"x"), ("/etc/a.txt", b"x"), ("a/../../b.txt", b"x"), link, hard, device, ("good.txt", b"fine")],
    )
    listing = scan(path)
    assert [item.raws for item in listing.items] == [{"text": ("fine",)}]
    causes = {p.path.removeprefix(f"{path}/"): p.cause for p in listing.problems}
    assert len(causes) == 6 and all(p.kind == "shard" for p in listing.problems)
    assert all("leads out" in causes[name] for name in ("../secret.txt", "/etc/a.txt", "a/../../b.txt"))
    assert "a link to" in causes["l.txt"] and "a link to" in causes["h.txt"] and "device" in causes["d.png"]
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == ["t.tar", "t.tar.index.npz"] and secret.read_text() == "secret"


@pytest.mark.parametrize("where", ["member", "header", "no end", "garbage"])
def test_of_a_damaged_tar_what_is_whole_is_used(tmp_path, where):
    path = shard(tmp_path, "s.tar", range(4))
    whole = path.read_bytes()
    with tarfile.open(path) as opened:
        member = opened.getmembers()[4]  # the picture of item 2
    if where == "garbage":
        path.write_bytes(whole[: member.offset] + b"\x93" * 512 + whole[member.offset + 512 :])
    else:
        path.write_bytes(
            whole[: {"member": member.offset_data + 20, "header": member.offset + 100, "no end": member.offset}[where]]
        )
    listing = scan(path)
    assert [item.id for item in listing.items] == ["s/0000", "s/0001"]
    assert listing.items[1].raws["image"][0].read() == png(tmp_path, 1)
    assert listing.problems and all("cut off" in p.cause or "damaged" in p.cause for p in listing.problems)


def test_bad_captions_and_second_pictures_are_told_and_the_rest_is_used(tmp_path):
    path = tar(
        tmp_path / "t.tar",
        [
            ("a.png", png(tmp_path, 1)),
            ("a.jpg", b"second"),
            ("a.txt", "Müsli".encode("latin-1")),
            ("b.txt", b"fine"),
            ("b.json", b"{not"),
            ("c.txt", b""),
        ],
    )
    for _ in range(2):  # the second time from the index
        listing = scan(path)
        assert {item.id: set(item.raws) for item in listing.items} == {"t/a": {"image"}, "t/b": {"text"}}
        causes = {p.path.removeprefix(f"{path}/"): p.cause for p in listing.problems}
        assert "not UTF-8" in causes["a.txt"] and "not JSON" in causes["b.json"] and "empty" in causes["c.txt"]
        assert causes["a.jpg"] == "ignored: a.png is used for the item 'a'"


def test_what_is_no_tar_is_an_error_that_says_what_to_do(tmp_path):
    path = write(tmp_path / "s.tar", b"not a tar file at all" * 100)
    with pytest.raises(BadFile, match=r"s\.tar: not a tar file"):
        scan(path)
    packed = tmp_path / "s.tar.gz"
    with tarfile.open(packed, "w:gz") as out:
        out.addfile(tarfile.TarInfo("a.txt"))
    with pytest.raises(BadFile, match=r"s\.tar\.gz: compressed: decompress it first.*random access needs a plain tar"):
        scan(packed)
    with pytest.raises(BadFile, match="no item in it that can be used"):
        scan(tar(tmp_path / "empty.tar", []))
    with pytest.raises(BadFile, match=r"s-002\.tar: no such file \(of .*\{001\.\.002\}"):
        shard(tmp_path, "s-001.tar", range(1))
        scan(str(tmp_path / "shards" / "s-{001..002}.tar"))
    with pytest.raises(BadFile, match="no such file"):
        scan(str(tmp_path / "x-*.tar"))


def test_a_member_is_never_more_than_the_limit_nor_less_than_whole(tmp_path, monkeypatch):
    path = shard(tmp_path, "s.tar", range(2))
    member = scan(path).items[1].raws["image"][0]
    monkeypatch.setenv("SENSORIUM_LIMITS", "stored_bytes=10")
    with pytest.raises(BadFile, match=r"0001\.png: \d+ bytes are more than the limit of 10"):
        member.read()
    monkeypatch.delenv("SENSORIUM_LIMITS")
    os.truncate(path, member.offset + 5)
    with pytest.raises(BadFile, match=r"5 of its .* the tar file was cut off"):
        member.read()


def test_shards_of_several_splits_say_theirs(tmp_path):
    shard(tmp_path, "train-0.tar", range(2))
    shard(tmp_path, "val-0.tar", range(1))
    listing = scan(tmp_path / "shards")
    assert [item.metadata.get("split") for item in listing.items] == ["train", "train", "validation"]
    assert [item.id for item in data.split(listing.items, "validation", 0.0)] == ["val-0/0000"]
    check_lazy(listing.items)
    assert scan(tmp_path / "shards" / "train-0.tar").items[0].metadata == {}


def test_shards_of_one_name_in_several_folders_keep_apart(tmp_path):
    for name in ("train/000.tar", "val/000.tar", "train/001.tar"):
        shard(tmp_path, name, range(3))
    items = scan(tmp_path / "shards").items
    keys = [f"{name}/{i:04d}" for name in ("001", "train/000", "val/000") for i in range(3)]
    assert [item.id for item in items] == keys == sorted(keys)
    assert [item.id for item in data.split(items, "validation", 0.5)] == keys[6:]
    check_lazy(items)


def test_train_and_test_shards_without_validation_give_it_some_of_train(tmp_path):
    shard(tmp_path, "train-0.tar", range(40))
    shard(tmp_path, "test-0.tar", range(5))
    items = scan(tmp_path / "shards").items
    train, validation, test = (data.split(items, name, 0.3, 0.3) for name in ("train", "validation", "test"))
    assert [item.id for item in test] == [f"test-0/{i:04d}" for i in range(5)]
    assert train and validation and len(train) + len(validation) == 40
    check_lazy(items)


def test_an_index_is_made_anew_for_other_kinds_and_limits_and_may_move(tmp_path, monkeypatch):
    @dataclass(frozen=True)
    class Smell:
        kind: ClassVar[str] = "smell"
        folder: ClassVar[str] = "smells"
        suffixes: ClassVar[tuple[str, ...]] = (".smell",)

    path = tar(tmp_path / "s.tar", [("a.smell", b"x"), ("a.png", png(tmp_path, 1)), ("a.txt", b"words"), ("b.txt", b"")])
    assert set(scan(path).items[0].raws) == {"image", "text"}
    monkeypatch.setitem(MODALITIES, "smell", Smell)
    assert set(scan(path).items[0].raws) == {"image", "text", "smell"}
    monkeypatch.delitem(MODALITIES, "smell")
    assert set(scan(path).items[0].raws) == {"image", "text"}
    with monkeypatch.context() as within:
        within.setenv("SENSORIUM_LIMITS", "caption_bytes=3")
        assert any("caption_bytes" in p.cause for p in scan(path).problems)
    (tmp_path / "moved").mkdir()
    scan(path)
    for name in ("s.tar", "s.tar.index.npz"):
        os.rename(tmp_path / name, tmp_path / "moved" / name)
    monkeypatch.setattr(tar_index, "build", lambda path: pytest.fail("the index moved with its tar"))
    assert [p.path for p in scan(tmp_path / "moved" / "s.tar").problems] == [str(tmp_path / "moved" / "s.tar" / "b.txt")]
