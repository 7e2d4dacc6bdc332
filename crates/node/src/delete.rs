//! Removing snapshots.

use std::sync::Arc;

use ow_node_api::NodeError;
use ow_types::{SandboxId, SnapshotId};

use crate::errors;
use crate::inner::{Inner, blocking};

/// Removes a snapshot from everywhere, first what is still in memory of it.
pub(crate) async fn delete_snapshot(
    inner: &Arc<Inner>,
    sandbox: &SandboxId,
    snapshot: SnapshotId,
) -> Result<(), NodeError> {
    if let Some(kept) = inner.frozen.take(&snapshot, sandbox) {
        inner.remove_place(&kept.placed).await;
    }
    let store = inner.store.clone();
    blocking(move || store.remove(&snapshot).map_err(|error| errors::snapshot(&snapshot, &error)))
        .await
}
