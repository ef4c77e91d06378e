"""Small random checkpoints and what the reference implementation computes with them, for the tests of `sensorium.pretrained`.

    cd tests && python -m pretrained.references make DIR [NAME …]   # DIR/<name>/: a checkpoint, and reference.npz
    cd tests && python -m pretrained.references check DIR           # DIR/<name>/saved/: what we wrote, read by it again

It runs where PyTorch and transformers are; nothing of Sensorium is needed. `parity.py` calls both. A family's references are
a file in `making/`, whose `KNOWN` has for each name how its checkpoint is made, and what is computed with one. In a
`reference.npz`, "given/<field>" is what the model is given; all other keys are those of `Sensorium.outputs`.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pretrained.making import bert, blip, clap, clip, mpnet, naflex, open_clip, sentence, siglip, video, vit, whisper, xclip
from pretrained.making.common import draw_pictures, torch, transformers

Known = dict[str, tuple[Callable[[Path], None], Callable[[Path, Any, Any], dict[str, Any]]]]
KNOWN: Known = {
    **clip.KNOWN,
    **siglip.KNOWN,
    **naflex.KNOWN,
    **vit.KNOWN,
    **bert.KNOWN,
    **blip.KNOWN,
    **mpnet.KNOWN,
    **sentence.KNOWN,
    **video.KNOWN,
    **xclip.KNOWN,
    **clap.KNOWN,
    **open_clip.KNOWN,
    **whisper.KNOWN,
}
NEEDS = dict.fromkeys(open_clip.KNOWN, "open_clip") | dict.fromkeys(sentence.KNOWN, "sentence_transformers")
NEEDS |= {"r3d": "torchvision"}
"""The libraries, beside PyTorch and transformers, without which a name is left out of all."""


def make(root: Path, names: list[str]) -> None:
    draw_pictures()
    whisper.draw_sounds()
    for name in names or [name for name in KNOWN if _has(NEEDS.get(name))]:
        (root / name).mkdir(parents=True, exist_ok=True)
        KNOWN[name][0](root / name)


def _has(library: str | None) -> bool:
    found = library is None or importlib.util.find_spec(library) is not None
    if not found:
        print(f"left out: what needs the library {library}", file=sys.stderr)
    return found


def check(root: Path) -> dict[str, float]:
    """The largest relative difference of each family: what the reference computes from what we saved, and from its own."""
    out = {}
    for name in sorted(path.parent.name for path in root.glob("*/saved")):
        reference = np.load(root / name / "reference.npz")
        found = KNOWN[name][1](root / name / "saved", torch(), transformers())
        assert found.keys() == set(reference.files), found.keys() ^ set(reference.files)
        pairs = {key: (np.asarray(found[key]), reference[key]) for key in found}
        for key, (got, expected) in pairs.items():
            assert expected.dtype.kind == "f" or (got == expected).all(), f"{name}: {key}"
        out[name] = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs.values() if b.dtype.kind == "f")
    return out


if __name__ == "__main__":
    where = Path(sys.argv[2])
    print(json.dumps(make(where, sys.argv[3:]) if sys.argv[1] == "make" else check(where)))
