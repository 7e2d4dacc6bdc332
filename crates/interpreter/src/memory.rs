//! How much memory a kernel may take.
//!
//! In gVisor nothing inside ends a process that takes too much: the whole sandbox dies. A kernel that
//! has a limit of its own dies alone, and is replaced.

/// V8's own choice for a large machine.
const LARGEST_HEAP_MIB: u64 = 4096;

/// What Deno cannot start without.
const SMALLEST_HEAP_MIB: u64 = 128;

/// The largest heap of JavaScript's kernel: three eighths of the sandbox's memory.
///
/// V8 chooses more than half, beside which there is no room for Python's kernel and what Deno takes
/// outside of its heap, some 150 MiB.
pub(crate) fn javascript_heap_mib() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    heap_mib(total_mib(&meminfo).unwrap_or(LARGEST_HEAP_MIB))
}

fn heap_mib(total_mib: u64) -> u64 {
    (total_mib * 3 / 8).clamp(SMALLEST_HEAP_MIB, LARGEST_HEAP_MIB)
}

/// Reads `proc_meminfo(5)`.
fn total_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heap_leaves_room_in_the_sandbox() {
        assert_eq!(total_mib("MemTotal:        1048576 kB\nMemFree: 1 kB\n"), Some(1024));
        assert_eq!(heap_mib(1024), 384);
        assert_eq!(heap_mib(128), SMALLEST_HEAP_MIB);
        assert_eq!(heap_mib(1 << 20), LARGEST_HEAP_MIB);
    }
}
