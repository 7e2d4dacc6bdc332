//! The pieces of work of a pause, and what becomes of a run when one fails.

use std::sync::Arc;
use std::time::Duration;

use ow_node_api::{NodeApi, NodeError, Pause};
use ow_types::{ExecutionId, SnapshotId};

use super::{Outcome, SHORT_LIMIT, Work, within};
use crate::shared::Shared;

/// How long a pause may take: some GiB written to a slow disk (100 MiB/s).
const PAUSE_LIMIT: Duration = Duration::from_secs(300);

/// A pause that failed, and what became of the run.
#[derive(Debug)]
pub(crate) enum FailedPause {
    /// It goes on.
    Alive(NodeError),
    /// It stands still, and was acknowledged to be paused.
    Frozen(NodeError),
    /// It is gone, and the snapshot is complete: only the answer was lost.
    Saved(NodeError),
    /// It is gone, and whether the snapshot is complete is not known.
    InDoubt(NodeError),
    /// It is gone, and nothing was saved.
    Dead(NodeError),
}

/// Pauses after `delay`; if that fails, finds out what became of the run, and lets it go on unless
/// it is acknowledged to be paused.
pub(crate) fn pause(shared: Arc<Shared>, pause: Pause, delay: Duration) -> Work {
    Box::pin(async move {
        tokio::time::sleep(delay).await;
        let (execution, snapshot) = (pause.execution.clone(), pause.snapshot.clone());
        let frozen = pause.frozen;
        let outcome = match within(PAUSE_LIMIT, "pause", shared.parts.node.pause(pause)).await {
            Ok(paused) => Ok(paused),
            Err(error) if frozen => Err(after_frozen(&shared, &execution, &snapshot, error).await),
            Err(error) => Err(after_failed_pause(&shared, &execution, &snapshot, error).await),
        };
        Outcome::Paused(outcome)
    })
}

/// Freezes a run; if that fails, lets it go on.
pub(crate) fn freeze(shared: Arc<Shared>, execution: ExecutionId, snapshot: SnapshotId) -> Work {
    Box::pin(async move {
        let node = &*shared.parts.node;
        let outcome = match within(SHORT_LIMIT, "freeze", node.freeze(&execution)).await {
            Ok(phases) => Ok(phases),
            Err(error) => Err(after_failed_pause(&shared, &execution, &snapshot, error).await),
        };
        Outcome::Frozen(outcome)
    })
}

/// How often the node is asked to let a run go on, and whether a snapshot is complete.
const ATTEMPTS_AFTER_PAUSE: u32 = 3;

async fn after_failed_pause(
    shared: &Shared,
    execution: &ExecutionId,
    snapshot: &SnapshotId,
    error: NodeError,
) -> FailedPause {
    let node = &*shared.parts.node;
    for attempt in 1..=ATTEMPTS_AFTER_PAUSE {
        match within(SHORT_LIMIT, "thaw", node.thaw(execution)).await {
            Ok(()) => return FailedPause::Alive(error),
            Err(NodeError::NoSuchRun { .. }) => {
                return match is_stored(node, snapshot).await {
                    Some(true) => FailedPause::Saved(error),
                    Some(false) => FailedPause::Dead(error),
                    None => FailedPause::InDoubt(error),
                };
            }
            Err(cause) => {
                let cause = &cause as &dyn std::error::Error;
                tracing::error!(%execution, attempt, error = cause, "a run stays frozen");
            }
        }
    }
    // It has not gone on since it was saved, if it was.
    if end_if_saved(shared, execution, snapshot).await {
        FailedPause::Saved(error)
    } else {
        FailedPause::Alive(error)
    }
}

/// What became of a run that must not go on.
async fn after_frozen(
    shared: &Shared,
    execution: &ExecutionId,
    snapshot: &SnapshotId,
    error: NodeError,
) -> FailedPause {
    if end_if_saved(shared, execution, snapshot).await {
        return FailedPause::Saved(error);
    }
    match within(SHORT_LIMIT, "held", shared.parts.node.held()).await {
        Ok(held) if held.iter().all(|held| held.execution != *execution) => {
            FailedPause::Dead(error)
        }
        _ => FailedPause::Frozen(error),
    }
}

/// Ends a run that stands still if its snapshot is complete; whether it is.
async fn end_if_saved(shared: &Shared, execution: &ExecutionId, snapshot: &SnapshotId) -> bool {
    let saved = is_stored(&*shared.parts.node, snapshot).await == Some(true);
    if saved {
        shared.end(execution).await;
    }
    saved
}

/// Whether a snapshot is complete; asked more than once, for all of a sandbox may depend on it.
pub(crate) async fn is_stored(node: &dyn NodeApi, snapshot: &SnapshotId) -> Option<bool> {
    for attempt in 1..=ATTEMPTS_AFTER_PAUSE {
        match within(SHORT_LIMIT, "stored", node.stored()).await {
            Ok(stored) => return Some(stored.iter().any(|stored| stored.snapshot == *snapshot)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%snapshot, attempt, error, "is a snapshot complete?");
            }
        }
    }
    None
}
