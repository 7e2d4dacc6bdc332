"""The page of hazards names tests that exist, and every test of this folder's hazard files is on it."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "HAZARDS.md").read_text()
NAMED = re.compile(r"`([\w./-]+\.(?:py|rs))::(\w+)`")
NAMES = sorted(set(NAMED.findall(PAGE)))


def defines(path: Path, name: str) -> bool:
    """Whether a file defines a function of this name."""
    word = "def" if path.suffix == ".py" else "fn"
    return (
        re.search(rf"^\s*(?:pub )?(?:async )?{word} {name}\b", path.read_text(), re.M) is not None
    )


def test_the_page_names_tests():
    assert len(NAMES) > 50, "the names are not found any more"


@pytest.mark.parametrize(("file", "name"), NAMES, ids=lambda part: part)
def test_what_is_named_exists(file, name):
    path = REPOSITORY / file
    assert path.is_file(), f"{file} is gone"
    assert defines(path, name), f"{file} has no {name}"


def rows():
    """The rows of the tables that say what keeps them, without heads."""
    kept = False
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            kept = False
        elif line.endswith("| kept by |"):
            kept = True
        elif kept and not line.startswith("|---"):
            yield line


def test_every_row_names_a_test():
    without = [line for line in rows() if not NAMED.search(line)]
    assert not without, without
    assert len(list(rows())) > 35


@pytest.mark.parametrize(
    "file",
    [
        "aliasing", "clock", "coherence", "connections", "credentials", "damage", "herd", "identity",
        "randomness", "semantics", "skew", "storage", "tiers", "time",
    ],
)  # fmt: skip
def test_every_file_of_hazards_is_named(file):
    assert any(named == f"tests/system/test_{file}.py" for named, _ in NAMES)
