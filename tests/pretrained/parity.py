"""Parity with the live reference: checkpoints made anew, read here, saved here, and read by transformers again.

    python tests/pretrained/parity.py --peers PYTHON [--json]
    python tests/pretrained/parity.py --document      # the table of docs/guide/pretrained.md, from benchmarks/results

`--peers` is a Python with torch 2.13, transformers 5, sentencepiece and protobuf; this one, where it is left out. It prints for
each family the largest difference from the reference, relative to the largest number of each output, of what we compute
(`ours`) and of what transformers computes from what we saved (`given back`), and exits with 1 where one is above 1e-4.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

import sensorium

MOST = 1e-4
TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "guide" / "pretrained.md"
RESULTS = TESTS.parent / "benchmarks" / "results" / "pretrained.json"
DELIMITED = re.compile(r"(?<=<!-- parity:start -->\n).*?(?=<!-- parity:end -->)", re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=sys.executable, help="a Python with torch and transformers")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--document", action="store_true")
    given = parser.parse_args()
    if given.document:
        PAGE.write_text(DELIMITED.sub(markdown(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = table(given.peers, Path(folder))
    if given.json:
        print(json.dumps(found))
    else:
        for name, row in found.items():
            print(f"{name:14}" + "   ".join(f"{key}: {value:.2g}" for key, value in row.items()))
    return int(any(row["ours"] > MOST or row["given back"] > MOST for row in found.values()))


def markdown() -> str:
    """The table of what was measured, for the page."""
    rows = [
        ["small checkpoint", "largest difference", "relative", "cosine", "given back, relative"],
        ["---", "---:", "---:", "---:", "---:"],
    ]
    for name, row in json.loads(RESULTS.read_text(encoding="utf-8"))["parity"].items():
        numbers = [f"{row['absolute']:.1e}", f"{row['ours']:.1e}", f"{row['cosine']:.7f}", f"{row['given back']:.1e}"]
        rows.append([name, *numbers])
    return "\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"


def table(peers: str, root: Path) -> dict[str, dict[str, float]]:
    """`ours` and `given back` of each family, as above; `absolute` and `cosine` of what we compute, the worst of all outputs."""
    run(peers, "make", root)
    out = {}
    for folder in sorted(path.parent for path in root.glob("*/reference.npz")):
        with np.load(folder / "reference.npz") as file:
            reference = dict(file)
        model = sensorium.load(folder)
        found = model.outputs(**{key.removeprefix("given/"): x for key, x in reference.items() if key.startswith("given/")})
        out[folder.name] = worst(found, reference)
        model.save_pretrained(folder / "saved")
    for name, value in json.loads(run(peers, "check", root)).items():
        out[name]["given back"] = value
    return out


def worst(found: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> dict[str, float]:
    rows = []
    for key in found.keys() & reference.keys():
        got, expected = found[key], reference[key]
        field = key.partition("/")[0]
        mask = reference.get(f"given/{field}/mask")
        if key == f"{field}/tokens" and mask is not None and mask.shape == expected.shape[:2]:
            got, expected = (x * mask[..., None] for x in (got, expected))  # what becomes of pads is nothing to anybody
        a, b = (np.ravel(x).astype(np.float64) for x in (got, expected))
        off = float(np.abs(a - b).max())
        rows.append((off / np.abs(b).max(), off, a @ b / np.sqrt((a @ a) * (b @ b))))
    relative, absolute, cosine = zip(*rows, strict=True)
    return {"ours": max(relative), "absolute": max(absolute), "cosine": min(cosine)}


def run(peers: str, verb: str, root: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "JAX"))}
    line = [shutil.which(peers) or peers, "-m", "pretrained.references", verb, str(root)]
    done = subprocess.run(line, cwd=TESTS, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    jax.config.update("jax_default_matmul_precision", "highest")
    sys.exit(main())
