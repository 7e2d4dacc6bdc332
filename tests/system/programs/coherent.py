"""Writes the same numbers to memory, a mapped file, a database and a log, and compares all four.

Usage: `coherent.py DIRECTORY`. Writes how far it came to `DIRECTORY/progress`, and ends with the last
comparison once `DIRECTORY/stop` is there. Ends with an error as soon as anything differs.
"""

import hashlib
import mmap
import os
import sqlite3
import sys
import time

BLOCK = 4096
BLOCKS = 512
BETWEEN_COMPARISONS = 25


def block(number: int) -> bytes:
    """The content that belongs to a number."""
    return hashlib.blake2b(number.to_bytes(8, "big")).digest() * (BLOCK // 64)


class Ledger:
    """One number after the other, in four places."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.number = 0
        self.memory = bytearray(BLOCK * BLOCKS)
        with open(f"{directory}/mapped", "w+b") as file:
            file.truncate(BLOCK * BLOCKS)
            self.mapped = mmap.mmap(file.fileno(), 0)
        self.database = sqlite3.connect(f"{directory}/database", isolation_level=None)
        self.database.execute("pragma synchronous = full")
        self.database.execute("create table steps (number integer primary key, content blob)")
        self.log = os.open(f"{directory}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def step(self) -> None:
        self.number += 1
        content = block(self.number)
        at = self.number % BLOCKS * BLOCK
        self.memory[at : at + BLOCK] = content
        self.mapped[at : at + BLOCK] = content
        self.database.execute("insert into steps values (?, ?)", (self.number, content[:64]))
        os.write(self.log, b"%d\n" % self.number)
        os.fsync(self.log)

    def compare(self) -> None:
        with open(f"{self.directory}/mapped", "rb") as file:
            assert file.read() == self.memory, "the mapped file is not as memory is"
        assert self.mapped[:] == self.memory, "the mapping is not as memory is"
        found = self.database.execute("select max(number), count(*) from steps").fetchone()
        assert found == (self.number, self.number), f"the database has {found}, not {self.number}"
        with open(f"{self.directory}/log", "rb") as file:
            lines = file.read().split()
        assert lines == [b"%d" % n for n in range(1, self.number + 1)], "the log has a gap"

    def compare_all(self) -> None:
        self.compare()
        assert self.database.execute("pragma integrity_check").fetchone() == ("ok",)
        for number, content in self.database.execute("select number, content from steps"):
            assert content == block(number)[:64], f"row {number} is another"


def main(directory: str) -> None:
    ledger = Ledger(directory)
    while not os.path.exists(f"{directory}/stop"):
        ledger.step()
        if ledger.number % BETWEEN_COMPARISONS == 0:
            ledger.compare()
        with open(f"{directory}/progress.new", "w") as file:
            file.write(str(ledger.number))
        os.replace(f"{directory}/progress.new", f"{directory}/progress")
        time.sleep(0.005)
    ledger.compare_all()
    print(f"all agree on {ledger.number}")


if __name__ == "__main__":
    main(sys.argv[1])
