"""`sensorium runs`: where runs stand, and whether two are the same."""

import json

import jax.numpy as jnp
import pytest

from sensorium.checkpoints.arrays import digest
from sensorium.checkpoints.checkpoint import Checkpoints
from sensorium.cli.main import main


@pytest.fixture
def runs(tmp_path):
    for name, number in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        with Checkpoints(tmp_path / name) as checkpoints:
            checkpoints.save(10, {"w": jnp.asarray(number)}, {"at": 10}, best=True, notes={"run": name})
            checkpoints.save(20, {"w": jnp.asarray(number)}, {"at": 20})
    (tmp_path / "a" / "log.jsonl").write_text('{"step": 10, "loss": 0.75}\n{"step": 20, "loss": 0.5}\n{"step": 3')
    (tmp_path / "c" / "log.jsonl").write_text('{"step": 10, "loss": NaN}\n')
    (tmp_path / "no run").mkdir()
    return tmp_path


def answer(capsys, *arguments) -> tuple[int, dict]:
    code = main(["runs", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_equal_runs_have_equal_hashes_and_others_not(runs, capsys):
    found = {name: answer(capsys, "hash", runs / name)[1] for name in "abc"}
    assert found["a"]["hash"] == found["b"]["hash"] == digest({"w": jnp.asarray(1.0)}, {"at": 20}) != found["c"]["hash"]
    assert found["a"]["step"] == 20
    assert answer(capsys, "hash", runs / "a", "--step", 10)[1]["hash"] == digest({"w": jnp.asarray(1.0)}, {"at": 10})
    (runs / "a" / "checkpoints" / "00000020" / "state.json").write_text("{}")
    before = answer(capsys, "hash", runs / "a")[1]
    assert before["step"] == 10 and "state.json" in before["told"][0]
    for wrong, text in ((["--step", 15], "no checkpoint of step 15; there are: 10, 20"), (["--step", 20], "state.json: ")):
        code, said = answer(capsys, "hash", runs / "a", *wrong)
        assert code == 1 and text in said["error"]
    assert answer(capsys, "hash", runs / "none")[0] == 1
    assert "no checkpoint; there are: none" in answer(capsys, "hash", runs / "no run")[1]["error"]


def test_the_list_says_how_far_each_run_has_come(runs, capsys):
    rows = answer(capsys, "list", runs)[1]["runs"]
    assert [row["run"] for row in rows] == [str(runs / name) for name in "abc"]
    assert [(row["steps"], row["best"], row["loss"]) for row in rows] == [
        ([10, 20], 10, 0.5),
        ([10, 20], 10, None),
        ([10, 20], 10, None),
    ]
    assert all(row["when"] for row in rows)
    (runs / "b" / "checkpoints" / "00000020" / "manifest.json").write_text("{}")
    assert "manifest.json: not as it was written" in answer(capsys, "list", runs / "b")[1]["runs"][0]["wrong"]
    assert main(["runs", "list", str(runs / "a")]) == 0
    out = capsys.readouterr().out
    assert "0.5000" in out and "20" in out
    assert answer(capsys, "list", runs, "--step", 1)[0] == 2
