"""Does the guide's training example come near what is possible? R@1 of each direction over that of an ideal observer.

Runs examples/02_guide_training.py as it stands (10,000 samples, ten epochs) and reads what it kept. Writes results/guide.json,
and exits with 1 where a direction stays below the target. Run: python benchmarks/guide.py, or with `--run DIR` on the directory
(OUT) of a run of the example that is there already.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.record import write

EXAMPLE = Path(__file__).parents[1] / "examples" / "02_guide_training.py"
TARGET = 0.9


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    arguments.add_argument("--run", type=Path)
    run = arguments.parse_args().run
    with tempfile.TemporaryDirectory() as home:
        start = time.perf_counter()
        if not run:
            subprocess.run([sys.executable, str(EXAMPLE)], env=os.environ | {"OUT": home}, check=True)
        seconds = None if run else round(time.perf_counter() - start, 1)
        kept = json.loads(((run or Path(home)) / "best.json").read_text(encoding="utf-8"))
    shares = {direction: round(m["recall@1"] / m["ceiling"], 4) for direction, m in kept["validation"].items()}
    question = "R@1 among 100 unseen samples, over that of an ideal observer"
    write("guide", {"question": question, "shares": shares, **kept, "seconds": seconds, "target": {"shares": TARGET}})
    return int(min(shares.values()) < TARGET)


if __name__ == "__main__":
    sys.exit(main())
