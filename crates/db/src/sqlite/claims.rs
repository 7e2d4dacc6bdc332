//! Answers to requests that named themselves.

use ow_types::{SandboxId, TeamId, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{SqliteDatabase, failed, from_column, sandboxes, to_column};
use crate::{Answer, Claim, DbError, SandboxRecord};

fn read(row: &SqliteRow) -> Result<Answer, DbError> {
    let corrupt = |source: Box<dyn std::error::Error + Send + Sync>| DbError::Corrupt {
        what: "an answer".to_owned(),
        source,
    };
    let request: Vec<u8> = row.try_get("request").map_err(|source| corrupt(source.into()))?;
    let sandbox: String = row.try_get("sandbox").map_err(|source| corrupt(source.into()))?;
    Ok(Answer {
        request: request
            .try_into()
            .map_err(|_| corrupt("its digest is not 32 bytes long".into()))?,
        sandbox: sandbox
            .parse()
            .map_err(|source: ow_types::InvalidId| corrupt(Box::new(source)))?,
        at: row.try_get("at").map(from_column).map_err(|source| corrupt(source.into()))?,
    })
}

/// Writes the claim and the record in one transaction, so that a crash leaves both or neither.
pub(super) async fn insert_claimed(
    db: &SqliteDatabase,
    record: &SandboxRecord,
    claim: &Claim,
) -> Result<Option<Answer>, DbError> {
    let doing = "writing a new record and the request it answers";
    if !db.reserve.restore().await {
        return Err(DbError::NoSpace { doing });
    }
    let mut both = db.writer.begin().await.map_err(|source| failed(doing, source))?;
    let done = sqlx::query(
        "INSERT INTO claims (team, name, request, sandbox, at) VALUES (?, ?, ?, ?, ?) \
         ON CONFLICT (team, name) DO NOTHING",
    )
    .bind(record.team.as_str())
    .bind(&claim.name)
    .bind(claim.request.as_slice())
    .bind(record.id.as_str())
    .bind(to_column(claim.at))
    .execute(&mut *both)
    .await
    .map_err(|source| failed(doing, source))?;
    if done.rows_affected() == 0 {
        drop(both);
        return find(db, &record.team, &claim.name).await;
    }
    sandboxes::insert_by(&mut both, record).await?;
    both.commit().await.map_err(|source| failed(doing, source))?;
    Ok(None)
}

pub(super) async fn find(
    db: &SqliteDatabase,
    team: &TeamId,
    name: &str,
) -> Result<Option<Answer>, DbError> {
    sqlx::query("SELECT request, sandbox, at FROM claims WHERE team = ? AND name = ?")
        .bind(team.as_str())
        .bind(name)
        .fetch_optional(&db.readers)
        .await
        .map_err(|source| failed("reading the name of a request", source))?
        .as_ref()
        .map(read)
        .transpose()
}

pub(super) async fn give_up(db: &SqliteDatabase, sandbox: &SandboxId) -> Result<(), DbError> {
    let write = || sqlx::query("DELETE FROM claims WHERE sandbox = ?").bind(sandbox.as_str());
    db.write("giving up the name of a request", write).await.map(drop)
}

pub(super) async fn forget(db: &SqliteDatabase, moment: Timestamp) -> Result<(), DbError> {
    let write = || sqlx::query("DELETE FROM claims WHERE at < ?").bind(to_column(moment));
    db.write("forgetting the names of requests", write).await.map(drop)
}
