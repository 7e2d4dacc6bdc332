//! Queries over many sandboxes.

use ow_types::{Durability, SandboxId, SnapshotRef, TeamId, Timestamp};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::sandboxes::{id, read, shown};
use super::{SqliteDatabase, failed, to_column};
use crate::{Counts, DbError, ListQuery, Order, SandboxRecord};

/// Up to how many matches of a pair of metadata are sorted rather than met on a walk.
///
/// A sort of 1,000 records and a walk past 10,000 entries both took some milliseconds.
const FEW: u32 = 1000;

/// Begins with the sandboxes that have the rarest pair of metadata, if they are few; else walks
/// the index in the list's order and stops when the page is full.
pub(super) async fn list(
    db: &SqliteDatabase,
    team: &TeamId,
    query: &ListQuery,
) -> Result<Vec<SandboxRecord>, DbError> {
    let shown = match (query.running, query.paused) {
        (true, true) => "shown IS NOT NULL",
        (true, false) => "+shown = 'running'",
        (false, true) => "+shown = 'paused'",
        (false, false) => return Ok(Vec::new()),
    };
    let rare = rare_pair(db, query).await?;
    let mut sql = QueryBuilder::new("SELECT revision, record FROM ");
    // A cross join is done in the order that it is written in.
    match rare {
        Some((key, value)) => sql
            .push("metadata AS rare CROSS JOIN sandboxes ON sandboxes.id = rare.sandbox ")
            .push("WHERE rare.key = ")
            .push_bind(key)
            .push(" AND rare.value = ")
            .push_bind(value)
            .push(" AND "),
        None => sql.push("sandboxes WHERE "),
    };
    sql.push(shown).push(" AND team = ").push_bind(team.as_str());
    if let Some(template) = &query.template {
        sql.push(" AND template = ").push_bind(template);
    }
    if let Some(moment) = query.started_after {
        sql.push(" AND started_at > ").push_bind(to_column(moment));
    }
    for (key, value) in &query.metadata {
        sql.push(" AND EXISTS (SELECT 1 FROM metadata AS pair WHERE pair.sandbox = sandboxes.id")
            .push(" AND pair.key = ")
            .push_bind(key)
            .push(" AND pair.value = ")
            .push_bind(value)
            .push(")");
    }
    push_order(&mut sql, query);
    sql.push(" LIMIT ").push_bind(i64::from(query.limit));
    sql.build()
        .fetch_all(&db.readers)
        .await
        .map_err(|source| failed("listing sandboxes", source))?
        .iter()
        .map(read)
        .collect()
}

/// The pair that the fewest sandboxes have, if those are few.
async fn rare_pair<'q>(
    db: &SqliteDatabase,
    query: &'q ListQuery,
) -> Result<Option<(&'q String, &'q String)>, DbError> {
    let mut rarest = (i64::from(FEW), None);
    for pair in &query.metadata {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (SELECT 1 FROM metadata WHERE key = ? AND value = ? LIMIT ?)",
        )
        .bind(pair.0)
        .bind(pair.1)
        .bind(i64::from(FEW))
        .fetch_one(&db.readers)
        .await
        .map_err(|source| failed("counting a pair of metadata", source))?;
        if count < rarest.0 {
            rarest = (count, Some(pair));
        }
    }
    Ok(rarest.1)
}

fn push_order(sql: &mut QueryBuilder<'_, Sqlite>, query: &ListQuery) {
    let (beyond, direction) = match query.order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    if let Some(cursor) = &query.cursor {
        sql.push(format!(" AND (started_at, id) {beyond} ("))
            .push_bind(to_column(cursor.started_at))
            .push(", ")
            .push_bind(cursor.id.as_str().to_owned())
            .push(")");
    }
    sql.push(format!(" ORDER BY started_at {direction}, id {direction}"));
}

pub(super) async fn count_running(db: &SqliteDatabase, team: &TeamId) -> Result<u64, DbError> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sandboxes WHERE shown = ? AND team = ?")
            .bind(shown(false))
            .bind(team.as_str())
            .fetch_one(&db.readers)
            .await
            .map_err(|source| failed("counting sandboxes", source))?;
    Ok(u64::try_from(count).unwrap_or_default())
}

pub(super) async fn counts(db: &SqliteDatabase) -> Result<Counts, DbError> {
    let (running, paused): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE shown = ?), count(*) FILTER (WHERE shown = ?) FROM sandboxes",
    )
    .bind(shown(false))
    .bind(shown(true))
    .fetch_one(&db.readers)
    .await
    .map_err(|source| failed("counting sandboxes", source))?;
    Ok(Counts {
        running: u64::try_from(running).unwrap_or_default(),
        paused: u64::try_from(paused).unwrap_or_default(),
    })
}

pub(super) async fn paused_before(
    db: &SqliteDatabase,
    moment: Timestamp,
    limit: u32,
) -> Result<Vec<SandboxId>, DbError> {
    let doing = "looking for sandboxes that were paused long ago";
    sqlx::query("SELECT id FROM sandboxes WHERE paused_at < ? ORDER BY paused_at LIMIT ?")
        .bind(to_column(moment))
        .bind(i64::from(limit))
        .fetch_all(&db.readers)
        .await
        .map_err(|source| failed(doing, source))?
        .iter()
        .map(|row| id(row, doing))
        .collect()
}

pub(super) async fn less_safe_than(
    db: &SqliteDatabase,
    level: Durability,
    limit: u32,
) -> Result<Vec<SandboxId>, DbError> {
    let doing = "looking for snapshots that are not safe yet";
    // Records of before levels were noted are of synced snapshots, as `SnapshotRef` says.
    let mut sql = QueryBuilder::new(
        "SELECT id FROM sandboxes WHERE paused_at IS NOT NULL AND \
         coalesce(json_extract(record, '$.state.snapshot.durability'), 'durable-local') IN (",
    );
    let mut levels = sql.separated(", ");
    for less in Durability::ALL.into_iter().filter(|less| *less < level) {
        levels.push_bind(less.as_str());
    }
    sql.push(") LIMIT ").push_bind(i64::from(limit));
    let rows = sql.build().fetch_all(&db.readers).await;
    let rows = rows.map_err(|source| failed(doing, source))?;
    rows.iter().map(|row| id(row, doing)).collect()
}

/// Reads the three places of a record that name a snapshot, and not the rest.
pub(super) async fn snapshots(
    db: &SqliteDatabase,
) -> Result<Vec<(SandboxId, SnapshotRef)>, DbError> {
    let doing = "reading the names of snapshots";
    let rows = sqlx::query(
        "SELECT sandboxes.id AS id, place.value AS snapshot FROM sandboxes, json_each(json_array( \
         json_extract(record, '$.state.snapshot'), json_extract(record, '$.snapshot'), \
         json_extract(record, '$.previous_snapshot'))) AS place WHERE place.value IS NOT NULL",
    )
    .fetch_all(&db.readers)
    .await
    .map_err(|source| failed(doing, source))?;
    let mut named: Vec<(SandboxId, SnapshotRef)> = Vec::with_capacity(rows.len());
    for row in &rows {
        let text: &str = row.try_get("snapshot").map_err(|source| failed(doing, source))?;
        let snapshot: SnapshotRef = serde_json::from_str(text).map_err(|source| {
            DbError::Corrupt { what: "a snapshot's name".to_owned(), source: source.into() }
        })?;
        let id = id(row, doing)?;
        // Rows of one sandbox follow one another, and name at most three.
        if !named.iter().rev().take(2).any(|(_, other)| other.id == snapshot.id) {
            named.push((id, snapshot));
        }
    }
    Ok(named)
}
