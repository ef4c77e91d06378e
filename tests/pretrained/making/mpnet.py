"""References of MPNet."""

from pathlib import Path
from typing import Any

from pretrained.making.bert import text_numbers
from pretrained.making.common import perturb, save_numbers, torch, transformers


def mpnet(folder: Path) -> None:
    hf = transformers()
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    known = ["<s>", "<pad>", "</s>", "<unk>", *letters, *"!',.", *(f"##{c}" for c in letters)]
    known += ["cat", "photo", "the", "of", "hello", "##orld", "猫", "[UNK]", "<mask>"]
    said = {"hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 5, "intermediate_size": 28}
    config = hf.MPNetConfig(**said, vocab_size=len(known), max_position_embeddings=40, hidden_act="gelu_new", layer_norm_eps=1e-2)
    model = hf.MPNetModel(config)
    perturb(model, 41)
    model.save_pretrained(folder)
    hf.MPNetTokenizer(vocab={piece: i for i, piece in enumerate(known)}, model_max_length=36).save_pretrained(folder)
    save_numbers(folder, mpnet_numbers(folder, torch(), hf))


def mpnet_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    return text_numbers(hf.MPNetModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder), t)


KNOWN = {
    "mpnet": (mpnet, mpnet_numbers),
}
