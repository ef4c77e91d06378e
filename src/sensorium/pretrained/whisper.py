"""Whisper (Radford et al. 2022): sounds, and transcripts of them, in the layout that openai/whisper-tiny has on the Hub."""

import json
from dataclasses import fields as parts
from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.files import read_json
from sensorium.core.protocols import Modality
from sensorium.modalities import Audio, Text
from sensorium.modalities.languages import LANGUAGES
from sensorium.modalities.transcript import Marks, Transcript
from sensorium.pretrained.clip_tokens import merged
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.preprocess import PICTURES, TOKENS, ready_said, text_field, text_files, tokenizer_of, vocabulary
from sensorium.pretrained.rules import Layout, Names, Rule, linear, norm

DEFAULTS: Json = {
    **{"vocab_size": 51865, "num_mel_bins": 80, "d_model": 384, "activation_function": "gelu", "scale_embedding": False},
    **{"encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "max_source_positions": 1500},
    **{"decoder_layers": 4, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536, "max_target_positions": 448},
    **{"decoder_start_token_id": 50257, "eos_token_id": 50256, "begin_suppress_tokens": [220, 50256]},
}
SOUNDS: Json = {"feature_size": 80, "sampling_rate": 16000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
"""What the classes of transformers take for what their files leave out."""
END, START, PLAIN = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
TASKS = ("transcribe", "translate")
FEWEST_OF_MANY = 51865
"""The vocabulary of models of many languages; those of English alone have one less."""
GENERATION, AUDIO, WRITER = "generation_config.json", "encoders.audio", "decoder.body"
TAPS = Layout(
    lambda x: x.transpose(2, 1, 0).reshape(-1, x.shape[0]) if x.ndim == 3 else x,
    lambda x: x.reshape(3, -1, x.shape[1]).transpose(2, 1, 0),
)
"""A convolution [out, in, 3] as the kernel of three frames side by side [3·in, out]."""


def describe(folder: Folder) -> Described:
    said = said_over(DEFAULTS, folder.config)
    checked(folder.where, said, scale_embedding=False, tie_word_embeddings=True)
    sounds, front = sound_field(folder, said)
    width = said["d_model"]
    audio = {
        **{"encoder": "published_audio", "length": said["max_source_positions"], "sound": front},
        "layers": _layers(said, "encoder") | {"key_bias": False},
    }
    if not folder.holds("decoder.embed_positions.weight", "model.decoder.embed_positions.weight"):
        return Described({"encoders": {"audio": audio}, "width": width, "bare": ["audio"]}, (sounds,))
    places = said["max_target_positions"]
    texts = text_field(folder, places, END, tokenizer(folder.path))
    generation = generated(folder, said, tokenizer_of(texts))
    decoder = {
        **{"decoder": "published", "form": "whisper", "vocabulary": said["vocab_size"], "length": places},
        "layers": _layers(said, "decoder"),
    }
    end = generation["eos_token_id"]
    arguments = {"encoders": {"audio": audio}, "decoder": decoder, "end": end, "pad": end}
    held = {part.name: getattr(texts, part.name) for part in parts(Text)}
    return Described(arguments, (sounds, Transcript(**held, generation=json.dumps(generation))), "generator")


def sound_field(folder: Folder, model: Json) -> tuple[Audio, Json]:
    """The field of sounds, and what the encoder is told of their spectrograms. `BadFile` where they do not fit the model."""
    where, said = ready_said(folder, "sounds", [PICTURES], ["feature_extractor"])
    said = said_over(SOUNDS, said)
    checked(where, said, dither=0.0, do_normalize=False, padding_value=0.0)
    field = Audio("audio", said["sampling_rate"], float(said["chunk_length"]))
    frames, built = field.samples // said["hop_length"], 2 * model["max_source_positions"]
    if (frames, said["feature_size"]) != (built, model["num_mel_bins"]):
        got, wanted = f"{said['feature_size']} bands × {frames} frames", f"{model['num_mel_bins']} × {built}"
        raise BadFile(f"{where}: spectrograms come out at {got}, where the model is built for {wanted}")
    front = {"rate": field.rate, "window": said["n_fft"], "hop": said["hop_length"], "bins": said["feature_size"]}
    return field, front


def generated(folder: Folder, model: Json, tokens: Json) -> Json:
    """generation_config.json; where there is none, as of old, what config.json and the tokens say. `BadFile` where it lacks what
    transcripts need."""
    said, numbers = folder.json(GENERATION), vocabulary(tokens)
    if said is None or "no_timestamps_token_id" not in said:
        if lacking := [token for token in (END, START, PLAIN) if token not in numbers]:
            raise BadFile(f"{folder.path / TOKENS}: lacks {', '.join(lacking)}, and there is no {GENERATION} that says their ids")
        languages = {f"<|{code}|>": numbers[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in numbers}
        found = {
            **{"decoder_start_token_id": numbers[START], "eos_token_id": numbers[END], "no_timestamps_token_id": numbers[PLAIN]},
            **{"suppress_tokens": model.get("suppress_tokens"), "begin_suppress_tokens": model["begin_suppress_tokens"]},
            **{
                "lang_to_id": languages,
                "task_to_id": {task: numbers[f"<|{task}|>"] for task in TASKS if f"<|{task}|>" in numbers},
            },
            "is_multilingual": model["vocab_size"] >= FEWEST_OF_MANY,
        }
        said = found | (said or {})
    said = {"decoder_start_token_id": model["decoder_start_token_id"], "eos_token_id": model["eos_token_id"]} | said
    if said.get("forced_decoder_ids") is None and model.get("forced_decoder_ids"):  # the language of a model fine-tuned of old
        said |= {"forced_decoder_ids": model["forced_decoder_ids"]}
    try:
        Marks.of(said)
    except (KeyError, TypeError, ValueError) as error:  # among them a language that it does not list
        raise BadFile(f"{folder.path / GENERATION}: says not what transcripts need: {type(error).__name__}: {error}") from error
    return {key: value for key, value in said.items() if key not in ("transformers_version", "_from_model_config")}


def tokenizer(path: Path) -> Json | None:
    """The tokenizer.json of a folder with vocab.json and merges.txt, and perhaps added_tokens.json; None where there is one."""
    if (path / TOKENS).is_file() or not (path / "vocab.json").is_file():
        return None
    known, more = (read_json(path / name) if (path / name).is_file() else {} for name in ("vocab.json", "added_tokens.json"))
    if END not in known | more:
        raise BadFile(f"{path / 'vocab.json'}: lacks {END}")
    numbers = {token: i for token, i in (known | more).items() if token == END or token in more}
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    marks = [token for token in (START, PLAIN) if token in numbers]
    about = [{"SpecialToken": {"id": token, "type_id": 0}} for token in (*marks, END)]
    whole = [*about[:-1], {"Sequence": {"id": "A", "type_id": 0}}, about[-1]]
    byte = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        **{"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte, "decoder": byte},
        "added_tokens": [
            {"id": i, "content": token, **kinds, "special": not token[2:-2].replace(".", "").isdigit()}
            for token, i in sorted(numbers.items(), key=lambda one: one[1])
        ],
        "post_processor": {
            **{
                "type": "TemplateProcessing",
                "single": whole,
                "pair": [*whole[:-1], {"Sequence": {"id": "B", "type_id": 1}}, about[-1]],
            },
            "special_tokens": {token: {"id": token, "ids": [numbers[token]], "tokens": [token]} for token in (*marks, END)},
        },
        "model": {
            **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": ""},
            **{
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": known,
                "merges": merged(path / "merges.txt"),
            },
        },
    }


def names(arguments: Json) -> Names:
    whole = "decoder" in arguments
    encoder = "model.encoder" if whole else ""
    table = {"query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj", "out": "self_attn.out_proj"}
    table |= {"up": "fc1", "down": "fc2", "norm_attention": "self_attn_layer_norm", "norm_perceptron": "final_layer_norm"}
    looks = {f"context_{ours}": theirs.replace("self_attn", "encoder_attn") for ours, theirs in list(table.items())[:4]}
    looks |= {"norm_context": "encoder_attn_layer_norm"}
    rules = [
        *_layer_rules(f"{AUDIO}.layers", f"{encoder}.layers", table),
        *_layer_rules(f"{WRITER}.layers", "model.decoder.layers", table | looks),
        *(Rule(f"{AUDIO}.{a}.kernel", f"{encoder}.{b}.weight", TAPS) for a, b in (("first", "conv1"), ("second", "conv2"))),
        *(Rule(f"{AUDIO}.{a}.bias", f"{encoder}.{b}.bias") for a, b in (("first", "conv1"), ("second", "conv2"))),
        Rule(f"{AUDIO}.positions", f"{encoder}.embed_positions.weight"),
        *norm(f"{AUDIO}.norm", f"{encoder}.layer_norm"),
        Rule(f"{WRITER}.table", "model.decoder.embed_tokens.weight"),
        Rule(f"{WRITER}.positions", "model.decoder.embed_positions.weight"),
        *norm(f"{WRITER}.norm_after", "model.decoder.layer_norm"),
    ]
    bare = [Rule(rule.ours, rule.theirs.removeprefix("."), rule.layout) for rule in rules]
    own = {} if whole else {"log_scale": 0.0}
    return Names(bare, own, ("proj_out.weight",), _whole if whole else _alone)


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    audio, sounds = arguments["encoders"]["audio"], the(fields, Audio)
    front = audio["sound"]
    preprocessor = {
        **{"feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "WhisperProcessor", "padding_value": 0.0},
        **{"feature_size": front["bins"], "sampling_rate": front["rate"], "hop_length": front["hop"], "n_fft": front["window"]},
        **{"chunk_length": int(sounds.seconds), "n_samples": sounds.samples, "nb_max_frames": sounds.samples // front["hop"]},
        **{"padding_side": "right", "return_attention_mask": False},
    }
    config = {
        **{"architectures": ["WhisperEncoder"], "model_type": "whisper", "is_encoder_decoder": True},
        **{"num_mel_bins": front["bins"], "max_source_positions": audio["length"], **_layers_said(audio["layers"], "encoder")},
    }
    if "decoder" not in arguments:
        return {"config.json": config, PICTURES: preprocessor}
    decoder, texts = arguments["decoder"], the(fields, Transcript)
    generation = json.loads(texts.generation)
    marks = {key: generation[key] for key in ("decoder_start_token_id", "eos_token_id")}
    marks |= {key: generation.get(key, generation["eos_token_id"]) for key in ("pad_token_id", "bos_token_id")}
    config |= {
        **{"architectures": ["WhisperForConditionalGeneration"], "vocab_size": decoder["vocabulary"], **marks},
        **{"max_target_positions": decoder["length"], **_layers_said(decoder["layers"], "decoder")},
        "begin_suppress_tokens": generation.get("begin_suppress_tokens"),
    }
    tokens = text_files(texts, "WhisperTokenizer", bos_token=END, eos_token=END, unk_token=END, add_prefix_space=False)
    return {"config.json": config, PICTURES: preprocessor, GENERATION: generation, **tokens}


def _layers(said: Json, part: str) -> Json:
    """The arguments of the layers of the encoder or the decoder."""
    return {
        **{"width": said["d_model"], "depth": said[f"{part}_layers"], "heads": said[f"{part}_attention_heads"]},
        **{"hidden": said[f"{part}_ffn_dim"], "activation": said["activation_function"], "eps": 1e-5},
    }


def _layers_said(said: Json, part: str) -> Json:
    """`_layers`, the other way round."""
    return {
        **{"d_model": said["width"], f"{part}_layers": said["depth"], f"{part}_attention_heads": said["heads"]},
        **{f"{part}_ffn_dim": said["hidden"], "activation_function": said["activation"]},
    }


def _layer_rules(ours: str, theirs: str, table: dict[str, str]) -> list[Rule]:
    """By a table of the parts of a layer: linear layers, and norms."""
    return [
        rule
        for a, b in table.items()
        for rule in (norm if a.startswith("norm") else linear)(f"{ours}.{{}}.{a}", f"{theirs}.{{}}.{b}")
    ]


def _whole(name: str) -> str:
    """A model without its head has no prefix before the names of its parts."""
    return name if name.startswith(("model.", "proj_out.")) else f"model.{name}"


def _alone(name: str) -> str:
    """An encoder within something else has a prefix."""
    return name.removeprefix("model.").removeprefix("encoder.")


WHISPER = Family(
    name="whisper",
    types=("whisper",),
    architectures=("WhisperForConditionalGeneration", "WhisperModel", "WhisperEncoder"),
    examples=(
        Example("openai/whisper-tiny", 37.8, "Apache-2.0"),
        Example("openai/whisper-base.en", 72.6, "Apache-2.0"),
        Example("openai/whisper-large-v3-turbo", 808.9, "MIT"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="what is said, in words with times; in English where wanted",
)
