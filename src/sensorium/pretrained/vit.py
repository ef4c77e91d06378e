"""ViT (Dosovitskiy et al. 2021) and DINOv2 (Oquab et al. 2023; with registers, Darcet et al. 2024): pictures alone."""

from sensorium.core.protocols import Modality
from sensorium.modalities.picture import Picture
from sensorium.pretrained.clip import layers, layers_said
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.films import labels_of, labels_said
from sensorium.pretrained.preprocess import picture_field, picture_files
from sensorium.pretrained.rules import FLAT, LEADING, Names, Rule, linear, norm, patches

SHARED = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "gelu", "num_channels": 3}
SHARED |= {"image_size": 224, "qkv_bias": True}
VIT = SHARED | {"intermediate_size": 3072, "layer_norm_eps": 1e-12, "patch_size": 16, "pooler_act": "tanh"}
DINO = SHARED | {"mlp_ratio": 4, "layer_norm_eps": 1e-6, "patch_size": 14, "use_swiglu_ffn": False, "num_register_tokens": 4}
PICTURES: Json = {
    **{"do_resize": True, "size": {"height": 224, "width": 224}, "resample": 2, "do_center_crop": False, "crop_size": 224},
    **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
}
BIT: Json = PICTURES | {
    **{"size": {"shortest_edge": 224}, "resample": 3, "do_center_crop": True},
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
"""What DINOv2's processor (that of BiT) takes for what its file leaves out."""


def describe(folder: Folder) -> Described:
    said = said_over(VIT, folder.config)
    checked(folder.where, said, num_channels=3, pooler_act="tanh", pooler_output_size=said["hidden_size"])
    classifies = "ViTForImageClassification" in (folder.config.get("architectures") or ())
    labels = labels_of(said, 2) if classifies else []  # two of them transformers leaves out of its files
    size = [said["image_size"]] * 2
    pictures, pixels = picture_field(folder, PICTURES, True, size)
    pooled = not classifies and folder.holds("pooler.dense.weight", "vit.pooler.dense.weight")
    image = {
        **{"encoder": "published_vit", "form": "vit_pooled" if pooled else "vit", "size": size, "patch": said["patch_size"]},
        **{"layers": layers(said) | {"qkv_bias": said["qkv_bias"]}, "pixels": pixels, "labels": labels},
    }
    return Described({"encoders": {"image": image}, "width": said["hidden_size"], "bare": ["image"]}, (pictures,))


def describe_dino(folder: Folder) -> Described:
    said = said_over(DINO, folder.config)
    checked(folder.where, said, num_channels=3)
    hidden = _hidden(said["hidden_size"], said["mlp_ratio"], said["use_swiglu_ffn"])
    pictures, pixels = picture_field(folder, BIT, False, None)
    registers = folder.config["model_type"] == "dinov2_with_registers"
    more = {"layer_scale": True, "gated": said["use_swiglu_ffn"], "qkv_bias": said["qkv_bias"]}
    image = {
        **{"encoder": "published_vit", "form": "vit", "size": [said["image_size"]] * 2, "patch": said["patch_size"]},
        **{"layers": layers(said | {"intermediate_size": hidden}) | more, "pixels": pixels},
        **{"resample": "smooth" if registers else "sharp", "registers": said["num_register_tokens"] if registers else 0},
    }
    return Described({"encoders": {"image": image}, "width": said["hidden_size"], "bare": ["image"]}, (pictures,))


def stem_rules(prefix: str, patch: int) -> list[Rule]:
    image, stem = "encoders.image", f"{prefix}embeddings"
    return [
        Rule(f"{image}.first", f"{stem}.cls_token", FLAT),
        Rule(f"{image}.positions", f"{stem}.position_embeddings", LEADING),
        Rule(f"{image}.registers", f"{stem}.register_tokens", LEADING),
        Rule(f"{image}.patches.kernel", f"{stem}.patch_embeddings.projection.weight", patches(patch)),
        Rule(f"{image}.patches.bias", f"{stem}.patch_embeddings.projection.bias"),
        *norm(f"{image}.norm", f"{prefix}layernorm"),
    ]


def layer_rules(ours: str, theirs: str, table: dict[str, str]) -> list[Rule]:
    """The rules of layers by a table of their parts: linear layers by the names of ours, norms as well."""
    rules = []
    for a, b in table.items():
        rules += (norm if a.startswith("norm") else linear)(f"{ours}.layers.{{}}.{a}", f"{theirs}encoder.layer.{{}}.{b}")
    return rules


ATTENTION = {
    **{part: f"attention.attention.{part}" for part in ("query", "key", "value")},
    "out": "attention.output.dense",
}
VIT_PARTS = ATTENTION | {"norm_attention": "layernorm_before", "norm_perceptron": "layernorm_after"}
VIT_PARTS |= {"up": "intermediate.dense", "down": "output.dense"}
DINO_PARTS = ATTENTION | {"norm_attention": "norm1", "norm_perceptron": "norm2"}


def names(arguments: Json) -> Names:
    image = arguments["encoders"]["image"]
    prefix = "vit." if image["labels"] else ""
    rules = [
        *stem_rules(prefix, image["patch"]),
        *layer_rules("encoders.image", prefix, VIT_PARTS),
        *linear("encoders.image.dense", f"{prefix}pooler.dense"),
        *linear("encoders.image.classes", "classifier"),
    ]
    idle = ("vit.pooler.*", "classifier.*") if not image["labels"] else ("vit.pooler.*",)
    whole = str if image["labels"] else _bare
    return Names(rules, {"log_scale": 0.0}, (*idle, "embeddings.mask_token"), whole)


def names_dino(arguments: Json) -> Names:
    image = arguments["encoders"]["image"]
    up, down = ("weights_in", "weights_out") if image["layers"]["gated"] else ("fc1", "fc2")
    rules = [
        *stem_rules("", image["patch"]),
        *layer_rules("encoders.image", "", DINO_PARTS | {"up": f"mlp.{up}", "down": f"mlp.{down}"}),
        Rule("encoders.image.layers.{}.scale_attention", "encoder.layer.{}.layer_scale1.lambda1"),
        Rule("encoders.image.layers.{}.scale_perceptron", "encoder.layer.{}.layer_scale2.lambda1"),
    ]
    return Names(rules, {"log_scale": 0.0}, ("embeddings.mask_token",))


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image = arguments["encoders"]["image"]
    pictures = the(fields, Picture)
    config = {
        **{"architectures": ["ViTForImageClassification" if image["labels"] else "ViTModel"], "model_type": "vit"},
        **{"image_size": image["size"][0], "patch_size": image["patch"]},
        **{"qkv_bias": image["layers"]["qkv_bias"], **layers_said(image["layers"]), **labels_said(image["labels"])},
    }
    return {"config.json": config, "preprocessor_config.json": picture_files(image, pictures, "ViTImageProcessor")}


def files_dino(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    image = arguments["encoders"]["image"]
    pictures = the(fields, Picture)
    said = layers_said(image["layers"])
    hidden = said.pop("intermediate_size")
    width, gated = said["hidden_size"], image["layers"]["gated"]
    ratio = next((ratio for ratio in range(1, 65) if hidden == _hidden(width, ratio, gated)), None)
    if ratio is None:
        raise ValueError(
            f"a perceptron of {hidden} units is no whole multiple of the width {width}, which DINOv2's layout asks for"
        )
    kind = "dinov2_with_registers" if image["registers"] else "dinov2"
    config = {
        **{"architectures": ["Dinov2WithRegistersModel" if image["registers"] else "Dinov2Model"], "model_type": kind},
        **{"image_size": image["size"][0], "patch_size": image["patch"], "mlp_ratio": ratio},
        **{"use_swiglu_ffn": image["layers"]["gated"], "qkv_bias": image["layers"]["qkv_bias"], "use_mask_token": False, **said},
    }
    if image["registers"]:
        config["num_register_tokens"] = image["registers"]
    return {"config.json": config, "preprocessor_config.json": picture_files(image, pictures, "BitImageProcessor")}


def _hidden(width: int, ratio: float, gated: bool) -> int:
    """The units of a perceptron of DINOv2."""
    return (int(int(width * ratio) * 2 / 3) + 7) // 8 * 8 if gated else int(width * ratio)


def _bare(name: str) -> str:
    """Models with a head have a prefix before the names of the encoder; encoders alone have not."""
    return name.removeprefix("vit.")


VIT_FAMILY = Family(
    name="vit",
    types=("vit",),
    architectures=("ViTModel", "ViTForImageClassification"),
    examples=(
        Example("google/vit-base-patch16-224", 86.6, "Apache-2.0"),
        Example("google/vit-base-patch16-224-in21k", 86.4, "Apache-2.0"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="vectors of pictures, and shares of classes where it was trained to them",
)
DINOV2 = Family(
    name="dinov2",
    types=("dinov2", "dinov2_with_registers"),
    architectures=("Dinov2Model", "Dinov2WithRegistersModel"),
    examples=(
        Example("facebook/dinov2-base", 86.6, "Apache-2.0"),
        Example("facebook/dinov2-with-registers-base", 86.6, "Apache-2.0"),
    ),
    describe=describe_dino,
    names=names_dino,
    files=files_dino,
    gives="vectors of pictures and of their patches, learned without labels",
)
