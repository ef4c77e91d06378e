"""References of SigLIP."""

import importlib
import json
from pathlib import Path
from typing import Any

from pretrained.making.common import TEXTS, perturb, pictures, save_numbers, torch, transformers


def sentence_pieces(folder: Path) -> Any:
    """spiece.model, its tokenizer.json without what SigLIP's class does in Python, and that class."""
    trainer = importlib.import_module("sentencepiece")
    told = ["a photo of a cat", "hello world its oclock", "in the cafe naive", "abcdefghijklmnopqrstuvwxyz 0123456789"] * 3
    marks = {"pad_id": -1, "unk_id": 2, "bos_id": -1, "eos_id": 1, "user_defined_symbols": ["<z>"]}
    trainer.SentencePieceTrainer.train(
        sentence_iterator=iter(told),
        model_prefix=str(folder / "spiece"),
        vocab_size=64,
        model_type="unigram",
        normalization_rule_name="identity",
        hard_vocab_limit=False,
        minloglevel=2,
        **marks,
    )
    (folder / "spiece.vocab").unlink()
    made = trainer.SentencePieceProcessor(str(folder / "spiece.model"))
    pieces = [[made.id_to_piece(i), made.get_score(i)] for i in range(len(made))]
    special = {"single_word": False, "lstrip": True, "rstrip": True, "normalized": False, "special": True}
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    said = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "normalizer": None,
        "pre_tokenizer": space,
        "decoder": space,
        "added_tokens": [{"id": made.piece_to_id(token), "content": token, **special} for token in ("</s>", "<unk>")],
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "model": {"type": "Unigram", "unk_id": 2, "vocab": pieces, "byte_fallback": False},
    }
    tokenizer = transformers().SiglipTokenizer(str(folder / "spiece.model"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(said, ensure_ascii=False))
    return tokenizer


def siglip(folder: Path) -> None:
    hf = transformers()
    tokenizer = sentence_pieces(folder)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 20,
        "intermediate_size": 28,
        "num_hidden_layers": 2,
        "num_attention_heads": 5,
    }
    text |= {"max_position_embeddings": 16, "layer_norm_eps": 1e-3, "hidden_act": "gelu", "projection_size": 24}
    vision = {"hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": 28}
    vision |= {"patch_size": 9, "layer_norm_eps": 1e-2}
    model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
    perturb(model, 2)
    model.save_pretrained(folder)
    hf.SiglipImageProcessorPil(size={"height": 28, "width": 28}, image_std=[0.5, 0.4, 0.3]).save_pretrained(folder)
    save_numbers(folder, siglip_numbers(folder, torch(), hf))


def siglip_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, tokenizer = hf.SiglipModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    pixels = hf.SiglipImageProcessorPil.from_pretrained(folder)(pictures(), return_tensors="pt")["pixel_values"]
    # Its class puts a piece of its own before white space that a text begins with; the authors' code strips it, and so do we.
    ids = tokenizer([text.strip() for text in TEXTS], padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    with t.no_grad():
        out = model(input_ids=ids, pixel_values=pixels)
        vision = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        text = model.text_model(input_ids=ids, output_hidden_states=True)
        scale, bias = model.logit_scale.exp()[0], model.logit_bias[0] + 0
    numbers = {f"image/layers/{i}": x for i, x in enumerate(vision.hidden_states)}
    numbers |= {f"text/layers/{i}": x for i, x in enumerate(text.hidden_states)}
    return numbers | {
        "given/image": pixels.permute(0, 2, 3, 1),
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
    "siglip": (siglip, siglip_numbers),
}
