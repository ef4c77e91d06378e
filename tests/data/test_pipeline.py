"""The stream of batches: the same again from any step, with any workers, and what cannot be read is told and counted."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest
from data.trees import half, three_folders

from sensorium import data
from sensorium.core.batch import Batch
from sensorium.core.protocols import Item
from sensorium.data import Folder, Stream, batches
from sensorium.data.orders import Endless, Shuffled
from sensorium.data.pipeline import OtherData, TooManyRejects, WorkerLost
from sensorium.modalities import Audio, Image, Text

FIELDS = (Image(size=8), Text(length=8), Audio(rate=4000, seconds=0.1))


class Numbers:
    """A source that tells which rows were read, and with which draw."""

    def __init__(self, items: int):
        self.items = items

    def __len__(self) -> int:
        return self.items

    def read(self, rows, draw: int = 0) -> Batch:
        return {"group": np.asarray(rows), "draw": np.full(len(rows), draw)}


def rows(stream) -> list[list[int]]:
    return [batch["group"].tolist() for batch in stream]


def no_children() -> bool:
    """Whether no process of ours is left; one that was killed a moment ago is given the time to go."""
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not multiprocessing.active_children()


def pictures(n: int) -> Folder:
    """Items with a picture of their own colour; every seventh has a broken one, every fifth none; all have two captions."""
    items = []
    for i in range(n):
        picture = b"no picture" if i % 7 == 3 else np.full((8, 8, 3), i % 256, np.uint8)
        raws = {"text": (f"number {i}", f"the {i}th")} | ({} if i % 5 == 4 else {"image": (picture,)})
        items.append(Item(f"item{i}", raws, line=i + 1))
    return Folder(items, FIELDS[:2])


def test_equal_seeds_give_equal_batches_and_others_do_not():
    first = rows(batches(Numbers(20), 4, 12, seed=3))
    assert first == rows(batches(Numbers(20), 4, 12, seed=3)) and len(first) == 12
    assert first != rows(batches(Numbers(20), 4, 12, seed=4))
    assert all(len(batch) == 4 for batch in first)


@pytest.mark.parametrize("start", [0, 1, 5, 7, 12])
def test_it_goes_on_from_any_step(start):
    """Steps 5 and 10 begin an epoch; the draws go on too, so the same captions are read."""
    whole = [(b["group"].tolist(), b["draw"].tolist()) for b in batches(Numbers(20), 4, 12, seed=3)]
    rest = [(b["group"].tolist(), b["draw"].tolist()) for b in batches(Numbers(20), 4, 12, seed=3, start=start)]
    assert rest == whole[start:]


def test_fewer_steps_are_the_first_of_more():
    assert rows(batches(Numbers(20), 4, 6)) == rows(islice(batches(Numbers(20), 4), 6))


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_epoch_visits_each_item_once(shuffle):
    stream = rows(batches(Numbers(20), 4, 15, shuffle=shuffle))
    epochs = [[row for batch in stream[i : i + 5] for row in batch] for i in (0, 5, 10)]
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert (len({tuple(epoch) for epoch in epochs}) == 3) == shuffle, "each epoch has its own order"


def test_without_shuffling_rows_keep_their_order_over_the_end_of_an_epoch():
    assert rows(batches(Numbers(5), 2, 5, shuffle=False)) == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]


def test_a_batch_may_be_larger_than_the_source():
    assert rows(batches(Numbers(3), 8, 1, shuffle=False)) == [[0, 1, 2, 0, 1, 2, 0, 1]]


def test_each_batch_has_its_own_draw():
    assert [set(batch["draw"].tolist()) for batch in batches(Numbers(20), 4, 6)] == [{i} for i in range(6)]


def test_a_source_without_items_and_one_that_fails_are_errors_and_nothing_is_lost():
    with pytest.raises(ValueError, match="without items"):
        batches(Numbers(0), 4, 1)

    class Failing(Numbers):
        gone = True

        def read(self, rows, draw: int = 0) -> Batch:
            if self.gone:
                raise OSError("the disk is gone")
            return super().read(rows, draw)

    source = Failing(8)
    stream = batches(source, 4, 2)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)
    source.gone = False  # it is back: no batch was passed over
    assert rows(stream) == rows(batches(Numbers(8), 4, 2))


def test_the_position_is_small_and_json_and_goes_on_in_the_middle_of_an_epoch():
    stream = batches(pictures(30), 4, 40, seed=1)
    first = list(islice(stream, 11))
    state = json.loads(json.dumps(stream.state()))
    assert len(json.dumps(state)) < 10_000 and state["position"] == 11
    rest, counts = list(stream), stream.counts
    again = batches(pictures(30), 4, 40, seed=1)
    next(again)
    again.restore(state)
    assert again.position == 11
    for a, b in zip(rest, again, strict=True):
        assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
    assert again.counts == counts and len(first) == 11


def test_the_position_stays_small_after_thousands_of_batches():
    stream = batches(pictures(40), 2, 3000, max_bad=1.0)
    for _ in range(3000):
        next(stream)
    assert len(json.dumps(stream.state())) < 10_000
    nothing = batches(Folder([Item(f"i{n}") for n in range(8)], FIELDS[:1]), 2, 3000)
    assert len(list(nothing)) == 3000 and len(json.dumps(nothing.state())) < 1000


def test_a_position_in_other_data_or_another_order_is_refused():
    state = batches(pictures(30), 4, 40, seed=1).state()
    for other, named in (
        (batches(pictures(31), 4, 40, seed=1), "data"),
        (batches(pictures(30), 5, 40, seed=1), "batch_size 4, and not 5"),
        (batches(pictures(30), 4, 40, seed=2), "seed 1, and not 2"),
        (batches(pictures(30), 4, 40, seed=1, shuffle=False), "shuffle True"),
    ):
        with pytest.raises(OtherData, match=named):
            other.restore(state)
    for wrong in (41, -1, 3.5, "3", None):
        with pytest.raises(OtherData, match="is none of the batches 0 to 40"):
            batches(pictures(30), 4, 40, seed=1).restore(state | {"position": wrong})


def test_the_fingerprint_tells_items_and_fields_apart():
    def of(n: int, *fields) -> str:
        return Folder(pictures(n).items, fields).fingerprint()

    assert of(9, *FIELDS[:2]) == of(9, *FIELDS[:2])
    assert len({of(9, *FIELDS[:2]), of(8, *FIELDS[:2]), of(9, FIELDS[0]), of(9, Image(size=9), FIELDS[1])}) == 4
    items = list(pictures(9).items)
    items[0] = Item("item0", {"text": ("number zero",)})
    assert Folder(items, FIELDS[:2]).fingerprint() != of(9, *FIELDS[:2])


def test_a_position_holds_where_the_same_files_lie_elsewhere(tmp_path):
    three_folders(tmp_path / "a", 8)
    state = batches(data.open(tmp_path / "a", FIELDS), 4, 6).state()
    (tmp_path / "a").rename(tmp_path / "b")
    batches(data.open(tmp_path / "b", FIELDS), 4, 6).restore(state)


def test_a_broken_thing_is_an_absent_row_told_once_and_everything_is_counted(tmp_path):
    root = three_folders(tmp_path / "a", 8)
    half(root / "images" / "item1.png")
    half(root / "audio" / "item1.wav")
    (root / "images" / "item2.png").unlink()
    out = tmp_path / "rejects.jsonl"
    with batches(data.open(root, FIELDS), 4, 6, rejects=out, max_bad=1.0) as stream:
        for batch in stream:
            for row, number in enumerate(batch["group"].tolist()):
                assert batch["image/here"][row] == (number not in (1, 2)) and batch["audio/here"][row] == (number != 1)
                assert batch["text/here"][row]
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted((t["file"], t["kind"], t["line"]) for t in told) == [
        (str(root / "audio" / "item1.wav"), "audio", 0),
        (str(root / "images" / "item1.png"), "image", 0),
    ]
    assert all(t["cause"] for t in told)
    counts = stream.counts  # three epochs of 8 items: 23 things each, as one has no picture
    assert (counts.asked, counts.used, counts.rejected) == (69, 63, 6)


def test_broken_things_change_no_other_row_and_no_order(tmp_path):
    whole = three_folders(tmp_path / "a", 12)
    expected = list(batches(data.open(whole, FIELDS), 4, 6))
    half(whole / "images" / "item1.png")
    for good, bad in zip(expected, batches(data.open(whole, FIELDS), 4, 6), strict=True):
        assert good["group"].tolist() == bad["group"].tolist()
        kept = bad["group"] != 1
        for key in good:
            assert np.array_equal(good[key][kept], bad[key][kept])
        assert not bad["image/here"][~kept].any() and not bad["image"][~kept].any()


def test_the_line_of_the_manifest_is_told_and_a_run_that_goes_on_tells_nothing_twice(tmp_path):
    out = tmp_path / "rejects.jsonl"
    stream = batches(pictures(20), 5, 8, rejects=out, max_bad=1.0)
    next(stream)
    next(stream)
    state, early = stream.state(), out.read_text().splitlines()
    stream.close()
    with out.open("a") as file:
        file.write('{"file": "torn')  # killed while it wrote
    again = batches(pictures(20), 5, 8, rejects=out, max_bad=1.0)
    again.restore(state)
    list(again)
    lines = [json.loads(line) for line in out.read_text().splitlines() if not line.startswith('{"file": "torn')]
    assert len(lines) == len({(line["file"], line["kind"]) for line in lines}) and lines[: len(early)] == [
        json.loads(line) for line in early
    ]
    assert {(line["file"], line["line"]) for line in lines} == {("item3", 4), ("item10", 11), ("item17", 18)} and early
    assert again.counts.asked == again.counts.used + again.counts.rejected == 2 * (20 + 16)


def test_too_many_broken_things_stop_the_run_with_their_list():
    bad = Folder([Item(f"i{i}", {"image": (b"x" * (i + 1),)}) for i in range(100)], FIELDS[:1])
    stream = batches(bad, 10, 100)
    with pytest.raises(TooManyRejects, match=r"60 of the last 1000 things .* more than 5% \(max_bad\): .*not a picture"):
        list(stream)
    mixed = [Item(f"i{i}", {"image": (b"x" if i % 25 == 0 else np.zeros((8, 8, 3), np.uint8),)}) for i in range(100)]
    stream = batches(Folder(mixed, FIELDS[:1]), 10, 200)
    assert len(list(stream)) == 200 and stream.counts.rejected == 80, "4 % of them are allowed"
    with pytest.raises(TooManyRejects, match="more than 3%"):
        list(batches(Folder(mixed, FIELDS[:1]), 10, 200, max_bad=0.03))


def test_hosts_read_their_parts_of_one_batch():
    whole = list(batches(pictures(24), 8, 5, seed=2))
    parts = [list(batches(pictures(24), 8, 5, seed=2, host=(number, 4))) for number in range(4)]
    for step, batch in enumerate(whole):
        for key in batch:
            assert np.array_equal(np.concatenate([part[step][key] for part in parts]), batch[key])
    assert len({batches(pictures(24), 8, 5, host=(n, 2)).state()["data"] for n in range(2)}) == 1
    with pytest.raises(ValueError, match="batches of 8 rows cannot be shared by 3 hosts"):
        next(batches(pictures(24), 8, 5, host=(0, 3)))
    with pytest.raises(ValueError, match=r"host=\(2, 2\)"):
        batches(pictures(24), 8, 5, host=(2, 2))


def test_workers_change_nothing_and_leave_nothing(tmp_path):
    """Also a stream that goes on with another number of workers, and rejects that are found in other processes."""
    expected = list(batches(pictures(30), 4, 20, seed=5, max_bad=1.0))
    state = None
    for workers, out in ((1, tmp_path / "one"), (2, tmp_path / "two")):
        stream = batches(pictures(30), 4, 20, seed=5, workers=workers, rejects=out)
        if state is not None:
            stream.restore(state)
        got = list(islice(stream, 12)) if state is None else list(stream)
        state = stream.state()
        for a, b in zip(expected[:12] if workers == 1 else expected[12:], got, strict=True):
            assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
        stream.close()
        assert no_children()
    plain = batches(pictures(30), 4, 20, seed=5, rejects=tmp_path / "none")
    list(plain)
    assert stream.counts == plain.counts
    both = {line for name in ("one", "two") for line in (tmp_path / name).read_text().splitlines()}
    assert both == set((tmp_path / "none").read_text().splitlines())


def test_a_stream_of_large_batches_ends_at_once():
    """A worker that writes a batch which no pipe holds would wait for its reader, and Grain for the worker."""
    large = [Item(f"i{n}", {"image": (np.full((64, 64, 3), n, np.uint8),)}) for n in range(64)]
    stream = batches(Folder(large, (Image(size=64),)), 64, workers=2)
    next(stream)
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 20, "a second or two, where it was 50"
    assert no_children()


def test_workers_leave_no_shared_memory_behind():
    def shared() -> set[str]:
        return {name for name in os.listdir("/dev/shm") if name.startswith("psm_")} if os.path.isdir("/dev/shm") else set()

    before = after = shared()
    large = [Item(f"i{n}", {"image": (np.full((64, 64, 3), n, np.uint8),)}) for n in range(64)]
    with batches(Folder(large, (Image(size=64),)), 32, 8, workers=1) as stream:
        for number, batch in enumerate(stream):
            assert batch["image"].nbytes == 32 * 64 * 64 * 3
            if number == 7:
                after = shared()
    assert not after - before


def test_a_killed_worker_is_a_clear_error_and_the_stream_can_go_on():
    expected = rows(batches(pictures(30), 4, 200, seed=5, max_bad=1.0))
    with batches(pictures(30), 4, 200, seed=5, workers=1, max_bad=1.0) as stream:
        assert next(stream)["group"].tolist() == expected[0]
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
        start = time.monotonic()
        with pytest.raises(WorkerLost, match="a worker process has ended"):
            for _ in range(100):
                next(stream)
        assert time.monotonic() - start < 30
        assert no_children()
        position = stream.position
        assert next(stream)["group"].tolist() == expected[position]
    assert no_children()


SCRIPT = """
import multiprocessing, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # what pytest-xdist starts inherits that it is ignored
from sensorium.core.protocols import Item
from sensorium.data import Folder, batches
from sensorium.modalities import Text

if __name__ == "__main__":
    items = [Item(f"i{n}", {"text": (f"number {n}",)}) for n in range(50)]
    stream = batches(Folder(items, (Text(length=8),)), 4, workers=2)
    for number, batch in enumerate(stream):
        if number == 3:
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        if number > 3:
            time.sleep(0.05)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_the_end_of_the_process_leaves_none_behind(tmp_path, end):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    children = [int(number) for number in process.stdout.readline().split()]
    assert len(children) == 2
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does: to the whole group
    else:
        process.kill()
    told = process.communicate(timeout=60)[1]
    assert process.returncode != 0 and told.count("KeyboardInterrupt") == (end == signal.SIGINT)
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{child}") for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(os.path.exists(f"/proc/{child}") for child in children)


def test_another_order_is_taken_as_it_is():
    order = Shuffled(10, 5, seed=0, drop_remainder=True)
    assert rows(Stream(Numbers(10), order, stop=4)) == [order.rows(i).tolist() for i in range(4)]
    assert Endless(10, 4).per_epoch == 3
