//! `overwinter import`: takes over sandboxes of a machine that was lost, from the object store.
//!
//! Only records are written: the first resume of each sandbox fetches its snapshot.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use ow_db::{Database, SandboxRecord};
use ow_node::DataLock;
use ow_snapshots::{RemoteSnapshot, RemoteStore};
use ow_types::{Durability, SandboxId, SnapshotRef, State};

use crate::key;
use crate::settings::Settings;

/// What became of the sandboxes in the store.
#[derive(Debug, Default, PartialEq, Eq)]
struct Imported {
    new: usize,
    known: usize,
    unreadable: usize,
}

pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let Imported { new, known, unreadable } = runtime.block_on(import(settings))?;
    println!("{new} imported, {known} known before, {unreadable} that cannot be read");
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn import(settings: &Settings) -> anyhow::Result<Imported> {
    let Some(remote) = &settings.remote else {
        bail!("name the object store with --remote-url, or in the configuration");
    };
    let node = settings.data_dir.join("node");
    let _no_server = DataLock::take(&node).context("stop the server first")?;
    let store = RemoteStore::open(remote)?;
    let db = key::open_records(&settings.data_dir).await?;
    let deleted = owed(&node)?;
    let mut snapshots: HashMap<SandboxId, Vec<RemoteSnapshot>> = HashMap::new();
    for snapshot in store.list().await.context("list the snapshots")? {
        if !deleted.contains(snapshot.snapshot.as_str()) {
            snapshots.entry(snapshot.sandbox.clone()).or_default().push(snapshot);
        }
    }
    let mut imported = Imported::default();
    for (sandbox, snapshots) in snapshots {
        if db.get(&sandbox).await?.is_some() {
            imported.known += 1;
            continue;
        }
        let record = store.record(&sandbox).await.context("read a record")?;
        let record = record.and_then(|text| serde_json::from_slice(&text).ok());
        match record.and_then(|record| as_paused(record, &sandbox, &snapshots)) {
            Some(record) => {
                db.insert(&record).await.context("write a record")?;
                println!("{sandbox}  team {}, paused {}", record.team, record.end_at);
                imported.new += 1;
            }
            None => {
                eprintln!("{sandbox}  its record cannot be read");
                imported.unreadable += 1;
            }
        }
    }
    Ok(imported)
}

/// Snapshots that were deleted here, and that the store did not remove yet.
fn owed(node: &Path) -> anyhow::Result<HashSet<String>> {
    let directory = node.join("owed");
    if !directory.is_dir() {
        return Ok(HashSet::new());
    }
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(&directory)?.map(name).collect()
}

/// The record of a sandbox that is paused with the newest snapshot that is in the store.
///
/// Its machine may have run on from any of them since: as after a restore, what resumes now must get
/// other random numbers.
fn as_paused(
    record: SandboxRecord,
    sandbox: &SandboxId,
    stored: &[RemoteSnapshot],
) -> Option<SandboxRecord> {
    if record.id != *sandbox {
        return None;
    }
    let mut newest_first: Vec<_> = stored.iter().collect();
    newest_first.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.generation));
    let mut references = newest_first.into_iter().map(|stored| {
        let known = [&record.snapshot, &record.previous_snapshot].into_iter().flatten();
        let known = known.clone().find(|known| known.id == stored.snapshot);
        SnapshotRef {
            id: stored.snapshot.clone(),
            generation: stored.generation,
            mode: stored.mode,
            restored: known.map_or(0, |known| known.restored).max(1),
            durability: Durability::DurableRemote,
            proven: known.is_some_and(|known| known.proven),
        }
    });
    let newest = references.next()?;
    let previous_snapshot = references.next();
    Some(SandboxRecord {
        state: State::Paused { snapshot: newest.clone() },
        revision: 0,
        snapshot: Some(newest),
        previous_snapshot,
        ..record
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ow_types::{
        Egress, ExecutionId, OnTimeout, PauseMode, Resources, Settings, SnapshotId, TeamId,
        Timestamp, Tokens,
    };

    use super::*;

    /// As it was when `newest` was brought to the store, and had been resumed already.
    fn record(newest: &SnapshotRef) -> SandboxRecord {
        SandboxRecord {
            id: SandboxId::random(),
            team: TeamId::random(),
            template: "base".to_owned(),
            state: State::Running { execution: ExecutionId::random() },
            revision: 7,
            created_at: Timestamp::default(),
            started_at: Timestamp::default(),
            end_at: Timestamp::default(),
            settings: Settings {
                timeout: Duration::from_secs(300),
                on_timeout: OnTimeout::Kill,
                pause_mode: PauseMode::Full,
                auto_resume: false,
            },
            metadata: [("a".to_owned(), "b".to_owned())].into(),
            env_vars: std::collections::BTreeMap::new(),
            resources: Resources::default(),
            tokens: Tokens { envd: None, traffic: "secret".to_owned() },
            egress: Egress::default(),
            snapshot: Some(newest.clone()),
            previous_snapshot: None,
            guest_unresponsive_at_pause: false,
            last_transition: None,
        }
    }

    fn stored(sandbox: &SandboxId, snapshot: SnapshotId, generation: u64) -> RemoteSnapshot {
        let (mode, taken_at) = (PauseMode::Full, Timestamp::default());
        RemoteSnapshot { sandbox: sandbox.clone(), snapshot, generation, mode, taken_at }
    }

    #[test]
    fn a_sandbox_is_paused_with_the_newest_snapshot_that_is_in_the_store() {
        let newest = SnapshotRef::begun(3, PauseMode::Full);
        let record = record(&newest);
        let older = SnapshotId::random();
        let stored = [stored(&record.id, older.clone(), 2), stored(&record.id, newest.id, 3)];
        let imported = as_paused(record.clone(), &record.id, &stored).unwrap();
        let State::Paused { snapshot } = &imported.state else { panic!("{:?}", imported.state) };
        assert_eq!((&snapshot.id, snapshot.generation), (&stored[1].snapshot, 3));
        assert_eq!(snapshot.durability, Durability::DurableRemote);
        assert_eq!(snapshot.restored, 1, "it may have run on, and gets other random numbers");
        assert_eq!(imported.snapshot.as_ref(), Some(snapshot));
        assert_eq!(imported.previous_snapshot.map(|previous| previous.id), Some(older));
        assert_eq!((imported.revision, imported.metadata), (0, record.metadata));
    }

    #[test]
    fn a_record_without_a_snapshot_or_of_another_sandbox_is_not_taken() {
        let record = record(&SnapshotRef::begun(1, PauseMode::Full));
        assert_eq!(as_paused(record.clone(), &record.id, &[]), None);
        let other = SandboxId::random();
        let stored = [stored(&other, SnapshotId::random(), 1)];
        assert_eq!(as_paused(record, &other, &stored), None);
    }
}
