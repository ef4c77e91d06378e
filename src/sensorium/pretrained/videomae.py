"""VideoMAE (Tong et al. 2022): clips, by a vision transformer over patches of space and time; with or without classes."""

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities.film import Film
from sensorium.pretrained.clip import layers, layers_said
from sensorium.pretrained.family import Described, Example, Family, Folder, Json, checked, said_over, the
from sensorium.pretrained.films import film_field, labels_of, labels_said, tubes
from sensorium.pretrained.preprocess import picture_files
from sensorium.pretrained.rules import TURNED, Names, Rule, linear, norm

CONFIG = {
    **{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "hidden_act": "gelu"},
    **{"layer_norm_eps": 1e-12, "num_channels": 3, "image_size": 224, "patch_size": 16, "num_frames": 16, "tubelet_size": 2},
    **{"qv_bias": True, "use_mean_pooling": True},
}
CLIPS: Json = {
    **{"do_resize": True, "size": {"shortest_edge": 224}, "resample": 2, "do_center_crop": True, "crop_size": 224},
    **{"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
}
"""What transformers' classes take for what their files leave out. (Those of the Hub say ImageNet's mean and deviation.)"""
CLASSES = "VideoMAEForVideoClassification"
FORMS = {(False, True): "plain", (False, False): "normed", (True, True): "labels_mean", (True, False): "labels_first"}
"""By whether there are classes, and `use_mean_pooling`."""


def describe(folder: Folder) -> Described:
    said = said_over(CONFIG, folder.config)
    checked(folder.where, said, num_channels=3)
    sides = said["image_size"] if isinstance(said["image_size"], list) else [said["image_size"]] * 2
    if not isinstance(said["patch_size"], int):
        raise BadFile(f"{folder.where}: patch_size is {said['patch_size']!r}; expected one number")
    field, pixels = film_field(folder, CLIPS, said["num_frames"], sides)
    classifies = CLASSES in (folder.config.get("architectures") or ())
    biased = said.get("qkv_bias", said["qv_bias"])
    video = {
        **{"encoder": "published_video", "form": FORMS[classifies, said["use_mean_pooling"]], "size": sides},
        **{"frames": said["num_frames"], "patch": said["patch_size"], "tube": said["tubelet_size"]},
        **{"layers": layers(said) | {"qkv_bias": biased, "key_bias": False}, "pixels": pixels},
        "labels": labels_of(said, 2) if classifies else [],
    }
    return Described({"encoders": {"video": video}, "width": said["hidden_size"], "bare": ["video"]}, (field,))


def names(arguments: Json) -> Names:
    video = arguments["encoders"]["video"]
    ours, prefix = "encoders.video", "videomae." if video["labels"] else ""
    layer, theirs = f"{ours}.layers.{{}}", f"{prefix}encoder.layer.{{}}"
    attention = f"{theirs}.attention.attention"
    rules = [
        Rule(
            f"{ours}.patches.kernel",
            f"{prefix}embeddings.patch_embeddings.projection.weight",
            tubes(video["tube"], video["patch"]),
        ),
        Rule(f"{ours}.patches.bias", f"{prefix}embeddings.patch_embeddings.projection.bias"),
        *(Rule(f"{layer}.{part}.kernel", f"{attention}.{part}.weight", TURNED) for part in ("query", "key", "value")),
        Rule(f"{layer}.query.bias", f"{attention}.q_bias"),
        Rule(f"{layer}.value.bias", f"{attention}.v_bias"),
        *linear(f"{layer}.out", f"{theirs}.attention.output.dense"),
        *linear(f"{layer}.up", f"{theirs}.intermediate.dense"),
        *linear(f"{layer}.down", f"{theirs}.output.dense"),
        *norm(f"{layer}.norm_attention", f"{theirs}.layernorm_before"),
        *norm(f"{layer}.norm_perceptron", f"{theirs}.layernorm_after"),
        *norm(f"{ours}.norm", f"{prefix}layernorm"),
        *norm(f"{ours}.norm_mean", "fc_norm"),
        *linear(f"{ours}.classes", "classifier"),
    ]
    if video["labels"]:
        return Names(rules, {"log_scale": 0.0})
    # The decoder of its training, which paints what was masked; and a norm or classes that a model without them has no use for.
    idle = ("decoder.*", "encoder_to_decoder.*", "mask_token", "position_embeddings", "fc_norm.*", "classifier.*")
    return Names(rules, {"log_scale": 0.0}, idle, _bare)


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    video = arguments["encoders"]["video"]
    config = {
        **{"architectures": [CLASSES if video["labels"] else "VideoMAEModel"], "model_type": "videomae"},
        **{"image_size": _one(video["size"]), "patch_size": video["patch"], "num_frames": video["frames"]},
        **{"tubelet_size": video["tube"], "qv_bias": video["layers"]["qkv_bias"]},
        "use_mean_pooling": next(mean for (_, mean), form in FORMS.items() if form == video["form"]),
        **layers_said(video["layers"]),
        **labels_said(video["labels"]),
    }
    return {"config.json": config, "preprocessor_config.json": picture_files(video, the(fields, Film), "VideoMAEImageProcessor")}


def _one(size: list[int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else size


def _bare(name: str) -> str:
    """Models with a head have a prefix before the names of the encoder; encoders alone have not."""
    return name.removeprefix("videomae.")


VIDEOMAE = Family(
    name="videomae",
    types=("videomae",),
    architectures=("VideoMAEModel", CLASSES, "VideoMAEForPreTraining"),
    examples=(
        Example("MCG-NJU/videomae-base", 94.2, "CC-BY-NC-4.0"),
        Example("MCG-NJU/videomae-base-finetuned-kinetics", 86.5, "CC-BY-NC-4.0"),
    ),
    describe=describe,
    names=names,
    files=files,
    gives="vectors of clips, and shares of classes where it was trained to them",
)
