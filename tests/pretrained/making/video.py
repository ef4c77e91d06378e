"""References of VideoMAE, and of torchvision's VideoResNet, which is r3d_18 where its stages are those of it."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pretrained.making.common import perturb, save_numbers, torch, transformers

SIZES = {"wide": (27, 46), "tall": (53, 25), "tiny": (3, 5)}
"""Height and width; none is what the models take."""


def clips(frames: int) -> list[np.ndarray]:
    """Moving stripes of three sizes: u8[frames H W 3], by whole numbers only, so that every machine draws the same."""
    t, y, x, c = (np.arange(n).reshape([-1 if i == j else 1 for j in range(4)]) for i, n in enumerate((frames, 60, 60, 3)))
    field = (y * 5 * (c + 1) + x * 3 + (y * x) // 7 + t * (17 + 11 * c)) % 511
    field = np.minimum(field, 510 - field).astype(np.uint8)
    return [field[:, :height, :width] for height, width in SIZES.values()]


def videomae(folder: Path) -> None:
    hf = transformers()
    said = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 20}
    said |= {"patch_size": 6, "num_frames": 7, "tubelet_size": 3, "hidden_act": "relu", "layer_norm_eps": 1e-2}
    model = hf.VideoMAEModel(hf.VideoMAEConfig(**said, use_mean_pooling=False))
    _make(folder, model, 31, {"size": {"shortest_edge": 23}, "crop_size": {"height": 20, "width": 20}})


def videomae_labels(folder: Path) -> None:
    hf = transformers()
    said = {"hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": [12, 18]}
    said |= {"patch_size": 6, "num_frames": 4, "qv_bias": False, "layer_norm_eps": 1e-3}
    labels = {"id2label": {0: "jumping", 1: "running", 2: "sitting still"}}
    model = hf.VideoMAEForVideoClassification(hf.VideoMAEConfig(**said, **labels, use_mean_pooling=True))
    _make(folder, model, 32, {"do_center_crop": False, "size": {"height": 12, "width": 18}, "image_mean": [0.485, 0.456, 0.406]})


def _make(folder: Path, model: Any, seed: int, said: dict[str, Any]) -> None:
    perturb(model, seed)
    model.save_pretrained(folder)
    transformers().VideoMAEImageProcessorPil(**said).save_pretrained(folder)
    save_numbers(folder, videomae_numbers(folder, torch(), transformers()))


def videomae_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    pillow = importlib.import_module("PIL.Image")
    config = hf.AutoConfig.from_pretrained(folder)
    kind = getattr(hf, config.architectures[0])
    processor = hf.VideoMAEImageProcessorPil.from_pretrained(folder)
    # As pictures: of an array with 3 rows it would take these for the channels.
    shown = [[pillow.fromarray(np.ascontiguousarray(frame)) for frame in clip] for clip in clips(config.num_frames)]
    pixels = t.cat([processor(clip, return_tensors="pt")["pixel_values"] for clip in shown])
    with t.no_grad():
        out = kind.from_pretrained(folder).eval()(pixel_values=pixels, output_hidden_states=True)
    numbers = {"given/video": pixels.permute(0, 1, 3, 4, 2)}
    numbers |= {f"video/layers/{i}": x for i, x in enumerate(out.hidden_states)}
    if "logits" in out:
        return numbers | {"video/logits": out.logits}
    return numbers | {"video/tokens": out.last_hidden_state, "video/pooled": out.last_hidden_state.mean(1)}


R3D = {"model_type": "r3d_18", "num_frames": 6, "id2label": {"0": "jumping", "1": "running"}}
R3D_CLIPS = {"size": {"height": 24, "width": 31}, "crop_size": {"height": 22, "width": 20}}
WIDTHS = (4, 6, 8, 10)


def r3d(folder: Path) -> None:
    t = torch()
    model = _resnet(t)
    perturb(model, 33)
    with t.no_grad():
        for module in model.modules():
            if isinstance(module, t.nn.BatchNorm3d):
                module.weight.copy_(1 + 0.3 * t.randn(module.weight.shape))
        for name, value in model.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(0.2 * t.randn(value.shape))
            if name.endswith("running_var"):
                value.copy_(0.5 + t.rand(value.shape))
    save = importlib.import_module("safetensors.torch").save_file
    save(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(R3D))
    (folder / "preprocessor_config.json").write_text(json.dumps(R3D_CLIPS))
    save_numbers(folder, r3d_numbers(folder, t, None))


def r3d_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    load = importlib.import_module("safetensors.torch").load_file
    presets = importlib.import_module("torchvision.transforms._presets")
    model = _resnet(t)
    model.load_state_dict(load(folder / "model.safetensors"))
    said = json.loads((folder / "preprocessor_config.json").read_text())
    sides = [(said[key]["height"], said[key]["width"]) for key in ("crop_size", "size")]
    ready = presets.VideoClassification(crop_size=sides[0], resize_size=sides[1])
    shown = [t.from_numpy(np.ascontiguousarray(clip.transpose(0, 3, 1, 2))) for clip in clips(R3D["num_frames"])]
    pixels = t.stack([ready(clip) for clip in shown])
    numbers: dict[str, Any] = {"given/video": pixels.permute(0, 2, 3, 4, 1)}
    blocks = [model.stem, *(block for i in range(1, 5) for block in getattr(model, f"layer{i}"))]
    for i, block in enumerate(blocks):
        block.register_forward_hook(lambda _, __, x, i=i: numbers.update({f"video/layers/{i}": x.permute(0, 2, 3, 4, 1)}))
    with t.no_grad():
        logits = model.eval()(pixels)
    return numbers | {"video/logits": logits}


def _resnet(t: Any) -> Any:
    """A VideoResNet of torchvision's own parts, whose widths are `WIDTHS` in place of 64 to 512."""
    parts = importlib.import_module("torchvision.models.video.resnet")
    model = parts.VideoResNet(parts.BasicBlock, [parts.Conv3DSimple] * 4, [1] * 4, parts.BasicStem, num_classes=2)
    model.stem[0] = t.nn.Conv3d(3, WIDTHS[0], (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
    model.stem[1] = t.nn.BatchNorm3d(WIDTHS[0])
    model.inplanes = WIDTHS[0]
    for i, width in enumerate(WIDTHS):
        layer = model._make_layer(parts.BasicBlock, parts.Conv3DSimple, width, 2, stride=1 if i == 0 else 2)
        setattr(model, f"layer{i + 1}", layer)
    model.fc = t.nn.Linear(WIDTHS[-1], 2)
    return model.eval()


KNOWN = {
    "videomae": (videomae, videomae_numbers),
    "videomae_labels": (videomae_labels, videomae_numbers),
    "r3d": (r3d, r3d_numbers),
}
