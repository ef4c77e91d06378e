"""What could not be read, told to a person: the first few, and how many more there are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

SHOWN = 10


def tell(console: "Console", heading: str, problems: Sequence[Mapping[str, str]]) -> None:
    """Nothing where there are none; `heading`: what is said of them, after their number."""
    from rich.markup import escape

    if problems:
        console.print(f"[yellow]{len(problems)} {heading}:[/]")
    for one in problems[:SHOWN]:
        console.print(f"  {escape(one['path'])}: {escape(one['cause'])}", highlight=False, soft_wrap=True)
    if len(problems) > SHOWN:
        console.print(f"  and {len(problems) - SHOWN} more (all with --json)")


def tell_unknown(console: "Console", words: Sequence[str]) -> None:
    """Of what was asked, the words that the model never learned; nothing where there are none."""
    from rich.markup import escape

    if words:
        told = escape(", ".join(words))
        console.print(f"[yellow]not among the words that the model knows, so it only guesses:[/] {told}", highlight=False)
