"""The frame of the command line: real processes for what a user sees, and a small verb of the tests' own for the rest."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import types
from typing import Literal

import pytest
import tyro

import sensorium
from sensorium.cli import main as room
from sensorium.cli.main import VERBS, main
from sensorium.core.errors import BadFile

HEAVY = {"jax", "flax", "numpy", "PIL", "tyro", "rich", "soundfile", "matplotlib", "jinja2", "tokenizers", "grain"}
WRITTEN = [name for name in VERBS if importlib.util.find_spec(f"sensorium.cli.{name}")]


def greet(
    action: tyro.conf.Positional[Literal["check", "count"]], folder: tyro.conf.Positional[str], *, times: int = 1, wrong: str = ""
) -> dict:
    """Says what a folder holds.

    Args:
        times: how often
        wrong: what goes wrong
    """
    print("noise of a library")
    if wrong in FAILURES:
        raise FAILURES[wrong]
    return {"action": action, "folder": folder, "times": times, "wrong": wrong}


FAILURES = {
    "file": BadFile("a.png: truncated"),
    "stop": KeyboardInterrupt(),
    "absent": FileNotFoundError(2, "No such file or directory", "b.png"),
    "bug": ZeroDivisionError("oh"),
    "nameless": OSError("odd"),
}


@pytest.fixture(autouse=True)
def verb(monkeypatch):
    module = types.ModuleType("sensorium.cli.greet")
    vars(module).update(greet=greet, EXAMPLE="sensorium greet check [here]", show=lambda result, console: console.print(result))
    monkeypatch.setitem(sys.modules, "sensorium.cli.greet", module)
    monkeypatch.setitem(VERBS, "greet", room.Verb("greets", "sensorium greet check here"))
    monkeypatch.delenv("SENSORIUM_DEBUG", raising=False)


def test_help_names_every_verb_with_its_example(command):
    done = command("--help")
    assert done.returncode == 0 and done.stderr == ""
    for name, verb in VERBS.items():
        if name != "greet":
            assert verb.summary in done.stdout and f"$ {verb.example}\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("code", ["import sensorium", "from sensorium.cli.main import main; main(['--help'])"])
def test_neither_import_nor_help_needs_a_heavy_library(code):
    tail = "; import sys; print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stderr.split()) == set()


def test_version(command):
    assert command("--version").stdout == f"sensorium {sensorium.__version__}\n"
    assert json.loads(command("--version", "--json").stdout) == {"version": sensorium.__version__}
    assert re.fullmatch(r"\d+\.\d+\.\d+", sensorium.__version__)


def test_an_unknown_verb_is_wrong_usage_and_names_the_nearest(command):
    done = command("serch", "x", "--json")
    assert done.returncode == 2
    assert "Did you mean 'search'?" in done.stderr
    assert json.loads(done.stdout)["kind"] == "WrongUsage"
    assert command().returncode == 2
    assert command("--verbose").returncode == 2


def test_a_reader_that_leaves_is_no_error_message():
    line = f"set -o pipefail; {sys.executable} -m sensorium --help | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("name", WRITTEN)
def test_the_help_of_each_verb_has_its_purpose_and_its_example(name, command):
    done = command(name, "--help")
    assert done.returncode == 0, done.stderr
    module = importlib.import_module(f"sensorium.cli.{name}")
    assert module.EXAMPLE.strip().splitlines()[0] in done.stdout
    assert VERBS[name].example.split()[:2] == ["sensorium", name]
    assert command(name, "--no-such-option").returncode == 2


def test_a_result_is_shown_to_a_person(capsys):
    assert main(["greet", "check", "here", "--times", "3"]) == 0
    out = capsys.readouterr().out
    assert "noise" in out and "'times': 3" in out


@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_with_json_stdout_is_one_document_wherever_the_flag_stands(at, capsys):
    line = ["greet", "check", "here", "--times", "3"]
    assert main([*line[:at], "--json", *line[at:]]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"action": "check", "folder": "here", "times": 3, "wrong": ""}
    assert "noise" in err


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        ("file", "BadFile", "a.png: truncated"),
        ("absent", "FileNotFoundError", "b.png: No such file or directory"),
        ("stop", "KeyboardInterrupt", "interrupted"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_exit_code_1(wrong, kind, text, capsys):
    assert main(["greet", "check", "here", "--wrong", wrong]) == 1
    assert capsys.readouterr().err == f"error: {text}\n"
    assert main(["greet", "check", "here", "--wrong", wrong, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": text, "kind": kind}


def test_debug_adds_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("SENSORIUM_DEBUG", "1")
    assert main(["greet", "check", "here", "--wrong", "file"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("wrong", "kind"), [("bug", ZeroDivisionError), ("nameless", OSError)])
def test_a_bug_is_raised_and_still_said_to_a_machine(wrong, kind, capsys):
    with pytest.raises(kind):
        main(["greet", "check", "here", "--wrong", wrong])
    assert "Sensorium" not in capsys.readouterr().out
    with pytest.raises(kind):
        main(["greet", "check", "here", "--wrong", wrong, "--json"])
    assert json.loads(capsys.readouterr().out)["kind"] == kind.__name__


@pytest.mark.parametrize("line", [["greet"], ["greet", "sing", "here"], ["greet", "check", "here", "--tims", "3"]])
def test_wrong_arguments_are_exit_code_2_in_plain_words(line, capsys):
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and "│" not in err and "noise" not in out
    assert "sensorium greet --help" in err
    assert main([*line, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["kind"] == "WrongUsage"


def test_help_of_a_verb_leaves_out_the_raw_list_of_arguments(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["greet", "--help"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert "Says what a folder holds." in out and "$ sensorium greet check [here]" in out and "how often" in out
    assert "Args:" not in out


def test_after_two_dashes_nothing_is_ours(capsys):
    assert main(["greet", "check", "--", "--json"]) == 0
    assert "'folder': '--json'" in capsys.readouterr().out


def test_the_process_of_a_bug_ends_with_1():
    code = "from sensorium.cli import main as m; m._answer = lambda *a: 1 / 0; import sys; sys.exit(m.main(['x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
