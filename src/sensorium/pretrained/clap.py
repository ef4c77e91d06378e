"""CLAP (Wu et al. 2023): sounds and texts, in the layout of laion/clap-htsat-unfused and laion/clap-htsat-fused on the Hub."""

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.spectrogram import FILLS, Spectrogram
from sensorium.nn.log_mel import LogMel
from sensorium.pretrained.bert import PARTS
from sensorium.pretrained.clap_tokens import roberta_tokenizer
from sensorium.pretrained.clip import layers, layers_said, part
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.preprocess import PICTURES, ready_said, text_field, text_files, tokenizer_of
from sensorium.pretrained.rules import TURNED, Layout, Names, Rule, linear, norm, patches
from sensorium.pretrained.vit import layer_rules

TEXT: Json = {
    **{"vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
    **{"hidden_act": "gelu", "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-12, "pad_token_id": 1},
}
AUDIO: Json = {
    **{"window_size": 8, "num_mel_bins": 64, "spec_size": 256, "hidden_act": "gelu", "patch_size": 4, "patch_stride": [4, 4]},
    **{"hidden_size": 768, "depths": [2, 2, 6, 2], "num_attention_heads": [4, 8, 16, 32], "enable_fusion": False},
    **{"fusion_type": None, "patch_embed_input_channels": 1, "flatten_patch_embeds": True, "patch_embeds_hidden_size": 96},
    **{"enable_patch_layer_norm": True, "qkv_bias": True, "mlp_ratio": 4.0, "aff_block_r": 4, "layer_norm_eps": 1e-5},
}
SOUNDS: Json = {
    **{"feature_size": 64, "sampling_rate": 48000, "hop_length": 480, "max_length_s": 10, "fft_window_size": 1024},
    **{"frequency_min": 0, "frequency_max": 14000, "truncation": "fusion", "padding": "repeatpad"},
}
"""What the classes of transformers take for what their files leave out."""
FUSED, DRAWN = "fusion", "rand_trunc"
KERNEL = Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))
"""PyTorch's convolutions have the outputs first, then the inputs."""
POINT = patches(1)
"""A convolution of one place, which is a linear layer."""


def describe(folder: Folder) -> Described:
    text, audio = part(folder, "text_config", TEXT), part(folder, "audio_config", AUDIO)
    checked(folder.where, audio, patch_embed_input_channels=1, flatten_patch_embeds=True)
    if audio["enable_fusion"]:
        checked(folder.where, audio, fusion_type="aff_2d")
    stages = len(audio["depths"])
    if audio["hidden_size"] != audio["patch_embeds_hidden_size"] * 2 ** (stages - 1):
        told = f"{audio['patch_embeds_hidden_size']} numbers a patch come to {audio['hidden_size']} in {stages} stages"
        raise BadFile(f"{folder.where}: {told}; each stage after the first has to double them")
    pad = text["pad_token_id"]
    texts = text_field(folder, text["max_position_embeddings"] - pad - 1, "<pad>", roberta_tokenizer(folder))
    encoders = {
        "audio": {"encoder": "published_htsat", **_htsat(audio)},
        "text": {
            **{"encoder": "published_text", "form": "bert", "vocabulary": text["vocab_size"], "pad": pad},
            **{"length": text["max_position_embeddings"], "types": text["type_vocab_size"]},
            "layers": layers(text) | {"norm_first": False},
        },
    }
    between = folder.config.get("projection_hidden_act") or "relu"
    space = {"width": folder.config.get("projection_dim") or 512, "between": between, "own_scales": [["text", "audio"]]}
    return Described({"encoders": encoders, **space}, (sounds_field(folder, audio), texts))


def sounds_field(folder: Folder, audio: Json) -> Spectrogram:
    """The field of sounds that the preprocessor_config.json of a folder says; it has to fit the encoder."""
    where, said = ready_said(folder, "sounds", [PICTURES], ["feature_extractor"])
    said = said_over(SOUNDS, said)
    fused = said["truncation"] == FUSED
    if said["truncation"] not in (FUSED, DRAWN) or said["padding"] not in FILLS:
        told = f"truncation is {said['truncation']!r} and padding {said['padding']!r}"
        raise BadFile(f"{where}: {told}; known are {FUSED}, {DRAWN}, and {', '.join(FILLS)}")
    if fused != audio["enable_fusion"] or said["feature_size"] != audio["num_mel_bins"]:
        told = f"{said['truncation']} of {said['feature_size']} bands"
        built = f"{FUSED if audio['enable_fusion'] else DRAWN} of {audio['num_mel_bins']}"
        raise BadFile(f"{where}: sounds come out by {told}, where the model is built for {built}")
    bands = said["feature_size"], float(said["frequency_min"]), float(said["frequency_max"])
    front = LogMel(said["sampling_rate"], said["fft_window_size"], said["hop_length"], *bands, scale="htk" if fused else "slaney")
    return Spectrogram("audio", front, said["max_length_s"], said["padding"], fused)


def names(arguments: Json) -> Names:
    audio, text, texts = "encoders.audio", "encoders.text", "text_model"
    rules = [
        *_sound_rules(audio, "audio_model.audio_encoder", arguments["encoders"]["audio"]["depths"]),
        *layer_rules(text, f"{texts}.", PARTS),
        Rule(f"{text}.table", f"{texts}.embeddings.word_embeddings.weight"),
        Rule(f"{text}.positions", f"{texts}.embeddings.position_embeddings.weight"),
        Rule(f"{text}.types", f"{texts}.embeddings.token_type_embeddings.weight"),
        *norm(f"{text}.norm_before", f"{texts}.embeddings.LayerNorm"),
        *linear(f"{text}.dense", f"{texts}.pooler.dense"),
        Rule("log_scale", "logit_scale_a"),
        Rule("own_log_scales.text-audio", "logit_scale_t"),
    ]
    for field in ("audio", "text"):
        rules += linear(f"projections.{field}.up", f"{field}_projection.linear1")
        rules += linear(f"projections.{field}.down", f"{field}_projection.linear2")
    idle = ("*.relative_position_index", "*.num_batches_tracked", "*.embeddings.position_ids", "*.embeddings.token_type_ids")
    return Names(rules, idle=idle)


def _htsat(said: Json) -> Json:
    """The arguments of the encoder of sounds; `said` is its configuration of transformers."""
    return {
        **{"side": said["spec_size"], "bins": said["num_mel_bins"], "fused": said["enable_fusion"]},
        **{
            "patch": _two(said["patch_size"]),
            "stride": _two(said["patch_stride"]),
            "patch_norm": said["enable_patch_layer_norm"],
        },
        **{"width": said["patch_embeds_hidden_size"], "squeeze": said["aff_block_r"], "depths": list(said["depths"])},
        "heads": list(said["num_attention_heads"]),
        "layers": {
            **{"window": said["window_size"], "ratio": said["mlp_ratio"], "activation": said["hidden_act"]},
            **{"eps": said["layer_norm_eps"], "qkv_bias": said["qkv_bias"]},
        },
    }


def _htsat_said(said: Json) -> Json:
    """`_htsat`, the other way round."""
    inner = said["layers"]
    return {
        **{"model_type": "clap_audio_model", "spec_size": said["side"], "num_mel_bins": said["bins"]},
        **{"enable_fusion": said["fused"], "fusion_type": "aff_2d" if said["fused"] else None},
        **{
            "patch_size": list(said["patch"]),
            "patch_stride": list(said["stride"]),
            "enable_patch_layer_norm": said["patch_norm"],
        },
        **{"patch_embeds_hidden_size": said["width"], "aff_block_r": said["squeeze"], "depths": said["depths"]},
        **{"num_attention_heads": said["heads"], "hidden_size": said["width"] * 2 ** (len(said["depths"]) - 1)},
        **{"window_size": inner["window"], "mlp_ratio": inner["ratio"], "hidden_act": inner["activation"]},
        **{"layer_norm_eps": inner["eps"], "qkv_bias": inner["qkv_bias"]},
    }


def _sound_rules(ours: str, theirs: str, depths: list[int]) -> list[Rule]:
    stem = f"{theirs}.patch_embed"
    rules = [
        *stored(f"{ours}.norm_bins", f"{theirs}.batch_norm"),
        *_convolution(f"{ours}.patches", f"{stem}.proj", KERNEL),
        *norm(f"{ours}.norm_patches", f"{stem}.norm"),
        *_convolution(f"{ours}.patches_window", f"{stem}.mel_conv2d", KERNEL),
        *norm(f"{ours}.norm", f"{theirs}.norm"),
    ]
    for a, b, first in (("local", "local_att", 0), ("overall", "global_att", 1)):
        a, b = f"{ours}.fusion.{a}", f"{stem}.fusion_model.{b}"
        rules += [*_convolution(f"{a}.down", f"{b}.{first}", POINT), *stored(f"{a}.norm_down", f"{b}.{first + 1}")]
        rules += [*_convolution(f"{a}.up", f"{b}.{first + 3}", POINT), *stored(f"{a}.norm_up", f"{b}.{first + 4}")]
    for i, depth in enumerate(depths):
        for j in range(depth):
            rules += _block_rules(f"{ours}.stages.{i}.blocks.{j}", f"{theirs}.layers.{i}.blocks.{j}")
        rules += norm(f"{ours}.stages.{i}.merging.norm", f"{theirs}.layers.{i}.downsample.norm")
        rules.append(
            Rule(f"{ours}.stages.{i}.merging.reduction.kernel", f"{theirs}.layers.{i}.downsample.reduction.weight", TURNED)
        )
    return rules


def _block_rules(ours: str, theirs: str) -> list[Rule]:
    parts = {name: f"attention.self.{name}" for name in ("query", "key", "value")}
    parts |= {"out": "attention.output.dense", "up": "intermediate.dense", "down": "output.dense"}
    rules = [rule for a, b in parts.items() for rule in linear(f"{ours}.{a}", f"{theirs}.{b}")]
    rules += [*norm(f"{ours}.norm_attention", f"{theirs}.layernorm_before")]
    rules += [*norm(f"{ours}.norm_perceptron", f"{theirs}.layernorm_after")]
    return [*rules, Rule(f"{ours}.nearness", f"{theirs}.attention.self.relative_position_bias_table")]


def stored(ours: str, theirs: str) -> list[Rule]:
    """The rules of a norm with stored statistics."""
    statistics = [Rule(f"{ours}.{part}", f"{theirs}.running_{part}") for part in ("mean", "var")]
    return [*norm(ours, theirs), *statistics]


def _convolution(ours: str, theirs: str, layout: Layout) -> list[Rule]:
    return [Rule(f"{ours}.kernel", f"{theirs}.weight", layout), Rule(f"{ours}.bias", f"{theirs}.bias")]


def _two(said: int | list[int]) -> list[int]:
    return [said, said] if isinstance(said, int) else list(said)


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    text, sounds, texts = arguments["encoders"]["text"], the(fields, Spectrogram), the(fields, Text)
    text_config = {
        **{"model_type": "clap_text_model", "vocab_size": text["vocabulary"], "max_position_embeddings": text["length"]},
        **{"pad_token_id": text["pad"], "type_vocab_size": text["types"], **layers_said(text["layers"])},
    }
    projections = {"projection_dim": arguments["width"], "projection_hidden_act": arguments["between"]}
    config = {
        **{"architectures": ["ClapModel"], "model_type": "clap", "logit_scale_init_value": 1 / 0.07, **projections},
        **{"text_config": text_config | projections, "audio_config": _htsat_said(arguments["encoders"]["audio"]) | projections},
    }
    marks = tokenizer_of(texts)["post_processor"]
    more = {
        "bos_token": marks["cls"][0],
        "cls_token": marks["cls"][0],
        "eos_token": marks["sep"][0],
        "sep_token": marks["sep"][0],
    }
    return {
        **{"config.json": config, PICTURES: sounds_files(sounds)},
        **text_files(texts, "RobertaTokenizer", **more, unk_token="<unk>", mask_token="<mask>"),
    }


def sounds_files(field: Spectrogram) -> Json:
    """The preprocessor_config.json of a field of sounds."""
    front = field.front if isinstance(field.front, LogMel) else LogMel(**field.front)
    seconds = int(field.seconds) if field.seconds == int(field.seconds) else field.seconds
    return {
        **{"feature_extractor_type": "ClapFeatureExtractor", "processor_class": "ClapProcessor"},
        **{"feature_size": front.bins, "sampling_rate": front.rate, "hop_length": front.hop, "fft_window_size": front.window},
        **{"max_length_s": seconds, "frequency_min": front.low, "frequency_max": front.high, "padding_value": 0.0},
        **{"truncation": FUSED if field.fused else DRAWN, "padding": field.fill, "return_attention_mask": False},
    }


CLAP = Family(
    name="clap",
    types=("clap",),
    architectures=("ClapModel",),
    examples=(
        Example("laion/clap-htsat-unfused", 153.5, "Apache-2.0"),
        Example("laion/clap-htsat-fused", 153.6, "Apache-2.0"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="sounds and texts in one space; classes of sounds by their names",
)
