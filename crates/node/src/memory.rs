//! How much memory the machine has, and has left.

use std::fs;

/// The part of a machine's memory that is kept free for runs: what is frozen goes before it is
/// used. A tenth is what Linux itself needs to keep files in memory and stay quick.
const KEPT_FREE: u64 = 10;

/// The machine's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    /// What programs can get without swapping.
    pub(crate) available: u64,
}

impl Memory {
    /// Asks the kernel; nothing if it does not tell.
    pub(crate) fn of_machine() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/meminfo").ok()?)
    }

    /// Reads what the kernel prints, in lines such as `MemTotal:  24684852 kB`.
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib << 10)
        };
        Some(Self { total: field("MemTotal:")?, available: field("MemAvailable:")? })
    }

    /// How much must be freed until enough is left.
    pub(crate) const fn lacking(self) -> u64 {
        (self.total / KEPT_FREE).saturating_sub(self.available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints_is_read() {
        let text = "MemTotal:       1000 kB\nMemFree:        5 kB\nMemAvailable:   60 kB\n";
        let memory = Memory::parse(text).unwrap();
        assert_eq!(memory, Memory { total: 1000 << 10, available: 60 << 10 });
        assert_eq!(memory.lacking(), 40 << 10);
        assert_eq!(Memory { available: 100 << 10, ..memory }.lacking(), 0);
        assert_eq!(Memory::parse("MemTotal: 1 kB\n"), None);
        assert!(Memory::of_machine().is_some());
    }
}
