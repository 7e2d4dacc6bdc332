//! Records that yield, refuse to be written, or never answer, as a test says.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use ow_db::{
    Answer, Claim, Counts, Database, DbError, KeyRecord, ListQuery, MemoryDatabase, SandboxRecord,
};
use ow_types::{Durability, SandboxId, SnapshotRef, TeamId, Timestamp};

/// Records in memory with faults.
#[derive(Debug, Default)]
pub(crate) struct FaultyDatabase {
    inner: MemoryDatabase,
    /// Writes until one never answers; none if negative.
    until_stall: AtomicI64,
    /// Whether that one is written nevertheless.
    stall_after: AtomicI64,
    stalled: AtomicU64,
    refused: AtomicI64,
    calls: AtomicU64,
}

impl FaultyDatabase {
    pub(crate) fn new() -> Self {
        let database = Self::default();
        database.until_stall.store(-1, Ordering::SeqCst);
        database
    }

    /// Lets the write after `writes` others never answer, done or not.
    pub(crate) fn stall(&self, writes: u8, after: bool) {
        self.until_stall.store(i64::from(writes), Ordering::SeqCst);
        self.stall_after.store(i64::from(after), Ordering::SeqCst);
    }

    /// Whether a write hangs; the server must crash, for this never ends.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::SeqCst) > 0
    }

    /// Lets the next writes find no room.
    pub(crate) fn refuse(&self, writes: u8) {
        self.refused.store(i64::from(writes), Ordering::SeqCst);
    }

    /// Nothing goes wrong from now on, in a new server.
    pub(crate) fn heal(&self) {
        self.until_stall.store(-1, Ordering::SeqCst);
        self.stalled.store(0, Ordering::SeqCst);
        self.refused.store(0, Ordering::SeqCst);
    }

    async fn write<T>(
        &self,
        write: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        for _ in 0..number % 4 {
            tokio::task::yield_now().await;
        }
        let left = self.until_stall.load(Ordering::SeqCst);
        if left == 0 {
            if self.stall_after.load(Ordering::SeqCst) == 1 {
                drop(write.await);
            }
            self.stalled.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
            unreachable!("it never goes on");
        }
        if left > 0 {
            self.until_stall.fetch_sub(1, Ordering::SeqCst);
        }
        if self.refused.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(DbError::NoSpace { doing: "a test" });
        }
        write.await
    }
}

#[async_trait]
impl Database for FaultyDatabase {
    async fn insert(&self, record: &SandboxRecord) -> Result<(), DbError> {
        self.write(self.inner.insert(record)).await
    }

    async fn update(&self, record: &SandboxRecord) -> Result<u64, DbError> {
        self.write(self.inner.update(record)).await
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), DbError> {
        self.write(self.inner.remove(id)).await
    }

    async fn get(&self, id: &SandboxId) -> Result<Option<SandboxRecord>, DbError> {
        tokio::task::yield_now().await;
        self.inner.get(id).await
    }

    async fn list(&self, team: &TeamId, query: &ListQuery) -> Result<Vec<SandboxRecord>, DbError> {
        self.inner.list(team, query).await
    }

    async fn count_running(&self, team: &TeamId) -> Result<u64, DbError> {
        self.inner.count_running(team).await
    }

    async fn counts(&self) -> Result<Counts, DbError> {
        self.inner.counts().await
    }

    async fn find_by_envd_token(&self, token: &str) -> Result<Option<SandboxId>, DbError> {
        self.inner.find_by_envd_token(token).await
    }

    async fn unsettled(&self) -> Result<Vec<SandboxRecord>, DbError> {
        self.inner.unsettled().await
    }

    async fn paused_before(
        &self,
        moment: Timestamp,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError> {
        self.inner.paused_before(moment, limit).await
    }

    async fn less_safe_than(
        &self,
        level: Durability,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError> {
        self.inner.less_safe_than(level, limit).await
    }

    async fn snapshots(&self) -> Result<Vec<(SandboxId, SnapshotRef)>, DbError> {
        self.inner.snapshots().await
    }

    async fn insert_key(&self, key: &KeyRecord) -> Result<(), DbError> {
        self.inner.insert_key(key).await
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, DbError> {
        self.inner.find_key(hash).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, DbError> {
        self.inner.keys().await
    }

    async fn remove_keys(&self, name: &str) -> Result<u64, DbError> {
        self.inner.remove_keys(name).await
    }

    async fn insert_claimed(
        &self,
        record: &SandboxRecord,
        claim: &Claim,
    ) -> Result<Option<Answer>, DbError> {
        self.write(self.inner.insert_claimed(record, claim)).await
    }

    async fn find_claim(&self, team: &TeamId, name: &str) -> Result<Option<Answer>, DbError> {
        self.inner.find_claim(team, name).await
    }

    async fn give_up_claim(&self, sandbox: &SandboxId) -> Result<(), DbError> {
        self.write(self.inner.give_up_claim(sandbox)).await
    }

    async fn forget_claims(&self, moment: Timestamp) -> Result<(), DbError> {
        self.inner.forget_claims(moment).await
    }
}
