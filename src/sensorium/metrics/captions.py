"""Captions against captions that people wrote: BLEU, ROUGE-L and CIDEr, each of items with one reference or several.

All three count words that two sentences share, in order or not; none knows what a sentence means. Read them beside the line
`…/chance` of `captioning`, which is what the same sentences get for other items.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from sensorium.metrics.interval import bootstrap
from sensorium.metrics.retrieval import Unmeasurable

Split = Callable[[str], list[str]]
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without what stands between them. Scripts that write no spaces need a split of their
    own, as do comparisons with numbers of a paper, which go by its tokenizer (COCO's: that of the Penn Treebank)."""
    return _WORD.findall(text.lower())


def bleu(
    said: Sequence[str],
    references: Sequence[Sequence[str]],
    order: int = 4,
    smooth: Literal["none", "exp", "add"] = "none",
    split: Split = words,
) -> float:
    """BLEU of all sentences together (Papineni et al. 2002), 0 to 1: the geometric mean of the shares of 1- to `order`-grams
    that a reference has too, times exp(1 − r/c) where c words were said and r, of the references closest in length, are more.

    `smooth`, of shares that are none: "none" makes the whole 0, "exp" a half, a quarter … of one n-gram, "add" adds one to every
    count above single words (Chen & Cherry 2014, methods 3 and 2). References that are missing are `Unmeasurable`.
    """
    return float(_bleu(bleu_counts(said, references, order, split).sum(0), smooth))


def bleu_counts(
    said: Sequence[str], references: Sequence[Sequence[str]], order: int = 4, split: Split = words
) -> Int[np.ndarray, "N K"]:
    """What BLEU sums over the rows, K = 2 + 2·order: words said, words of the closest reference, right n-grams, all n-grams."""
    _checked(said, references)
    out = np.zeros((len(said), 2 + 2 * order), np.int64)
    for row, (one, others) in enumerate(zip(said, references, strict=True)):
        own, theirs = split(one), [split(other) for other in others]
        out[row, :2] = len(own), min((abs(len(other) - len(own)), len(other)) for other in theirs)[1]
        for n in range(1, order + 1):
            most: Counter = Counter()
            for other in theirs:
                most |= _grams(other, n)
            grams = _grams(own, n)
            out[row, 1 + n], out[row, 1 + order + n] = (grams & most).total(), grams.total()
    return out


def _bleu(counts: np.ndarray, smooth: str) -> np.ndarray:
    """BLEU of sums of `bleu_counts`: [… K] to […]."""
    counts = counts.astype(np.float64)
    order = counts.shape[-1] // 2 - 1
    right, of = counts[..., 2 : 2 + order].copy(), counts[..., 2 + order :].copy()
    if smooth == "add":
        right[..., 1:] += 1
        of[..., 1:] += 1
    elif smooth == "exp":
        missed = (right == 0) & (of > 0)
        right = np.where(missed, 0.5 ** missed.cumsum(-1), right)
    nothing = (counts[..., 2] == 0) | ((right == 0) | (of == 0)).any(-1)
    shares = np.where((right > 0) & (of > 0), right / np.maximum(of, 1), 1.0)
    said, closest = counts[..., 0], counts[..., 1]
    short = np.exp(np.minimum(1 - closest / np.maximum(said, 1), 0))
    return np.where(nothing, 0.0, short * np.exp(np.log(shares).mean(-1)))


def rouge_l(
    said: Sequence[str], references: Sequence[Sequence[str]], beta: float = 1.2, split: Split = words
) -> Float[np.ndarray, " N"]:
    """ROUGE-L of each sentence (Lin 2004), 0 to 1: the F-measure of the longest common subsequence of words, its share of what
    was said (P) and of the reference (R), each the best of all references, as for COCO: (1 + β²)·P·R / (R + β²·P)."""
    _checked(said, references)
    out = np.zeros(len(said))
    for row, (one, others) in enumerate(zip(said, references, strict=True)):
        own = split(one)
        common = [(_common(own, theirs), len(theirs)) for theirs in map(split, others)]
        precision = max(c for c, _ in common) / max(len(own), 1)
        recall = max(c / max(n, 1) for c, n in common)
        if precision and recall:
            out[row] = (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
    return out


def cider(
    said: Sequence[str],
    references: Sequence[Sequence[str]],
    order: int = 4,
    sigma: float | None = 6.0,
    split: Split = words,
) -> Float[np.ndarray, " N"]:
    """CIDEr-D of each sentence (Vedantam et al. 2015), 0 to 10; with `sigma` None plain CIDEr, in the same units.

    The mean over references and 1- to `order`-grams of the cosine of their counts, each weighted by the log of how rare it is
    among the items. CIDEr-D lets no n-gram count for more than the reference has of it, and takes exp(−Δ²/2σ²) for a length
    that is Δ words off. One item alone has no rarities: that is `Unmeasurable`.
    """
    _checked(said, references)
    if len(said) < 2:
        raise Unmeasurable("CIDEr weighs words by how rare they are among the items: it needs two items or more, got 1")
    theirs = [[_all_grams(split(one), order) for one in others] for others in references]
    items = Counter(gram for others in theirs for gram in set().union(*others))
    rarity = {gram: np.log(len(said) / n) for gram, n in items.items()}
    unseen = float(np.log(len(said)))
    out = np.zeros(len(said))
    for row, one in enumerate(said):
        own = _weighted(_all_grams(split(one), order), rarity, unseen)
        for other in theirs[row]:
            weighted = _weighted(other, rarity, unseen)
            delta = sum(n for g, n in _all_grams(split(one), 1).items()) - sum(n for g, n in other.items() if len(g) == 1)
            near = 1.0 if sigma is None else np.exp(-(delta**2) / (2 * sigma**2))
            cosines = [_cosine(own, weighted, n, clipped=sigma is not None) for n in range(1, order + 1)]
            out[row] += 10 * near * np.mean(cosines) / len(theirs[row])
    return out


def captioning(said: Sequence[str], references: Sequence[Sequence[str]], split: Split = words, seed: int = 0) -> dict[str, float]:
    """`"bleu4"` (of all together), `"rouge_l"` and `"cider"` (means of CIDEr-D), each with `…/low` and `…/high` (95 %,
    bootstrap over the items) and `…/chance`: what the same sentences get, each beside the references of another item."""
    _checked(said, references)
    if len(said) < 2:
        raise Unmeasurable("captions are measured on two items or more, got 1: chance is what another item's references give")
    out: dict[str, float] = {}
    order = np.random.default_rng(seed).permutation(len(said))
    turned = [references[int(i)] for i in np.roll(order, 1)[np.argsort(order)]]  # no item keeps its own
    for name, rows in (("rouge_l", rouge_l), ("cider", cider)):
        values = rows(said, references, split=split)
        low, high = bootstrap(values, seed=seed)
        by_chance = float(rows(said, turned, split=split).mean())
        out |= {name: float(values.mean()), f"{name}/low": low, f"{name}/high": high, f"{name}/chance": by_chance}
    counts = bleu_counts(said, references, split=split)
    low, high = bootstrap(np.arange(len(said)), lambda rows, axis: _bleu(counts[rows].sum(axis - 1), "none"), seed=seed)
    whole = {"bleu4": float(_bleu(counts.sum(0), "none")), "bleu4/low": low, "bleu4/high": high}
    return whole | {"bleu4/chance": bleu(said, turned, split=split)} | out


def _checked(said: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if isinstance(said, str) or any(isinstance(others, str) for others in references):
        raise TypeError(
            "got a text where a list is expected: captions are a list of texts, and references a list for each of them"
        )
    if len(said) != len(references):
        raise ValueError(f"{len(said)} captions and references of {len(references)} items: give one for one, in the same order")
    if not len(said):
        raise Unmeasurable("captions are measured on one item or more, got none")
    if bare := [row for row, others in enumerate(references) if not len(others)]:
        raise Unmeasurable(f"{len(bare)} of {len(said)} items have no reference, the first is item {bare[0]}: leave them out")


def _grams(own: list[str], n: int) -> Counter:
    return Counter(tuple(own[i : i + n]) for i in range(len(own) - n + 1))


def _all_grams(own: list[str], order: int) -> Counter:
    return sum((_grams(own, n) for n in range(1, order + 1)), Counter())


def _common(a: list[str], b: list[str]) -> int:
    """The length of the longest common subsequence."""
    best = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, best[j] = best[j], before + 1 if x == y else max(best[j], best[j - 1])
    return best[-1]


def _weighted(grams: Counter, rarity: dict, unseen: float) -> dict[tuple[str, ...], float]:
    return {gram: n * rarity.get(gram, unseen) for gram, n in grams.items()}


def _cosine(own: dict, other: dict, n: int, clipped: bool) -> float:
    a, b = ({gram: value for gram, value in weights.items() if len(gram) == n} for weights in (own, other))
    shared = sum((min(value, b[gram]) if clipped else value) * b[gram] for gram, value in a.items() if gram in b)
    length = np.sqrt(sum(v * v for v in a.values())) * np.sqrt(sum(v * v for v in b.values()))
    return float(shared / length) if length else 0.0
