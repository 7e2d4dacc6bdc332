//! Records of what should be true: sandboxes, keys, answers to repeated requests.
//!
//! [`Database`] is the trait; every implementation passes the conformance suite. A write that
//! returns is synced to disk, if the database is one that has a disk.
//!
//! | | for |
//! |---|---|
//! | [`SqliteDatabase`] | a server: one file, no other service |
//! | [`MemoryDatabase`] | tests, and servers that need forget nothing but themselves |
//!
//! `sqlx` was chosen because it speaks to `SQLite` and Postgres alike and carries its migrations in
//! the binary.

use std::fmt::Debug;

use async_trait::async_trait;
use ow_types::{Durability, SandboxId, SnapshotRef, TeamId, Timestamp};

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod memory;
mod records;
mod sqlite;

pub use error::DbError;
pub use memory::MemoryDatabase;
pub use records::{Answer, Claim, Counts, Cursor, KeyRecord, ListQuery, Order, SandboxRecord};
pub use sqlite::SqliteDatabase;

/// Keeps records.
#[async_trait]
pub trait Database: Send + Sync + Debug {
    /// Writes a new record, of revision 0.
    async fn insert(&self, record: &SandboxRecord) -> Result<(), DbError>;

    /// Replaces a record whose revision is `record.revision`, and returns the revision after.
    async fn update(&self, record: &SandboxRecord) -> Result<u64, DbError>;

    /// Removes a record; no error if there is none.
    async fn remove(&self, id: &SandboxId) -> Result<(), DbError>;

    /// Reads a record.
    async fn get(&self, id: &SandboxId) -> Result<Option<SandboxRecord>, DbError>;

    /// Reads a page of a team's sandboxes.
    async fn list(&self, team: &TeamId, query: &ListQuery) -> Result<Vec<SandboxRecord>, DbError>;

    /// How many of a team's sandboxes are shown as running.
    async fn count_running(&self, team: &TeamId) -> Result<u64, DbError>;

    /// How many sandboxes there are, of all teams.
    async fn counts(&self) -> Result<Counts, DbError>;

    /// The sandbox whose guest agent asks for this token.
    async fn find_by_envd_token(&self, token: &str) -> Result<Option<SandboxId>, DbError>;

    /// Every record whose state is not `Paused`, for recovery.
    async fn unsettled(&self) -> Result<Vec<SandboxRecord>, DbError>;

    /// Paused sandboxes whose pause was before `moment`, at most `limit`, oldest first.
    async fn paused_before(&self, moment: Timestamp, limit: u32)
    -> Result<Vec<SandboxId>, DbError>;

    /// Paused sandboxes whose newest snapshot is less safe than `level`, at most `limit`.
    async fn less_safe_than(
        &self,
        level: Durability,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError>;

    /// Every snapshot that a record names, with the sandbox.
    async fn snapshots(&self) -> Result<Vec<(SandboxId, SnapshotRef)>, DbError>;

    /// Writes a key.
    async fn insert_key(&self, key: &KeyRecord) -> Result<(), DbError>;

    /// Finds a key by its hash.
    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, DbError>;

    /// Every key, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRecord>, DbError>;

    /// Removes keys of this name and returns how many there were.
    async fn remove_keys(&self, name: &str) -> Result<u64, DbError>;

    /// Writes a new record together with the request that it answers, both or neither.
    ///
    /// Returns the answer that the request's name has already, and then nothing is written.
    async fn insert_claimed(
        &self,
        record: &SandboxRecord,
        claim: &Claim,
    ) -> Result<Option<Answer>, DbError>;

    /// The answer to a request that named itself.
    async fn find_claim(&self, team: &TeamId, name: &str) -> Result<Option<Answer>, DbError>;

    /// Lets the request that a sandbox answered be made again; no error if there was none.
    async fn give_up_claim(&self, sandbox: &SandboxId) -> Result<(), DbError>;

    /// Forgets requests older than `moment`.
    async fn forget_claims(&self, moment: Timestamp) -> Result<(), DbError>;
}
