"""Another clock or processor than the machine's, for a server that asks the C library.

Small libraries, made here with the C compiler that building the server needs too, answer in place of
the C library's functions. What the server starts is linked statically and sees the machine as it is.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset_seconds;

__attribute__((constructor)) static void find_offset(void) {
    const char *path = getenv("TEST_CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *offset_seconds, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) offset_seconds = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && offset_seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset_seconds;
    return result;
}
"""


PROCESSOR = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    const char *other = strcmp(path, "/proc/cpuinfo") == 0 ? getenv("TEST_CPUINFO") : NULL;
    return (int)syscall(SYS_openat, AT_FDCWD, other ? other : path, flags | O_LARGEFILE, mode);
}
"""


def is_possible() -> bool:
    """Whether there is a C compiler."""
    return shutil.which("cc") is not None


def build(directory: Path, source: str) -> str:
    """A library that takes the place of functions of the C library, and where it is."""
    code, library = directory / "library.c", directory / "library.so"
    code.write_text(source)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(code)],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(library)


class Clock:
    """How far the server's wall clock is from this machine's.

    The monotonic clock stays as it is, as when an operator sets the clock.
    """

    def __init__(self, directory: Path) -> None:
        self._offset = directory / "offset"
        self.set(0)
        self._library = build(directory, CLOCK)

    def set(self, seconds: int) -> None:
        """Puts the clock this many seconds from this machine's: forward, or back if negative."""
        # In place, since the server has the file mapped.
        with self._offset.open("r+b" if self._offset.exists() else "w+b") as file:
            file.write(struct.pack("=q", seconds))

    def environment(self) -> dict[str, str]:
        """What makes a program follow this clock."""
        return {"LD_PRELOAD": self._library, "TEST_CLOCK_OFFSET": str(self._offset)}


def processor_without(directory: Path, feature: str) -> dict[str, str]:
    """What makes a program find this machine's processor without one of its features."""
    known = Path("/proc/cpuinfo").read_text().splitlines()
    cpuinfo = directory / "cpuinfo"
    cpuinfo.write_text("\n".join(without(line, feature) for line in known) + "\n")
    return {"LD_PRELOAD": build(directory, PROCESSOR), "TEST_CPUINFO": str(cpuinfo)}


def without(line: str, feature: str) -> str:
    """A line of `/proc/cpuinfo` that does not name the feature."""
    return " ".join(word for word in line.split(" ") if word != feature)
