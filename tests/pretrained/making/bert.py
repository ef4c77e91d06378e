"""References of BERT."""

from pathlib import Path
from typing import Any

from pretrained.making.common import TEXTS, perturb, save_numbers, torch, transformers


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
    return text_numbers(hf.BertModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder), t)


def text_numbers(model: Any, tokenizer: Any, t: Any) -> dict[str, Any]:
    """What an encoder of texts alone makes of them, and three poolings."""
    read = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    with t.no_grad():
        out = model(**read, output_hidden_states=True)
    kept = read["attention_mask"][..., None].float()
    numbers = {f"text/layers/{i}": x for i, x in enumerate(out.hidden_states)}
    return numbers | {
        "given/text": read["input_ids"],
        "given/text/mask": read["attention_mask"].bool(),
        "text/tokens": out.last_hidden_state,
        "text/pooled": out.pooler_output,
        "text/mean": (out.last_hidden_state * kept).sum(1) / kept.sum(1),
        "text/first": out.last_hidden_state[:, 0],
        "text/maximum": out.last_hidden_state.masked_fill(kept == 0, -1e9).max(1).values,
    }


KNOWN = {
    "bert": (bert, bert_numbers),
}
