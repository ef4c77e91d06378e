"""Signs that a training goes wrong: each is a question to one record (see `watch`) and to what was before it.

A sign gives, for every subject that this record can tell of (a field, a pair, a norm), what is seen, or None where all is well.
How long it must last before it is told stands in `kinds`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import permutations
from statistics import median
from typing import NamedTuple

Numbers = Mapping[str, float]
Sight = dict[str, str | None]
AT_CHANCE = 0.95  # of ln N: a model that has begun to learn is below it within its first few dozen steps
COLLAPSED = 0.01  # variance of unit vectors: a mean cosine of 0.99; towers with random weights lie at 0.02 and above
WIDE_GAP = 1.2  # a trained CLIP has 0.82 (Liang et al. 2022), and orthogonal needles have 1.41
LOPSIDED = 0.03  # of an equal share: towers of healthy runs differ by a factor of up to 10
LARGE_STEP = 0.1  # |update| / |parameters|: a good rate changes about 0.001 a step, and tiny models up to 0.05
LEAP = 10.0  # the way gone in ten steps or fewer: even layers that begin at zero go no more than 5
GROWN = 10.0  # times the parameters of the beginning, where nothing was gained by it
SPIKE = 100.0  # times the usual gradient
VANISHED = 1e-6  # |gradient| / |parameters|: where learning goes on, 1e-3 is usual
MOVED, UNMOVED = 0.2, 0.01  # the way gone by the parameters, in their own length: enough to have learned; too little to
TWINS = 0.05  # of the rows: now and then two captions are equal
SILENT = 0.5  # of the units: a ReLU network may have a fifth of its units at rest in a batch
BUSY = 0.5  # of the time: below it, more is waited than computed
WORSE = 0.1  # of the best evaluation, and no less than 0.05 nats or hits: a small validation set is as noisy as that
FEW = 8  # rows below which a rank tells nothing
LUCK_TELLS = 32  # rows above which the hit rate alone tells luck from skill


@dataclass(frozen=True)
class Meant:
    """What the run means to do: parameters that stand still (`frozen`: patterns), or do so until a step (`thaw[step]`), and
    where the model clamps its scale."""

    frozen: Sequence[str] = ()
    thaw: Mapping[int, Sequence[str]] = field(default_factory=dict)
    largest_scale: float = 100.0

    def still(self, part: str, step: float) -> bool:
        """Whether a part of the model ("encoders.image") is meant to stand still at a step."""
        patterns = [*self.frozen, *(pattern for until, held in self.thaw.items() if step <= until for pattern in held)]
        return any(fnmatch(part, pattern) or fnmatch(f"{part}.*", pattern) for pattern in patterns)


@dataclass
class Memory:
    """What is remembered of earlier records, as JSON can hold it."""

    meant: Meant
    step: int = 0
    way: float = 0.0
    largest_step: float = 0.0
    kin: dict[str, list[float]] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    least: float | None = None
    gradients: list[float] = field(default_factory=list)
    evaluation: dict[str, float] = field(default_factory=dict)

    def unrelated(self, pair: str) -> bool:
        """Whether the mean kinship of a pair over all records is 0 within three standard errors (and 0.01)."""
        number, total, squares = self.kin.get(pair, [0.0, 0.0, 0.0])
        mean = total / max(number, 1.0)
        error = math.sqrt(max(squares / max(number, 1.0) - mean * mean, 0.0) / max(number - 1.0, 1.0))
        return number >= 5 and mean < 0.01 + 3 * error

    def take(self, record: Numbers, step: int) -> None:
        """Learns a record after it was judged. What is not finite leaves no trace."""
        known = {name: x for name, x in record.items() if math.isfinite(x)}
        for name, x in known.items():
            if name == "norm/parameters" or name.split("/")[0] == "loss":
                self.first.setdefault(name, x)
        if "loss" in known:
            self.least = min(known["loss"], math.inf if self.least is None else self.least)
        if "norm/step" in known:
            self.way += max(step - self.step, 0) * known["norm/step"]
            self.largest_step = max(self.largest_step, known["norm/step"])
        for name, x in _each("kin", known):
            number, total, squares = self.kin.get(name, [0.0, 0.0, 0.0])
            self.kin[name] = [number + 1, total + x, squares + x * x]
        if "norm/gradient" in known:
            self.gradients = [*self.gradients, known["norm/gradient"]][-20:]
        score = score_of(known)
        if score is not None and score > self.evaluation.get("best", -math.inf):
            self.evaluation = {"best": score} | ({"loss": known["loss"]} if "loss" in known else {})
        self.step = max(self.step, step)


class Pair(NamedTuple):
    """A pair that is trained: its name in the record, its fields, its loss."""

    name: str
    fields: tuple[str, str]
    loss: float


def not_finite(record: Numbers, _: Memory) -> Sight:
    bad = [name for name, x in record.items() if name.split("/")[0] in ("loss", "norm", "scale") and not math.isfinite(x)]
    broken = [
        f"{share:.1%} of the rows of {name!r} have a vector that is no number"
        for name, share in _each("broken", record)
        if share > 0
    ]
    words = [f"{', '.join(bad)}: not a finite number"] if bad else []
    return {"run": "; ".join(words + broken) or None}


def constant(record: Numbers, _: Memory) -> Sight:
    return {
        field_: f"all rows of a batch have one and the same {field_!r}, batch after batch" if same >= 0.999 else None
        for field_, same in _each("same", record)
    }


def still(record: Numbers, memory: Memory) -> Sight:
    if record.get("norm/update") == 0.0:  # no update at all: gradients are gathered, or the rate is 0 at the very beginning
        return {}
    paired = {name for pair in pairs(record) if record.get(f"rows/{pair.name}", 0.0) >= 2 for name in pair.fields}
    seen: Sight = {}
    for part, share in _each("still", record):
        if part.split(".")[1] in paired and not memory.meant.still(part, record["step"]):
            words = f"the parameters of {part} do not change: their gradient or their update is exactly 0"
            seen[part] = words if share >= 0.999 else None
    return seen


def chance(record: Numbers, _: Memory) -> Sight:
    seen: Sight = {}
    for pair in pairs(record):
        words = f"the loss of {pair.name} is {pair.loss:.3f}, and {record[f'chance/{pair.name}']:.3f} is what guessing gives"
        seen[pair.name] = words if at_chance(record, pair) else None
    return seen


def unfit_loss(record: Numbers, memory: Memory) -> Sight:
    """Losses whose value at chance is not ln N (a margin, a distance): nothing gained, and partners found by luck."""
    seen: Sight = {}
    for pair in pairs(record):
        first = memory.first.get(f"loss/{pair.name}", math.inf)
        if record[f"rows/{pair.name}"] >= LUCK_TELLS and not at_chance(record, pair):
            idle = by_luck(record, pair.name) and pair.loss >= 0.9 * first
            seen[pair.name] = f"the loss of {pair.name} stays at {pair.loss:.3f}, where it began" if idle else None
    return seen


def small_steps(record: Numbers, memory: Memory) -> Sight:
    seen: Sight = {}
    if "norm/step" in record:
        for pair in pairs(record):
            idle = at_chance(record, pair) and memory.way < UNMOVED
            words = f"{pair.name} is at chance, and the parameters have moved by only {memory.way:.2%} of their length"
            seen[pair.name] = words if idle else None
    return seen


def shuffled(record: Numbers, memory: Memory) -> Sight:
    """At chance, and neither the rate nor the towers are to blame: the parameters went a long way in small steps, gradients
    flow, rows are told apart; but rows that are alike in the one sense have never been more alike in the other."""
    seen: Sight = {}
    alive = _over(record, "norm/gradient", "norm/parameters") > VANISHED
    moved = memory.way >= MOVED and memory.largest_step <= LARGE_STEP
    for pair in pairs(record):
        a, b = pair.fields
        apart = all(record[f"rank/{x}"] >= 1.5 and record.get(f"still/encoders.{x}", 0.0) < 0.999 for x in (a, b))
        told = apart and moved and alive and at_chance(record, pair) and memory.unrelated(pair.name)
        words = (
            f"{pair.name} is at chance after the parameters have moved {memory.way:.1f} times their own length. Gradients flow, "
            f"both towers tell rows apart, but rows that are alike in {a!r} are no more alike in {b!r}: partners do not match"
        )
        seen[pair.name] = words if told else None
    return seen


def collapse(record: Numbers, _: Memory) -> Sight:
    seen: Sight = {}
    for name in fields(record):
        rows, spread, rank = (record[f"{key}/{name}"] for key in ("rows", "spread", "rank"))
        varied = record[f"same/{name}"] < 0.999  # else the input is to blame
        poor = all(record[f"hit/{pair.name}"] < 0.5 for pair in pairs(record) if name in pair.fields)
        line = rows >= FEW and rank < 1.5 and poor
        words = f"the vectors of {name!r} are nearly all one: variance {spread:.4f}, effective rank {rank:.1f}"
        if rows >= 2:
            seen[name] = words if varied and (spread < COLLAPSED or line) else None
    return seen


def gap(record: Numbers, _: Memory) -> Sight:
    """Of pairs that have learned something: at chance, the centres drift apart of themselves."""
    seen: Sight = {}
    for pair in pairs(record):
        wide = record[f"gap/{pair.name}"]
        words = f"the centres of {pair.name} are {wide:.2f} apart (0: none, 2: opposite poles)"
        seen[pair.name] = words if wide > WIDE_GAP and not by_luck(record, pair.name) else None
    return seen


def ignored(record: Numbers, _: Memory) -> Sight:
    """Fields all of whose pairs are found by luck, while a pair of others is learned."""
    all_ = pairs(record)
    learned = {pair.name for pair in all_ if record[f"hit/{pair.name}"] >= max(5 * record[f"luck/{pair.name}"], 0.2)}
    seen: Sight = {}
    for name in fields(record):
        mine = [pair.name for pair in all_ if name in pair.fields and record[f"rows/{pair.name}"] >= FEW]
        others = [pair.name for pair in all_ if name not in pair.fields and pair.name in learned]
        if mine:
            deaf = bool(others) and all(by_luck(record, pair) for pair in mine)
            words = f"{name!r} finds its partners by luck only, while {', '.join(others)} is learned"
            seen[name] = words if deaf else None
    return seen


def lopsided(record: Numbers, _: Memory) -> Sight:
    shares = _each("gradient", record)
    present = {name for name, x in shares if record.get(f"rows/{name}", 1.0) >= 2}
    return {
        name: f"the tower of {name!r} gets {x:.2%} of the gradient of {len(shares)} towers"
        if 0 < x * len(shares) < LOPSIDED
        else None
        for name, x in shares
        if name in present and len(shares) > 1
    }


def clamp(record: Numbers, memory: Memory) -> Sight:
    top = memory.meant.largest_scale
    return {
        name: f"{name} is {x:.1f}, as large as it may become ({top:g})" if x >= 0.999 * top else None
        for name, x in record.items()
        if name.split("/")[0] == "scale"
    }


def twins(record: Numbers, _: Memory) -> Sight:
    seen: Sight = {}
    for pair in pairs(record):
        share = record[f"twins/{pair.name}"]
        varied = all(record[f"same/{name}"] < 0.999 for name in pair.fields)  # a constant input is another matter
        words = f"{share:.0%} of the rows of {pair.name} have an equal row among their negatives"
        seen[pair.name] = words if varied and share > TWINS else None
    return seen


def dead(record: Numbers, _: Memory) -> Sight:
    seen: Sight = {}
    for name in {name: None for key in ("dead", "silent") for name, _ in _each(key, record)}:
        dims, units = record.get(f"dead/{name}", 0.0), record.get(f"silent/{name}", 0.0)
        words = f"{dims:.0%} of the dimensions of {name!r} never change; in one matrix {units:.0%} of the units get no gradient"
        varied = record.get(f"same/{name}", 0.0) < 0.999  # else the input is to blame
        seen[name] = words if varied and max(dims, units) > SILENT else None
    return seen


def exploding(record: Numbers, memory: Memory) -> Sight:
    seen: Sight = {}
    gradient, parameters = (record.get(f"norm/{name}", math.nan) for name in ("gradient", "parameters"))
    if len(memory.gradients) >= 5 and math.isfinite(gradient):
        usual = median(memory.gradients)
        words = f"the gradient's norm is {gradient:.3g}, and {usual:.3g} is usual here"
        seen["gradient"] = words if gradient > SPIKE * usual > 0 else None
    begun, least = memory.first.get("norm/parameters"), memory.least
    if begun and least is not None and math.isfinite(parameters) and "loss" in record:
        words = f"the parameters' norm has grown from {begun:.3g} to {parameters:.3g}, and the loss is no lower for it"
        seen["parameters"] = words if parameters > GROWN * begun and record["loss"] > 1.1 * least else None
    return seen


def large_steps(record: Numbers, memory: Memory) -> Sight:
    """By the mean over the steps of a record, or by the way gone in a record of up to ten steps (a first step can be enough)."""
    if "norm/step" not in record:
        return {}
    step, steps = record["norm/step"], record["step"] - memory.step
    words = f"one step changes the parameters by {step:.0%} of their length, where 0.1% is usual"
    return {"update": words if step * min(steps, 10.0) > LEAP else None}


def vanishing(record: Numbers, memory: Memory) -> Sight:
    if "norm/gradient" not in record or "loss" not in record:
        return {}
    rate = _over(record, "norm/gradient", "norm/parameters")
    all_ = pairs(record)
    unlearned = record["loss"] >= 0.9 * memory.first.get("loss", math.inf)
    unlearned |= any(pair.loss >= 0.5 * record[f"chance/{pair.name}"] > 0 for pair in all_)
    unlearned &= memory.largest_step < 1.0  # else the rate is to blame: what is far out is flat
    words = f"the gradient's norm is {record['norm/gradient']:.2g}, {rate:.1g} of the parameters', and the loss is not low"
    return {"gradient": words if rate < VANISHED and unlearned else None}


def starved(record: Numbers, _: Memory) -> Sight:
    if "busy" not in record:
        return {}
    busy = record["busy"]
    return {"data": f"{1 - busy:.0%} of the time the step waited for data" if busy < BUSY else None}


def overfitting(record: Numbers, memory: Memory) -> Sight:
    score, best = score_of(record), memory.evaluation.get("best")
    if score is None or best is None:
        return {}
    worse = score < best - WORSE * max(abs(best), 0.5)
    learned = record.get("loss", math.inf) < memory.evaluation.get("loss", -math.inf)
    words = f"the evaluation was better before ({abs(best):.3f}, now {abs(score):.3f}), while the training loss still falls"
    return {"evaluation": words if worse and learned else None}


def fields(record: Numbers) -> list[str]:
    return [name for name, _ in _each("spread", record)]


def pairs(record: Numbers) -> list[Pair]:
    """The pairs that have a loss, `loss/<a>-<b>` in either order; a single pair may have `loss` only."""
    named = {f"{a}-{b}": (a, b) for a, b in permutations(fields(record), 2) if f"hit/{a}-{b}" in record}
    found = []
    for name, (a, b) in named.items():
        losses = [record[key] for key in (f"loss/{a}-{b}", f"loss/{b}-{a}") if key in record]
        if not losses and len(named) == 1 and "loss" in record:
            losses = [record["loss"]]
        found += [Pair(name, (a, b), losses[0])] if losses else []
    return found


def at_chance(record: Numbers, pair: Pair) -> bool:
    """Whether the loss is ln N or more, and partners are found by luck only."""
    guess = record[f"chance/{pair.name}"]
    return guess > 0 and pair.loss >= AT_CHANCE * guess and by_luck(record, pair.name)


def by_luck(record: Numbers, pair: str) -> bool:
    """Whether the hit rate is within three standard deviations of luck's in one batch."""
    luck, rows = record[f"luck/{pair}"], max(record[f"rows/{pair}"], 1.0)
    return record[f"hit/{pair}"] <= luck + 3 * math.sqrt(luck * max(1 - luck, 0.0) / min(rows, 256.0))


def score_of(record: Numbers) -> float | None:
    """How good an evaluation was, more is better: −loss where it is told, else the mean R@1 of all directions."""
    if "evaluation/loss" in record:
        return -record["evaluation/loss"]
    hits = [x for name, x in record.items() if name.startswith("evaluation/") and name.endswith("/recall@1")]
    return sum(hits) / len(hits) if hits else None


def _each(key: str, record: Numbers) -> list[tuple[str, float]]:
    return [(name.removeprefix(f"{key}/"), x) for name, x in record.items() if name.startswith(f"{key}/")]


def _over(record: Numbers, name: str, whole: str) -> float:
    """A ratio of two norms; NaN, which no comparison holds for, where they are not told or the second is 0."""
    return record[name] / record[whole] if name in record and record.get(whole) else math.nan
