"""References of OpenCLIP, which needs the library open_clip, and torchvision with it."""

import gzip
import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

from pretrained.making.clip import byte_pairs
from pretrained.making.common import TEXTS, perturb, pictures, save_numbers, torch, transformers
from pretrained.making.siglip import sentence_pieces

PICTURES = {"mean": [0.4, 0.5, 0.6], "std": [0.3, 0.25, 0.2], "interpolation": "bicubic", "resize_mode": "shortest"}

ODD = (
    "&amp;amp; &lt;b&gt; P&EACUTE;REZ &ntilde &copy 2020 &hellip &#x2019; &#38;#38; &nbsp;&zwj;",
    "a<b &eacute;\n&eacute; c",
    "it\u2019s \u201cquoted\u201d ﬃ ĳ ŉ Ǆ e\u0301 İstanbul ẞ ΑΣ",
    "\x1b[36;44mblue\x1b[0m \x07 \ufeff \ud83d\ude00 \ud83d \x85 \x92 a\r\nb\rc\u2028d\u00a0e",
    "Ｕﾀｰﾝ　ＬＯＵＤ _x_ <end_of_text> don't; stop!",
)
"""Texts that OpenCLIP changes before it reads them."""


def library(name: str = "open_clip") -> Any:
    return importlib.import_module(name)


def pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's pieces as OpenCLIP numbers them: the end mark is the last."""
    known, merges = byte_pairs()
    return {piece: i for piece, i in known.items() if piece != "unused</w>"}, merges


def open_clip(folder: Path) -> None:
    known, merges = pairs()
    vision = {"image_size": 30, "patch_size": 7, "width": 24, "layers": 2, "head_width": 8, "mlp_ratio": 20 / 24}
    text = {"context_length": 13, "vocab_size": len(known), "width": 15, "heads": 5, "layers": 2, "mlp_ratio": 1.4}
    config = {"embed_dim": 14, "quick_gelu": True, "vision_cfg": vision, "text_cfg": text}
    save(folder, config, PICTURES, 31)
    transformers().CLIPTokenizer(vocab=known, merges=merges, model_max_length=13).save_pretrained(folder)
    cleanings = {name: library("open_clip.tokenizer").get_clean_fn(name) for name in ("lower", "whitespace", "canonicalize")}
    cleaned = {text: {name: clean(text) for name, clean in cleanings.items()} for text in (*TEXTS, *ODD)}
    (folder / "cleaned.json").write_text(json.dumps(cleaned))
    save_numbers(folder, numbers(folder, torch(), transformers()))


def open_clip_free(folder: Path) -> None:
    """All that differs: no causal mask, a bias behind the texts and one of the scale, layers with scales, another tokenizer."""
    tokenizer = sentence_pieces(folder)
    norms = {"norm_kwargs": {"eps": 1e-2}, "act_kwargs": {"approximate": "tanh"}, "ls_init_value": 0.1}
    vision = {"image_size": [18, 24], "patch_size": 6, "width": 16, "layers": 1, "head_width": 4, "mlp_ratio": 1.5, **norms}
    text = {"context_length": 12, "vocab_size": len(tokenizer), "width": 12, "heads": 3, "layers": 2, "mlp_ratio": 2.0, **norms}
    text |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True, "hf_tokenizer_name": "the/folder"}
    text |= {"tokenizer_kwargs": {"clean": "canonicalize"}}
    config = {"embed_dim": 10, "init_logit_bias": -10, "custom_text": False, "vision_cfg": vision, "text_cfg": text}
    save(folder, config, PICTURES | {"interpolation": "bilinear", "resize_mode": "squash"}, 32)
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    (folder / "spiece.model").unlink()
    save_numbers(folder, numbers(folder, torch(), transformers()))


def save(folder: Path, config: dict[str, Any], pictures: dict[str, Any], seed: int) -> None:
    said = {key: value for key, value in config.items() if key != "custom_text"}
    model = library("open_clip.model").CLIP(**said)
    perturb(model, seed)
    library("safetensors.torch").save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": pictures}))


def numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, _, prepare = library().create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    # It resizes palettes without smoothing and drops transparency: pictures are made RGB before, as transformers does it.
    pixels = t.stack([prepare(hf.image_transforms.convert_to_rgb(picture)) for picture in pictures()])
    ids, end = read(folder)
    text = model.transformer.forward_intermediates, model.visual.transformer.forward_intermediates
    with t.no_grad():
        out = {"image": model.encode_image(pixels), "text": model.encode_text(ids)}
        starts = {"image": model.visual._embeds(pixels), "text": model.token_embedding(ids) + model.positional_embedding}
        last = {"text": text[0](starts["text"], attn_mask=model.attn_mask), "image": text[1](starts["image"])}
        units = {"image": model.encode_image(pixels, normalize=True), "text": model.encode_text(ids, normalize=True)}
        logits, _ = model.get_logits(pixels, ids)
        normed = model.ln_final(last["text"][0])
        place = ids.argmax(1) if model.text_pool_type == "argmax" else t.full((len(ids),), ids.shape[1] - 1)
        pooled = {"image": model.visual.ln_post(last["image"][0])[:, 0], "text": normed[t.arange(len(ids)), place]}
    found = {f"{field}/layers/{i}": x for field in starts for i, x in enumerate([starts[field], *last[field][1]])}
    if isinstance(model.text_projection, t.nn.Linear):  # a part of our encoder, as SigLIP has it
        pooled["text"] = out["text"]
    for field in starts:
        found |= {f"{field}/pooled": pooled[field], f"{field}/features": out[field], f"{field}/unit": units[field]}
    found |= {
        "given/image": pixels.permute(0, 2, 3, 1),
        "given/text": ids,
        "similarity": logits,
        "scale": model.logit_scale.exp(),
    }
    found |= {"image/tokens": last["image"][0], "text/tokens": normed}
    found |= {"given/text/mask": t.arange(ids.shape[1])[None] <= end[:, None]} if model.text_pool_type == "argmax" else {}
    found |= {"bias": model.logit_bias + 0} if model.logit_bias is not None else {}
    return {key: x.detach() for key, x in found.items()}


def read(folder: Path) -> tuple[Any, Any]:
    """The ids of the texts, and where each ends. The pieces of `SimpleTokenizer` lie within its library: here they are small, and
    taken from the folder."""
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if config.get("hf_tokenizer_name"):
        # The bare tokenizer puts a piece before white space that a text begins with; that is cleaned away before.
        ids = library().get_tokenizer(f"local-dir:{folder}")(list(TEXTS))
    else:
        merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
        lines = ["#version", *(pair if isinstance(pair, str) else " ".join(pair) for pair in merges)]
        with tempfile.NamedTemporaryFile(suffix=".gz") as file:
            file.write(gzip.compress("\n".join(lines).encode()))
            file.flush()
            tokenizer = library("open_clip.tokenizer").SimpleTokenizer(file.name, context_length=config["context_length"])
        ids = tokenizer(list(TEXTS))
    return ids, ids.argmax(1)


KNOWN = {
    "open_clip": (open_clip, numbers),
    "open_clip_free": (open_clip_free, numbers),
}
