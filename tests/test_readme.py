"""What the README says is true: its commands parse, its Python runs, its tree is the house, its numbers are the measured ones.

`python tests/test_readme.py` writes the table of measured numbers anew from benchmarks/results/demo.json.
"""

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DEMO = ROOT / "benchmarks" / "results" / "demo.json"
DELIMITED = re.compile(r"(?<=<!-- demo:start -->\n).*?(?=<!-- demo:end -->)", re.DOTALL)
STEPS = 6
ROWS = {
    "picture by words, R@1": "text->image/recall@1",
    "words by picture, R@1, among all captions (two a scene)": "image->text/recall@1",
    "sound by picture, R@1": "image->audio/recall@1",
    "picture by sound, R@1": "audio->image/recall@1",
    "picture by words, R@1, combinations of shape and colour never seen": "compositional/text->image/recall@1",
    "hard negatives: two sentences, colours exchanged (chance 50 %)": "hard_negatives/accuracy",
}


def table(measured: dict) -> str:
    """The README's table of what a run of the demo and a quick one reached."""
    runs = measured["metrics"], measured["quick"]
    chance = "image->audio/recall@1/chance"
    rows = [["", "`sensorium demo`", "`--quick`"], ["---", "---:", "---:"]]
    rows.append(["gallery (chance of R@1)", *(f"{run['image->audio/gallery']:,} ({run[chance]:.1%})" for run in runs)])
    rows += [[name, *(f"{run[key]:.1%}" for run in runs)] for name, key in ROWS.items()]
    rows.append(["seconds, all of it", *(f"{run['seconds/total']:.0f}" for run in runs)])
    rows.append(["peak memory, MB", *(f"{run['peak_rss_mb']:,.0f}" for run in runs)])
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("%", " %").replace("  %", " %") + "\n"


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(.*?)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]


COMMANDS = [line for block in blocks("") for line in block.splitlines() if line.startswith("sensorium ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_parses(line):
    from sensorium.cli.main import VERBS, _parse

    _, verb, *arguments = shlex.split(line, comments=True)
    assert verb in VERBS
    _parse(verb, importlib.import_module(f"sensorium.cli.{verb}"), arguments)  # `WrongUsage` where it does not


@pytest.mark.parametrize("line", COMMANDS)
def test_the_options_in_the_comment_of_a_command_exist(line, capsys):
    from sensorium.cli.main import main

    with pytest.raises(SystemExit):
        main([line.split()[1], "--help"])
    known = capsys.readouterr().out
    for option in re.findall(r"--[a-z]+", line):
        assert option in known, option


def test_every_verb_has_a_command():
    from sensorium.cli.main import VERBS

    assert {line.split()[1] for line in COMMANDS} == VERBS.keys()


def test_the_python_runs(user_env, tmp_path):
    from sensorium.data.synthetic import write_world
    from sensorium.world import caption, scene

    drawn = scene.distinct("validation", 6)
    write_world(tmp_path / "photos", drawn, [caption.render(drawn, "list")])
    (tmp_path / "photos/images/00000.png").rename(tmp_path / "x.png")
    (tmp_path / "photos/audio/00001.wav").rename(tmp_path / "beep.wav")
    (block,) = blocks("python")
    assert "steps=500" in block
    line = [sys.executable, "-c", block.replace("steps=500", f"steps={STEPS}")]
    done = subprocess.run(line, cwd=tmp_path, env=user_env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\[\[ *-?0\.\d+ *\]\n \[ *-?0\.\d+ *\]\]\n(-?[01]\.\d{3} \S+\n){5}", done.stdout), done.stdout
    assert (tmp_path / "runs/a/model.safetensors").is_file()


def test_the_tree_is_the_house_and_each_room_has_one_line():
    house = ROOT / "src" / "sensorium"
    (tree,) = (block for block in blocks("") if block.startswith("src/sensorium/"))
    inside = re.findall(r"^  (\S+)  +\S.*$", tree, re.MULTILINE)
    rooms = [f"{path.parent.name}/" for path in house.glob("*/__init__.py")]
    alone = [path.name for path in house.glob("*.py") if not path.name.startswith("_")]
    assert sorted(inside) == sorted([*rooms, *alone])
    plan = (ROOT / "docs" / "floorplan.md").read_text(encoding="utf-8")
    planned = re.findall(r"^  ([a-z_]+(?:/|\.py)) ", plan, re.MULTILINE)
    assert inside == [name for name in planned if name in inside], "not in the order of the floor plan"
    for name in re.findall(r"^(\w+/)  +", tree, re.MULTILINE):
        assert (ROOT / name).is_dir(), name


def test_every_link_leads_somewhere_and_the_page_is_short():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in link or (ROOT / link).exists(), link


def test_the_numbers_are_the_measured_ones():
    measured = json.loads(DEMO.read_text(encoding="utf-8"))
    (found,) = DELIMITED.findall(README.read_text(encoding="utf-8"))
    assert found == table(measured), "run: python tests/test_readme.py"


def test_the_table_shows_the_numbers_of_both_runs():
    run = {"image->audio/gallery": 1000, "image->audio/recall@1/chance": 0.001, "seconds/total": 299.6, "peak_rss_mb": 1650.2}
    run |= dict.fromkeys(ROWS.values(), 0.9345)
    lines = table({"metrics": run, "quick": run | {"image->audio/gallery": 300, "text->image/recall@1": 0.5}}).splitlines()
    assert "| gallery (chance of R@1) | 1,000 (0.1 %) | 300 (0.1 %) |" in lines
    assert "| picture by words, R@1 | 93.5 % | 50.0 % |" in lines or "| picture by words, R@1 | 93.4 % | 50.0 % |" in lines
    assert "| seconds, all of it | 300 | 300 |" in lines and "| peak memory, MB | 1,650 | 1,650 |" in lines
    assert any("(chance 50 %)" in line for line in lines)


if __name__ == "__main__":
    page = README.read_text(encoding="utf-8")
    README.write_text(DELIMITED.sub(lambda _: table(json.loads(DEMO.read_text(encoding="utf-8"))), page), encoding="utf-8")
