"""Makes log_mel_references.npz with the feature extractors of transformers; run it where torch and transformers are installed.

`python tests/nn/make_log_mel_references.py`: the tests themselves need neither. Some of the frames are kept, to keep it small.
"""

from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("log_mel_references.npz")
WHISPER_FRAMES = np.concatenate([np.arange(0, 210, 7), [2998, 2999]])
CLAP_FRAMES = np.concatenate([np.arange(0, 300, 12), np.arange(300, 1001, 50)])


def wave(rate: int, seconds: float) -> np.ndarray:
    """A chord, a chirp and noise that swells and stops: f32[N] in [-1, 1]."""
    time = np.arange(round(rate * seconds)) / rate
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220, 557, 1320, 3111))
    chirp = np.sin(2 * np.pi * (100 + 1500 * time) * time)
    noise = np.random.default_rng(0).normal(size=len(time)) * time / seconds * (time < 0.8 * seconds)
    return (0.1 * chord + 0.2 * chirp + 0.05 * noise).astype(np.float32)


def main() -> None:
    from transformers import ClapFeatureExtractor, WhisperFeatureExtractor  # pyright: ignore[reportMissingImports]

    made, sound = {}, wave(16000, 2.0)
    for bins in (80, 128):
        extractor = WhisperFeatureExtractor(feature_size=bins)
        padded = np.pad(sound, (0, 480000 - len(sound)))
        made[f"whisper{bins}"] = extractor._np_extract_fbank_features(padded[None], "cpu")[0].T[WHISPER_FRAMES]
        usual = extractor(sound, sampling_rate=16000, return_tensors="np")["input_features"][0].T[WHISPER_FRAMES]
        print(f"whisper {bins}: its two forms differ by {np.abs(usual - made[f'whisper{bins}']).max():.1e}")
        made[f"whisper{bins}_torch"] = usual
    for name, truncation in (("clap_slaney", "rand_trunc"), ("clap_htk", "fusion")):
        extractor = ClapFeatureExtractor(truncation=truncation, frequency_min=50)  # as the configs of the checkpoints have it
        features = extractor(wave(48000, 3.0), sampling_rate=48000, return_tensors="np")["input_features"]
        made[name] = features[0, 0][CLAP_FRAMES]
    arrays: dict[str, Any] = {name: np.asarray(values, np.float32) for name, values in made.items()}
    np.savez_compressed(FILE, **arrays)
    print({name: values.shape for name, values in made.items()}, FILE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
