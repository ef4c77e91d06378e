"""References of ViT and DINOv2."""

from pathlib import Path
from typing import Any

from pretrained.making.common import perturb, pictures, save_numbers, torch, transformers


def picture_numbers(model: Any, pixels: Any, t: Any) -> dict[str, Any]:
    with t.no_grad():
        out = model(pixel_values=pixels, output_hidden_states=True)
    numbers = {f"image/layers/{i}": x for i, x in enumerate(out.hidden_states)}
    return numbers | {
        "given/image": pixels.permute(0, 2, 3, 1),
        "image/tokens": out.last_hidden_state,
        "image/pooled": out.pooler_output,
    }


def vit(folder: Path) -> None:
    hf = transformers()
    said = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 20}
    model = hf.ViTModel(hf.ViTConfig(**said, patch_size=6, hidden_act="relu", layer_norm_eps=1e-2))
    perturb(model, 3)
    model.save_pretrained(folder)
    hf.ViTImageProcessorPil(size={"height": 20, "width": 20}).save_pretrained(folder)
    save_numbers(folder, vit_numbers(folder, torch(), hf))


def vit_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    # This processor refuses all but RGB.
    shown = [hf.image_transforms.convert_to_rgb(picture) for picture in pictures()]
    pixels = hf.ViTImageProcessorPil.from_pretrained(folder)(shown, return_tensors="pt")["pixel_values"]
    return picture_numbers(hf.ViTModel.from_pretrained(folder).eval(), pixels, t)


def vit_labels(folder: Path) -> None:
    hf = transformers()
    said = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 18}
    labels = {"id2label": {0: "cat", 1: "dog", 2: "red bicycle"}, "label2id": {"cat": 0, "dog": 1, "red bicycle": 2}}
    model = hf.ViTForImageClassification(hf.ViTConfig(**said, **labels, patch_size=6, qkv_bias=False))
    perturb(model, 4)
    model.save_pretrained(folder)
    hf.ViTImageProcessorPil(size={"height": 18, "width": 18}).save_pretrained(folder)
    save_numbers(folder, vit_labels_numbers(folder, torch(), hf))


def vit_labels_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    shown = [hf.image_transforms.convert_to_rgb(picture) for picture in pictures()]
    pixels = hf.ViTImageProcessorPil.from_pretrained(folder)(shown, return_tensors="pt")["pixel_values"]
    with t.no_grad():
        logits = hf.ViTForImageClassification.from_pretrained(folder).eval()(pixel_values=pixels).logits
    return {"given/image": pixels.permute(0, 2, 3, 1), "image/logits": logits}


def dinov2(folder: Path) -> None:
    hf = transformers()
    said = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "image_size": 42,
        "patch_size": 7,
        "mlp_ratio": 2,
    }
    model = hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**said, num_register_tokens=3, layer_norm_eps=1e-3))
    perturb(model, 5)
    model.save_pretrained(folder)
    hf.BitImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    save_numbers(folder, dinov2_numbers(folder, torch(), hf))


def dinov2_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    pixels = hf.BitImageProcessorPil.from_pretrained(folder)(pictures(), return_tensors="pt")["pixel_values"]
    return picture_numbers(hf.AutoModel.from_pretrained(folder).eval(), pixels, t)


def dinov2_gated(folder: Path) -> None:
    hf = transformers()
    said = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 35,
        "patch_size": 7,
        "mlp_ratio": 3,
    }
    model = hf.Dinov2Model(hf.Dinov2Config(**said, use_swiglu_ffn=True))
    perturb(model, 6)
    model.save_pretrained(folder)
    hf.BitImageProcessorPil(size={"shortest_edge": 30}, crop_size={"height": 14, "width": 21}).save_pretrained(folder)
    save_numbers(folder, dinov2_numbers(folder, torch(), hf))


KNOWN = {
    "vit": (vit, vit_numbers),
    "vit_labels": (vit_labels, vit_labels_numbers),
    "dinov2": (dinov2, dinov2_numbers),
    "dinov2_gated": (dinov2_gated, dinov2_numbers),
}
