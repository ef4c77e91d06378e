"""One thing that was found, and the catalogue of all that can be: how bad it is, why it matters, and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Advice(NamedTuple):
    """What the catalogue says of a kind. `severity`: "error" (it cannot be used), "warning" (it harms), "note" (know of it).

    `action`: what a plan proposes for the file (see `doctor.plan`), or nothing where only a person can decide.
    """

    severity: str
    why: str
    do: str
    action: str = ""


@dataclass(frozen=True)
class Finding:
    """`paths`: the files that it is about, the first one the one to look at; `what`: what was seen in this very case;
    `degree`: how bad this case is beside others of its kind, which it stands before in a report if it is worse."""

    kind: str
    paths: tuple[str, ...]
    what: str
    degree: float = 0.0

    @property
    def advice(self) -> Advice:
        return CATALOGUE[self.kind]

    def to_json(self) -> dict[str, Any]:
        severity, why, do, _ = self.advice
        return {"kind": self.kind, "severity": severity, "paths": list(self.paths), "what": self.what, "why": why, "do": do}


SEVERITIES = ("error", "warning", "note")
CATALOGUE = {
    "empty file": Advice("error", "there is nothing in it", "fetch it again, or leave it out", "drop"),
    "unreadable": Advice("error", "it cannot be decoded to its end; it is left out of training", "fetch it again", "drop"),
    "absent file": Advice("error", "the manifest names a file that is not there", "put the file there, or remove its line"),
    "unclear": Advice("error", "it cannot be told what is meant; it is left out", "mend what the cause says"),
    "not UTF-8": Advice("error", "its letters cannot be told", "save it as UTF-8", "re-encode"),
    "NUL in text": Advice("error", "it is no text: perhaps UTF-16, or damaged", "save it as UTF-8", "re-encode"),
    "NaN sound": Advice("error", "one NaN makes a whole batch NaN", "render the sound anew", "drop"),
    "wrong suffix": Advice("note", "it is read all the same, but other programs may fail on it", "rename it", "rename"),
    "names differ by case": Advice("warning", "they are one file on macOS and Windows", "rename one of them"),
    "belongs to no item": Advice("note", "it is not used at all", "give it the name of its item, or move it away"),
    "missing partner": Advice("warning", "it makes no pair, so it teaches nothing about the other sense", "add what is missing"),
    "byte order mark": Advice("note", "other programs read it as a letter", "save it as UTF-8 without BOM", "re-encode"),
    "control characters": Advice("warning", "no keyboard types them: the file may be damaged", "remove them", "re-encode"),
    "empty caption": Advice("error", "it says nothing", "write a caption, or leave it out", "drop"),
    "caption is cut": Advice("warning", "what stands after the window is never read", "shorten it, or use a longer window"),
    "boilerplate caption": Advice("warning", "a caption of many items tells none of them apart", "write what is in each"),
    "caption is a file name": Advice("warning", "a file name describes nothing", "write what is there", "edit caption"),
    "caption is an address": Advice("warning", "an address describes nothing", "write what is there", "edit caption"),
    "markup in a caption": Advice("warning", "tags would be learnt as words", "keep the text only", "edit caption"),
    "garbled letters": Advice("warning", "UTF-8 was read as Latin-1 once: words are broken", "decode it again", "edit caption"),
    "other script": Advice("note", "few captions are in this script: too few to learn it from", "check that it is meant"),
    "blank picture": Advice("warning", "there is nothing to see in it", "leave it out", "drop"),
    "tiny picture": Advice("warning", "there is hardly anything to see in it", "use the full picture", "drop"),
    "extreme aspect": Advice("warning", "only the middle square of it is seen", "cut it to what matters"),
    "grey among colour": Advice("note", "captions may name colours that it does not show", "check that it is meant"),
    "turned by EXIF": Advice("note", "it is turned as its EXIF says, but other programs may not do so", "save it upright"),
    "moving picture": Advice("note", "only its first frame is seen as a picture", "put it beside the videos if it matters"),
    "unusual brightness": Advice("note", "it is far darker or brighter than the others", "look at it"),
    "unusual size": Advice("note", "it has far more or fewer pixels than the others", "look at it"),
    "silent sound": Advice("warning", "there is nothing to hear in it", "leave it out", "drop"),
    "clipped sound": Advice("warning", "its peaks are cut off, which sounds like noise", "record it with less gain"),
    "constant offset": Advice("warning", "the wave does not swing about zero", "remove the offset"),
    "unlike rate": Advice("note", "it is resampled, but may lack the high notes of the others", "check where it is from"),
    "short sound": Advice("warning", "most of its window is silence", "look whether it was cut"),
    "long sound": Advice("note", "only its beginning is heard", "cut it into parts"),
    "frozen video": Advice("warning", "all frames are equal: there is no motion in it", "look whether it is damaged", "drop"),
    "blank video": Advice("warning", "there is nothing to see in it", "leave it out", "drop"),
    "single frame": Advice("warning", "one frame is a picture, not a video", "put it beside the pictures"),
    "gaps in readings": Advice("warning", "much of it is masked", "look at the recorder"),
    "constant channel": Advice("warning", "a channel that never changes says nothing", "look whether the sensor was connected"),
    "equal files": Advice("warning", "what is there twice counts twice", "keep one of them"),
    "near-equal pictures": Advice("warning", "what is there twice counts twice", "keep one of them"),
    "near-equal sounds": Advice("warning", "what is there twice counts twice", "keep one of them"),
    "near-equal captions": Advice("note", "they count as different captions", "make them the same, or different"),
    "copies across splits": Advice("warning", "training sees what validation asks for", "keep one of them, or give them a group"),
    "group across splits": Advice("warning", "training sees what validation or test asks for", "put the group in one split"),
    "looks mismatched": Advice("warning", "most other items fit better than its own partner", "look at the pair"),
}  # fmt: skip


def found(kind: str, paths: Iterable[str], what: str, degree: float = 0.0) -> Finding:
    """A finding of a kind that the catalogue has."""
    if kind not in CATALOGUE:
        raise KeyError(f"{kind!r} is not in the catalogue of findings")
    return Finding(kind, tuple(paths), what, degree)
