"""The peer of benchmarks/search.py, run by a Python that has sentence-transformers: its way to embed a folder of pictures.

python peer_search.py make FOLDER       a random CLIP in the official layout (that of peer_clip.py)
python peer_search.py encode PLACE      PLACE/photos by PLACE/model; prints {"images/s": …}
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import peer_clip  # pyright: ignore[reportMissingImports]  # its own folder is on the path of a script
from PIL import Image


def encode(place: Path) -> None:
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports]
    from sentence_transformers.sentence_transformer.modules import CLIPModel  # pyright: ignore[reportMissingImports]

    model = SentenceTransformer(modules=[CLIPModel(str(place / "model"))], device="cpu")
    model.encode([Image.new("RGB", (96, 96))] * 64, batch_size=64)
    paths, out = sorted((place / "photos").iterdir()), []
    start = time.perf_counter()
    for at in range(0, len(paths), 64):
        pictures = [Image.open(path).convert("RGB") for path in paths[at : at + 64]]
        out.append(model.encode(pictures, batch_size=64, normalize_embeddings=True, show_progress_bar=False))
    np.save(place / "peer.npy", np.concatenate(out))
    print(json.dumps({"images/s": round(len(paths) / (time.perf_counter() - start), 1)}))


if __name__ == "__main__":
    verb, folder = sys.argv[1], Path(sys.argv[2])
    peer_clip.make(folder) if verb == "make" else encode(folder)
