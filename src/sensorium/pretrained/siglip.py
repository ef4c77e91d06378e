"""SigLIP (Zhai et al. 2023) and SigLIP 2 at a fixed resolution (Tschannen et al. 2025): pictures and texts, a sigmoid a pair."""

import string

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.picture import Picture
from sensorium.modalities.text_pieces import read
from sensorium.pretrained.clip import layer_rules, layers, layers_said, part
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, the
from sensorium.pretrained.preprocess import (
    TOKENS,
    TOKENS_CONFIG,
    loads,
    picture_field,
    picture_files,
    text_field,
    text_files,
    tokenizer_of,
)
from sensorium.pretrained.rules import FLAT, SINGLE, Layout, Names, Rule, linear, norm, patches

SHARED = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
SHARED |= {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "attention_dropout": 0.0}
TEXT = SHARED | {"vocab_size": 32000, "max_position_embeddings": 64}
VISION = SHARED | {"num_channels": 3, "image_size": 224, "patch_size": 16, "vision_use_head": True}
PICTURES: Json = {
    **{"do_resize": True, "size": {"height": 224, "width": 224}, "resample": 3, "do_center_crop": False, "crop_size": 224},
    **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
}
PUNCTUATION = "[" + "".join(rf"\x{{{ord(c):x}}}" for c in string.punctuation) + "]"
LOWER = [{"type": "Lowercase"}]
CANONICAL = [
    {"type": "Replace", "pattern": {"Regex": PUNCTUATION}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
]
"""What SigLIP's tokenizer does to a text before anything else; doing it twice changes nothing."""


def describe(folder: Folder) -> Described:
    vision = part(folder, "vision_config", VISION)
    checked(folder.where, vision, num_channels=3, vision_use_head=True)
    size = [vision["image_size"]] * 2
    pictures, pixels = picture_field(folder, PICTURES, False, size)
    text, texts = text_part(folder, vision["hidden_size"])
    image = {
        **{"encoder": "published_vit", "form": "siglip", "size": size, "patch": vision["patch_size"]},
        **{"layers": layers(vision), "pixels": pixels},
    }
    arguments = {"encoders": {"image": image, "text": text}, "width": text["head"], "bare": ["image", "text"], "bias": -10.0}
    return Described(arguments, (pictures, texts))


def text_part(folder: Folder, width: int, kind: str = "") -> tuple[Json, Text]:
    """The arguments of the encoder of texts, whose vectors have to be of `width`, and its field; `kind`: see `tokenizer`."""
    said = part(folder, "text_config", TEXT)
    field = text_field(folder, said["max_position_embeddings"], "</s>", tokenizer(folder, kind))
    head = said.get("projection_size") or said["hidden_size"]
    if head != width:
        raise BadFile(f"{folder.where}: texts come to {head} numbers, pictures to {width}; they have to be as many")
    text = {
        **{"encoder": "published_text", "form": "siglip", "head": head, "vocabulary": said["vocab_size"]},
        **{"length": said["max_position_embeddings"], "layers": layers(said)},
    }
    return text, field


def tokenizer(folder: Folder, kind: str = "") -> Json:
    """The tokenizer.json, with what transformers' own classes do in Python before it: the class that tokenizer_config.json
    names, or the one of this `kind`, whatever is named there."""
    if not (folder.path / TOKENS).is_file():
        raise BadFile(f"{folder.path}: lacks {TOKENS} (a spiece.model alone is not read): copy it from the model's repository")
    said, config = loads(read(folder.path / TOKENS)), folder.json(TOKENS_CONFIG) or {}
    kind = kind or str(config.get("tokenizer_class", "")).removesuffix("Fast")
    lower = LOWER if config.get("do_lower_case", True) else []
    first = {"SiglipTokenizer": [*lower, *CANONICAL], "Siglip2Tokenizer": LOWER}.get(kind, [])
    own = said.get("normalizer") or {"type": "Sequence", "normalizers": []}
    steps = own["normalizers"] if own["type"] == "Sequence" else [own]
    if steps[: len(first)] != first:
        said["normalizer"] = {"type": "Sequence", "normalizers": [*first, *steps]}
    return said


def names(arguments: Json) -> Names:
    return Names(rules_of(patches(arguments["encoders"]["image"]["patch"])), idle=("*.embeddings.position_ids",))


def rules_of(cut: Layout) -> list[Rule]:
    """All rules; `cut` is how the kernel of patches is laid out."""
    image, text, vision, texts = "encoders.image", "encoders.text", "vision_model", "text_model"
    stem, pool, head = f"{vision}.embeddings", f"{image}.question", f"{vision}.head"
    return [
        *layer_rules(image, vision),
        *layer_rules(text, texts),
        Rule(f"{image}.patches.kernel", f"{stem}.patch_embedding.weight", cut),
        Rule(f"{image}.patches.bias", f"{stem}.patch_embedding.bias"),
        Rule(f"{image}.positions", f"{stem}.position_embedding.weight"),
        *norm(f"{image}.norm", f"{vision}.post_layernorm"),
        Rule(f"{pool}.question", f"{head}.probe", FLAT),
        *[
            Rule(rule.ours, rule.theirs.replace("in_proj.", "in_proj_"), rule.layout)
            for rule in linear(f"{pool}.qkv", f"{head}.attention.in_proj")
        ],
        *linear(f"{pool}.out", f"{head}.attention.out_proj"),
        *norm(f"{pool}.norm", f"{head}.layernorm"),
        *linear(f"{pool}.up", f"{head}.mlp.fc1"),
        *linear(f"{pool}.down", f"{head}.mlp.fc2"),
        Rule(f"{text}.table", f"{texts}.embeddings.token_embedding.weight"),
        Rule(f"{text}.positions", f"{texts}.embeddings.position_embedding.weight"),
        *norm(f"{text}.norm", f"{texts}.final_layer_norm"),
        *linear(f"{text}.head", f"{texts}.head"),
        Rule("log_scale", "logit_scale", SINGLE),
        Rule("bias", "logit_bias", SINGLE),
    ]


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image, text = arguments["encoders"]["image"], arguments["encoders"]["text"]
    pictures, texts = the(fields, Picture), the(fields, Text)
    vision_config = {
        **{"model_type": "siglip_vision_model", "image_size": image["size"][0], "patch_size": image["patch"]},
        **layers_said(image["layers"]),
    }
    text_config, beside = text_part_files(text, texts, "siglip_text_model")
    config = {"architectures": ["SiglipModel"], "model_type": "siglip"}
    return {
        "config.json": {**config, "text_config": text_config, "vision_config": vision_config},
        "preprocessor_config.json": picture_files(image, pictures, "SiglipImageProcessor"),
        **beside,
    }


def text_part_files(text: Json, field: Text, kind: str) -> tuple[Json, dict[str, Json]]:
    """The text_config, whose model_type is `kind`, and the files of the tokenizer."""
    config = {
        **{"model_type": kind, "vocab_size": text["vocabulary"], "max_position_embeddings": text["length"]},
        **{"projection_size": text["head"], **layers_said(text["layers"])},
    }
    marks: Json = {name: token for name, token in (("unk_token", "<unk>"), ("eos_token", end(tokenizer_of(field)))) if token}
    # The class that does nothing beside tokenizer.json, which holds all of it by now.
    # Without a mask, as it was trained: pads are tokens like others to it.
    return config, text_files(field, "PreTrainedTokenizerFast", False, model_input_names=["input_ids"], **marks)


def end(tokenizer: Json) -> str | None:
    """The last special token that a template puts about one text."""
    template = (tokenizer.get("post_processor") or {}).get("single") or []
    return next((one["SpecialToken"]["id"] for one in reversed(template) if "SpecialToken" in one), None)


SIGLIP = Family(
    name="siglip",
    types=("siglip",),
    architectures=("SiglipModel",),
    examples=(
        Example("google/siglip-base-patch16-224", 203.2, "Apache-2.0"),
        Example("google/siglip2-base-patch16-224", 375.2, "Apache-2.0"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="pictures and texts in one space, a sigmoid a pair, many languages in SigLIP 2",
)
