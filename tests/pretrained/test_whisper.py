"""Whisper against transformers: sounds, tokens, logits; what is written with and without timestamps, by windows, by beams."""

import json
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pretrained.making.common import TEXTS
from pretrained.making.whisper import RATE, SOUNDS, heard, long_sound
from pretrained.test_families import NEAR, RECORDED, copied, loaded, off, reference, tower

import sensorium
from sensorium.cli.main import main
from sensorium.core.errors import BadFile, UnknownName
from sensorium.decoders.timestamps import timed, unsaid
from sensorium.modalities import Audio
from sensorium.modalities.transcript import Marks, NotAsked, Transcript
from sensorium.models import Generator
from sensorium.models.transcribe import Manner, Piece, Transcriber, cut, spectrogram
from sensorium.pretrained.tensors import tensors, write

MARKS = Marks(
    start=6, end=5, plain=9, languages=(("en", 7),), tasks=(("transcribe", 8),), never=(2,), never_first=(3, 5), latest=2
)
"""Words are ids up to 4, timestamps those from 10 on."""


def made() -> tuple[Generator, Audio, Transcript]:
    model, (sounds, texts) = loaded("whisper").model, loaded("whisper").fields
    assert isinstance(model, Generator) and isinstance(sounds, Audio) and isinstance(texts, Transcript)
    return model, sounds, texts


@cache
def transcriber(english: bool = False) -> Transcriber:
    out = Transcriber(loaded("whisper").model, loaded("whisper").fields)
    if english:
        out.marks = replace(out.marks, languages=(), tasks=())
    return out


def said(name: str, row: int) -> list[tuple[list[int], np.ndarray]]:
    """What the reference wrote about a sound: tokens, and start and end in seconds."""
    rows, ids, times = (reference("whisper")[f"said/{name}/{part}"] for part in ("row", "ids", "times"))
    return [([*line[line >= 0]], time) for at, line, time in zip(rows, ids, times, strict=True) if at == row]


def test_sounds_are_made_ready_as_the_reference_does_it():
    """Short, silent, of two channels and just as long, longer: by the encoder, and in float64 by the transcriber."""
    _, field, _ = made()
    given, paths = reference("whisper")["given/audio"], sorted(SOUNDS.iterdir())
    waves = np.stack([field.prepare(path)["audio"] for path in paths])
    assert len(waves) == len(given) == 4 and waves.shape[1] == RATE
    got = tower(loaded("whisper"), "audio").normalised(jnp.asarray(waves))
    np.testing.assert_allclose(got, given, atol=1e-4, rtol=0)
    for wave, expected in zip(waves, given, strict=True):
        np.testing.assert_allclose(spectrogram(transcriber().front, wave).T, expected, atol=1e-4, rtol=0)


def test_a_sound_of_another_rate_is_as_one_of_its_own():
    _, field, _ = made()
    tones = [np.sin(2 * np.pi * 440 * np.arange(rate) / rate) * np.hanning(rate) for rate in (44100, RATE)]
    waves = [field.whole((np.stack([tone, tone], axis=1), len(tone))) for tone in tones]
    assert [len(wave) for wave in waves] == [RATE, RATE]
    a, b = (spectrogram(transcriber().front, wave) for wave in waves)
    assert np.abs(a - b)[b > b.max() - 1].max() < 1e-3 and np.ptp(b) > 1.5


def test_a_long_sound_is_computed_block_by_block_to_the_same(monkeypatch):
    wave = long_sound()
    whole = spectrogram(transcriber().front, wave)
    monkeypatch.setattr("sensorium.models.transcribe.BLOCK", 97)
    np.testing.assert_allclose(spectrogram(transcriber().front, wave), whole, atol=1e-6, rtol=0)
    np.testing.assert_allclose(transcriber().front.exact(wave[None])[0], whole, atol=1e-6, rtol=0)


def test_texts_become_the_tokens_of_the_reference_and_words_are_told_without_marks():
    _, _, field = made()
    assert (field.prepare_batch(TEXTS)["text"] == reference("whisper")["texts/ids"]).all()
    ids = [
        field.marks.start,
        268,
        field.marks.first + 3,
        *field._reader.numbers(" low, É")[2:-1],
        field.marks.first + 9,
        field.marks.end,
    ]
    assert field.told(ids) == "low, É"


def test_logits_of_every_place_are_the_reference_s():
    model, _, _ = made()
    numbers = reference("whisper")
    graph, state = sensorium_split(model)
    logits = jax.jit(lambda state, x, ids: graph(state).decoder(ids, graph(state).context({"audio": x})))
    assert off(logits(state, numbers["given/audio"], numbers["decoder/ids"]), numbers["decoder/logits"]) < NEAR


def sensorium_split(model: Generator):
    from flax import nnx

    graph, state = nnx.split(model)
    return lambda state: nnx.merge(graph, state), state


WAYS = {
    "plain": (Manner(), False, (0, 1, 2, 3)),
    "french": (Manner("French", "translate"), False, (0, 2, 3)),
    "beams": (Manner(beams=3), False, (0, 1)),
    "stamped": (Manner(timestamps=True), False, (0, 1, 2, 3)),
    "english": (Manner(), True, (1, 2)),
    "english_stamped": (Manner(timestamps=True), True, (0, 3)),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_is_written_is_what_the_reference_writes(name):
    """It goes on into the silence that fills a window up, where `transcribe` stops at the end of the sound."""
    manner, english, rows = WAYS[name]
    model, numbers = transcriber(english), reference("whisper")
    for row in rows:
        pieces = model.pieces(loaded("whisper").parameters(), numbers["given/audio"][row].T, 100, manner)
        expected = said(name, row)
        assert [piece.ids for piece in pieces] == [ids for ids, _ in expected]
        np.testing.assert_allclose([(p.start / 100, p.end / 100) for p in pieces], [times for _, times in expected], atol=1e-6)
    assert len({str(said(name, row)) for row in rows}) == len(rows), "unlike sounds, unlike texts"


def test_a_long_sound_is_written_window_by_window_as_the_reference_does_it():
    told: list[tuple[float, float]] = []
    model, wave, expected = loaded("whisper"), long_sound(), said("long", 0)
    features = spectrogram(transcriber().front, wave)
    pieces = transcriber().pieces(model.parameters(), features, len(features), Manner(timestamps=True))
    assert [piece.ids for piece in pieces] == [ids for ids, _ in expected] and len(pieces) > 15
    manner = Manner(timestamps=True)
    segments = transcriber()(model.parameters(), (wave, RATE), manner, lambda done, total: told.append((done, total)))
    assert isinstance(segments, list)
    np.testing.assert_allclose([segment[:2] for segment in segments], [times for _, times in expected], atol=1e-6)
    truth = heard(np.random.default_rng(21), 7.37, "<|de|>", 30)[1]
    assert abs(len(segments) - len(truth)) <= 2 and segments[-1].start > 6.9
    assert told[-1] == (7.37, 7.37) and told == sorted(told) and len(told) > 5
    assert transcriber()(model.parameters(), (wave, RATE), Manner()) == " ".join(segment.text for segment in segments)


def test_a_short_sound_ends_where_it_ends_and_is_heard_from_any_source(capsys, monkeypatch):
    model, path = loaded("whisper"), SOUNDS / "short.wav"
    monkeypatch.setattr(model, "_transcriber", transcriber())  # compiled already
    segments = model.transcribe(path, timestamps=True)
    assert isinstance(segments, list)
    assert [segment.text for segment in segments] == ["high", "high"] and segments[-1].start < 0.7
    assert model.transcribe(path) == model.transcribe(path.read_bytes()) == "low high"
    monkeypatch.setattr(sensorium, "load", lambda name: {"models/w": model}[name])
    assert main(["transcribe", str(path), "--model", "models/w", "--timestamps", "--language", "en", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["segments"] == [segment._asdict() for segment in segments] and answer["model"] == "models/w"
    assert main(["transcribe", str(path), "--model", "models/w", "--timestamps"]) == 0
    assert capsys.readouterr().out.splitlines() == ["[0.10 → 0.42] high", "[0.50 → 0.74] high"]


def test_what_cannot_be_is_told(capsys):
    model, sound = loaded("whisper"), SOUNDS / "nothing.wav"  # told before it is read
    with pytest.raises(UnknownName, match=r"language='germn'.*Did you mean 'german'"):
        model.transcribe(sound, language="germn")
    with pytest.raises(UnknownName, match=r"no task of this model.*translate"):
        model.transcribe(sound, task="translatte")
    with pytest.raises(ValueError, match="beams=0"):
        model.transcribe(sound, beams=0)
    with pytest.raises(BadFile, match="no such file"):
        model.transcribe(sound)
    with pytest.raises(NotAsked, match="English alone"):
        transcriber(english=True).prompt(Manner("en"))
    with pytest.raises(NotAsked, match="only transcribes"):
        transcriber(english=True).prompt(Manner(task="translate"))
    assert main(["transcribe", str(SOUNDS / "short.wav"), "--model", str(RECORDED / "clip")]) == 1
    assert "writes no transcripts" in capsys.readouterr().err


def test_an_hour_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setenv("SENSORIUM_LIMITS", "sound_numbers=20000")
    with pytest.raises(BadFile, match=r"sound_numbers=22400"):
        Audio("audio", RATE, 1.0).whole(SOUNDS / "longer.wav")


@pytest.mark.parametrize(
    ("ids", "pieces", "step"),
    [
        ([10, 1, 13, 13, 1, 16, 16], [(0, 6, [10, 1, 13]), (6, 12, [13, 1, 16, 16])], 12),
        ([10, 1, 13, 13, 1, 16], [(0, 6, [10, 1, 13]), (6, 12, [13, 1, 16])], 30),
        ([10, 1, 13, 14, 1], [(0, 6, [10, 1, 13, 14])], 6),
        ([10, 1, 13], [(0, 6, [10, 1, 13])], 30),
        ([10, 1, 2], [(0, 30, [10, 1, 2])], 30),
        ([], [(0, 30, [])], 30),
    ],
)
def test_segments_are_cut_where_two_timestamps_meet(ids, pieces, step):
    assert cut(ids, MARKS, 30) == ([Piece(*piece) for piece in pieces], step)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ([], {10, 11, 12}),  # a timestamp, not too late
        ([10], {0, 1, 3, 4, 5, 6, 7, 8}),  # no second one before text
        ([11, 1], {0, 1, 3, 4, 5, 6, 7, 8, 12, 13}),  # none before the last, nor it again
        ([11, 1, 12], {5, 6, 7, 8, 12, 13}),  # its pair, a later one, or the end
        ([11, 1, 12, 12], {0, 1, 3, 4, 5, 6, 7, 8}),
    ],
)
def test_what_may_be_written_after_what(words, allowed):
    rule, so_far = jax.jit(timed(MARKS)), jnp.asarray([[*words, *[13] * (6 - len(words))]])
    got = rule(jnp.zeros((1, 14)).at[0, :10].set(9.0), so_far, jnp.int32(len(words)))[0]  # words likelier than all timestamps
    assert set(np.flatnonzero(np.isfinite(got))) == allowed
    if words == [11, 1]:  # all timestamps together likelier than any word
        got = rule(jnp.zeros((1, 14)), so_far, jnp.int32(2))[0]
        assert set(np.flatnonzero(np.isfinite(got))) == {12, 13}


def test_without_timestamps_some_tokens_are_never_written_and_some_not_first():
    for place, left_out in ((0, {2, 3, 5}), (1, {2})):
        got = unsaid(MARKS)(jnp.zeros((1, 14)), jnp.zeros((1, 3), jnp.int32), jnp.int32(place))[0]
        assert set(np.flatnonzero(~np.isfinite(got))) == left_out


def test_what_generation_config_says_is_written_back(tmp_path):
    loaded("whisper").save_pretrained(tmp_path)
    before, after = (json.loads((path / "generation_config.json").read_text()) for path in (RECORDED / "whisper", tmp_path))
    before.pop("transformers_version")
    assert after == before and after["alignment_heads"] == [[0, 1], [1, 2]]
    kept = json.loads((RECORDED / "whisper/preprocessor_config.json").read_text())
    assert {key: kept.get(key) for key in json.loads((tmp_path / "preprocessor_config.json").read_text())} | {
        "processor_class": "WhisperProcessor"
    } == json.loads((tmp_path / "preprocessor_config.json").read_text())


def spoken(model: sensorium.Sensorium) -> int | None:
    field = model.field("text")
    assert isinstance(field, Transcript)
    return field.marks.spoken


@pytest.mark.parametrize("generation", [{}, {"forced_decoder_ids": None}, {"forced_decoder_ids": [[1, None]]}])
def test_a_language_that_config_json_alone_forces_counts_as_in_the_reference(generation, tmp_path):
    """So models were fine-tuned to one language before generation_config.json said it."""
    folder = copied("whisper", tmp_path)
    for name, more in (("config.json", {"forced_decoder_ids": [[1, 269], [2, 271]]}), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | more))
    model = sensorium.load(folder)
    expected = None if generation.get("forced_decoder_ids") else 269
    assert spoken(model) == expected
    model.save_pretrained(tmp_path / "again")
    assert spoken(sensorium.load(tmp_path / "again")) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"language": "french"},
        {"language": "<|fr|>"},
        {"forced_decoder_ids": [[1, 269], [2, 271]]},
        {"forced_decoder_ids": [[1, None]]},
    ],
)
def test_a_model_of_one_language_need_not_find_it_out(more):
    said = json.loads(made()[2].generation)
    marks = Marks.of(said | more)
    assert marks.spoken == (None if more.get("forced_decoder_ids") == [[1, None]] else 269)
    assert Marks.of(said).spoken is None
    with pytest.raises(UnknownName, match="'klingon'"):
        Marks.of(said | {"language": "klingon"})


def test_an_older_folder_says_the_same_by_its_tokens(tmp_path):
    """vocab.json, merges.txt and added_tokens.json; no generation_config.json; no prefix before the names of arrays."""
    folder = copied("whisper", tmp_path)
    tokens = json.loads((folder / "tokenizer.json").read_text())
    added = {one["content"]: one["id"] for one in tokens["added_tokens"]}
    (folder / "vocab.json").write_text(json.dumps(tokens["model"]["vocab"] | {"<|endoftext|>": added.pop("<|endoftext|>")}))
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in tokens["model"]["merges"]))
    for name in ("tokenizer.json", "generation_config.json"):
        (folder / name).unlink()
    found = {name.removeprefix("model."): tensor.read() for name, tensor in tensors(RECORDED / "whisper").items()}
    write(folder / "model.safetensors", found | {"proj_out.weight": found["decoder.embed_tokens.weight"]})
    model = sensorium.load(folder)
    text = model.field("text")
    assert isinstance(text, Transcript)
    assert (text.prepare_batch(TEXTS)["text"] == reference("whisper")["texts/ids"]).all()
    assert text.marks == replace(
        made()[2].marks, languages=(), tasks=(), never=(), latest=None, length=0
    )  # of a small vocabulary
    assert (
        off(model.outputs(audio=reference("whisper")["given/audio"])["audio/tokens"], reference("whisper")["audio/tokens"]) < NEAR
    )


def test_an_encoder_alone_hears_and_is_given_back_but_writes_nothing(tmp_path):
    folder = copied("whisper", tmp_path)
    found = {name: tensor.read() for name, tensor in tensors(folder).items() if name.startswith("model.encoder.")}
    write(folder / "model.safetensors", {name.removeprefix("model.encoder."): x for name, x in found.items()})
    model = sensorium.load(folder)
    paths = sorted(SOUNDS.iterdir())
    np.testing.assert_allclose(model.encode(audio=paths)["audio"], loaded("whisper").encode(audio=paths)["audio"], atol=1e-6)
    with pytest.raises(NotAsked, match="an encoder alone only hears"):
        model.transcribe(paths[0])
    model.save_pretrained(tmp_path / "again")
    assert tensors(tmp_path / "again").keys() == tensors(folder).keys()
    assert sensorium.load(tmp_path / "again").fingerprint == model.fingerprint


def test_a_folder_whose_spectrograms_do_not_fit_is_told(tmp_path):
    folder = copied("whisper", tmp_path)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(said | {"chunk_length": 30}))
    with pytest.raises(BadFile, match=r"20 bands × 3000 frames, where the model is built for 20 × 100"):
        sensorium.load(folder)
