"""Progress in a log, at a terminal, and silenced."""

import io
import sys

import pytest

from sensorium.cli.progress import progress, silenced


def work(bar, steps: int = 4) -> None:
    with bar:
        task = bar.add_task("training", total=steps, text="")
        for step in range(steps):
            bar.update(task, completed=step + 1, text=f"loss {step}")


def test_a_log_gets_one_line_at_the_end_of_a_short_task(capsys):
    work(progress())
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "training: 4/4 loss 3 0 s\n"


def test_a_log_gets_a_line_every_ten_seconds_of_a_long_task(capsys, monkeypatch):
    now = iter(range(0, 1000, 6))
    monkeypatch.setattr("sensorium.cli.progress.time.monotonic", lambda: next(now))
    work(progress(), steps=5)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["2/5", "4/5", "5/5"]
    assert ["s to go)" in line for line in lines] == [True, True, False]


def test_advance_counts_and_a_finished_task_is_told_once(capsys):
    with progress() as bar:
        task = bar.add_task("reading", total=2)
        for _ in range(3):
            bar.advance(task)
    assert capsys.readouterr().err == "reading: 2/2 0 s\n"


@pytest.mark.parametrize("how", ["quiet", "silenced"])
def test_a_machine_sees_nothing(how, capsys):
    if how == "quiet":
        work(progress(quiet=True))
    else:
        with silenced():
            work(progress())
    assert capsys.readouterr() == ("", "")
    work(progress())  # the silence has ended
    assert "4/4" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_person_sees_a_bar_with_what_the_task_says(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    work(progress())
    assert "training" in terminal.getvalue() and "4/4" in terminal.getvalue() and "loss 3" in terminal.getvalue()
    assert "━" in terminal.getvalue()
