//! Single records of sandboxes.

use ow_types::{SandboxId, State};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{SqliteDatabase, failed, to_column};
use crate::{DbError, SandboxRecord};

/// The columns beside a record.
struct Columns {
    shown: Option<&'static str>,
    settled: bool,
    paused_at: Option<i64>,
    record: String,
}

impl Columns {
    fn of(record: &SandboxRecord) -> Result<Self, DbError> {
        Ok(Self {
            shown: record.state.shown_as_paused().map(shown),
            settled: matches!(record.state, State::Paused { .. }),
            paused_at: record.paused_at().map(to_column),
            record: serde_json::to_string(record).map_err(|source| DbError::Failed {
                doing: "writing a record as JSON",
                source: source.into(),
            })?,
        })
    }
}

/// The text of the column `shown`.
pub(super) const fn shown(paused: bool) -> &'static str {
    if paused { "paused" } else { "running" }
}

/// Reads the columns `revision` and `record`.
pub(super) fn read(row: &SqliteRow) -> Result<SandboxRecord, DbError> {
    let doing = "reading a record";
    let revision: i64 = row.try_get("revision").map_err(|source| failed(doing, source))?;
    let text: &str = row.try_get("record").map_err(|source| failed(doing, source))?;
    let mut record: SandboxRecord = serde_json::from_str(text).map_err(|source| {
        DbError::Corrupt { what: "a sandbox".to_owned(), source: source.into() }
    })?;
    record.revision = u64::try_from(revision).unwrap_or_default();
    Ok(record)
}

pub(super) async fn insert(db: &SqliteDatabase, record: &SandboxRecord) -> Result<(), DbError> {
    let doing = "writing a new record";
    if !db.reserve.restore().await {
        return Err(DbError::NoSpace { doing });
    }
    let mut writer = db.writer.acquire().await.map_err(|source| failed(doing, source))?;
    insert_by(&mut writer, record).await
}

/// Writes a new record by a connection, which may be in the middle of a transaction.
pub(super) async fn insert_by(
    writer: &mut SqliteConnection,
    record: &SandboxRecord,
) -> Result<(), DbError> {
    let columns = Columns::of(record)?;
    let done = sqlx::query(
        "INSERT INTO sandboxes (id, team, template, shown, settled, started_at, paused_at, \
         envd_token, revision, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(record.id.as_str())
    .bind(record.team.as_str())
    .bind(&record.template)
    .bind(columns.shown)
    .bind(columns.settled)
    .bind(to_column(record.started_at))
    .bind(columns.paused_at)
    .bind(&record.tokens.envd)
    .bind(&columns.record)
    .execute(writer)
    .await
    .map_err(|source| failed("writing a new record", source))?;
    if done.rows_affected() == 0 {
        return Err(DbError::Conflict { id: record.id.clone() });
    }
    Ok(())
}

pub(super) async fn update(db: &SqliteDatabase, record: &SandboxRecord) -> Result<u64, DbError> {
    let columns = Columns::of(record)?;
    let revision = i64::try_from(record.revision).unwrap_or(i64::MAX);
    let write = || {
        sqlx::query(
            "UPDATE sandboxes SET team = ?, template = ?, shown = ?, settled = ?, started_at = ?, \
             paused_at = ?, envd_token = ?, revision = revision + 1, record = ? \
             WHERE id = ? AND revision = ?",
        )
        .bind(record.team.as_str())
        .bind(&record.template)
        .bind(columns.shown)
        .bind(columns.settled)
        .bind(to_column(record.started_at))
        .bind(columns.paused_at)
        .bind(&record.tokens.envd)
        .bind(&columns.record)
        .bind(record.id.as_str())
        .bind(revision)
    };
    if db.write("changing a record", write).await? == 0 {
        return Err(DbError::Conflict { id: record.id.clone() });
    }
    Ok(record.revision + 1)
}

pub(super) async fn remove(db: &SqliteDatabase, id: &SandboxId) -> Result<(), DbError> {
    let write = || sqlx::query("DELETE FROM sandboxes WHERE id = ?").bind(id.as_str());
    db.write("removing a record", write).await.map(drop)
}

pub(super) async fn get(
    db: &SqliteDatabase,
    id: &SandboxId,
) -> Result<Option<SandboxRecord>, DbError> {
    sqlx::query("SELECT revision, record FROM sandboxes WHERE id = ?")
        .bind(id.as_str())
        .fetch_optional(&db.readers)
        .await
        .map_err(|source| failed("reading a record", source))?
        .as_ref()
        .map(read)
        .transpose()
}

pub(super) async fn find_by_envd_token(
    db: &SqliteDatabase,
    token: &str,
) -> Result<Option<SandboxId>, DbError> {
    let doing = "finding a token";
    sqlx::query("SELECT id FROM sandboxes WHERE envd_token = ? AND shown IS NOT NULL LIMIT 1")
        .bind(token)
        .fetch_optional(&db.readers)
        .await
        .map_err(|source| failed(doing, source))?
        .map(|row| id(&row, doing))
        .transpose()
}

/// Reads the column `id`.
pub(super) fn id(row: &SqliteRow, doing: &'static str) -> Result<SandboxId, DbError> {
    let text: String = row.try_get("id").map_err(|source| failed(doing, source))?;
    text.parse().map_err(|source| DbError::Corrupt {
        what: "a sandbox's id".to_owned(),
        source: Box::new(source),
    })
}

/// A record that cannot be read keeps no other from being recovered.
pub(super) async fn unsettled(db: &SqliteDatabase) -> Result<Vec<SandboxRecord>, DbError> {
    let rows = sqlx::query("SELECT id, revision, record FROM sandboxes WHERE settled = 0")
        .fetch_all(&db.readers)
        .await
        .map_err(|source| failed("reading records", source))?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        match read(row) {
            Ok(record) => records.push(record),
            Err(error) => {
                let id: String = row.try_get("id").unwrap_or_default();
                tracing::error!(sandbox = %id, error = &error as &dyn std::error::Error, "left out");
            }
        }
    }
    Ok(records)
}
