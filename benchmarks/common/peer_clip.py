"""The peer of benchmarks/train.py, run by a Python that has torch and transformers: a small CLIP, made, saved and trained.

python peer_clip.py make DIR                     a random checkpoint in the official layout
python peer_clip.py train DIR BATCH STEPS        prints {"losses": [...], "seconds": [...]} of AdamW steps on the checkpoint
python peer_clip.py peak                         prints {"gflops": ...} of a float32 product of matrices
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
import transformers  # pyright: ignore[reportMissingImports]

LETTERS = [chr(b) for b in (*range(33, 127), *range(161, 173), *range(174, 256))]
LETTERS += [chr(256 + i) for i in range(256 - len(LETTERS))]


def make(folder: Path) -> None:
    """64×64 pictures in patches of 8, width 256, 6 layers; texts of 32 tokens, width 256, 4 layers; 1,024 ids."""
    torch.manual_seed(0)
    pieces = [*LETTERS, *(letter + "</w>" for letter in LETTERS)]
    pieces += [f"unused{i}</w>" for i in range(1022 - len(pieces))] + ["<|startoftext|>", "<|endoftext|>"]
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
    text = {**sizes, "num_hidden_layers": 4, "vocab_size": 1024, "max_position_embeddings": 32}
    text |= {"eos_token_id": 1023, "bos_token_id": 1022, "pad_token_id": 1023}
    vision = {**sizes, "num_hidden_layers": 6, "image_size": 64, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=256)
    transformers.CLIPModel(config).save_pretrained(folder)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=32).save_pretrained(folder)
    size = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    transformers.CLIPImageProcessor(**size).save_pretrained(folder)


def train(folder: Path, batch: int, steps: int) -> None:
    torch.set_num_threads(torch.get_num_threads())
    model = transformers.CLIPModel.from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)
    losses, seconds = [], []
    for number in range(steps):
        given = np.load(folder / f"batch{number}.npz")
        start = time.perf_counter()
        pixels = torch.from_numpy(given["image"]).permute(0, 3, 1, 2).contiguous()
        ids = torch.from_numpy(given["text"]).long()
        out = model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), return_loss=True)
        optimizer.zero_grad(set_to_none=True)
        out.loss.backward()
        optimizer.step()
        losses.append(out.loss.item())
        seconds.append(time.perf_counter() - start)
    assert len(given["image"]) == batch
    print(json.dumps({"losses": losses, "seconds": seconds}))


def peak() -> None:
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    rates = []
    for _ in range(8):
        start = time.perf_counter()
        _ = a @ b
        rates.append(2 * 2048**3 / (time.perf_counter() - start) / 1e9)
    print(json.dumps({"gflops": max(rates)}))


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "make":
        make(Path(rest[0]))
    elif verb == "train":
        train(Path(rest[0]), int(rest[1]), int(rest[2]))
    else:
        peak()
