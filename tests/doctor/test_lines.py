"""What a plan does to a manifest when files are dropped."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data.trees import write
from doctor.test_plan import plan_of, state
from modalities.samples import save, sine, smooth, sound

from sensorium.data import scan
from sensorium.doctor import apply, examine, write_plan
from sensorium.doctor.lines import edited, edits
from sensorium.doctor.plan import BadPlan

ROWS = [
    {"id": "a", "image": "i/a.png", "audio": "s/a.wav", "caption": "a, the first"},
    {"id": "b", "image": "i/b.png", "audio": "s/b.wav", "caption": "b\nin two lines"},
    {"id": "b", "image": "i/b.png", "audio": "", "caption": "b again"},
    {"id": "c", "image": "./i/c.png", "audio": "", "caption": "c"},
    {"id": "d", "image": "i/d.png", "audio": "s/d.wav", "caption": ""},
]
DROPPED = {"i/c.png", "s/b.wav", "i/d.png"}
"""Of b the sound goes and the pair is left; c and d are left with one kind."""


def text_of(suffix: str) -> bytes:
    if suffix == ".jsonl":
        return "".join(json.dumps({k: v or None for k, v in row.items()}) + "\r\n" for row in [*ROWS, {"id": "e"}]).encode()
    mark = "\t" if suffix == ".tsv" else ";"
    cells = [[f'"{v}"' if "\n" in v else v for v in row.values()] for row in ROWS]
    return b"\xef\xbb\xbf" + "\n".join([mark.join(ROWS[0]), *map(mark.join, cells), mark.join(["e", "", "", ""])]).encode()


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_lines_go_where_no_pair_is_left_and_else_the_name_alone(tmp_path, suffix):
    for name in "abcd":
        write(tmp_path / f"i/{name}.png", "x")
        write(tmp_path / f"s/{name}.wav", "x")
    path = write(tmp_path / f"m{suffix}", text_of(suffix))
    action = edits(scan(path), DROPPED)
    at = (lambda row: row) if suffix == ".jsonl" else (lambda row: row + 1 + (row > 2))  # b's caption has two lines
    assert action and action["remove"] == [at(4), at(5)] and action["empty"] == [[at(2), "audio", "s/b.wav"]]
    before, after = path.read_bytes(), edited(path, json.loads(json.dumps(action)))
    kept = [line for line in before.splitlines(keepends=True) if not any(name in line for name in (b"c.png", b"d.png", b"s/b"))]
    assert all(line in after for line in kept) and after.startswith(before[:3]), "what is not named stays as it stands"
    again = write(tmp_path / f"n{suffix}", after)
    items = {item.id: {kind: [str(raw)[-11:] for raw in raws] for kind, raws in item.raws.items()} for item in scan(again).items}
    assert items.keys() == {"a", "b"} and items["a"].keys() == {"image", "audio", "text"}
    assert items["b"] == {"image": [str(tmp_path / "i/b.png")[-11:]], "text": ["n two lines", "b again"]} or suffix == ".jsonl"
    assert items["b"].keys() == {"image", "text"} and len(items["b"]["text"]) == 2
    assert edits(scan(again), DROPPED) is None and edits(scan(path), set()) is None


def test_lists_and_parquet_lose_the_one_value(tmp_path):
    rows = [{"image": "a.png", "audio": ["x.wav", "y.wav"], "caption": ["one", "two"]}, {"image": "b.png", "caption": ["b"]}]
    path = write(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows)))
    for name in ("a.png", "b.png", "x.wav", "y.wav"):
        write(tmp_path / name, "x")
    action = edits(scan(path), {"y.wav", "b.png"})
    assert action and [json.loads(line) for line in edited(path, action).splitlines()] == [rows[0] | {"audio": ["x.wav"]}]
    table = pa.Table.from_pylist([row | {"n": i} for i, row in enumerate(ROWS)])
    pq.write_table(table, tmp_path / "m.parquet")
    for row in ROWS:
        for kind in ("image", "audio"):
            write(tmp_path / (row[kind] or "none"), "x")
    action = edits(scan(tmp_path / "m.parquet"), DROPPED)
    assert action and action["remove"] == [4, 5] and action["empty"] == [[2, "audio", "s/b.wav"]]
    clean = write(tmp_path / "clean.parquet", edited(tmp_path / "m.parquet", action))
    assert pq.read_schema(clean) == table.schema
    assert pq.read_table(clean)["audio"].to_pylist() == ["s/a.wav", None, ""]


def test_a_plan_that_drops_a_file_takes_it_out_of_the_manifest_of_the_copy(tmp_path):
    root = tmp_path / "photos"
    for i in range(3):
        save(root / f"i/{i}.png", smooth(32, 32, seed=i))
        sound(root / f"s/{i}.wav", sine(300 + 200 * i, 16000, 0.6), 16000)
    write(root / "i/1.png", b"")
    write(root / "s/2.wav", b"")
    lines = [f"i/{i}.png,s/{i}.wav,the picture called {i}" for i in range(3)]
    write(root / "i" / "3.png", b"")
    write(root / "manifest.csv", "\n".join(["Bild,Ton,was", *lines, "i/3.png,,the picture called 3", ""]))
    before = state(root)
    plan = write_plan(examine(root / "manifest.csv", columns={"text": "was"}), tmp_path / "plan.json")
    edit = plan["actions"][-1]
    assert edit["path"] == "manifest.csv" and edit["remove"] == [5] and "2 others a name is taken out" in edit["why"]
    assert edit["empty"] == [[3, "Bild", "i/1.png"], [4, "Ton", "s/2.wav"]]
    done = apply(root / "manifest.csv", tmp_path / "plan.json", tmp_path / "clean")
    assert done.done == {"drop": 3, "edit manifest": 1} and state(root) == before
    clean = examine(tmp_path / "clean", columns={"text": "was"})
    assert not clean.health.broken and [sorted(item.raws) for item in clean.health.good] == [
        ["audio", "image", "text"],
        ["image", "text"],
        ["audio", "text"],
    ]


@pytest.mark.parametrize(
    "edit, cause",
    [
        ({"remove": [9], "empty": []}, "no row begins at line 9"),
        ({"remove": ["2"], "empty": []}, "'remove' takes numbers of lines"),
        ({"remove": [True], "empty": []}, "'remove' takes numbers of lines"),
        ({"remove": [], "empty": [[2, "image", "i/z.png"]]}, "column 'image' does not hold 'i/z.png'"),
        ({"remove": [], "empty": [[2, "picture", "i/a.png"]]}, "column 'picture' does not hold"),
        ({"remove": [], "empty": [[2, "image"]]}, "'empty' takes"),
        ({"remove": [2], "empty": [[2, "image", "i/a.png"]]}, "line 2 is to be removed, and to be edited"),
        ({"remove": [2]}, "takes a list 'empty'"),
        ({"path": "i/a.png", "remove": [2], "empty": []}, "not UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_a_manifest_does_not_hold_is_refused_before_anything_is_written(tmp_path, edit, cause):
    root = tmp_path / "photos"
    write(root / "m.csv", "image,caption\ni/a.png,one\n")
    write(root / "i/a.png", b"\x89PNG")
    plan = plan_of(root, {"action": "edit manifest", "path": "m.csv"} | edit)
    with pytest.raises(BadPlan, match=cause):
        apply(root, plan, tmp_path / "clean")
    assert not (tmp_path / "clean").exists()
