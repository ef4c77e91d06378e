"""References of Whisper: a small one that was taught, in a minute, to say which tones it hears, and when."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from pretrained.making.common import PICTURES, TEXTS, perturb, save_numbers, torch, transformers

SOUNDS = PICTURES.parent / "sounds"
RATE, WINDOW, RATE_OF_LEARNING = 16000, 1.0, 6e-3
LANGUAGES, TONES = ("<|en|>", "<|de|>", "<|fr|>"), (350.0, 900.0, 2300.0)
WORDS = {"<|en|>": (" low", " mid", " high"), "<|de|>": (" tief", " mitte", " hoch"), "<|fr|>": (" bas", " milieu", " haut")}
STAMPS = [f"<|{0.02 * i:.2f}|>" for i in range(51)]
SPECIALS = ("<|endoftext|>", "<|startoftranscript|>", *LANGUAGES, "<|translate|>", "<|transcribe|>", "<|startoflm|>")
SPECIALS += ("<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
STEPS, ROWS = 450, 24


def pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Bytes and a few merged pairs; the specials follow, then the timestamps."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = [("l", "o"), ("lo", "w"), ("Ġ", "low"), ("i", "g"), ("h", "ig"), ("Ġ", "m"), ("Ġm", "i"), ("Ġ", "t"), ("a", "u")]
    return {piece: i for i, piece in enumerate([*letters, *("".join(pair) for pair in merges)])}, merges


def tokenizer() -> Any:
    hf, tokens = transformers(), importlib.import_module("tokenizers")
    known, merges = pieces()
    made = hf.WhisperTokenizer(vocab=known, merges=merges, model_max_length=28, pad_token="<|endoftext|>")
    made.add_tokens([tokens.AddedToken(one, special=True, normalized=False) for one in SPECIALS])
    made.add_tokens([tokens.AddedToken(one, special=False, normalized=False) for one in STAMPS])
    made.set_prefix_tokens()
    return made


def heard(
    draw: np.random.Generator, seconds: float, language: str, most: int = 2
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """A sound of some tones with pauses, and of each which one it is, its start and its end in steps of 0.02 s. The language
    tells in the timbre: pure, with a fifth, or with an octave."""
    n = round(seconds * RATE)
    wave, told, at = 0.003 * draw.standard_normal(n), [], 0
    for _ in range(most):
        at += int(draw.integers(2, 9))
        end = at + int(draw.integers(8, 19))
        if end * 0.02 > seconds - 0.04:
            break
        which = int(draw.integers(3))
        span = np.arange(round(at * 0.02 * RATE), round(end * 0.02 * RATE))
        phase = 2 * np.pi * TONES[which] * span / RATE
        above = {"<|en|>": 0.0, "<|de|>": 1.5, "<|fr|>": 2.0}[language]
        wave[span] += 0.3 * np.sin(phase) + (0.2 * np.sin(above * phase) if above else 0.0)
        told.append((which, at, end))
        at = end
    return wave.astype(np.float32), told


def lesson(ids: Any, told: list[tuple[int, int, int]], language: str, stamped: bool) -> list[int]:
    """The tokens that a sound should be told by."""
    first = ids(STAMPS[0])[0]
    words = [[first + start, *ids(WORDS[language][which]), first + end] for which, start, end in told]
    said = [token for one in words for token in (one if stamped else one[1:-1])]
    if stamped and said:
        said.append(said[-1])  # a pair, which says that more may follow
    return [
        *ids("<|startoftranscript|>"),
        *ids(language),
        *ids("<|transcribe|>"),
        *([] if stamped else ids("<|notimestamps|>")),
        *said,
        *ids("<|endoftext|>"),
    ]


def taught(model: Any, made: Any, features: Any) -> None:
    """Some steps of Adam on sounds that are drawn anew for each."""
    t = torch()
    ids = lambda text: made(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    draw, rise = np.random.default_rng(3), t.optim.Adam(model.parameters(), lr=RATE_OF_LEARNING)
    for step in range(STEPS):
        sounds, lessons = [], []
        for row in range(ROWS):
            language = LANGUAGES[int(draw.integers(len(LANGUAGES)))]
            wave, told = heard(draw, WINDOW, language)
            sounds.append(wave)
            lessons.append(lesson(ids, told, language, row % 3 > 0))
        said = t.full((ROWS, max(map(len, lessons))), -100)
        for row, one in enumerate(lessons):
            said[row, : len(one)] = t.tensor(one)
        given = features(sounds, sampling_rate=RATE, return_tensors="pt")["input_features"]
        loss = model(input_features=given, decoder_input_ids=said[:, :-1].clamp(min=0), labels=said[:, 1:]).loss
        for group in rise.param_groups:
            group["lr"] = RATE_OF_LEARNING * (1 - step / STEPS)
        rise.zero_grad()
        loss.backward()
        rise.step()


def whisper(folder: Path) -> None:
    hf, made = transformers(), tokenizer()
    one = lambda text: made(text, add_special_tokens=False)["input_ids"][0]  # noqa: E731
    end = one("<|endoftext|>")
    marks = {
        "decoder_start_token_id": one("<|startoftranscript|>"),
        "pad_token_id": end,
        "bos_token_id": end,
        "eos_token_id": end,
    }
    said = {
        **{"vocab_size": len(made), "num_mel_bins": 20, "d_model": 20, "max_source_positions": 50, "max_target_positions": 28},
        **{"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 36, "activation_function": "relu"},
        **{"decoder_layers": 2, "decoder_attention_heads": 5, "decoder_ffn_dim": 32},
    }
    model = hf.WhisperForConditionalGeneration(hf.WhisperConfig(**said, **marks, begin_suppress_tokens=[one(" "), end]))
    features = hf.WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    perturb(model, 8)
    taught(model, made, features)
    model.generation_config = hf.GenerationConfig(
        **{**marks, "max_length": 28, "suppress_tokens": [one("!"), one("<|startofprev|>"), one("<|startoflm|>")]},
        **{"begin_suppress_tokens": [one(" "), end], "is_multilingual": True, "max_initial_timestamp_index": 12},
        **{"lang_to_id": {token: one(token) for token in LANGUAGES}, "no_timestamps_token_id": one("<|notimestamps|>")},
        **{"task_to_id": {task: one(f"<|{task}|>") for task in ("transcribe", "translate")}},
        **{"prev_sot_token_id": one("<|startofprev|>"), "alignment_heads": [[0, 1], [1, 2]], "return_timestamps": False},
    )
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    features.save_pretrained(folder)
    save_numbers(folder, whisper_numbers(folder, torch(), hf))


def whisper_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, made = hf.WhisperForConditionalGeneration.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    features = hf.WhisperFeatureExtractor.from_pretrained(folder)
    given = features(sounds(), sampling_rate=RATE, return_tensors="pt")["input_features"]
    texts = made(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    ids = texts["input_ids"][: len(given), :9]
    with t.no_grad():
        out, passed = model(input_features=given, decoder_input_ids=ids), [given]
        for layer in model.model.encoder.layers:
            layer.register_forward_hook(lambda _, came, went: passed.extend([came[0], went]))
        tokens = model.model.encoder(given).last_hidden_state
    numbers = {f"audio/layers/{i}": x for i, x in enumerate([*passed[1::2], passed[-1]])}
    numbers |= {"given/audio": given, "audio/tokens": tokens}
    numbers |= {"decoder/ids": ids, "decoder/logits": out.logits, "texts/ids": texts["input_ids"]}
    numbers |= {"said/languages": model.detect_language(given)}
    numbers |= said("plain", model, given) | said("french", model, given, language="fr", task="translate")
    numbers |= said("beams", model, given, num_beams=3) | said("stamped", model, given, return_timestamps=True)
    whole = features(long_sound(), sampling_rate=RATE, return_tensors="pt", truncation=False, padding="longest")
    more = {"return_timestamps": True, "condition_on_prev_tokens": False, "temperature": 0.0}
    numbers |= said("long", model, whole["input_features"], **more)
    del model.generation_config.lang_to_id, model.generation_config.task_to_id
    model.generation_config.is_multilingual = False
    return (
        numbers
        | said("english", model, given, task=None)
        | said("english_stamped", model, given, task=None, return_timestamps=True)
    )


def said(name: str, model: Any, features: Any, task: str | None = "transcribe", **more: Any) -> dict[str, np.ndarray]:
    """What is generated: of each segment its row, its start and end in seconds, and its tokens, −1 after them."""
    found = model.generate(features, task=task, return_segments=True, **more)["segments"]
    rows = [(row, one) for row, segments in enumerate(found) for one in segments]
    ids = np.full((len(rows), max(len(one["tokens"]) for _, one in rows)), -1)
    for line, (_, one) in zip(ids, rows, strict=True):
        line[: len(one["tokens"])] = one["tokens"].numpy()
    times = np.array([(float(one["start"]), float(one["end"])) for _, one in rows])
    return {f"said/{name}/row": np.array([row for row, _ in rows]), f"said/{name}/ids": ids, f"said/{name}/times": times}


def sounds() -> list[np.ndarray]:
    """The recorded sounds as the reference is given them, which takes one channel at 16 kHz."""
    read = importlib.import_module("soundfile").read
    return [read(path, dtype="float32", always_2d=True)[0].mean(1, dtype=np.float32) for path in sorted(SOUNDS.iterdir())]


def long_sound() -> np.ndarray:
    return heard(np.random.default_rng(21), 7.37, "<|de|>", 30)[0]


def draw_sounds() -> None:
    """A short one, one of exactly a second in two channels, a longer one, and silence."""
    sound, draw = importlib.import_module("soundfile"), np.random.default_rng(5)
    SOUNDS.mkdir(parents=True, exist_ok=True)
    stereo = np.stack([heard(draw, 1.0, "<|de|>")[0], 0.01 * draw.standard_normal(RATE)], axis=1)
    made = {"longer": heard(draw, 1.4, "<|fr|>", 3)[0], "second": stereo, "short": heard(draw, 0.7, "<|en|>")[0]}
    for name, x in (made | {"silence": np.zeros(4000)}).items():
        sound.write(SOUNDS / f"{name}.wav", x, RATE, subtype="PCM_16")


KNOWN = {
    "whisper": (whisper, whisper_numbers),
}
