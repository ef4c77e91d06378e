"""`--columns`, and which run's mapping and split `evaluate` and `index` take unless told."""

import json

import pytest
from data.trees import write
from modalities.samples import save, smooth

from sensorium.cli.columns import given, trained_on, words
from sensorium.cli.main import WrongUsage, main


def test_words_become_the_mapping_that_python_takes():
    said = (("text=Beschreibung", "image=Bild der Sache"), ("text=Titel", "split="))
    mapping = {"text": ["Beschreibung", "Titel"], "image": ["Bild der Sache"], "split": []}
    assert given(said) == mapping and given(()) is None
    assert words(mapping) == ["--columns", "text=Beschreibung", "text=Titel", "image=Bild der Sache", "split="]
    assert given((tuple(words(mapping)[1:]),)) == mapping and words(None) == []
    assert given((("text=a=b",),)) == {"text": ["a=b"]}


@pytest.mark.parametrize("said", [(("photos/",),), (("=Bild",),), ((),), (("text=a", "text=a"),)])
def test_what_is_no_mapping_is_wrong_usage(said):
    with pytest.raises(WrongUsage, match="--columns"):
        given(said)


@pytest.fixture
def table(tmp_path):
    """Pictures, and a table of them with two columns that might be captions."""
    rows = ["Bild;Beschreibung;Notiz"]
    for i in range(4):
        save(tmp_path / f"{i}.png", smooth(20, 20, seed=i))
        rows.append(f"{i}.png;ein Kreis Nummer {i};fotografiert am Tag {i}")
    return write(tmp_path / "liste.csv", "\n".join(rows))


def test_check_reads_a_table_as_it_is_told(table, capsys):
    assert main(["data", "check", str(table), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"image": 4}
    assert main(["data", "check", str(table), "--columns", "text=Notiz", "--columns", "image=Bild", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"] == {"image": 4, "text": 4} and report["layout"].endswith("image from Bild, text from Notiz")
    for said, code, text in (
        ("text=Notitz", 1, "no column 'Notitz' for 'text'. Did you mean 'Notiz'"),
        ("txt=Notiz", 1, "there is no such kind. Did you mean 'text'"),
        ("Notiz", 2, "--columns Notiz: expected kind=column"),
    ):
        assert main(["data", "check", str(table), "--columns", said]) == code
        assert text in capsys.readouterr().err.replace("\n", " ")
    assert main(["data", "check", str(table.parent), "--columns", "text=Notiz"]) == 1, "no table is read there"
    assert "there is no table here" in capsys.readouterr().err


def test_too_little_names_the_columns_that_were_left_aside(table, tmp_path, capsys):
    assert main(["train", str(table), "--out", str(tmp_path / "run")]) == 1
    assert "not used: Beschreibung, Notiz: say what they hold with --columns text=Beschreibung" in capsys.readouterr().err


def test_only_a_run_on_the_same_data_has_a_mapping_and_items_that_were_kept_apart(tmp_path):
    run = tmp_path / "run"
    for name in ("photos/manifest.csv", "csvs/train.csv", "csvs/test.csv"):
        write(tmp_path / name, "image,caption\n")

    def found(trained: str | list[str], asked: str) -> bool:
        path = str(tmp_path / trained) if isinstance(trained, str) else [str(tmp_path / one) for one in trained]
        write(run / "run.json", json.dumps({"arguments": {"path": path, "columns": {"text": ["Notiz"]}}}))
        of = trained_on(str(run), str(tmp_path / asked))
        assert of in ({}, {"path": path, "columns": {"text": ["Notiz"]}})
        return bool(of)

    assert found("photos", "photos") and found("photos", "photos/manifest.csv") and found("photos/manifest.csv", "photos")
    assert found("csvs/train.csv", "csvs/train.csv") and found(["photos", "csvs/train.csv"], "csvs/train.csv")
    assert not found("csvs/train.csv", "csvs/test.csv") and not found("photos", "csvs")
    assert not found(["photos", "csvs/train.csv"], "csvs/test.csv")
    for text in ("[]", '{"arguments": null}', "{}"):
        write(run / "run.json", text)
        assert trained_on(str(run), str(tmp_path / "photos")) == {}
    (run / "run.json").unlink()
    assert trained_on(str(run), str(tmp_path / "photos")) == {}
