"""The peer of benchmarks/pretrained.py, run by a Python that has torch and transformers: a CLIP ViT-B/32 with random weights.

python peer_pretrained.py make FOLDER           saves it (605 MB)
python peer_pretrained.py time FOLDER BATCH…    prints {"image": {batch: seconds}, "text": {…}, "load": seconds, "MB": at most}
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from held import memory  # pyright: ignore[reportMissingImports]  # its own folder is on the path of a script
from transformers import CLIPConfig, CLIPModel  # pyright: ignore[reportMissingImports]

CALLS = 3


def main() -> None:
    verb, folder, *batches = sys.argv[1:]
    if verb == "make":
        torch.manual_seed(0)
        CLIPModel(CLIPConfig()).save_pretrained(folder)
        return
    before, start = memory("VmRSS"), time.perf_counter()
    model = CLIPModel.from_pretrained(folder).eval()
    out: dict[str, object] = {"load": time.perf_counter() - start, "MB": memory("VmHWM") - before}
    torch.manual_seed(1)
    with torch.inference_mode():
        out["image"] = {b: seconds(model.get_image_features, torch.randn(int(b), 3, 224, 224)) for b in batches}
        out["text"] = {b: seconds(model.get_text_features, torch.randint(3, 400, (int(b), 77))) for b in batches}
    print(json.dumps(out))


def seconds(call: Callable[[Any], Any], x: Any) -> float:
    """The least of some calls after a first one: what else runs on the machine only adds."""
    call(x)
    best = float("inf")
    for _ in range(CALLS):
        start = time.perf_counter()
        call(x)
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
