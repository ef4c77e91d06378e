"""References of CLAP: sounds that are not fused, and sounds that are."""

from pathlib import Path
from typing import Any

import numpy as np
from pretrained.making.common import TEXTS, perturb, save_numbers, torch, transformers

RATE = 8000
LENGTH = 8000
"""Samples of a sound that just fits."""


def sounds() -> list[np.ndarray]:
    """f32[N] at `RATE`: shorter than what fits, just fitting, silence, one sample, longer, longer by less than a frame or two."""
    draw, seconds = np.random.default_rng(8), np.arange(4 * LENGTH) / RATE
    chirp = 0.4 * np.sin(2 * np.pi * (150 + 220 * seconds) * seconds) + 0.05 * draw.standard_normal(len(seconds))
    chord = sum(0.2 * np.sin(2 * np.pi * f * seconds) for f in (220.0, 557.0, 1320.0)) * np.exp(-seconds)
    made = [chirp[:3001], chord[:LENGTH], np.zeros(900), np.array([0.5]), chirp[:27650], chord[: LENGTH + 100]]
    return [np.asarray(one, np.float32) for one in (*made, chirp[: LENGTH + 500])]


def middle(wave: np.ndarray) -> np.ndarray:
    """The part that is kept of a longer sound, where CLAP draws one."""
    start = (len(wave) - LENGTH + 1) // 2
    return wave[start : start + LENGTH] if len(wave) > LENGTH else wave


def features(folder: Path, hf: Any) -> tuple[Any, Any]:
    """The reference's features of the sounds, and which are longer; what it draws at random is the middle of all there is."""
    extractor = hf.ClapFeatureExtractor.from_pretrained(folder)
    given, drawn = sounds(), np.random.choice
    if extractor.truncation == "rand_trunc":
        given = [middle(wave) for wave in given]
    np.random.choice = lambda places: places[len(places) // 2]
    try:
        made = extractor(given, sampling_rate=RATE, return_tensors="pt")
    finally:
        np.random.choice = drawn
    return made["input_features"], made["is_longer"]


def perturb_statistics(model: Any) -> None:
    """The stored statistics of batch norms, which are no parameters: those of the bands are decibels."""
    t = torch()
    for name, value in model.named_buffers():
        if name.endswith("running_var"):
            value.copy_((400.0 if "batch_norm" in name else 1.0) * (0.5 + t.rand(value.shape)))
        elif name.endswith("running_mean"):
            value.copy_(5 * t.randn(value.shape) - 20 if "batch_norm" in name else 0.3 * t.randn(value.shape))


def pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of RoBERTa's kind: marks, bytes, some merged pairs."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(b) for b in shown] + [chr(256 + i) for i in range(256 - len(shown))]
    merges = [("Ġ", "c"), ("a", "t"), ("Ġc", "at"), ("p", "h"), ("ph", "o"), ("Ġ", "a"), ("ã", "ģ"), ("Ġ", "o"), ("Ġo", "f")]
    known = ["<s>", "<pad>", "</s>", "<unk>", *letters, *("".join(pair) for pair in merges), "<mask>"]
    return {piece: i for i, piece in enumerate(known)}, merges


def clap(folder: Path, fused: bool = False) -> None:
    hf = transformers()
    vocabulary, merges = pieces()
    text = {
        **{"vocab_size": len(vocabulary), "hidden_size": 20, "num_hidden_layers": 1 if fused else 2, "num_attention_heads": 5},
        **{"intermediate_size": 28, "max_position_embeddings": 17, "type_vocab_size": 2, "layer_norm_eps": 1e-3},
        **{"hidden_act": "gelu_new"},
    }
    # Windows that do not fill the grid: 12 → 15, 6 → 10; fused, 8 in windows of 4, and then one that is the grid.
    audio = {"num_mel_bins": 24, "spec_size": 48, "patch_size": [6, 4], "patch_stride": [4, 4], "window_size": 5}
    audio |= {"depths": [2, 1], "num_attention_heads": [2, 3], "patch_embeds_hidden_size": 6, "hidden_size": 12}
    audio |= {"mlp_ratio": 1.5, "hidden_act": "gelu_new", "layer_norm_eps": 1e-2, "qkv_bias": True}
    if fused:
        audio |= {"num_mel_bins": 64, "spec_size": 128, "patch_size": 16, "patch_stride": [16, 16], "window_size": 4}
        audio |= {"depths": [2, 2], "num_attention_heads": [1, 2], "patch_embeds_hidden_size": 6, "hidden_size": 12}
        audio |= {"enable_fusion": True, "fusion_type": "aff_2d", "aff_block_r": 2, "hidden_act": "gelu", "mlp_ratio": 2.0}
    config = hf.ClapConfig(
        text_config=text, audio_config=audio, projection_dim=14, projection_hidden_act="gelu" if fused else "relu"
    )
    model = hf.ClapModel(config)
    perturb(model, 10 + fused)
    perturb_statistics(model)
    with torch().no_grad():
        model.logit_scale_t.fill_(1.3)
    model.save_pretrained(folder)
    hf.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=15).save_pretrained(folder)
    bands = {"feature_size": 64 if fused else 24, "frequency_min": 30 if fused else 50, "frequency_max": 3500}
    sizes = {"sampling_rate": RATE, "hop_length": 320, "max_length_s": 1, "fft_window_size": 512 if fused else 256}
    how = {"truncation": "fusion" if fused else "rand_trunc", "padding": "repeatpad"}
    hf.ClapFeatureExtractor(**bands, **sizes, **how).save_pretrained(folder)
    save_numbers(folder, clap_numbers(folder, torch(), hf))


def clap_numbers(folder: Path, t: Any, hf: Any) -> dict[str, Any]:
    model, tokenizer = hf.ClapModel.from_pretrained(folder).eval(), hf.AutoTokenizer.from_pretrained(folder)
    heard, longer = features(folder, hf)
    read = tokenizer(list(TEXTS), padding="max_length", truncation=True, return_tensors="pt")
    states, encoder = [], model.audio_model.audio_encoder
    layers = [encoder.patch_embed]
    for stage in encoder.layers:
        layers += [*stage.blocks, *([stage.downsample] if stage.downsample is not None else [])]
    hooks = [
        layer.register_forward_hook(lambda _a, _b, out: states.append(out[0] if type(out) is tuple else out)) for layer in layers
    ]
    with t.no_grad():
        audio = model.audio_model(input_features=heard, is_longer=longer)
        for hook in hooks:
            hook.remove()
        text = model.text_model(**read, output_hidden_states=True)
        out = model(**read, input_features=heard, is_longer=longer)
        features_audio = model.audio_projection(audio.pooler_output)
        features_text = model.text_projection(text.pooler_output)
        scales = model.logit_scale_a.exp(), model.logit_scale_t.exp()
    numbers = {f"audio/layers/{i}": x for i, x in enumerate(states)}
    numbers |= {f"text/layers/{i}": x for i, x in enumerate(text.hidden_states)}
    if heard.shape[1] > 1:
        numbers["given/audio/mask"] = t.cat([t.ones_like(longer), longer, longer, longer], dim=1)
    return numbers | {
        "given/audio": heard,
        "given/text": read["input_ids"],
        "given/text/mask": read["attention_mask"].bool(),
        "audio/tokens": audio.last_hidden_state.flatten(2).transpose(1, 2),
        "text/tokens": text.last_hidden_state,
        "audio/pooled": audio.pooler_output,
        "text/pooled": text.pooler_output,
        "audio/features": features_audio,
        "text/features": features_text,
        "audio/unit": out.audio_embeds,
        "text/unit": out.text_embeds,
        "scale": scales[0],
        "scale/text-audio": scales[1],
        "similarity": out.logits_per_audio,
        "similarity/text-audio": out.logits_per_text,
    }


def clap_fused(folder: Path) -> None:
    clap(folder, fused=True)


KNOWN = {
    "clap": (clap, clap_numbers),
    "clap_fused": (clap_fused, clap_numbers),
}
