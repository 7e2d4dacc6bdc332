//! Records in one `SQLite` file beside the server, in write-ahead mode and synced at each commit.
//!
//! A sandbox's record is one JSON column, with the columns that queries need beside it; each write
//! is one statement, hence one commit, or two of them in a transaction where both belong together.

mod claims;
mod keys;
mod list;
mod open;
mod reserve;
mod sandboxes;

use std::sync::Arc;

use async_trait::async_trait;
use ow_types::{Durability, SandboxId, SnapshotRef, TeamId, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqlitePool};

use self::reserve::Reserve;
use crate::{Answer, Claim, Counts, Database, DbError, KeyRecord, ListQuery, SandboxRecord};

/// Keeps records in a file.
#[derive(Debug, Clone)]
pub struct SqliteDatabase {
    /// The one connection that writes, so that writers queue here and not in the file's lock.
    writer: SqlitePool,
    /// Connections that read, also while one writes.
    readers: SqlitePool,
    /// Room kept for writes that free room.
    reserve: Arc<Reserve>,
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments<'q>>;

impl SqliteDatabase {
    /// Does a write that may use the reserve, and returns how many rows it changed.
    async fn write<'q>(
        &self,
        doing: &'static str,
        statement: impl Fn() -> Statement<'q> + Send + Sync,
    ) -> Result<u64, DbError> {
        let mut done = statement().execute(&self.writer).await.map_err(|e| failed(doing, e));
        if matches!(done, Err(DbError::NoSpace { .. })) && self.reserve.spend() {
            done = statement().execute(&self.writer).await.map_err(|e| failed(doing, e));
        }
        done.map(|done| done.rows_affected())
    }
}

/// `SQLite` keeps signed numbers; what does not fit is further away than any clock.
fn to_column(moment: Timestamp) -> i64 {
    i64::try_from(moment.unix_millis()).unwrap_or(i64::MAX)
}

fn from_column(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(u64::try_from(millis).unwrap_or_default())
}

/// An error of `SQLite`, by what the caller can do about it.
fn failed(doing: &'static str, source: sqlx::Error) -> DbError {
    // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE when the shared index cannot grow; see
    // https://www.sqlite.org/rescode.html.
    const NO_ROOM: [&str; 2] = ["13", "4874"];
    let code = source.as_database_error().and_then(|error| error.code());
    if code.is_some_and(|code| NO_ROOM.contains(&code.as_ref())) {
        return DbError::NoSpace { doing };
    }
    DbError::Failed { doing, source: Box::new(source) }
}

#[async_trait]
impl Database for SqliteDatabase {
    async fn insert(&self, record: &SandboxRecord) -> Result<(), DbError> {
        sandboxes::insert(self, record).await
    }

    async fn update(&self, record: &SandboxRecord) -> Result<u64, DbError> {
        sandboxes::update(self, record).await
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), DbError> {
        sandboxes::remove(self, id).await
    }

    async fn get(&self, id: &SandboxId) -> Result<Option<SandboxRecord>, DbError> {
        sandboxes::get(self, id).await
    }

    async fn list(&self, team: &TeamId, query: &ListQuery) -> Result<Vec<SandboxRecord>, DbError> {
        list::list(self, team, query).await
    }

    async fn count_running(&self, team: &TeamId) -> Result<u64, DbError> {
        list::count_running(self, team).await
    }

    async fn counts(&self) -> Result<Counts, DbError> {
        list::counts(self).await
    }

    async fn find_by_envd_token(&self, token: &str) -> Result<Option<SandboxId>, DbError> {
        sandboxes::find_by_envd_token(self, token).await
    }

    async fn unsettled(&self) -> Result<Vec<SandboxRecord>, DbError> {
        sandboxes::unsettled(self).await
    }

    async fn paused_before(
        &self,
        moment: Timestamp,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError> {
        list::paused_before(self, moment, limit).await
    }

    async fn less_safe_than(
        &self,
        level: Durability,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError> {
        list::less_safe_than(self, level, limit).await
    }

    async fn snapshots(&self) -> Result<Vec<(SandboxId, SnapshotRef)>, DbError> {
        list::snapshots(self).await
    }

    async fn insert_key(&self, key: &KeyRecord) -> Result<(), DbError> {
        keys::insert(self, key).await
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, DbError> {
        keys::find(self, hash).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, DbError> {
        keys::all(self).await
    }

    async fn remove_keys(&self, name: &str) -> Result<u64, DbError> {
        keys::remove(self, name).await
    }

    async fn insert_claimed(
        &self,
        record: &SandboxRecord,
        claim: &Claim,
    ) -> Result<Option<Answer>, DbError> {
        claims::insert_claimed(self, record, claim).await
    }

    async fn find_claim(&self, team: &TeamId, name: &str) -> Result<Option<Answer>, DbError> {
        claims::find(self, team, name).await
    }

    async fn give_up_claim(&self, sandbox: &SandboxId) -> Result<(), DbError> {
        claims::give_up(self, sandbox).await
    }

    async fn forget_claims(&self, moment: Timestamp) -> Result<(), DbError> {
        claims::forget(self, moment).await
    }
}
