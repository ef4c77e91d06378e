"""The house keeps its plan: rooms look only back, files stay short, and every room says what it is for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "sensorium"
ORDER = (
    *(
        "core",
        "nn",
        "diffusion",
        "modalities",
        "world",
        "latent",
        "data",
        "doctor",
        "encoders",
        "fusions",
        "decoders",
        "models",
        "losses",
    ),
    *(
        "metrics",
        "optim",
        "checkpoints",
        "monitor",
        "training",
        "pretrained",
        "sensorium",
        "truth",
        "recipes",
        "probing",
        "joining",
        "mteb",
        "run",
        "search",
        "bulk",
        "multi_modal",
        "show",
        "serve",
        "cli",
    ),
)
FILES = sorted(HOUSE.rglob("*.py"))
ROOMS = sorted(path.parent.name for path in HOUSE.glob("*/__init__.py"))
MOST_LINES = 400
DOORS = ("__init__", "__main__")  # the front door may name any room


def room(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def rooms_named_in(path: Path) -> set[tuple[str, int]]:
    """(room, line) of each import of Sensorium's, those inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            found |= {(f"{node.module}.{alias.name}", node.lineno) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
    rooms = {(name.split(".")[1], line) for name, line in found if name.startswith("sensorium.")}
    return {(name, line) for name, line in rooms if name in ORDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_room_imports_only_from_rooms_before_it_and_its_files_are_short(path):
    here = room(path)
    assert here in (*ORDER, *DOORS), f"{here} is a new room: give it a place in the order, and a line in docs/floorplan.md"
    if here not in DOORS:
        ahead = {(name, line) for name, line in rooms_named_in(path) if ORDER.index(name) > ORDER.index(here)}
        assert not ahead, f"{path.name} of {here} looks forward, (room, line): {sorted(ahead)}"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{path.name} has {lines} lines: split it by meaning"


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_says_what_it_is_for_and_is_on_the_plan(name):
    assert ast.get_docstring(ast.parse((HOUSE / name / "__init__.py").read_text(encoding="utf-8")))
    assert f"\n  {name}/ " in (ROOT / "docs" / "floorplan.md").read_text(encoding="utf-8")


def test_every_folder_with_code_is_a_room():
    assert {path.parent for path in FILES} == {HOUSE, *(HOUSE / name for name in ROOMS)}
