"""Tables of results: what a report says of each direction of retrieval, and of choices between two."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DirectionRow:
    """Retrieval in one direction ("text → image") among `gallery` items, by k: a share from 0 to 1, the ends of its 95 %
    interval, and what a random order would get."""

    direction: str
    gallery: int
    recall: dict[int, float]
    low: dict[int, float]
    high: dict[int, float]
    median_rank: float
    chance: dict[int, float]


@dataclass(frozen=True)
class SplitTable:
    """The directions of one split of the data."""

    name: str
    note: str = ""
    rows: list[DirectionRow] = field(default_factory=list)

    @property
    def ks(self) -> list[int]:
        return sorted({k for row in self.rows for k in row.recall})


@dataclass(frozen=True)
class Contrast:
    """How often the true one of two was scored higher ("which caption fits this picture?"), with its 95 % interval."""

    name: str
    accuracy: float
    low: float
    high: float
    count: int
    chance: float = 0.5
    note: str = ""
