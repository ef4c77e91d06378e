"""References of SigLIP 2 with pictures in their own proportions (NaFlex)."""

import json
from pathlib import Path
from typing import Any

from pretrained.making.common import TEXTS, perturb, pictures, save_numbers, torch, transformers


def gemma(folder: Path) -> int:
    """A tokenizer.json of Gemma's kind with SigLIP 2's end mark, declared as on the Hub; how many pieces it has."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    pieces = [*marks, *(f"<0x{i:02X}>" for i in range(256)), *letters, "▁", "ca", "cat", "▁th", "th", "the", "▁o", "▁of", "é"]
    known = {piece: i for i, piece in enumerate(pieces)}
    merges = [["c", "a"], ["ca", "t"], ["t", "h"], ["th", "e"], ["▁", "th"], ["▁", "o"], ["▁o", "f"]]
    kinds = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    single = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}]
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None}
    said = {
        **{"version": "1.0", "truncation": None, "padding": None},
        "added_tokens": [{"id": known[token], "content": token, **kinds} for token in marks],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {
            **{"type": "TemplateProcessing", "single": single, "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}]},
            "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}},
        },
        "decoder": None,
        "model": {**model, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": known, "merges": merges},
    }
    config = {"tokenizer_class": "GemmaTokenizer", "padding_side": "right", "model_max_length": 12, "add_bos_token": False}
    config |= {"add_eos_token": True, "pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    (folder / "tokenizer.json").write_text(json.dumps(said, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(pieces)


def naflex(folder: Path) -> None:
    hf, pieces = transformers(), gemma(folder)
    text = {"vocab_size": pieces, "hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 1, "num_attention_heads": 5}
    text |= {"max_position_embeddings": 12, "layer_norm_eps": 1e-3, "hidden_act": "gelu", "projection_size": 24}
    vision = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "num_patches": 16}
    vision |= {"patch_size": 5, "layer_norm_eps": 1e-2}
    model = hf.Siglip2Model(hf.Siglip2Config(text_config=text, vision_config=vision))
    perturb(model, 44)
    model.save_pretrained(folder)
    said = {"patch_size": 5, "max_num_patches": 22, "image_std": [0.5, 0.4, 0.3], "do_convert_rgb": True}
    hf.Siglip2ImageProcessorPil(**said).save_pretrained(folder)
    save_numbers(folder, naflex_numbers(folder, torch(), hf))


def naflex_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, tokenizer = hf.Siglip2Model.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    read = hf.Siglip2ImageProcessorPil.from_pretrained(folder)(pictures(), return_tensors="pt")
    ids = tokenizer(list(TEXTS), padding="max_length", truncation=True, max_length=12, return_tensors="pt")["input_ids"]
    with t.no_grad():
        out = model(input_ids=ids, **read)
        vision = model.vision_model(**read, output_hidden_states=True)
        text = model.text_model(input_ids=ids, output_hidden_states=True)
        scale, bias = model.logit_scale.exp()[0], model.logit_bias[0] + 0
    numbers = {f"image/layers/{i}": x for i, x in enumerate(vision.hidden_states)}
    numbers |= {f"text/layers/{i}": x for i, x in enumerate(text.hidden_states)}
    return numbers | {
        "given/image": read["pixel_values"],
        "given/image/mask": read["pixel_attention_mask"].bool(),
        "given/image/shape": read["spatial_shapes"],
        "given/text": ids,
        "image/tokens": vision.last_hidden_state,
        "text/tokens": text.last_hidden_state,
        "image/pooled": vision.pooler_output,
        "text/pooled": text.pooler_output,
        "image/features": vision.pooler_output,
        "text/features": text.pooler_output,
        "image/unit": out.image_embeds,
        "text/unit": out.text_embeds,
        "scale": scale,
        "bias": bias,
        "similarity": out.logits_per_image,
    }


KNOWN = {
    "naflex": (naflex, naflex_numbers),
}
