"""TensorBoard's files read back; what the others are called with, by stand-ins of their libraries; failures that stop nothing."""

import struct
import sys
import types
from pathlib import Path

import pytest

from sensorium.core.errors import MissingExtra, UnknownName
from sensorium.training.trackers import TRACKERS, Run, Tracking, numbers, tracking

RECORD = {"step": 5, "loss": 0.5, "loss/image-text": 2, "rejected": 0, "finding": "at chance", "best": True, "ids": ["a"]}
NUMBERS = {"loss": 0.5, "loss/image-text": 2.0, "rejected": 0.0}


def of(folder: Path, step: int = 0) -> Run:
    return Run("try", folder, {"lr": 0.1, "widths": [1, 2]}, step)


def events(folder: Path) -> list:
    """The records of all event files, framed as length, its check, bytes, their check."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            length = struct.unpack("<Q", data[:8])[0]
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_tensorboard_writes_what_it_is_told(tmp_path):
    made = tracking(["tensorboard"])
    assert made.start(of(tmp_path)) == made.log(RECORD, 5) == made.log({"loss": 0.25}, 6) == made.end("done") == []
    told = [(e.step, v.tag, v.simple_value) for e in events(tmp_path / "tensorboard") for v in e.summary.value]
    assert told[0][1].startswith("arguments")
    assert told[1:] == [(5, name, value) for name, value in NUMBERS.items()] + [(6, "loss", 0.25)]


def test_tensorboard_drops_what_an_interrupted_run_told_of_later_steps(tmp_path):
    made = tracking(["tensorboard"])
    assert made.start(of(tmp_path, step=40)) == made.end("stopped") == []
    starts = [e.step for e in events(tmp_path / "tensorboard") if e.HasField("session_log")]
    assert starts == [40]


class Recorder(types.ModuleType):
    """Stands for a tracker's library: keeps every call, and gives itself back with an identity."""

    def __init__(self, name: str):
        super().__init__(name)
        self.calls, self.id = [], "r1"
        self.info = types.SimpleNamespace(run_id="r1")

    def __getattr__(self, verb: str):
        if verb.startswith("_"):
            raise AttributeError(verb)

        def call(*given, **named):
            self.calls.append((verb, given, named))
            return self

        return call


@pytest.fixture
def library(monkeypatch):
    def put(name: str) -> Recorder:
        monkeypatch.setitem(sys.modules, name, made := Recorder(name))
        return made

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return put


def told(name: str, recorder: Recorder, folder: Path, step: int, status: str) -> list:
    made = tracking([name])
    assert made.start(of(folder, step)) == made.log(RECORD, 5) == made.end(status) == []
    calls, recorder.calls = recorder.calls, []
    return calls


def test_wandb_is_called_as_it_expects_and_goes_on_under_its_identity(library, tmp_path):
    recorder, settings = library("wandb"), {"project": "sensorium", "name": "try", "dir": str(tmp_path), "resume": "allow"}
    config = {"config": {"lr": 0.1, "widths": [1, 2]}}
    first, second = told("wandb", recorder, tmp_path, 0, "done"), told("wandb", recorder, tmp_path, 4, "stopped")
    assert first == [
        ("init", (), settings | config | {"id": None}),
        ("log", (NUMBERS,), {"step": 5}),
        ("finish", (), {"exit_code": 0}),
    ]
    assert second[0][2]["id"] == "r1" and second[-1] == ("finish", (), {"exit_code": 1})
    assert told("wandb", recorder, tmp_path, 0, "done")[0][2]["id"] is None, "a run from the start is a new one"


def test_trackio_is_called_as_it_expects(library, tmp_path):
    recorder = library("trackio")
    given = {"project": "sensorium", "name": "try", "config": {"lr": 0.1, "widths": [1, 2]}, "resume": "never"}
    assert told("trackio", recorder, tmp_path, 0, "done") == [
        ("init", (), given),
        ("log", (NUMBERS,), {"step": 5}),
        ("finish", (), {}),
    ]
    assert told("trackio", recorder, tmp_path, 4, "done")[0][2]["resume"] == "allow"


def test_mlflow_is_called_as_it_expects(library, tmp_path, monkeypatch):
    recorder = library("mlflow")
    assert told("mlflow", recorder, tmp_path, 0, "done") == [
        ("set_tracking_uri", (f"sqlite:///{tmp_path}/mlflow.db",), {}),
        ("set_experiment", ("sensorium",), {}),
        ("start_run", (), {"run_id": None, "run_name": "try"}),
        ("log_params", ({"lr": "0.1", "widths": "[1, 2]"},), {}),
        ("log_metrics", (NUMBERS,), {"step": 5}),
        ("end_run", ("FINISHED",), {}),
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    verbs = told("mlflow", recorder, tmp_path, 4, "stopped")
    assert [verb for verb, _, _ in verbs] == ["set_experiment", "start_run", "log_metrics", "end_run"]
    assert verbs[1][2]["run_id"] == "r1" and verbs[-1][1] == ("FAILED",)


class Breaks:
    """Fails at its third call."""

    def __init__(self):
        self.calls = 0

    def start(self, run: Run) -> None:
        self.calls += 1

    def log(self, record, step: int) -> None:
        self.calls += 1
        if self.calls == 3:
            raise ConnectionError("no route")

    def end(self, status: str) -> None:
        self.calls += 1


def test_a_tracker_that_fails_is_told_once_and_hears_no_more(tmp_path, capsys):
    broken, well = Breaks(), Breaks()
    well.calls = 100
    made = Tracking({"broken": broken, "well": well})
    heard = [made.start(of(tmp_path)), *(made.log(RECORD, step) for step in (1, 2, 3)), made.end("done")]
    assert heard == [[], [], ["broken stopped tracking at its log: ConnectionError: no route"], [], []]
    assert (broken.calls, well.calls) == (3, 105)


def test_a_greeting_does_not_get_into_what_a_command_prints(tmp_path, capsys):
    class Greets(Breaks):
        def start(self, run: Run) -> None:
            print("hello")

    Tracking({"greets": Greets()}).start(of(tmp_path))
    assert capsys.readouterr() == ("", "hello\n")


def test_an_unknown_tracker_and_one_that_is_not_installed_are_told_before_anything_is_trained(monkeypatch):
    with pytest.raises(UnknownName, match="Did you mean 'tensorboard'"):
        tracking(["tensorbord"])
    for name, library in {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow"}.items():
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(MissingExtra, match=rf"needs {library}.*pip install"):
            tracking([name])
    assert set(TRACKERS) == {"tensorboard", "wandb", "trackio", "mlflow"}


def test_only_numbers_are_told():
    assert numbers(RECORD) == NUMBERS
