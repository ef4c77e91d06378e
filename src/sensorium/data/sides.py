"""What the words of a source say about the split of its items: train, validation, test, or nothing that we know."""

from collections.abc import Iterable, Mapping, Sequence

from sensorium.data.listing import Problem

SIDES = {
    **{"train": "train", "training": "train", "restval": "train", "validation": "validation", "valid": "validation"},
    **{"val": "validation", "dev": "validation", "test": "test", "testing": "test"},
}
"""The ways in which data sets call their splits; `restval` is what COCO's usual split of captions calls the rest of train."""
TRAIN_OR_VALIDATION = "train or validation"
"""The split of an item that is in train where its source names a test split but no validation: a hash takes some out of it."""


def known(word: str) -> str:
    """The split that a word names, "" where it names none."""
    return SIDES.get(word.strip().lower(), "")


def meanings(words: Iterable[str]) -> dict[str, str]:
    """What each of all words of one source says, "" where that is nothing.

    Without a validation split what is in train is `TRAIN_OR_VALIDATION`; with train alone, nobody has split it yet.
    """
    said = {word: known(word) for word in words}
    if "train" in said.values() and "validation" not in said.values():
        train = TRAIN_OR_VALIDATION if "test" in said.values() else ""
        said = {word: train if side == "train" else side for word, side in said.items()}
    return said


def told_unknown(path: object, column: str, first_lines: Mapping[str, int]) -> list[Problem]:
    """One problem that names the words which are no split, with the first line (or row) of each; none where all are known."""
    unknown = [f"{word!r} (line {line})" for word, line in first_lines.items() if word and not known(word)]
    if not unknown:
        return []
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    cause = (
        f"column {column!r}: {', '.join(unknown[:5])}{more}: expected one of {', '.join(SIDES)}; another word's rows are "
        'split by a hash; to leave the column aside: columns={"split": []}'
    )
    return [Problem(str(path), "manifest", cause)]


def told_torn(path: object, what: str, torn: Sequence[tuple[str, int, int]]) -> list[Problem]:
    """One problem that counts the things whose rows do not agree in `what`: (name, the line that counts, one that differs)."""
    if not torn:
        return []
    name, line, other = min(torn)
    cause = f"lines {line} and {other} give {name!r} two {what}s: what line {line} says is used"
    return [Problem(str(path), "manifest", cause + (f"; so it is with {len(torn) - 1} more" if len(torn) > 1 else ""))]
