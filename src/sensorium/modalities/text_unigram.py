"""The unigram language model of pieces (Kudo 2018, "Subword Regularization", section 3.2), trained by EM."""

import math
from collections import Counter, defaultdict

LONGEST = 12
"""Characters of a piece."""
SEEDS = 10
"""So many times the wanted pieces are begun with."""
KEPT = 0.75
"""The share of pieces that is kept in each round."""
ROUNDS = 2
"""Steps of expectation–maximisation between two prunings."""


def pieces_of(words: Counter[str], most: int) -> list[tuple[str, float]]:
    """At most `most` pieces and the logarithms of their probabilities, the likeliest first: every character, and the substrings
    without which the words would be told worst."""
    spelled = sorted(words.items())
    seeds: Counter[str] = Counter()
    for word, n in spelled:
        for i in range(len(word)):
            for j in range(i + 1, min(len(word), i + LONGEST) + 1):
                seeds[word[i:j]] += n
    characters = {piece for piece in seeds if len(piece) == 1}
    longer = [piece for piece, n in seeds.items() if len(piece) > 1 and n > 1]
    longer.sort(key=lambda piece: (-seeds[piece] * len(piece), piece))
    scores = _normal({piece: float(seeds[piece]) for piece in (*sorted(characters), *longer[: SEEDS * most])})
    while True:
        for _ in range(ROUNDS):
            scores = _normal(_expected(spelled, scores, characters))
        if len(scores) <= most:
            break
        kept = max(most - len(characters), int(KEPT * (len(scores) - len(characters))))
        losses = _losses(spelled, scores)
        others = sorted(losses, key=lambda piece: (-losses[piece], piece))
        scores = {piece: scores[piece] for piece in (*sorted(characters), *others[:kept])}
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def _normal(counts: dict[str, float]) -> dict[str, float]:
    """Logarithms of probabilities, rounded so that the order of a sum is not seen in them."""
    total = math.log(math.fsum(counts.values()))
    return {piece: round(math.log(count) - total, 9) for piece, count in counts.items()}


def _expected(words: list[tuple[str, int]], scores: dict[str, float], characters: set[str]) -> dict[str, float]:
    """How often each piece is expected, over all ways to cut each word (forward–backward); characters always stay."""
    out: defaultdict[str, float] = defaultdict(float)
    likely = {piece: math.exp(score) for piece, score in scores.items()}
    for word, n in words:
        size = len(word)
        forward, backward = [1.0] + [0.0] * size, [0.0] * size + [1.0]
        spans = [(i, j, word[i:j]) for i in range(size) for j in range(i + 1, min(size, i + LONGEST) + 1) if word[i:j] in likely]
        for i, j, piece in spans:
            forward[j] += forward[i] * likely[piece]
        for i, j, piece in reversed(spans):
            backward[i] += backward[j] * likely[piece]
        if forward[size] == 0.0:  # a word of hundreds of characters underflows: it tells nothing of pieces
            continue
        for i, j, piece in spans:
            out[piece] += n * forward[i] * likely[piece] * backward[j] / forward[size]
    return {piece: max(out[piece], 1e-3) for piece in scores if piece in characters or out[piece] > 1e-3}


def _losses(words: list[tuple[str, int]], scores: dict[str, float]) -> dict[str, float]:
    """What the words' likelihood loses without each piece: how often the best cut uses it × what its own best cut costs more."""
    used: Counter[str] = Counter()
    for word, n in words:
        for piece in best_cut(word, scores):
            used[piece] += n
    losses = {}
    for piece, score in scores.items():
        if len(piece) > 1:
            rest = sum(scores[part] for part in best_cut(piece, scores, whole=False))
            losses[piece] = used[piece] * (score - rest)
    return losses


def best_cut(word: str, scores: dict[str, float], whole: bool = True) -> list[str]:
    """The likeliest pieces of a word (Viterbi); unless `whole`, the word itself is none of them."""
    size = len(word)
    best: list[tuple[float, int]] = [(0.0, 0)] + [(-math.inf, 0)] * size
    for j in range(1, size + 1):
        for i in range(max(0, j - LONGEST), j):
            score = scores.get(word[i:j])
            if score is not None and (whole or j - i < size) and best[i][0] + score > best[j][0]:
                best[j] = (best[i][0] + score, i)
    out, j = [], size
    while j:
        out.append(word[best[j][1] : j])
        j = best[j][1]
    return out[::-1]
