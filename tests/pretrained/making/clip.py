"""References of CLIP."""

from pathlib import Path
from typing import Any

from pretrained.making.common import TEXTS, perturb, pictures, save_numbers, torch, transformers


def byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of CLIP's kind: bytes, bytes that end a word, some merged pairs, and the end mark before the last."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("p", "h"), ("ph", "o"), ("o", "f</w>"), ("i", "n</w>")]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>", "unused</w>"]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def clip(folder: Path) -> None:
    t, hf = torch(), transformers()
    vocabulary, merges = byte_pairs()
    end = vocabulary["<|endoftext|>"]
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": 20,
        "intermediate_size": 28,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
    }
    text |= {
        "max_position_embeddings": 13,
        "layer_norm_eps": 1e-3,
        "eos_token_id": end,
        "bos_token_id": end - 1,
        "pad_token_id": end,
    }
    vision = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 30}
    vision |= {"patch_size": 7, "hidden_act": "gelu", "layer_norm_eps": 1e-2}
    model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=14))
    perturb(model, 1)
    model.save_pretrained(folder)
    hf.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=13).save_pretrained(folder)
    size = {"size": {"shortest_edge": 33}, "crop_size": {"height": 30, "width": 30}}
    hf.CLIPImageProcessorPil(**size).save_pretrained(folder)
    save_numbers(folder, clip_numbers(folder, t, hf))


def clip_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, tokenizer = hf.CLIPModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    pixels = hf.CLIPImageProcessorPil.from_pretrained(folder)(pictures(), return_tensors="pt")["pixel_values"]
    read = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    with t.no_grad():
        out = model(**read, pixel_values=pixels)
        vision = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        text = model.text_model(**read, output_hidden_states=True)
        features = model.get_image_features(pixels), model.get_text_features(**read)
        scale = model.logit_scale.exp()
    numbers = {f"image/layers/{i}": x for i, x in enumerate(vision.hidden_states)}
    numbers |= {f"text/layers/{i}": x for i, x in enumerate(text.hidden_states)}
    return numbers | {
        "given/image": pixels.permute(0, 2, 3, 1),
        "given/text": read["input_ids"],
        "given/text/mask": read["attention_mask"].bool(),
        "image/tokens": vision.last_hidden_state,
        "text/tokens": text.last_hidden_state,
        "image/pooled": vision.pooler_output,
        "text/pooled": text.pooler_output,
        "image/features": _tensor(features[0]),
        "text/features": _tensor(features[1]),
        "image/unit": out.image_embeds,
        "text/unit": out.text_embeds,
        "scale": scale,
        "similarity": out.logits_per_image,
    }


def _tensor(x: Any) -> Any:
    return x.pooler_output if type(x).__name__ != "Tensor" else x


KNOWN = {
    "clip": (clip, clip_numbers),
}
