"""Under which licence a checkpoint is: what the card beside it says, or what is known of its repository."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from sensorium.core.errors import SensoriumWarning
from sensorium.pretrained.family import FAMILIES

CARD = "README.md"
_FRONT = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*$", re.M | re.S)
_NOT_COMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non[-_ ]?commercial|research|amlr|academic", re.I)


class NonCommercial(SensoriumWarning):
    """A model was loaded whose licence does not allow commercial use."""


@dataclass(frozen=True)
class Licence:
    """As a card says it: `id` (SPDX in lower case, or "other"), and `name` and `link` where the id is not enough. All are empty
    where nothing is said."""

    id: str = ""
    name: str = ""
    link: str = ""

    def __str__(self) -> str:
        return self.name or self.id or "not stated"

    @property
    def commercial(self) -> bool:
        """Whether nothing in its name forbids commercial use. What is not stated is not known."""
        return not _NOT_COMMERCIAL.search(f"{self.id} {self.name}")


def licence_of(folder: Path, name: str) -> Licence:
    """The licence of a checkpoint in `folder`, which was asked for as `name`: its card counts before what is known here."""
    found = stated(folder / CARD)
    if found.id:
        return found
    known = [one for family in FAMILIES.values() for one in family.examples if one.id.lower() == name.lower()]
    return Licence(known[0].licence.lower()) if known else found


def stated(card: Path) -> Licence:
    """The licence in the front matter of a model card; an empty one where there is no card, or where it says none."""
    if not card.is_file():
        return Licence()
    front = _FRONT.match(card.read_text(encoding="utf-8", errors="replace"))
    return Licence(*(_value(front.group(1), key) for key in ("license", "license_name", "license_link"))) if front else Licence()


def warn_if_not_commercial(licence: Licence, name: str) -> None:
    """A `NonCommercial` warning, at the line that called the caller, as `load` is called."""
    if not licence.commercial:
        warnings.warn(f"{name}: its licence is {licence}: not for commercial use", NonCommercial, stacklevel=3)


def _value(front: str, key: str) -> str:
    """A value of YAML that is one line, or the first of a list."""
    found = re.search(rf"^{key}:[ \t]*(?:\r?\n[ \t]*-[ \t]*)?([^\r\n]*)", front, re.M)
    return found.group(1).split(" #")[0].strip().strip("[]").split(",")[0].strip().strip("\"'") if found else ""
