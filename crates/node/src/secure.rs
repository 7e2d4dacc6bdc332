//! Making a snapshot safer than it was when its pause was answered.

use std::sync::Arc;

use ow_node_api::{NodeError, Secure};
use ow_snapshots::SnapshotError;
use ow_types::{Durability, Phases, SandboxId, SnapshotId};

use crate::inner::{Inner, blocking};
use crate::stopwatch::Stopwatch;
use crate::{errors, remote};

/// How safe a snapshot can be made here.
pub(crate) const fn most(inner: &Inner) -> Durability {
    if inner.remote.is_some() { Durability::DurableRemote } else { Durability::DurableLocal }
}

/// Makes a snapshot as safe as asked; several calls for one do no harm.
pub(crate) async fn secure(inner: &Arc<Inner>, secure: Secure) -> Result<Phases, NodeError> {
    let mut watch = Stopwatch::begin();
    is_here(inner, &secure.sandbox, &secure.snapshot).await?;
    watch.lap("look");
    match secure.durability {
        Durability::Frozen | Durability::Captured => {}
        Durability::DurableLocal => {
            sync(inner, &secure.snapshot).await?;
            watch.lap("sync");
        }
        Durability::DurableRemote => {
            sync(inner, &secure.snapshot).await?;
            watch.lap("sync");
            remote::upload(inner, &secure, &mut watch).await?;
        }
    }
    Ok(watch.phases)
}

/// Whether the sandbox's snapshot is complete.
async fn is_here(
    inner: &Inner,
    sandbox: &SandboxId,
    snapshot: &SnapshotId,
) -> Result<(), NodeError> {
    let (store, snapshot, sandbox) = (inner.store.clone(), snapshot.clone(), sandbox.clone());
    blocking(move || match store.read(&snapshot) {
        Ok(manifest) if manifest.sandbox == sandbox => Ok(()),
        Ok(_) => Err(NodeError::NoSuchSnapshot { snapshot }),
        Err(error) => Err(errors::snapshot(&snapshot, &error)),
    })
    .await
}

/// Brings a snapshot to the disk.
pub(crate) async fn sync(inner: &Inner, snapshot: &SnapshotId) -> Result<(), NodeError> {
    let (store, snapshot) = (inner.store.clone(), snapshot.clone());
    blocking(move || {
        let synced = store.sync(&snapshot).map_err(|error| match error {
            // It was deleted meanwhile.
            _ if !store.contains(&snapshot) => {
                SnapshotError::NotFound { snapshot: snapshot.clone() }
            }
            error => error,
        });
        synced.map_err(|error| errors::snapshot(&snapshot, &error))
    })
    .await
}
