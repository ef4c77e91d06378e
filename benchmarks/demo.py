"""How well and how fast does the demo learn? `sensorium demo`, then `--quick` twice: the second finds its programs compiled.

Writes results/demo.json, and exits with 1 where a target is missed. Run: python benchmarks/demo.py (about ten minutes)
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.record import write

TARGETS = {
    "text->image/recall@1": 0.85,
    "image->audio/recall@1": 0.80,
    "audio->image/recall@1": 0.80,
    "hard_negatives/accuracy": 0.90,
}
RUNS = {"full": [], "quick": ["--quick"], "again": ["--quick"]}
MOST = {"seconds/total": 480, "peak_rss_mb": 3000}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        full, quick, again = (_demo(Path(folder), name, options) for name, options in RUNS.items())
    missed = [name for name, least in TARGETS.items() if full[name] < least]
    missed += [name for name, most in MOST.items() if full[name] > most]
    write(
        "demo",
        {
            "question": "what `sensorium demo` reaches, and what it costs",
            "metrics": full,
            "quick": quick,
            "quick, again": {key: value for key, value in again.items() if key.startswith("seconds/")},
            "targets": TARGETS | MOST,
            "missed": missed,
        },
    )
    print(f"missed: {', '.join(missed) or 'nothing'}")
    return int(bool(missed))


def _demo(folder: Path, name: str, options: list[str]) -> dict:
    start = time.perf_counter()
    command = [str(Path(sys.executable).with_name("sensorium")), "demo", *options, "--out", name]
    subprocess.run(command, cwd=folder, check=True, env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")})
    metrics = json.loads((folder / name / "metrics.json").read_text(encoding="utf-8"))
    return metrics | {"seconds/process": round(time.perf_counter() - start, 2)}


if __name__ == "__main__":
    sys.exit(main())
