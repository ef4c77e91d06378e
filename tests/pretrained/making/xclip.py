"""References of X-CLIP."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from pretrained.making.clip import byte_pairs
from pretrained.making.common import TEXTS, perturb, save_numbers, torch, transformers
from pretrained.making.video import clips


def xclip(folder: Path) -> None:
    t, hf = torch(), transformers()
    vocabulary, merges = byte_pairs()
    text = {"vocab_size": len(vocabulary), "hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 3, "max_position_embeddings": 11, "layer_norm_eps": 1e-3}
    vision = {"hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 20}
    vision |= {"patch_size": 6, "num_frames": 3, "mit_hidden_size": 10, "mit_intermediate_size": 14, "mit_num_hidden_layers": 2}
    vision |= {"mit_num_attention_heads": 5, "hidden_act": "gelu", "layer_norm_eps": 1e-2}
    said = {"projection_dim": 10, "prompt_layers": 2, "prompt_num_attention_heads": 2, "prompt_hidden_act": "relu"}
    model = hf.XCLIPModel(hf.XCLIPConfig(text_config=text, vision_config=vision, **said))
    perturb(model, 41)
    with t.no_grad():
        for name, value in model.named_parameters():
            if "message_ln" in name and name.endswith("weight"):
                value.copy_(1 + 0.3 * t.randn(value.shape))
        model.prompts_generator.alpha.add_(0.5)
    model.save_pretrained(folder)
    hf.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=11).save_pretrained(folder)
    hf.VideoMAEImageProcessorPil(size={"shortest_edge": 22}, crop_size={"height": 20, "width": 20}).save_pretrained(folder)
    save_numbers(folder, xclip_numbers(folder, t, hf))


def xclip_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    pillow = importlib.import_module("PIL.Image")
    model, tokenizer = hf.XCLIPModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    processor = hf.VideoMAEImageProcessorPil.from_pretrained(folder)
    shown = [[pillow.fromarray(np.ascontiguousarray(frame)) for frame in clip] for clip in clips(3)]
    pixels = t.cat([processor(clip, return_tensors="pt")["pixel_values"] for clip in shown])
    read = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    with t.no_grad():
        out = model(**read, pixel_values=pixels)
        vision = model.vision_model(pixel_values=pixels.flatten(0, 1), output_hidden_states=True)
        text = model.text_model(**read, output_hidden_states=True)
        features = model.get_text_features(**read).pooler_output
        scale = model.logit_scale.exp()
    numbers = {f"video/layers/{i}": x.unflatten(0, pixels.shape[:2]) for i, x in enumerate(vision.hidden_states)}
    numbers |= {f"text/layers/{i}": x for i, x in enumerate(text.hidden_states)}
    return numbers | {
        "given/video": pixels.permute(0, 1, 3, 4, 2),
        "given/text": read["input_ids"],
        "given/text/mask": read["attention_mask"].bool(),
        "text/tokens": text.last_hidden_state,
        "text/pooled": text.pooler_output,
        "text/features": features,
        "text/unit": features / features.norm(dim=1, keepdim=True),
        "video/features": out.mit_output.pooler_output,
        "video/unit": out.video_embeds,
        "scale": scale,
        "similarity": out.logits_per_text,
    }


KNOWN = {
    "xclip": (xclip, xclip_numbers),
}
