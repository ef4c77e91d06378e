"""The training doctor: reads the records of a run as they come, and says in plain words what goes wrong.

`watch` computes what it reads inside the step; `signs` says what it looks for, and `kinds` for how long, and what to do then.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields
from typing import Any

from sensorium.monitor.kinds import KINDS
from sensorium.monitor.signs import Meant, Memory

MIXED = (
    "rows must not see each other: look for a mean, a norm or an attention over the first axis of the batch (a batch norm while "
    "training is one). What the model learns from its neighbours is not there when a row comes alone"
)
REMEMBERED = tuple(field.name for field in fields(Memory) if field.name != "meant")


@dataclass(frozen=True)
class Finding:
    """`kind` is of `KINDS`, or "rows mix"; `text` says what was seen at `step`, and `advice` what to do."""

    kind: str
    step: int
    text: str
    advice: str


class Monitor:
    """`see(record)` gives what is newly wrong. Each kind is told once of each field or pair, and again when it has gone and
    come back.

    A record is a dict of numbers by name, as `fit` logs them: `"step"`, `"loss"`, `"loss/<a>-<b>"`, `"scale"`, `"busy"`, what
    `watch.of_outputs` and `watch.of_update` give, and where the run was evaluated `"evaluation/loss"` or
    `"evaluation/<direction>/recall@1"`. What a record lacks is not judged. `frozen`: patterns of parameters that are meant to
    stand still; `thaw[step]`: those that do so until that step; `largest_scale`: where the model clamps its scale.
    """

    def __init__(
        self,
        frozen: Sequence[str] = (),
        largest_scale: float = 100.0,
        thaw: Mapping[int, Sequence[str]] | None = None,
    ):
        self._memory = Memory(Meant(tuple(frozen), thaw or {}, largest_scale))
        self._seen: dict[tuple[str, str], tuple[int, int, bool]] = {}  # kind, subject -> records, since which step, told

    def see(self, record: Mapping[str, Any]) -> list[Finding]:
        """The findings of this record; none in a record without a step (or of step 0, before the first)."""
        step = int(record.get("step", 0))
        if step < 1:
            return []
        numbers = {name: float(x) for name, x in record.items() if isinstance(x, (int, float)) and not isinstance(x, bool)}
        found = []
        for kind, (sign, *_, advice) in KINDS.items():
            for subject, text in sign(numbers, self._memory).items():
                if self._lasts(kind, subject, text is not None, step):
                    found.append(Finding(kind, step, text or "", advice))
        self._memory.take(numbers, step)
        return found

    def mixing(self, fields: Sequence[str], step: int = 0) -> list[Finding]:
        """The finding for the fields that `probe.mixes_rows` names; none for none."""
        if not fields:
            return []
        text = f"the vector of a row changes with the other rows of its batch: {', '.join(map(repr, fields))}"
        return [Finding("rows mix", step, text, MIXED)]

    def state(self) -> dict[str, Any]:
        """JSON: with it, a run that goes on tells neither more nor less than one that was not interrupted."""
        seen = [[*key, *value] for key, value in sorted(self._seen.items())]
        return {"memory": {name: deepcopy(getattr(self._memory, name)) for name in REMEMBERED}, "seen": seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave; what the run means to do stays as this monitor was told."""
        if state.keys() != {"memory", "seen"} or state["memory"].keys() != set(REMEMBERED):
            raise ValueError(f"no state of a monitor: it has {sorted(state)}, expected 'memory' ({REMEMBERED}) and 'seen'")
        self._memory = Memory(self._memory.meant, **deepcopy(dict(state["memory"])))
        self._seen = {(kind, subject): (records, since, told) for kind, subject, records, since, told in state["seen"]}

    def _lasts(self, kind: str, subject: str, there: bool, step: int) -> bool:
        """Counts for how long a sign has been there; True at the record at which its patience ends."""
        records, since, told = self._seen.get((kind, subject), (0, self._memory.step, False))
        if not there:
            self._seen.pop((kind, subject), None)
            return False
        records += 1
        ends = not told and records >= KINDS[kind].records and step - since >= KINDS[kind].steps
        self._seen[kind, subject] = (records, since, told or ends)
        return ends
