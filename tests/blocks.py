"""Runs the Python blocks of a page, one after another in one namespace, and holds every print to the comment beside it.

Its own process (`python tests/blocks.py page.md`): what a reader runs is not as strict as the tests are.
"""

import builtins
import re
import sys
from pathlib import Path

from quick import collect_seldom, one_context

NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


def blocks(page: str) -> list[tuple[int, str]]:
    """(line, code) of each ```python block."""
    found = re.finditer(r"^```python\n(.*?)^```", page, re.M | re.S)
    return [(page[: match.start(1)].count("\n"), match.group(1)) for match in found]


def promised(code: str, line: int) -> str | None:
    """The comment after the print in this line (from 1), or in the lines right below it."""
    lines = code.splitlines()
    if "  # " in lines[line - 1]:
        return lines[line - 1].split("  # ", 1)[1]
    below = []
    while line < len(lines) and lines[line].startswith("# "):
        below.append(lines[line][2:])
        line += 1
    return "\n".join(below) or None


def alike(got: str, expected: str) -> bool:
    """Equal, but for spaces and for decimals that differ by a hundredth of themselves (another machine rounds otherwise)."""
    numbers = [list(map(float, NUMBER.findall(text))) for text in (got, expected)]
    rest = ["".join(NUMBER.sub("·", text).split()) for text in (got, expected)]
    return rest[0] == rest[1] and all(abs(a - b) <= 0.01 * abs(b) + 1e-3 for a, b in zip(*numbers, strict=True))


def run(page: Path) -> int:
    """The number of prints that were held to a comment; an `AssertionError` names the first that differs."""
    names: dict = {"__name__": "page"}
    held = 0
    for offset, code in blocks(page.read_text(encoding="utf-8")):

        def tell(*values, code=code, offset=offset, **options):
            nonlocal held
            line = sys._getframe(1).f_lineno - offset
            expected = promised(code, line)
            got = options.get("sep", " ").join(map(str, values))
            if expected is not None:
                assert alike(got, expected), f"{page.name}:{offset + line}: printed {got!r}, the page says {expected!r}"
                held += 1
            builtins.print(*values, **options)

        names["print"] = tell
        exec(compile("\n" * offset + code, str(page), "exec"), names)
    return held


if __name__ == "__main__":
    collect_seldom()
    with one_context():
        builtins.print("held:", sum(run(Path(name)) for name in sys.argv[1:]))
