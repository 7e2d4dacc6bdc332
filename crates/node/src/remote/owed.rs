//! Deletions that the object store still owes: noted first, then done, and tried until they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ow_node_api::NodeError;
use ow_types::{SandboxId, SnapshotId};
use tokio::sync::Notify;

use super::Remote;
use crate::errors;
use crate::inner::{Inner, blocking};

/// How long to wait before a store is asked again that could not be reached.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// The notes of a data directory.
#[derive(Debug)]
pub(super) struct Owed {
    directory: PathBuf,
    more: Notify,
}

impl Owed {
    pub(super) fn open(directory: PathBuf) -> Result<Self, NodeError> {
        let made = fs::create_dir_all(&directory);
        made.map_err(|error| errors::io(format!("creating `{}`", directory.display()), &error))?;
        Ok(Self { directory, more: Notify::new() })
    }

    fn note(&self, snapshot: &SnapshotId) -> PathBuf {
        self.directory.join(snapshot.as_str())
    }

    /// What is owed; a note that was cut short is of a deletion that nobody was told of.
    fn all(&self) -> std::io::Result<Vec<(SandboxId, SnapshotId)>> {
        let mut owed = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().parse();
            let sandbox = fs::read_to_string(entry.path())?.parse();
            match (sandbox, name) {
                (Ok(sandbox), Ok(snapshot)) => owed.push((sandbox, snapshot)),
                _ => fs::remove_file(entry.path())?,
            }
        }
        Ok(owed)
    }
}

/// Notes that a snapshot is to be removed from the object store, if there is one.
///
/// The note is on the disk before the snapshot is removed here.
pub(crate) async fn owe(
    inner: &Inner,
    sandbox: &SandboxId,
    snapshot: &SnapshotId,
) -> Result<(), NodeError> {
    let Some(remote) = &inner.remote else { return Ok(()) };
    let (note, sandbox) = (remote.owed.note(snapshot), sandbox.clone());
    blocking(move || {
        write_synced(&note, sandbox.as_str())
            .map_err(|error| errors::io(format!("writing `{}`", note.display()), &error))
    })
    .await
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::File::open(path)?.sync_all()?;
    match path.parent() {
        Some(directory) => fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Lets what is owed be done now.
pub(crate) fn hurry(inner: &Inner) {
    if let Some(remote) = &inner.remote {
        remote.owed.more.notify_one();
    }
}

impl Remote {
    /// Does all that is owed, or as much as the store allows; whether nothing is left.
    async fn pay_all(&self) -> Result<bool, NodeError> {
        let cannot = |error| errors::io("reading what the object store owes", &error);
        let mut all_done = true;
        for (sandbox, snapshot) in self.owed.all().map_err(cannot)? {
            match self.store.delete(&sandbox, &snapshot).await {
                Ok(()) => fs::remove_file(self.owed.note(&snapshot)).map_err(cannot)?,
                Err(error) => {
                    let text = errors::chain(&error);
                    tracing::warn!(%sandbox, %snapshot, error = text, "it stays in the object store");
                    all_done = false;
                    // The others would take as long to find out.
                    if error.is_retryable() {
                        break;
                    }
                }
            }
        }
        Ok(all_done)
    }
}

/// Removes from the object store what is owed, until the node is shut down.
pub(crate) async fn pay(inner: Arc<Inner>) {
    let Some(remote) = &inner.remote else { return };
    let work = async {
        loop {
            let done = remote.pay_all().await.unwrap_or_else(|error| {
                tracing::error!(%error, "deletions in the object store are not done");
                false
            });
            let more = remote.owed.more.notified();
            match done {
                true => more.await,
                false => drop(tokio::time::timeout(TRY_AGAIN, more).await),
            }
        }
    };
    tokio::select! {
        biased;
        () = inner.stopping.cancelled() => {}
        () = work => {}
    }
}
