"""CLIP (Radford et al. 2021): pictures and texts, in the layout that openai/clip-vit-base-patch32 has on the Hub."""

import math
from pathlib import Path

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities import Text
from sensorium.modalities.picture import Picture
from sensorium.pretrained.clip_tokens import clip_tokenizer
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.preprocess import TOKENS, picture_field, picture_files, text_field, text_files, tokenizer_of
from sensorium.pretrained.rules import TURNED, Names, Rule, linear, norm, patches

SHARED = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "attention_dropout": 0.0}
TEXT = SHARED | {
    **{"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8},
    **{"max_position_embeddings": 77, "eos_token_id": 49407},
}
VISION = SHARED | {
    **{"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12},
    **{"num_channels": 3, "image_size": 224, "patch_size": 32},
}
PICTURES: Json = {
    **{"do_resize": True, "size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": True, "crop_size": 224},
    **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
"""What the classes of transformers take for what their files leave out."""
END_OF_OLD = 2
"""The `eos_token_id` of configurations that were written with a wrong one: the end mark is then the largest id."""


def describe(folder: Folder) -> Described:
    text, vision = part(folder, "text_config", TEXT), part(folder, "vision_config", VISION)
    checked(folder.where, vision, num_channels=3)
    size = [vision["image_size"]] * 2
    pictures, pixels = picture_field(folder, PICTURES, False, size)
    texts = text_field(folder, text["max_position_embeddings"], "<|endoftext|>", _tokenizer(folder.path))
    end = text["eos_token_id"]
    if not isinstance(end, int):
        raise BadFile(f"{folder.where}: eos_token_id of the texts is {end!r}; expected one number")
    encoders = {
        "image": {
            **{"encoder": "published_vit", "form": "clip", "size": size, "patch": vision["patch_size"]},
            **{"layers": layers(vision), "pixels": pixels},
        },
        "text": {
            **{"encoder": "published_text", "form": "clip_openai" if end == END_OF_OLD else "clip", "end": end},
            **{"vocabulary": text["vocab_size"], "length": text["max_position_embeddings"], "layers": layers(text)},
        },
    }
    return Described({"encoders": encoders, "width": folder.config.get("projection_dim") or 512}, (pictures, texts))


def part(folder: Folder, name: str, defaults: Json) -> Json:
    """A half of the configuration. Old files say it twice, and the second one counts where it is not null."""
    twice = folder.part(f"{name}_dict")
    said = folder.part(name) | ((defaults | twice) if twice else {})
    return said_over(defaults, said)


def layers(said: Json) -> Json:
    """The arguments of the layers of an encoder; `said` is a configuration of transformers."""
    return {
        "width": said["hidden_size"],
        "depth": said["num_hidden_layers"],
        "heads": said["num_attention_heads"],
        "hidden": said["intermediate_size"],
        "activation": said["hidden_act"],
        "eps": said["layer_norm_eps"],
    }


def layers_said(said: Json) -> Json:
    """`layers`, the other way round."""
    return {
        "hidden_size": said["width"],
        "num_hidden_layers": said["depth"],
        "num_attention_heads": said["heads"],
        "intermediate_size": said["hidden"],
        "hidden_act": said["activation"],
        "layer_norm_eps": said["eps"],
    }


def layer_rules(ours: str, theirs: str) -> list[Rule]:
    """The rules of one tower's layers, which SigLIP has too."""
    names = {"query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj", "out": "self_attn.out_proj"}
    names |= {"up": "mlp.fc1", "down": "mlp.fc2"}
    rules = [rule for a, b in names.items() for rule in linear(f"{ours}.layers.{{}}.{a}", f"{theirs}.encoder.layers.{{}}.{b}")]
    for a, b in (("norm_attention", "layer_norm1"), ("norm_perceptron", "layer_norm2")):
        rules += norm(f"{ours}.layers.{{}}.{a}", f"{theirs}.encoder.layers.{{}}.{b}")
    return rules


def names(arguments: Json) -> Names:
    image, text, vision, texts = "encoders.image", "encoders.text", "vision_model", "text_model"
    cut = patches(arguments["encoders"]["image"]["patch"])
    rules = [
        *layer_rules(image, vision),
        *layer_rules(text, texts),
        Rule(f"{image}.first", f"{vision}.embeddings.class_embedding"),
        Rule(
            f"{image}.patches.kernel",
            f"{vision}.embeddings.patch_embedding.weight",
            cut,
        ),
        Rule(f"{image}.positions", f"{vision}.embeddings.position_embedding.weight"),
        *norm(f"{image}.norm_before", f"{vision}.pre_layrnorm"),
        *norm(f"{image}.norm", f"{vision}.post_layernorm"),
        Rule(f"{text}.table", f"{texts}.embeddings.token_embedding.weight"),
        Rule(f"{text}.positions", f"{texts}.embeddings.position_embedding.weight"),
        *norm(f"{text}.norm", f"{texts}.final_layer_norm"),
        Rule("projections.image.kernel", "visual_projection.weight", TURNED),
        Rule("projections.text.kernel", "text_projection.weight", TURNED),
        Rule("log_scale", "logit_scale"),
    ]
    return Names(rules, idle=("*.embeddings.position_ids",))


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image, text = arguments["encoders"]["image"], arguments["encoders"]["text"]
    pictures, texts = the(fields, Picture), the(fields, Text)
    marks = end_marks(tokenizer_of(texts))
    vision_config = {
        **{"model_type": "clip_vision_model", "image_size": image["size"][0], "patch_size": image["patch"]},
        **{"projection_dim": arguments["width"], **layers_said(image["layers"])},
    }
    text_config = {
        **{"model_type": "clip_text_model", "vocab_size": text["vocabulary"], "max_position_embeddings": text["length"]},
        **{"projection_dim": arguments["width"], "eos_token_id": text["end"], **layers_said(text["layers"])},
        **_start(tokenizer_of(texts)),
    }
    config = {
        **{"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": arguments["width"]},
        **{"logit_scale_init_value": math.log(1 / 0.07), "text_config": text_config, "vision_config": vision_config},
    }
    return {
        "config.json": config,
        "preprocessor_config.json": picture_files(image, pictures, "CLIPImageProcessor") | {"processor_class": "CLIPProcessor"},
        **text_files(texts, "CLIPTokenizer", **marks),
    }


def _start(tokenizer: Json) -> Json:
    """The number of the token that stands before a text, where that is known."""
    said = tokenizer.get("post_processor") or {}
    return {"bos_token_id": said["cls"][1]} if said.get("type") == "RobertaProcessing" else {}


def end_marks(tokenizer: Json) -> Json:
    """The tokens that a tokenizer.json puts about a text, as tokenizer_config.json calls them."""
    said = tokenizer.get("post_processor") or {}
    if said.get("type") == "RobertaProcessing":
        return {"bos_token": said["cls"][0], "eos_token": said["sep"][0], "unk_token": tokenizer["model"]["unk_token"]}
    return {}


def _tokenizer(path: Path) -> Json | None:
    """Made of vocab.json and merges.txt where there is no tokenizer.json."""
    if not (path / TOKENS).is_file() and (path / "vocab.json").is_file() and (path / "merges.txt").is_file():
        return clip_tokenizer(path)
    return None


CLIP = Family(
    name="clip",
    types=("clip",),
    architectures=("CLIPModel",),
    examples=(
        Example("openai/clip-vit-base-patch32", 151.3, "MIT"),
        Example("openai/clip-vit-large-patch14", 427.6, "MIT"),
        Example("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", 151.3, "MIT"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="pictures and texts in one space; classes by their names",
)
