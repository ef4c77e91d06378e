"""Small random checkpoints and what transformers computes with them, for the tests of `sensorium.pretrained`.

    python tests/pretrained/references.py make DIR     # DIR/<name>/: a checkpoint, and reference.npz
    python tests/pretrained/references.py check DIR    # DIR/<name>/saved/: what we wrote, read by transformers again

It runs where PyTorch and transformers are; nothing of Sensorium is needed. `parity.py` calls both.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
PICTURES = Path(__file__).parent / "recorded" / "pictures"
TEXTS = (
    "a photo of a cat",
    "",
    "Hello,   World!! It's 1234 o'clock",
    "🙂 a 🐈‍⬛ in the café, naïve É",
    "שלום עולם",
    "\n\ttabs and\u00a0spaces \u3000",
    "the cat " * 40,
    "[CLS] <|endoftext|> inside </s> [SEP]",
    "ﬁne ＦＵＬＬ width, Ångström, 猫が好き",
)


def torch() -> Any:
    module = importlib.import_module("torch")
    module.set_num_threads(1)
    return module


def transformers() -> Any:
    return importlib.import_module("transformers")


def pictures() -> list[Any]:
    """The pictures of the tests, upright, as transformers' `load_image` has them before it makes RGB of them."""
    pillow, ops = importlib.import_module("PIL.Image"), importlib.import_module("PIL.ImageOps")
    return [ops.exif_transpose(pillow.open(path)) for path in sorted(PICTURES.iterdir())]


def draw_pictures() -> None:
    """Odd sizes, grey, grey and alpha, alpha, a palette with and without transparency, 1 bit, CMYK, and one that EXIF turns."""
    pillow = importlib.import_module("PIL.Image")
    PICTURES.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(6)

    def some(height: int, width: int, channels: int) -> np.ndarray:
        rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
        waves = 127 + 90 * np.sin(rows * draw.uniform(0.1, 1, channels) + columns * draw.uniform(0.1, 1, channels))
        return (waves + draw.integers(0, 30, (height, width, channels))).clip(0, 255).astype(np.uint8)

    made = {
        "alpha.png": pillow.fromarray(some(41, 40, 4), "RGBA"),
        "grey.png": pillow.fromarray(some(31, 64, 1)[..., 0]),
        "grey_alpha.png": pillow.fromarray(some(22, 35, 2), "LA"),
        "palette.png": pillow.fromarray(some(33, 29, 3)).quantize(20),
        "one_bit.png": pillow.fromarray(some(36, 30, 1)[..., 0]).convert("1"),
        "tall.png": pillow.fromarray(some(61, 9, 3)),
        "tiny.png": pillow.fromarray(some(3, 5, 3)),
        "wide.png": pillow.fromarray(some(37, 50, 3)),
    }
    for name, picture in made.items():
        picture.save(PICTURES / name)
    made["palette.png"].save(PICTURES / "palette_clear.png", transparency=3)
    pillow.fromarray(some(48, 40, 3)).convert("CMYK").save(PICTURES / "cmyk.jpg", quality=80)
    turned = pillow.fromarray(some(30, 45, 3))
    exif = turned.getexif()
    exif[274] = 6
    turned.save(PICTURES / "turned.jpg", exif=exif, quality=80)


def perturb(model: Any, seed: int) -> None:
    """Every parameter its own, so that a swapped or dropped one is seen; sizes that keep the signal alive."""
    t = torch()
    t.manual_seed(seed)
    with t.no_grad():
        for name, value in model.named_parameters():
            noise = t.randn(value.shape)
            if "logit_scale" in name:
                value.fill_(1.7)
            elif "norm" in name.lower() and value.ndim == 1 and name.endswith("weight"):
                value.copy_(1 + 0.3 * noise)
            elif value.ndim > 1:
                fan = value[0].numel() if "embedding" not in name or "patch" in name else 4
                value.copy_(noise * 1.2 / fan**0.5)
            else:
                value.copy_(0.3 * noise)
    model.eval()


def byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of CLIP's kind: bytes, bytes that end a word, some merged pairs, and the end mark before the last."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = [("t", "h"), ("th", "e</w>"), ("c", "a"), ("ca", "t</w>"), ("p", "h"), ("ph", "o"), ("o", "f</w>"), ("i", "n</w>")]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    pieces += ["<|startoftext|>", "<|endoftext|>", "unused</w>"]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def save_numbers(folder: Path, numbers: dict[str, Any]) -> None:
    found = {key: np.asarray(value) for key, value in numbers.items()}
    small = {"int64": np.int32, "float64": np.float32}
    kept: dict[str, Any] = {key: x.astype(small.get(str(x.dtype), x.dtype)) for key, x in found.items()}
    np.savez_compressed(folder / "reference.npz", **kept)


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
        "pixels": pixels.permute(0, 2, 3, 1),
        "ids": read["input_ids"],
        "mask": read["attention_mask"].bool(),
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
        "pixels": pixels.permute(0, 2, 3, 1),
        "ids": ids,
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


def picture_numbers(model: Any, pixels: Any, t: Any) -> dict[str, Any]:
    with t.no_grad():
        out = model(pixel_values=pixels, output_hidden_states=True)
    numbers = {f"image/layers/{i}": x for i, x in enumerate(out.hidden_states)}
    return numbers | {
        "pixels": pixels.permute(0, 2, 3, 1),
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
    return {"pixels": pixels.permute(0, 2, 3, 1), "image/logits": logits}


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


def bert(folder: Path) -> None:
    hf = transformers()
    known = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz0123456789!',.",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"),
    ]
    known += ["cat", "photo", "the", "of", "hello", "##orld", "猫", "שלום"]
    said = {
        "hidden_size": 20,
        "num_hidden_layers": 2,
        "num_attention_heads": 5,
        "intermediate_size": 28,
        "max_position_embeddings": 24,
    }
    model = hf.BertModel(
        hf.BertConfig(**said, vocab_size=len(known), type_vocab_size=3, hidden_act="gelu_new", layer_norm_eps=1e-2)
    )
    perturb(model, 7)
    model.save_pretrained(folder)
    hf.BertTokenizer(vocab={piece: i for i, piece in enumerate(known)}, model_max_length=18).save_pretrained(folder)
    save_numbers(folder, bert_numbers(folder, torch(), hf))


def bert_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, tokenizer = hf.BertModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    read = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    with t.no_grad():
        out = model(**read, output_hidden_states=True)
    kept = read["attention_mask"][..., None].float()
    numbers = {f"text/layers/{i}": x for i, x in enumerate(out.hidden_states)}
    return numbers | {
        "ids": read["input_ids"],
        "mask": read["attention_mask"].bool(),
        "text/tokens": out.last_hidden_state,
        "text/pooled": out.pooler_output,
        "text/mean": (out.last_hidden_state * kept).sum(1) / kept.sum(1),
        "text/first": out.last_hidden_state[:, 0],
        "text/maximum": out.last_hidden_state.masked_fill(kept == 0, -1e9).max(1).values,
    }


def _tensor(x: Any) -> Any:
    return x.pooler_output if type(x).__name__ != "Tensor" else x


KNOWN: dict[str, tuple[Callable[[Path], None], Callable[[Path, Any, Any], dict[str, Any]]]] = {
    "clip": (clip, clip_numbers),
    "siglip": (siglip, siglip_numbers),
    "vit": (vit, vit_numbers),
    "vit_labels": (vit_labels, vit_labels_numbers),
    "dinov2": (dinov2, dinov2_numbers),
    "dinov2_gated": (dinov2_gated, dinov2_numbers),
    "bert": (bert, bert_numbers),
}


def make(root: Path) -> None:
    draw_pictures()
    for name, (maker, _) in KNOWN.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        maker(root / name)


def check(root: Path) -> dict[str, float]:
    """The largest relative difference of each family: what transformers computes from what we saved, and its own reference."""
    out = {}
    for name, (_, numbers) in KNOWN.items():
        reference = np.load(root / name / "reference.npz")
        found = {key: np.asarray(value) for key, value in numbers(root / name / "saved", torch(), transformers()).items()}
        assert found.keys() == set(reference.files), found.keys() ^ set(reference.files)
        out[name] = max(
            float(np.abs(found[k] - reference[k]).max() / np.abs(reference[k]).max()) for k in found if k not in ("ids", "mask")
        )
        assert (found["ids"] == reference["ids"]).all() if "ids" in found else True
    return out


if __name__ == "__main__":
    where = Path(sys.argv[2])
    print(json.dumps(make(where) if sys.argv[1] == "make" else check(where)))
