"""Traces from files of every format: times and their units, gaps, rates, and faults that name their line."""

import json
from dataclasses import asdict
from io import BytesIO

import jax.numpy as jnp
import numpy as np
import pyarrow as arrow
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.encoders import ENCODERS
from sensorium.modalities import MODALITIES, BadRaw, Sensor

RATE, LENGTH = 10.0, 20
FIELD = Sensor(channels=("ax", "ay"), rate=RATE, seconds=2.0, units=("m/s^2", ""))
TIMES = np.arange(LENGTH) / RATE
VALUES = np.stack([np.sin(TIMES), 2 * TIMES - 1], axis=-1)


def table(head: str, rows, newline: str = "\n") -> bytes:
    lines = [head, *(",".join("" if cell is None else str(cell) for cell in row) for row in rows)]
    return newline.join(line for line in lines if line).encode()


def timed(scale: float = 1.0, start: float = 0.0) -> list[list[float]]:
    return [[round(start + scale * t, 6), *map(float, row)] for t, row in zip(TIMES, VALUES, strict=True)]


def packed(**arrays: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def as_parquet(columns: dict) -> bytes:
    buffer = BytesIO()
    parquet.write_table(arrow.table(columns), buffer)
    return buffer.getvalue()


def as_npy(x: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.save(buffer, x)
    return buffer.getvalue()


COLUMNS = {"ax": VALUES[:, 0], "ay": VALUES[:, 1]}
STAMPS = [f"2026-05-01T10:00:{t:06.3f}Z" for t in TIMES]
SAME = {
    "seconds": table("time,ax (m/s^2),ay", timed()),
    "milliseconds": table("time_ms,ax [m/s²],ay", timed(1e3, 5e8)),
    "unit beside it": table("Timestamp (us),ax,ay", timed(1e6)),
    "iso": table("t,ax,ay", [[s, *row] for s, row in zip(STAMPS, VALUES.tolist(), strict=True)]),
    "tabs and windows": table("ay\ttime\tax", [[f"{y}\t{t}\t{x}"] for t, x, y in timed()], "\r\n"),
    "semicolons and commas": "\ufefftime;ax;ay\n".encode()
    + b"\n".join(";".join(map(str, r)).replace(".", ",").encode() for r in timed()),
    "comments": b"# of a watch\n\n" + table("time,ax,ay", timed()) + b"\n\n",
    "no time": table("ax,ay", VALUES.tolist()),
    "no head": table("", VALUES.tolist()),
    "parquet": as_parquet({"time": TIMES, **COLUMNS}),
    "parquet stamps": as_parquet({"ts": (TIMES * 1e3).round().astype("datetime64[ms]"), **COLUMNS}),
    "npy": as_npy(VALUES),
    "npz columns": packed(time=TIMES, **COLUMNS),
    "npz rate": packed(x=VALUES, rate=np.array(RATE)),
    "array": VALUES,
    "pair": (VALUES, RATE),
    "columns": {"t": TIMES, **COLUMNS},
}


@pytest.mark.parametrize("raw", SAME.values(), ids=SAME.keys())
def test_one_trace_is_the_same_in_every_form(raw):
    out = FIELD.prepare(raw)
    np.testing.assert_allclose(out["sensor"], VALUES, atol=1e-5)
    assert out["sensor/mask"].all() and out["sensor"].dtype == np.float32 and out["sensor"].shape == (LENGTH, 2)
    seconds, kept = FIELD.measure(raw)
    assert abs(seconds - 2.0) < 1e-4 and kept == 2.0


def test_a_path_is_read_by_what_it_holds(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(SAME["parquet"])
    np.testing.assert_allclose(FIELD.prepare(path)["sensor"], VALUES, atol=1e-6)
    with pytest.raises(BadFile, match=r"no\.csv: no such file"):
        FIELD.prepare(tmp_path / "no.csv")


@given(st.floats(0.3, 40), st.floats(7, 60))
def test_a_ramp_stays_a_ramp_at_any_two_rates(rate, file_rate):
    """Interpolating and averaging are exact for straight lines, to their ends."""
    times = np.arange(int(4 * file_rate) + 2) / file_rate
    field = Sensor(channels=1, rate=rate, seconds=4.0)
    out = field.prepare({"time": times, "x": 3 * times - 2})
    grid = np.arange(field.length) / rate
    assert out["sensor/mask"].all()
    inside = grid <= times[-1]
    np.testing.assert_allclose(out["sensor"][inside, 0], (3 * grid - 2)[inside], atol=1e-4)


def test_going_down_does_not_alias():
    times = np.arange(2000) / 1000
    slow, fast = np.sin(2 * np.pi * times), np.sin(2 * np.pi * 98 * times)  # 98 Hz would look like 2 Hz at 100 Hz
    field = Sensor(channels=1, rate=50, seconds=2)
    out = field.prepare((slow + fast, 1000))["sensor"][2:-2, 0]
    np.testing.assert_allclose(out, slow[::20][2:-2], atol=0.05)


def test_gaps_are_masked_and_short_ones_bridged():
    keep = np.ones(LENGTH, bool)
    keep[4:6] = False  # two lost: three periods between neighbours, bridged
    keep[10:13] = False  # three lost: a gap
    lost = FIELD.prepare({"time": TIMES[keep], **{name: column[keep] for name, column in COLUMNS.items()}})
    empty = {name: np.where(keep, column, np.nan) for name, column in COLUMNS.items()}
    expected = np.ones(LENGTH, bool)
    expected[10:13] = False
    for out in (lost, FIELD.prepare({"time": TIMES, **empty}), FIELD.prepare(empty | {"ay": COLUMNS["ay"]})):
        np.testing.assert_array_equal(out["sensor/mask"], expected)
        assert (out["sensor"][10:13] == 0).all()
        np.testing.assert_allclose(out["sensor"][:, 1][expected], VALUES[:, 1][expected], atol=1e-5)
    assert Sensor(channels=2, rate=RATE, gap=4).prepare({"time": TIMES, **empty})["sensor/mask"].all()
    assert not Sensor(channels=2, rate=RATE, gap=2).prepare({"time": TIMES, **empty})["sensor/mask"][4:6].any()


def test_the_mean_does_not_reach_over_a_gap():
    times = np.r_[np.arange(100), np.arange(200, 300)] / 100
    out = Sensor(channels=1, rate=20, seconds=3).prepare({"time": times, "x": np.where(times < 1.5, 1.0, 9.0)})
    assert set(np.round(out["sensor"][out["sensor/mask"], 0], 5).tolist()) == {1.0, 9.0}
    assert out["sensor/mask"].tolist() == [True] * 20 + [False] * 20 + [True] * 20


def test_a_short_trace_is_masked_after_its_end_and_a_long_one_is_cut():
    short = FIELD.prepare(VALUES[:5])
    assert short["sensor/mask"].tolist() == [True] * 5 + [False] * 15 and (short["sensor"][5:] == 0).all()
    long = FIELD.prepare(np.concatenate([VALUES, VALUES]))
    np.testing.assert_allclose(long["sensor"], VALUES, atol=1e-6)


def test_a_long_file_is_read_only_as_far_as_it_is_wanted():
    many = b"time,ax,ay\n" + b"".join(b"%d,1,2\n" % i for i in range(9000)) + b"broken,1,2\n"
    assert FIELD.prepare(many)["sensor/mask"].any()
    with pytest.raises(BadFile, match=r"line 9002, column 'time': 'broken' is neither a number nor a time"):
        FIELD.measure(many)


FAULTS = {
    "text": (table("time,ax,ay", [[0, 1, 2], [0.1, "x", 2]]), r"line 3, column 'ax': 'x' is no number"),
    "time": (table("time,ax,ay", [[0, 1, 2], ["", 1, 2]]), r"line 3, column 'time': there is no time"),
    "unsorted": (
        table("time,ax,ay", [[0, 1, 2], [0.2, 1, 2], [0.1, 1, 2]]),
        r"line 4, column 'time': a time before the one on line 3",
    ),
    "repeated": (table("time,ax,ay", [[0, 1, 2], [0, 1, 2]]), r"line 3, column 'time': a time the same as the one on line 2"),
    "missing": (table("time,ax", [[0, 1], [1, 1]]), r"no column 'ay'; it has ax"),
    "extra": (table("time,ax,ay,az", [[0, 1, 2, 3], [1, 1, 2, 3]]), r"'az' is none of ax, ay; with extra=True it is left out"),
    "units": (table("time,ax (g),ay", [[0, 1, 2], [1, 1, 2]]), r"column 'ax' is in g, this field in m/s\^2: convert"),
    "ragged": (table("time,ax,ay", [[0, 1, 2], [0.1, 1]]), r"line 3 has 2 cells, the first line has 3"),
    "head only": (b"time,ax,ay\n", "it has a head and no readings"),
    "empty": (b"", r"the file is empty \(0 bytes\)"),
    "blank": (b"\n\n", "there is nothing in it"),
    "no readings": (table("time,ax,ay", [[0, "", ""], [1, "", ""]]), "no moment of its first 2 s was measured"),
    "only time": (table("time", [[0], [1]]), "no column of readings in it, only time"),
    "infinite": (table("time,ax,ay", [[0, 1, 2], [1, "inf", 2]]), r"line 3, column 'ax': infinite"),
    "beyond f32": (table("ax,ay", [[1e39, 1], [1e39, 1]]), "beyond f32"),
    "epoch": (
        table("time,ax,ay", [[1.7e12, 1, 2], [1.8e12, 1, 2]]),
        r"times of 1\.8e\+12 without a unit: call the column time_ms",
    ),
    "twice": (table("time,ax,ax", [[0, 1, 2], [1, 1, 2]]), "two columns are called 'ax'"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "line 1: not text in UTF-8"),
    "nul": (b"time,ax,ay\n0,1,\0\n", "line 2 holds a NUL"),
    "one long line": (b"1," * 70_000, "line 1 is longer than 65536 bytes"),
    "cut npy": (SAME["npy"][:-8], "cut short: 312 of 320 bytes"),
    "cut npz": (SAME["npz columns"][:-40], "not a zip file"),
    "cut parquet": (SAME["parquet"][:-9], "Parquet"),
    "text parquet": (as_parquet({"ax": ["a"], "ay": [1.0]}), "column 'ax' holds string: expected numbers"),
    "objects": (as_npy(np.array([[1, "a"]], str)), "expected numbers"),
    "count": (table("", [[1, 2, 3], [1, 2, 3]]), "expected 2 channels, it has 3"),
    "cube": (as_npy(np.zeros((2, 3, 4))), r"an array \[2, 3, 4\]: expected readings×channels"),
}


@pytest.mark.parametrize("name", ["npz columns", "npy", "parquet", "seconds"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(name):
    """Cut anywhere, or with bytes changed anywhere: never an exception of a library."""
    rng, whole = np.random.default_rng(0), SAME[name]
    refused = 0
    for i in range(150):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if i % 2 else whole)
        for at in rng.integers(0, len(damaged), 3):
            damaged[at] = rng.integers(256)
        try:
            FIELD.prepare(bytes(damaged))
        except BadFile:
            refused += 1
    assert refused > 75


def test_arrays_of_other_orders_and_types_are_read_too():
    for x in (np.asfortranarray(VALUES), VALUES.astype(">f4"), VALUES.astype(np.float16)):
        np.testing.assert_allclose(FIELD.prepare(as_npy(x))["sensor"], VALUES, atol=1e-3)
    counts = np.arange(8, dtype=np.uint16).reshape(4, 2)
    assert Sensor(channels=2, rate=10, seconds=0.4).prepare(as_npy(counts))["sensor"].tolist() == counts.tolist()


@pytest.mark.parametrize(("raw", "cause"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_names_its_place(raw, cause):
    with pytest.raises(BadFile, match=cause) as caught:
        FIELD.prepare(raw)
    assert str(caught.value).startswith(f"a table of {len(raw)} bytes: ")


def test_limits_hold_before_memory_is_taken(monkeypatch):
    monkeypatch.setenv("SENSORIUM_LIMITS", "table_bytes=4000")
    with pytest.raises(BadFile, match=r"5000 bytes; at most 4000 are read \(the limit table_bytes\)"):
        FIELD.prepare(b"1,2\n" * 1250)
    buffer = BytesIO()
    parquet.write_table(arrow.table({"ax": np.zeros(500_000), "ay": np.zeros(500_000)}), buffer, data_page_size=2**24)
    small = buffer.getvalue()
    monkeypatch.setenv("SENSORIUM_LIMITS", f"table_bytes={len(small)}")
    with pytest.raises(BadFile, match="1000000 numbers; at most"):
        FIELD.prepare(small)
    monkeypatch.setenv("SENSORIUM_LIMITS", "table_bytes=4000")
    huge = bytearray(as_npy(np.zeros((2, 2))))
    at = huge.index(b"(2, 2)")
    huge[at : at + 16] = b"(2000000, 2),  }"
    with pytest.raises(BadFile, match="4000000 numbers; at most 125"):
        FIELD.prepare(bytes(huge))
    bomb = BytesIO()
    np.savez_compressed(bomb, x=np.zeros((100_000, 2)))
    with pytest.raises(BadFile, match=r"it unpacks to 1600128 bytes; at most 1000"):
        FIELD.prepare(bomb.getvalue())


def test_what_is_no_trace_is_refused():
    for raw, cause in (
        (3, "give a path"),
        (np.zeros((2, 2, 2)), "give a path"),
        ((VALUES, -1.0), "above 0"),
        ({"t": TIMES}, "no column"),
    ):
        with pytest.raises(BadRaw, match=cause):
            FIELD.prepare(raw)
    wrong = (
        lambda: Sensor(channels=0),
        lambda: Sensor(channels=("a", "a")),
        lambda: Sensor(units=("g",)),
        lambda: Sensor(rate=0.0),
        lambda: Sensor(seconds=0.001),
    )
    for make in wrong:
        with pytest.raises(BadRaw, match="expected"):
            make()


def test_columns_go_by_name_and_extra_ones_may_be_left_out():
    raw = table("ay,az,time,ax", [[2, 9, 0, 1], [4, "inf", 0.1, 3]])
    out = Sensor(channels=("ax", "ay"), rate=10, seconds=0.2, extra=True).prepare(raw)
    assert out["sensor"].tolist() == [[1, 2], [3, 4]]
    celsius = Sensor(channels=("t",), rate=1, seconds=2).prepare(b"t\n20\n21\n")
    assert celsius["sensor"].tolist() == [[20], [21]]


def test_the_field_that_suits_some_files(tmp_path):
    files = []
    for i, seconds in enumerate((1, 2, 3)):
        rows = [[round(t / 20, 3), 1, 2] for t in range(20 * seconds)]
        files.append(tmp_path / f"{i}.csv")
        files[-1].write_bytes(table("time,ax (g),temp (°C)", rows))
    (tmp_path / "bad.csv").write_bytes(b"")
    field = Sensor.from_files([*files, tmp_path / "bad.csv"])
    assert field == Sensor(channels=("ax", "temp"), rate=20.0, seconds=2.0, units=("g", "°C"))
    assert Sensor.from_files(files, longest=30).length == 30
    counted = Sensor.from_files([as_npy(np.zeros((7, 4)))])
    assert (counted.channels, counted.rate, counted.length) == (4, 1.0, 7)
    with pytest.raises(BadFile, match=r"bad\.csv: the file is empty"):
        Sensor.from_files([tmp_path / "bad.csv"])


def test_it_is_a_modality_that_json_can_hold():
    assert isinstance(FIELD, Modality)
    again = MODALITIES["sensor"](**json.loads(json.dumps(asdict(FIELD))))
    assert again == FIELD and hash(again) == hash(FIELD)
    blank, whole = FIELD.blank(), FIELD.prepare(VALUES)
    assert {k: (v.shape, v.dtype) for k, v in blank.items()} == {k: (v.shape, v.dtype) for k, v in whole.items()}
    assert not blank["sensor/mask"].any()
    x, rate = FIELD.show(whole["sensor"])
    assert rate == RATE and np.array_equal(FIELD.prepare((x, rate))["sensor"], whole["sensor"])


def test_its_encoder_fits_and_minds_the_mask():
    encoder = ENCODERS[FIELD.tower](**ENCODERS[FIELD.tower].arguments(FIELD), rngs=nnx.Rngs(0))
    one = FIELD.prepare(VALUES[:13])
    x, mask = (jnp.asarray(part)[None] for part in (one["sensor"], one["sensor/mask"]))
    pooled = np.asarray(encoder(x, mask).pooled)
    other = x.at[0, 13:].set(99.0)
    np.testing.assert_allclose(np.asarray(encoder(other, mask).pooled), pooled, atol=1e-6)
    assert not np.allclose(np.asarray(encoder(other, jnp.ones_like(mask)).pooled), pooled, atol=1e-3)
