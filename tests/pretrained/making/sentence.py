"""References of sentence embeddings, which need the library sentence_transformers."""

import importlib
from pathlib import Path
from typing import Any

from pretrained.making.common import TEXTS, perturb, save_numbers, torch, transformers


def sentence(folder: Path) -> None:
    """MPNet, the mean of its tokens, a layer with tanh, and length 1: the modules of sentence-transformers, as it saves them."""
    t, hf = torch(), transformers()
    models, made = importlib.import_module("sentence_transformers.models"), importlib.import_module("sentence_transformers")
    files = importlib.import_module("safetensors.torch")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    known = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(f"##{c}" for c in letters), "the", "cat", "[UNK]", "<mask>"]
    said = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20}
    model = hf.MPNetModel(hf.MPNetConfig(**said, vocab_size=len(known), max_position_embeddings=30, layer_norm_eps=1e-3))
    perturb(model, 42)
    model.save_pretrained(folder)
    hf.MPNetTokenizer(vocab={piece: i for i, piece in enumerate(known)}, model_max_length=20).save_pretrained(folder)
    dense = models.Dense(in_features=16, out_features=10, activation_function=t.nn.Tanh())
    perturb(dense, 43)
    modules = [models.Transformer(str(folder)), models.Pooling(16, pooling_mode="mean"), dense, models.Normalize()]
    made.SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    weights = files.load_file(folder / "model.safetensors")
    files.save_file({key: x for key, x in weights.items() if "pooler" not in key}, folder / "model.safetensors", {"format": "pt"})
    save_numbers(folder, sentence_numbers(folder, t, hf))


def sentence_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model = importlib.import_module("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    read = hf.AutoTokenizer.from_pretrained(folder)(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    with t.no_grad():
        out = model[0].auto_model(**read, output_hidden_states=True)
    numbers = {f"text/layers/{i}": x for i, x in enumerate(out.hidden_states)}
    pooled = model.encode(list(TEXTS))
    numbers |= {"text/tokens": out.last_hidden_state, "text/pooled": pooled, "text/features": pooled, "text/unit": pooled}
    return numbers | {"given/text": read["input_ids"], "given/text/mask": read["attention_mask"].bool()}


KNOWN = {
    "sentence": (sentence, sentence_numbers),
}
