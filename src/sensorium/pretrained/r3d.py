"""r3d_18 (Tran et al. 2018) as torchvision has it: clips and the classes of Kinetics-400.

torchvision gives its weights as a pickle, which is not read here. With PyTorch and torchvision, two lines make a folder of them,
where `weights = R3D_18_Weights.KINETICS400_V1` is of `torchvision.models.video`:

    safetensors.torch.save_file(r3d_18(weights=weights).state_dict(), "r3d/model.safetensors")
    json.dump({"model_type": "r3d_18", "id2label": dict(enumerate(weights.meta["categories"]))}, open("r3d/config.json", "w"))

And back: `r3d_18().load_state_dict(safetensors.torch.load_file("saved/model.safetensors"))`.
"""

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.modalities.film import Film
from sensorium.pretrained.family import Described, Family, Folder, Json, the
from sensorium.pretrained.films import CONVOLUTION, film_field, labels_of, labels_said
from sensorium.pretrained.preprocess import picture_files
from sensorium.pretrained.rules import Names, Rule, linear
from sensorium.pretrained.tensors import tensors

CLIPS: Json = {
    **{"do_resize": True, "size": {"height": 128, "width": 171}, "resample": 2},
    **{"do_center_crop": True, "crop_size": {"height": 112, "width": 112}, "do_rescale": True, "rescale_factor": 1 / 255},
    **{"do_normalize": True, "image_mean": [0.43216, 0.394666, 0.37645], "image_std": [0.22803, 0.22145, 0.216989]},
}
"""`R3D_18_Weights.KINETICS400_V1.transforms()`; a preprocessor_config.json may say other numbers."""
FRAMES = 16
"""Of a clip, in training and in what torchvision measured; its model takes any number: `num_frames` of config.json."""
NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def describe(folder: Folder) -> Described:
    held = {name: tensor.shape for name, tensor in tensors(folder.path).items()}
    lasts = [f"layer{i}.0.conv1.0.weight" for i in range(1, 5)]
    blocks = {sum(name.startswith(f"layer{i}.") and name.endswith(".conv1.0.weight") for name in held) for i in range(1, 5)}
    if len(blocks) != 1 or any(len(held.get(name, ())) != 5 for name in lasts):
        raise BadFile(f"{folder.path}: the weights are not those of an r3d_18: expected four stages of as many blocks each")
    field, pixels = film_field(folder, CLIPS, folder.config.get("num_frames") or FRAMES, None, "torchvision", told=False)
    labels = labels_of(folder.config, held["fc.weight"][0]) if "fc.weight" in held else []
    video = {
        **{"encoder": "resnet3d", "frames": field.frames, "widths": [held[name][0] for name in lasts], "blocks": blocks.pop()},
        **{"pixels": pixels, "labels": labels},
    }
    return Described({"encoders": {"video": video}, "width": video["widths"][-1], "bare": ["video"]}, (field,))


def names(arguments: Json) -> Names:
    video = arguments["encoders"]["video"]
    rules = [*_pair("stem"), *linear("encoders.video.fc", "fc")]
    for stage in range(1, 5):
        for block in range(video["blocks"]):
            for part in ("conv1", "conv2", "downsample"):
                rules += _pair(f"layer{stage}.{block}.{part}")
    return Names(rules, {"log_scale": 0.0}, ("*.num_batches_tracked",))


def files(arguments: Json, fields: tuple[Modality, ...]) -> dict[str, Json]:
    video = arguments["encoders"]["video"]
    config = {
        **{"architectures": ["VideoResNet"], "model_type": "r3d_18", "num_frames": video["frames"]},
        **labels_said(video["labels"]),
    }
    return {"config.json": config, "preprocessor_config.json": picture_files(video, the(fields, Film), "VideoClassification")}


def _pair(name: str) -> list[Rule]:
    """A convolution and its norm."""
    ours = f"encoders.video.{name}"
    norms = [Rule(f"{ours}.1.{a}", f"{name}.1.{b}") for a, b in NORM.items()]
    return [Rule(f"{ours}.0.kernel", f"{name}.0.weight", CONVOLUTION), *norms]


R3D = Family(
    name="r3d_18",
    types=("r3d_18",),
    architectures=("VideoResNet",),
    examples=(),
    describe=describe,
    names=names,
    files=files,
    gives="what happens in a clip: vectors, and shares of the 400 classes of Kinetics",
    library="torchvision",
)
