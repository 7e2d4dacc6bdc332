//! Deleting what no record names: snapshots on the node, journals on the disk, old answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ow_types::{SnapshotId, Timestamp};

use crate::LifecycleError;
use crate::shared::Shared;
use crate::start::KEEP_CLAIMS;
use crate::work::{SHORT_LIMIT, delete_snapshots, within};

/// How often is looked: what is left over harms nobody but the disk.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// How often the numbers of sandboxes are brought up to date in the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Collects at the start, and from time to time.
pub(crate) async fn keep_collecting(shared: Arc<Shared>) {
    let mut due = shared.now();
    loop {
        if shared.now() >= due {
            due = shared.now().after(EVERY);
            if let Err(error) = collect(&shared).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "what is left over stays");
            }
        }
        count(&shared).await;
        shared.parts.clock.sleep_until(shared.now().after(COUNT_EVERY)).await;
    }
}

/// Deletes what no record names.
///
/// What the node stores is read before the records: a snapshot is named in a record before it is
/// stored, so what is stored and then not named is needed no more.
async fn collect(shared: &Shared) -> Result<(), LifecycleError> {
    let db = &shared.parts.db;
    let now = shared.now().unix_millis();
    let keep = u64::try_from(KEEP_CLAIMS.as_millis()).unwrap_or(u64::MAX);
    db.forget_claims(Timestamp::from_unix_millis(now.saturating_sub(keep))).await?;
    let stored = within(SHORT_LIMIT, "stored", shared.parts.node.stored()).await;
    let stored = stored.map_err(LifecycleError::Recovery)?;
    let named = db.snapshots().await?;
    let named: HashSet<SnapshotId> = named.into_iter().map(|(_, snapshot)| snapshot.id).collect();
    for stored in stored.into_iter().filter(|stored| !named.contains(&stored.snapshot)) {
        tracing::info!(snapshot = %stored.snapshot, "no record names this snapshot: it is deleted");
        let (sandbox, snapshot) = (&stored.sandbox, std::slice::from_ref(&stored.snapshot));
        delete_snapshots(&*shared.parts.node, sandbox, snapshot).await;
    }
    for id in shared.journal.sandboxes().await {
        if db.get(&id).await?.is_none() {
            shared.journal.remove(&id);
        }
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "gauges are floating-point numbers")]
async fn count(shared: &Shared) {
    if let Ok(counts) = shared.parts.db.counts().await {
        metrics::gauge!("overwinter_sandboxes", "state" => "running").set(counts.running as f64);
        metrics::gauge!("overwinter_sandboxes", "state" => "paused").set(counts.paused as f64);
    }
}
