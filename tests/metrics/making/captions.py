"""Makes `recorded/captions.json` anew: what sacrebleu, rouge-score and pycocoevalcap say of sentences that are drawn here.

In an environment with those three (sacrebleu 2.6, rouge-score 0.1.2, pycocoevalcap 1.2):

    python tests/metrics/making/captions.py
"""

import json
import random
from importlib import import_module
from pathlib import Path

sacrebleu = import_module("sacrebleu")
BleuScorer = import_module("pycocoevalcap.bleu.bleu_scorer").BleuScorer
CiderScorer = import_module("pycocoevalcap.cider.cider_scorer").CiderScorer
Rouge = import_module("pycocoevalcap.rouge.rouge").Rouge
RougeScorer = import_module("rouge_score.rouge_scorer").RougeScorer

ITEMS, REFERENCES = 12, 4
SPOKEN = "a the red blue dog cat sits runs on in grass snow by two big small near house"
WORDS = SPOKEN.split()


def drawn() -> tuple[list[str], list[list[str]]]:
    """Sentences of which most share some n-grams with their references, and one or two share none."""
    draw = random.Random(7)

    def sentence(most: int) -> list[str]:
        return [draw.choice(WORDS) for _ in range(draw.randint(1, most))]

    said, references = [], []
    for item in range(ITEMS):
        first = sentence(12)
        own = [first] + [sentence(12) if draw.random() < 0.3 else _changed(first, draw) for _ in range(REFERENCES - 1)]
        said.append(" ".join(sentence(6) if item % 5 == 4 else _changed(first, draw)))
        references.append([" ".join(one) for one in own])
    return said, references


def _changed(words: list[str], draw: random.Random) -> list[str]:
    kept = [draw.choice(WORDS) if draw.random() < 0.2 else word for word in words]
    at = draw.randrange(len(kept) + 1)
    return [*kept[:at], draw.choice(WORDS), *kept[at:]]


def main() -> None:
    said, references = drawn()
    streams = [list(column) for column in zip(*references, strict=True)]
    smoothed = {"none": ("none", None), "exp": ("exp", None), "add": ("add-k", 1)}

    def corpus(rows: slice, method: str, value: int | None) -> float:
        options = {"tokenize": "none", "force": True, "smooth_method": method, "smooth_value": value}
        return sacrebleu.corpus_bleu(said[rows], [one[rows] for one in streams], **options).score / 100

    coco, cider = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0)
    for one, others in zip(said, references, strict=True):
        coco += (one, others)
        cider += (one, others)
    alone = RougeScorer(["rougeL"])
    rouge = Rouge()
    result = {
        "said": said,
        "references": references,
        "sacrebleu": {name: corpus(slice(None), *how) for name, how in smoothed.items()},
        "sacrebleu of the fifth": {name: corpus(slice(4, 5), *how) for name, how in smoothed.items()},
        "coco bleu": coco.compute_score(option="closest")[0],
        "coco rouge_l": [rouge.calc_score([one], others) for one, others in zip(said, references, strict=True)],
        "rouge-score of the first": [
            alone.score(others[0], one)["rougeL"].fmeasure for one, others in zip(said, references, strict=True)
        ],
        "coco cider": list(cider.compute_score()[1]),
    }
    path = Path(__file__).parents[1] / "recorded" / "captions.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
