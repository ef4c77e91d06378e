"""References of attention maps: what transformers looks at (eager attention), with the checkpoints that are recorded already.

    cd tests && python -m pretrained.making.attention pretrained/recorded    # <name>/attention.npz

"last" f32[B heads h w]: the weights of the patches for the first token (of SigLIP: for the probe of its head) in the last layer;
"layers" f32[layer B heads L L]; "relevance" f32[P P h w]: of picture i for text j, by the equations of Chefer et al. 2021, over
all layers, and "relevance/last" with the last one only; both for the first `P` pictures and texts, by PyTorch's own gradients.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from pretrained.making.common import torch, transformers

P = 3
NAMES = ("clip", "siglip", "vit", "dinov2")


def watched_head(head: Any, t: Any, told: list[Any]) -> Any:
    """SigLIP's head, written out, as PyTorch's module keeps no weights that gradients run through."""

    def forward(tokens: Any) -> Any:
        one = head.attention
        b, _, d = tokens.shape
        parts = zip(one.in_proj_weight.chunk(3), one.in_proj_bias.chunk(3), strict=True)
        asked = head.probe.expand(b, 1, d)
        q, k, v = (x @ w.T + c for x, (w, c) in zip((asked, tokens, tokens), parts, strict=True))
        q, k, v = (x.reshape(b, -1, one.num_heads, d // one.num_heads).transpose(1, 2) for x in (q, k, v))
        weights = (q @ k.transpose(2, 3) / (d // one.num_heads) ** 0.5).softmax(-1)
        told.append(weights)
        x = one.out_proj((weights @ v).transpose(1, 2).reshape(b, 1, d))
        out = (x + head.mlp(head.layernorm(x)))[:, 0]
        assert t.allclose(out, type(head).forward(head, tokens), atol=1e-5)
        return out

    return forward


def towers(folder: Path, hf: Any) -> tuple[Any, Any]:
    """The whole model, and its half for pictures."""
    model = hf.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    return model, getattr(model, "vision_model", model)


def looked(tower: Any, pixels: Any, t: Any) -> tuple[Any, list[Any]]:
    """The pooled vectors, and the weights of every layer and of the head, all in one graph."""
    head = getattr(tower, "head", None)
    told: list[Any] = []
    if head is not None:
        head.forward = watched_head(head, t, told)
    out = tower(pixel_values=pixels, output_attentions=True)
    return out.pooler_output, [*out.attentions, *told]


def maps(x: Any, patches: tuple[int, int]) -> Any:
    h, w = patches
    return x[..., x.shape[-1] - h * w :].reshape(*x.shape[:-1], h, w)


def relevance(model: Any, tower: Any, pixels: Any, texts: Any, grid: tuple[int, int], layers: int | None, t: Any) -> Any:
    """For each text the map of each picture."""
    out = []
    for j in range(P):
        pooled, weights = looked(tower, pixels, t)
        features = pooled if not hasattr(model, "visual_projection") else model.visual_projection(pooled)
        units = features / features.norm(dim=-1, keepdim=True)
        score = (units @ texts[j]).sum() * model.logit_scale.exp().squeeze()
        helped = [(g * w).clamp(min=0).mean(1) for g, w in zip(t.autograd.grad(score, weights), weights, strict=True)]
        helped = [one.detach() for one in helped]
        kept = helped[-layers:] if layers else helped
        found = t.eye(weights[0].shape[-1]).expand(len(pixels), -1, -1)
        square = [one for one in kept if one.shape[1] == one.shape[2]]
        for one in square:
            found = found + one @ found
        if len(square) < len(kept):
            found = kept[-1] @ found
        out.append(maps(found[:, 0], grid))
    return t.stack(out, 1)


def numbers(folder: Path, t: Any, hf: Any) -> dict[str, np.ndarray]:
    given = np.load(folder / "reference.npz")
    pixels = t.tensor(given["given/image"]).permute(0, 3, 1, 2)[:P]
    model, tower = towers(folder, hf)
    patch = tower.config.patch_size
    grid = (pixels.shape[2] // patch, pixels.shape[3] // patch)
    _, weights = looked(tower, pixels, t)
    square = [one for one in weights if one.shape[2] == one.shape[3]]
    out = {"last": maps(weights[-1][:, :, 0], grid), "layers": t.stack(square)}
    if "text/unit" in given:
        texts = t.tensor(given["text/unit"])
        out |= {"relevance": relevance(model, tower, pixels, texts, grid, None, t)}
        out |= {"relevance/last": relevance(model, tower, pixels, texts, grid, 1, t)}
    return {key: np.asarray(x.detach(), np.float32) for key, x in out.items()}


if __name__ == "__main__":
    for name in NAMES:
        found: dict[str, Any] = numbers(Path(sys.argv[1]) / name, torch(), transformers())
        np.savez_compressed(Path(sys.argv[1]) / name / "attention.npz", **found)
