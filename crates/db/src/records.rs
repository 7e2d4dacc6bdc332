//! What is recorded, and what is asked of the records.

use std::collections::BTreeMap;

use ow_types::{
    Egress, Resources, SandboxId, Settings, SnapshotId, SnapshotRef, State, TeamId, Timestamp,
    Tokens, TransitionReport,
};
use serde::{Deserialize, Serialize};

/// All that is known of a sandbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// Its name.
    pub id: SandboxId,
    /// Whose it is.
    pub team: TeamId,
    /// The name of its template.
    pub template: String,
    /// Where it is in its life.
    pub state: State,
    /// Grows by one with each write, so that two writers never overwrite one another.
    pub revision: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began to run last.
    pub started_at: Timestamp,
    /// When its timeout ends; the moment of the pause if it is paused.
    pub end_at: Timestamp,
    /// How it lives.
    pub settings: Settings,
    /// What its owner attached.
    pub metadata: BTreeMap<String, String>,
    /// Variables of its processes.
    pub env_vars: BTreeMap<String, String>,
    /// Its limits.
    pub resources: Resources,
    /// Its secrets.
    pub tokens: Tokens,
    /// What it may reach.
    pub egress: Egress,
    /// The newest snapshot, also while it runs on from it; none before the first pause.
    pub snapshot: Option<SnapshotRef>,
    /// The snapshot before, until the newest is proven by a resume.
    pub previous_snapshot: Option<SnapshotRef>,
    /// Whether its guest agent failed to answer at the last pause.
    pub guest_unresponsive_at_pause: bool,
    /// The last thing that happened to it.
    pub last_transition: Option<TransitionReport>,
}

/// The order of a list, by when sandboxes started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// Where a page of a list begins: after this entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When the last entry of the page before started.
    pub started_at: Timestamp,
    /// Which it was.
    pub id: SandboxId,
}

/// Which sandboxes are listed.
#[derive(Debug, Clone, Default)]
pub struct ListQuery {
    /// Whether those shown as running are.
    pub running: bool,
    /// Whether those shown as paused are.
    pub paused: bool,
    /// Pairs that a sandbox's metadata all holds.
    pub metadata: BTreeMap<String, String>,
    /// The template's name.
    pub template: Option<String>,
    /// Only those that started later.
    pub started_after: Option<Timestamp>,
    /// Their order.
    pub order: Order,
    /// Where the page begins.
    pub cursor: Option<Cursor>,
    /// How many at most.
    pub limit: u32,
}

/// A key by which clients prove which team they are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// What its maker called it.
    pub name: String,
    /// Whose it is.
    pub team: TeamId,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A request that named itself, so that its repetition is not met twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name, which is unique within a team.
    pub name: String,
    /// Digest of the request's body.
    pub request: [u8; 32],
    /// When it was asked.
    pub at: Timestamp,
}

/// The answer to a request that named itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Digest of the request's body.
    pub request: [u8; 32],
    /// The sandbox that it made, or makes still.
    pub sandbox: SandboxId,
    /// When it was asked.
    pub at: Timestamp,
}

impl SandboxRecord {
    /// Every snapshot that the record names, each once, newest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotRef> {
        let in_state = self.state.snapshot();
        let mut named: Vec<SnapshotRef> = Vec::new();
        for snapshot in in_state.into_iter().chain(&self.snapshot).chain(&self.previous_snapshot) {
            if named.iter().all(|other| other.id != snapshot.id) {
                named.push(snapshot.clone());
            }
        }
        named
    }

    /// Applies `change` wherever the record names the snapshot.
    pub fn change_snapshot(&mut self, id: &SnapshotId, change: impl Fn(&mut SnapshotRef)) {
        let places =
            [self.state.snapshot_mut(), self.snapshot.as_mut(), self.previous_snapshot.as_mut()];
        let named = places.into_iter().flatten().filter(|snapshot| snapshot.id == *id);
        named.for_each(change);
    }

    /// When it was paused; none unless it is.
    #[must_use]
    pub const fn paused_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Paused { .. } => Some(self.end_at),
            _ => None,
        }
    }
}

/// How many sandboxes there are, of all teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Shown as running.
    pub running: u64,
    /// Shown as paused.
    pub paused: u64,
}
