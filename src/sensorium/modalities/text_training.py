"""Tokenizers trained on a user's own captions: BPE, WordPiece and Unigram, the same from the same captions on every machine.

The trainers of the `tokenizers` library break ties in the order of a hash table, which is another in every process. These
break them by the alphabet. What they make is read by the library: a `tokenizer.json` like any other.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise

from sensorium.modalities.raw import BadRaw
from sensorium.modalities.text_unigram import pieces_of
from sensorium.modalities.tokenizer import LONGEST_WORD, SPECIALS, whole

Merge = tuple[str, str]


def trained(captions: Iterable[str], kind: str, size: int) -> str:
    """The text of a `tokenizer.json` of at most `size` pieces, specials included.

    "bpe": bytes and merges of them (Sennrich et al. 2016; Radford et al. 2019), which loses nothing; "wordpiece": lower-cased
    words and parts of words, after `##` where they go on with one; "unigram": the likeliest pieces (Kudo 2018).
    """
    captions = [whole(caption) for caption in captions]
    if not any(caption.strip() for caption in captions):
        raise BadRaw(f"no words to learn from: {len(captions)} captions, none with any text")
    if kind not in _KINDS:
        raise BadRaw(f"kind={kind!r}: expected one of {', '.join(_KINDS)}")
    return _KINDS[kind](captions, size)


def merges(words: dict[tuple[str, ...], int], most: int, joined: Callable[[str, str], str], known: set[str]) -> list[Merge]:
    """The merges of byte-pair encoding: again and again the commonest pair of neighbours, of equal ones the first by alphabet,
    until there are `most` pieces beside the `known` ones or no pair is met twice. `words`: pieces of a word -> how often."""
    spelled, times = [list(word) for word in words], list(words.values())
    counts: Counter[Merge] = Counter()
    where: defaultdict[Merge, set[int]] = defaultdict(set)
    for i, parts in enumerate(spelled):
        for pair in pairwise(parts):
            counts[pair] += times[i]
            where[pair].add(i)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)
    made: list[Merge] = []
    new: set[str] = set()
    while queue and len(new) < most:
        count, pair = heapq.heappop(queue)
        if -count != counts[pair]:  # an older count: the newer one is in the queue too
            continue
        if -count < 2:
            break
        piece = joined(*pair)
        if piece in SPECIALS:
            continue
        made.append(pair)
        new |= {piece} - known
        changed: set[Merge] = set()
        for i in where.pop(pair):
            before = spelled[i]
            spelled[i] = after = _merged(before, pair, piece)
            for sign, parts in ((-times[i], before), (times[i], after)):
                for neighbours in pairwise(parts):
                    counts[neighbours] += sign
                    changed.add(neighbours)
            for neighbours in pairwise(after):
                where[neighbours].add(i)
        for neighbours in changed - {pair}:
            if counts[neighbours] > 0:
                heapq.heappush(queue, (-counts[neighbours], neighbours))
    return made


def _merged(parts: list[str], pair: Merge, piece: str) -> list[str]:
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(piece)
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def _vocabulary(first: Iterable[str], made: Iterable[str], size: int) -> dict[str, int]:
    pieces = dict.fromkeys((*SPECIALS, *first))
    if len(pieces) > size:
        raise BadRaw(f"size={size}: the specials and the characters alone are {len(pieces)} pieces; give more")
    return {piece: i for i, piece in enumerate(dict.fromkeys((*pieces, *made)))}


def _bpe(captions: list[str], size: int) -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    cut = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    counts = Counter(word for caption in captions for word, _ in cut.pre_tokenize_str(caption))
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = _vocabulary(letters, (), size)
    made = merges({tuple(word): n for word, n in counts.items()}, size - len(known), lambda a, b: a + b, set(known))
    numbers = _vocabulary(letters, (a + b for a, b in made), size)
    tokenizer = Tokenizer(models.BPE(numbers, made))
    tokenizer.pre_tokenizer = cut  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    return _finished(tokenizer)


def _wordpiece(captions: list[str], size: int) -> str:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    normal = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    cut = pre_tokenizers.BertPreTokenizer()
    counts = Counter(w for caption in captions for w, _ in cut.pre_tokenize_str(normal.normalize_str(caption)))
    characters = sorted({c for word in counts for c in word})
    letters = (*characters, *("##" + c for c in characters))
    known = _vocabulary(letters, (), size)
    words = {(w[0], *("##" + c for c in w[1:])): n for w, n in counts.items() if len(w) <= LONGEST_WORD}
    made = merges(words, size - len(known), _joined, set(known))
    numbers = _vocabulary(letters, (_joined(a, b) for a, b in made), size)
    model = models.WordPiece(numbers, unk_token="[UNK]", continuing_subword_prefix="##", max_input_chars_per_word=LONGEST_WORD)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normal, cut  # type: ignore[assignment]
    tokenizer.decoder = decoders.WordPiece("##", cleanup=True)  # type: ignore[assignment]
    return _finished(tokenizer)


def _joined(a: str, b: str) -> str:
    return a + b.removeprefix("##")


def _unigram(captions: list[str], size: int) -> str:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    normal, cut = normalizers.NFC(), pre_tokenizers.Metaspace()
    counts = Counter(w for caption in captions for w, _ in cut.pre_tokenize_str(normal.normalize_str(caption)))
    characters = {c for word in counts for c in word}
    _vocabulary(sorted(characters), (), size)
    pieces = [(special, 0.0) for special in SPECIALS] + pieces_of(counts, size - len(SPECIALS))
    tokenizer = Tokenizer(models.Unigram(pieces, SPECIALS.index("[UNK]"), False))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normal, cut  # type: ignore[assignment]
    tokenizer.decoder = decoders.Metaspace()  # type: ignore[assignment]
    return _finished(tokenizer)


def _finished(tokenizer) -> str:
    """With the marks of start and end, which no text can spell: the library does not look for them in texts."""
    from tokenizers import processors

    marks = [(mark, SPECIALS.index(mark)) for mark in ("[START]", "[END]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[START] $A [END]", special_tokens=marks)
    return tokenizer.to_str()


_KINDS = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}
