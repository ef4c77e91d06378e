"""The peer of benchmarks/contrast.py, run by a Python that has torch: the dense InfoNCE of CLIP (Radford et al. 2021, fig. 3).

python peer_contrast.py ROWS WIDTH ROUNDS      prints {"seconds": [...], "MB": peak above what was held before}
"""

import json
import sys
import time

import torch  # pyright: ignore[reportMissingImports]
from held import memory  # pyright: ignore[reportMissingImports]  # its own folder is on the path of a script


def main() -> None:
    rows, width, rounds = map(int, sys.argv[1:])
    torch.manual_seed(0)
    units = [torch.nn.functional.normalize(torch.randn(rows, width), dim=1).requires_grad_() for _ in range(2)]
    scale = torch.tensor(20.0, requires_grad=True)
    target = torch.arange(rows)

    def once() -> None:
        logits = scale * units[0] @ units[1].T
        there, back = (torch.nn.functional.cross_entropy(x, target) for x in (logits, logits.T))
        torch.autograd.grad(0.5 * (there + back), [*units, scale])

    before, seconds = memory("VmRSS"), []
    for _ in range(rounds):
        start = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "MB": memory("VmHWM") - before}))


if __name__ == "__main__":
    main()
