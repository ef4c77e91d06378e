"""Describing: whole sentences for somebody who cannot see a picture, plain where the model is sure and hedged where it is not.

How sure it is comes from its own captions: many are drawn as it would utter them, and what most of them say is said. Where
they are lists of things and places (as models of the built-in world write them) each factor of each thing is weighed by
itself; other captions are weighed clause by clause.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sensorium.world.caption import SIZE_WORDS, TEXTURE_WORDS, Thing, article
from sensorium.world.judge_text import read
from sensorium.world.scene import COLOURS, PLACES, SHAPES

DRAWS = 64
SURE, HEARD = 0.8, 0.25
"""Shares of the captions: from the first on a thing is said plainly, below the second not at all, between them with "perhaps"."""
NUMBERS = ("no things", "one thing", "two things", "three things")
HOLDS = {"image": "The picture shows", "audio": "The sound tells of", "video": "The clip shows"}
PLAIN = "plain"
_WORDS = (tuple(group[0] for group in SIZE_WORDS), tuple(group[0] or PLAIN for group in TEXTURE_WORDS), COLOURS, SHAPES)


class Sentence(NamedTuple):
    """A sentence, and how sure the model is of what it says: the share of its captions that say so, of the least sure part."""

    text: str
    sure: float


class Description(str):
    """A text with its `sentences`, one by one."""

    sentences: tuple[Sentence, ...]

    def __new__(cls, sentences: Sequence[Sentence]) -> "Description":
        made = super().__new__(cls, " ".join(sentence.text for sentence in sentences))
        made.sentences = tuple(sentences)
        return made

    def __getnewargs__(self) -> tuple[tuple[Sentence, ...]]:  # type: ignore[override]
        return (self.sentences,)  # so that it can be copied and pickled


def described(captions: Sequence[str], kind: str = "image") -> Description:
    """What captions of one thing say together. `kind`: of the field that they are about. A `ValueError` where there are none."""
    if not captions:
        raise ValueError("a description of no captions: expected one or more")
    found = [said.things for said in map(read, captions) if said is not None]
    begin = HOLDS.get(kind, "There is")
    return Description(_things(found, begin) if 2 * len(found) > len(captions) else _clauses(captions, begin))


def _things(found: Sequence[Sequence[Thing]], begin: str) -> list[Sentence]:
    """How many things there are, and each with its place, those that are surest first."""
    counts = Counter(len(things) for things in found)
    (most, times), draws = counts.most_common(1)[0], len(found)
    others = [NUMBERS[n] for n, k in sorted(counts.items()) if n != most and k >= HEARD * draws]
    number = NUMBERS[most] + "".join(f", or perhaps {other}" for other in others)
    out = [Sentence(f"{begin} {number}.", times / draws)]
    at: dict[int, list[Thing]] = {}
    for things in found:
        for thing in things:
            at.setdefault(thing[4], []).append(thing)
    heard = {place: things for place, things in at.items() if len(things) >= HEARD * draws}
    for place, things in sorted(heard.items(), key=lambda each: (-round(len(each[1]) / draws, 1), each[0])):
        out.append(_thing(PLACES[place], things, len(things) / draws))
    return out


def _thing(place: str, things: Sequence[Thing], there: float) -> Sentence:
    """What is at a place, of which a share `there` of the captions say that something is."""
    said = [_factor(Counter(thing[i] for thing in things), names, len(things)) for i, names in enumerate(_WORDS)]
    shape, words = said[-1][0], ""
    for names, share in said[:-1]:
        if share < SURE:
            words += f", perhaps {' or '.join(names)},"
        elif names[0] != PLAIN:  # which people leave out
            words += f" {names[0]}"
    words = words.lstrip(" ,").replace(",,", ",")
    if said[-1][1] >= SURE:
        what = article(f"{words} {shape[0]}".strip())
    else:
        something = article(f"{words.rstrip(',')} thing".strip())
        what = f"{something}, perhaps {' or '.join(map(article, shape))}"
    sure = min(there, *(share for _, share in said))
    return Sentence(f"In the {place} there is {'' if there >= SURE else 'perhaps '}{what}.", sure)


def _factor(counts: "Counter[int]", names: Sequence[str], of: int) -> tuple[list[str], float]:
    """The words of a factor that are heard, the most frequent first, and its share."""
    (first, times), *rest = counts.most_common()
    return [names[first], *(names[i] for i, k in rest if k >= HEARD * of)], times / of


def _clauses(captions: Sequence[str], begin: str) -> list[Sentence]:
    """What is between the "and"s of captions in any words; the likeliest caption's own where no two captions agree."""
    parts = [
        dict.fromkeys(part.strip(" .,") for part in re.split(r" and |, |\. ", text) if part.strip(" .,")) for text in captions
    ]
    counts = Counter(part for found in parts for part in found)
    draws = len(captions)
    heard = [(part, k / draws) for part, k in counts.most_common() if k >= HEARD * draws]
    if not heard:
        (text, k), *_ = Counter(captions).most_common(1)
        return [Sentence(f"Perhaps: {text.strip(' .')}.", k / draws)]
    plain, hedged = ([part for part, share in heard if (share >= SURE) == sure] for sure in (True, False))
    shares = dict(heard)
    out = [Sentence(f"{begin} {_listed(plain)}.", min(shares[part] for part in plain))] if plain else []
    more = "Perhaps also: " if plain else "Perhaps: "
    return out + ([Sentence(f"{more}{'; or '.join(hedged)}.", max(shares[part] for part in hedged))] if hedged else [])


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
