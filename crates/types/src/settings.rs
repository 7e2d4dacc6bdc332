//! What was asked for when a sandbox was made, and what its record keeps across every pause.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Durability, Phases, SnapshotId, Timestamp};

/// What becomes of a sandbox whose timeout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It is killed.
    Kill,
    /// It is paused.
    Pause,
}

/// What of a sandbox a pause keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseMode {
    /// Files and memory: processes go on where they stopped.
    Full,
    /// Files only: the sandbox boots anew when it is resumed.
    Filesystem,
}

/// How a sandbox lives, for as long as it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long it runs after a create or connect that names no other time.
    pub timeout: Duration,
    /// What happens when that time is over.
    pub on_timeout: OnTimeout,
    /// What a pause at the timeout keeps.
    pub pause_mode: PauseMode,
    /// Whether traffic to any of its ports resumes it.
    pub auto_resume: bool,
}

/// How much of a machine a sandbox may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Virtual processors.
    pub vcpu: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size in MiB of the disk that its writes go to.
    pub disk_mib: u64,
}

impl Default for Resources {
    /// Two processors, 1 GiB of memory and 10 GiB of disk.
    fn default() -> Self {
        Self { vcpu: 2, memory_mib: 1024, disk_mib: 10 * 1024 }
    }
}

/// What a sandbox may reach outside, and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Whether it reaches anything outside at all.
    pub internet: bool,
    /// Networks (CIDR) that it may reach even where they are denied.
    pub allow: Vec<String>,
    /// Networks (CIDR) that it may not reach.
    pub deny: Vec<String>,
    /// Whether its ports answer without the traffic token.
    pub public_traffic: bool,
    /// The `Host` header that its ports see, with `${PORT}` for the port; as sent, if none.
    pub mask_request_host: Option<String>,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            internet: true,
            allow: Vec::new(),
            deny: Vec::new(),
            public_traffic: true,
            mask_request_host: None,
        }
    }
}

/// The secrets by which clients prove that a sandbox is theirs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Opens the guest agent; none if the sandbox was made unsecured.
    pub envd: Option<String>,
    /// Opens the other ports where public traffic is off.
    pub traffic: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tokens(…)")
    }
}

/// One saved state of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// Its name.
    pub id: SnapshotId,
    /// 1 for a sandbox's first pause, and one more for each that followed.
    pub generation: u64,
    /// What it holds.
    pub mode: PauseMode,
    /// How often it has been restored; a second time means that what ran from it is given up.
    pub restored: u64,
    /// How safe it is, as far as is known.
    #[serde(default = "as_before_levels")]
    pub durability: Durability,
    /// Whether a run went on from what is stored of it; a return from memory proves nothing.
    #[serde(default)]
    pub proven: bool,
}

/// Records of versions that did not note it are of snapshots that were synced.
const fn as_before_levels() -> Durability {
    Durability::DurableLocal
}

impl SnapshotRef {
    /// One that is being written: nothing of it is safe yet.
    #[must_use]
    pub fn begun(generation: u64, mode: PauseMode) -> Self {
        Self {
            id: SnapshotId::random(),
            generation,
            mode,
            restored: 0,
            durability: Durability::Frozen,
            proven: false,
        }
    }
}

/// What a transition did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransitionKind {
    /// It was made.
    Created,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// Its newest snapshot could not be restored, and the one before was.
    ResumedFromPrevious,
}

/// The last change of a sandbox, as its details, log and metrics show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransitionReport {
    /// What happened.
    pub kind: TransitionKind,
    /// When it was complete.
    pub at: Timestamp,
    /// The snapshot's generation; 0 for a sandbox that was never paused.
    pub generation: u64,
    /// How safe the pause is; none if it was no pause.
    pub durability: Option<Durability>,
    /// Where the time went.
    pub phases: Phases,
    /// Bytes by what became of them: `captured`, `zero`, `stored`.
    pub bytes: BTreeMap<String, u64>,
    /// What went wrong on the way, if something did.
    pub note: Option<String>,
}
