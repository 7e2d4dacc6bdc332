//! Records in memory, which end with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use ow_types::{Durability, SandboxId, SnapshotRef, State, TeamId, Timestamp};

use crate::{
    Answer, Claim, Counts, Cursor, Database, DbError, KeyRecord, ListQuery, Order, SandboxRecord,
};

/// Keeps records in memory.
#[derive(Debug, Default)]
pub struct MemoryDatabase {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    sandboxes: BTreeMap<SandboxId, SandboxRecord>,
    keys: Vec<KeyRecord>,
    claims: BTreeMap<(TeamId, String), Answer>,
}

impl Tables {
    fn insert(&mut self, record: &SandboxRecord) -> Result<(), DbError> {
        if self.sandboxes.contains_key(&record.id) {
            return Err(DbError::Conflict { id: record.id.clone() });
        }
        self.sandboxes.insert(record.id.clone(), SandboxRecord { revision: 0, ..record.clone() });
        Ok(())
    }
}

impl MemoryDatabase {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("nothing panics while it holds the tables")
    }
}

/// Whether `record` is on the list that `query` asks for, wherever its page begins.
fn listed(record: &SandboxRecord, query: &ListQuery) -> bool {
    let shown = match record.state.shown_as_paused() {
        Some(true) => query.paused,
        Some(false) => query.running,
        None => false,
    };
    shown
        && query.metadata.iter().all(|(key, value)| record.metadata.get(key) == Some(value))
        && query.template.as_ref().is_none_or(|template| *template == record.template)
        && query.started_after.is_none_or(|moment| record.started_at > moment)
}

fn after(record: &SandboxRecord, cursor: &Cursor, order: Order) -> bool {
    let (place, from) = ((record.started_at, &record.id), (cursor.started_at, &cursor.id));
    match order {
        Order::Ascending => place > from,
        Order::Descending => place < from,
    }
}

#[async_trait]
impl Database for MemoryDatabase {
    async fn insert(&self, record: &SandboxRecord) -> Result<(), DbError> {
        self.tables().insert(record)
    }

    async fn update(&self, record: &SandboxRecord) -> Result<u64, DbError> {
        let mut tables = self.tables();
        match tables.sandboxes.get_mut(&record.id) {
            Some(stored) if stored.revision == record.revision => {
                *stored = record.clone();
                stored.revision += 1;
                Ok(stored.revision)
            }
            _ => Err(DbError::Conflict { id: record.id.clone() }),
        }
    }

    async fn remove(&self, id: &SandboxId) -> Result<(), DbError> {
        self.tables().sandboxes.remove(id);
        Ok(())
    }

    async fn get(&self, id: &SandboxId) -> Result<Option<SandboxRecord>, DbError> {
        Ok(self.tables().sandboxes.get(id).cloned())
    }

    async fn list(&self, team: &TeamId, query: &ListQuery) -> Result<Vec<SandboxRecord>, DbError> {
        let mut found: Vec<SandboxRecord> = self
            .tables()
            .sandboxes
            .values()
            .filter(|record| record.team == *team && listed(record, query))
            .filter(|record| {
                query.cursor.as_ref().is_none_or(|cursor| after(record, cursor, query.order))
            })
            .cloned()
            .collect();
        found.sort_by(|one, other| (one.started_at, &one.id).cmp(&(other.started_at, &other.id)));
        if query.order == Order::Descending {
            found.reverse();
        }
        found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn count_running(&self, team: &TeamId) -> Result<u64, DbError> {
        let running = |record: &&SandboxRecord| {
            record.team == *team && record.state.shown_as_paused() == Some(false)
        };
        Ok(self.tables().sandboxes.values().filter(running).count() as u64)
    }

    async fn counts(&self) -> Result<Counts, DbError> {
        let mut counts = Counts::default();
        for record in self.tables().sandboxes.values() {
            match record.state.shown_as_paused() {
                Some(false) => counts.running += 1,
                Some(true) => counts.paused += 1,
                None => {}
            }
        }
        Ok(counts)
    }

    async fn find_by_envd_token(&self, token: &str) -> Result<Option<SandboxId>, DbError> {
        let tables = self.tables();
        let found = tables.sandboxes.values().find(|record| {
            record.tokens.envd.as_deref() == Some(token) && record.state.shown_as_paused().is_some()
        });
        Ok(found.map(|record| record.id.clone()))
    }

    async fn unsettled(&self) -> Result<Vec<SandboxRecord>, DbError> {
        let settled = |record: &&SandboxRecord| !matches!(record.state, State::Paused { .. });
        Ok(self.tables().sandboxes.values().filter(settled).cloned().collect())
    }

    async fn paused_before(
        &self,
        moment: Timestamp,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError> {
        let mut found: Vec<(Timestamp, SandboxId)> = self
            .tables()
            .sandboxes
            .values()
            .filter_map(|record| Some((record.paused_at()?, record.id.clone())))
            .filter(|(paused_at, _)| *paused_at < moment)
            .collect();
        found.sort();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    async fn less_safe_than(
        &self,
        level: Durability,
        limit: u32,
    ) -> Result<Vec<SandboxId>, DbError> {
        let tables = self.tables();
        let less_safe = |record: &&SandboxRecord| matches!(&record.state, State::Paused { snapshot } if snapshot.durability < level);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = tables.sandboxes.values().filter(less_safe).take(limit);
        Ok(found.map(|record| record.id.clone()).collect())
    }

    async fn snapshots(&self) -> Result<Vec<(SandboxId, SnapshotRef)>, DbError> {
        let tables = self.tables();
        let named = tables.sandboxes.values().flat_map(|record| {
            record.snapshots().into_iter().map(|snapshot| (record.id.clone(), snapshot))
        });
        Ok(named.collect())
    }

    async fn insert_key(&self, key: &KeyRecord) -> Result<(), DbError> {
        let mut tables = self.tables();
        if tables.keys.iter().any(|stored| stored.hash == key.hash) {
            return Err(DbError::Failed {
                doing: "writing a key",
                source: "the same key is there already".into(),
            });
        }
        tables.keys.push(key.clone());
        tables.keys.sort_by_key(|stored| stored.created_at);
        Ok(())
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<KeyRecord>, DbError> {
        Ok(self.tables().keys.iter().find(|key| key.hash == *hash).cloned())
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, DbError> {
        Ok(self.tables().keys.clone())
    }

    async fn remove_keys(&self, name: &str) -> Result<u64, DbError> {
        let mut tables = self.tables();
        let before = tables.keys.len();
        tables.keys.retain(|key| key.name != name);
        Ok((before - tables.keys.len()) as u64)
    }

    async fn insert_claimed(
        &self,
        record: &SandboxRecord,
        claim: &Claim,
    ) -> Result<Option<Answer>, DbError> {
        let mut tables = self.tables();
        let place = (record.team.clone(), claim.name.clone());
        if let Some(before) = tables.claims.get(&place) {
            return Ok(Some(before.clone()));
        }
        tables.insert(record)?;
        let answer = Answer { request: claim.request, sandbox: record.id.clone(), at: claim.at };
        tables.claims.insert(place, answer);
        Ok(None)
    }

    async fn find_claim(&self, team: &TeamId, name: &str) -> Result<Option<Answer>, DbError> {
        Ok(self.tables().claims.get(&(team.clone(), name.to_owned())).cloned())
    }

    async fn give_up_claim(&self, sandbox: &SandboxId) -> Result<(), DbError> {
        self.tables().claims.retain(|_, answer| answer.sandbox != *sandbox);
        Ok(())
    }

    async fn forget_claims(&self, moment: Timestamp) -> Result<(), DbError> {
        self.tables().claims.retain(|_, answer| answer.at >= moment);
        Ok(())
    }
}
