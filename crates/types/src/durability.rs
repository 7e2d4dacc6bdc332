//! What an acknowledged pause promises, by name.

use serde::{Deserialize, Serialize};

/// How safe a paused sandbox is; each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Stopped, in the machine's memory: lost if the machine or the sandbox's process ends.
    Frozen,
    /// Its image is complete, but may be in the page cache only: lost if the machine loses power.
    Captured,
    /// On this machine's disk, synced and verified: survives everything but the loss of the disk.
    DurableLocal,
    /// In the object store: survives the loss of the machine.
    DurableRemote,
}

impl Durability {
    /// Every level, least safe first.
    pub const ALL: [Self; 4] =
        [Self::Frozen, Self::Captured, Self::DurableLocal, Self::DurableRemote];

    /// The name in headers, bodies and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Captured => "captured",
            Self::DurableLocal => "durable-local",
            Self::DurableRemote => "durable-remote",
        }
    }

    /// Reads a level's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// Where a resume finds what was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// It is still frozen in the machine's memory.
    Memory,
    /// Its image is on the machine's disk.
    Disk,
    /// Its image is in the object store.
    ObjectStore,
}
