"""The JavaScript SDKs: each case of each file of `js/`, run by node's own test runner.

A file is run once, as a whole; its cases are then looked up in what node reported.

| Variable | What it says |
|---|---|
| `OVERWINTER_TEST_JAVASCRIPT` | a directory whose `node_modules` is used; this one if unset |
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
NAME = re.compile(r"""^test\((?:'((?:[^'\\]|\\.)*)'|"([^"]*)")""", re.MULTILINE)
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What XML may not have, and node writes into it if a message has it."""
SECONDS = 900
"""How long a file may take."""


def cases() -> list[object]:
    """Every case: the file and the name of the test in it."""
    found = [
        (file.name, one or other)
        for file in sorted((HERE / "js").glob("*.test.mjs"))
        for one, other in NAME.findall(file.read_text())
    ]
    return [pytest.param(*case, id=f"{case[0].split('.')[0]}: {case[1]}") for case in found]


def packages() -> Path:
    """The directory whose `js` is run, with the packages installed at their locked versions."""
    if chosen := os.environ.get("OVERWINTER_TEST_JAVASCRIPT"):
        # Node looks for packages beside the program.
        shutil.copytree(HERE / "js", Path(chosen) / "js", dirs_exist_ok=True)
        return Path(chosen)
    if not (HERE / "node_modules/.package-lock.json").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    return HERE


@pytest.fixture(scope="session")
def results(server, tmp_path_factory) -> Callable[[str], dict[str, ElementTree.Element]]:
    """Runs a file, the first time that it is asked for: node's reports by the name of the test."""
    program = shutil.which("node")
    assert program, "node is missing: install nodejs 20 or later"
    directory = packages()
    reports = tmp_path_factory.mktemp("node")

    @cache
    def run(file: str) -> dict[str, ElementTree.Element]:
        report = reports / f"{file}.xml"
        done = subprocess.run(
            [
                program, "--test", f"--test-timeout={SECONDS * 1000}",
                "--test-reporter=spec", "--test-reporter-destination=stdout",
                "--test-reporter=junit", f"--test-reporter-destination={report}",
                f"js/{file}",
            ],
            check=False, cwd=directory, capture_output=True, text=True, timeout=SECONDS + 60,
        )  # fmt: skip
        print(done.stdout, done.stderr)
        tree = ElementTree.fromstring(CONTROL.sub("", report.read_text()))
        return {case.attrib["name"]: case for case in tree.iter("testcase")}

    return run


@pytest.mark.parametrize(("file", "name"), cases())
def test_javascript(results, file, name):
    reported = results(file)
    assert name in reported, f"node did not run it; it reported {sorted(reported)}"
    case = reported[name]
    if (skipped := case.find("skipped")) is not None:
        pytest.skip(skipped.get("message") or "skipped")
    failure = case.find("failure")
    assert failure is None, f"{failure.get('message')}\n{failure.text}"
