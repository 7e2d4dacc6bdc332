//! What the engine's and the store's failures mean to the node's caller.

use std::error::Error;

use ow_engine::EngineError;
use ow_node_api::NodeError;
use ow_snapshots::{RemoteError, SnapshotError};
use ow_types::{ExecutionId, SnapshotId};

/// An error and all its causes in one line: what crosses the node's border is text.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The machine failed.
pub(crate) fn failed(doing: impl Into<String>, error: &dyn Error) -> NodeError {
    NodeError::Failed { doing: doing.into(), reason: chain(error) }
}

/// A file could not be read or written; a full disk is no room.
pub(crate) fn io(doing: impl Into<String>, error: &std::io::Error) -> NodeError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            NodeError::NoRoom { reason: format!("{}: {error}", doing.into()) }
        }
        _ => failed(doing, error),
    }
}

/// The engine failed to do something for a run.
pub(crate) fn engine(execution: &ExecutionId, error: &EngineError) -> NodeError {
    match error {
        EngineError::NoSuchRun { .. } => NodeError::NoSuchRun { execution: execution.clone() },
        EngineError::NoSpace { .. } => NodeError::NoRoom { reason: chain(error) },
        _ => failed(format!("the engine's work for run {execution}"), error),
    }
}

/// The engine failed to restore a snapshot.
pub(crate) fn restore(
    execution: &ExecutionId,
    snapshot: &SnapshotId,
    error: &EngineError,
) -> NodeError {
    match error {
        EngineError::BadImage { reason, .. } => {
            NodeError::BadSnapshot { snapshot: snapshot.clone(), reason: reason.clone() }
        }
        _ => engine(execution, error),
    }
}

/// The object store failed, which says nothing of the snapshot.
pub(crate) fn remote(doing: impl Into<String>, error: &RemoteError) -> NodeError {
    match error {
        RemoteError::Snapshot(SnapshotError::NoSpace { .. } | SnapshotError::ReadOnly { .. }) => {
            NodeError::NoRoom { reason: chain(error) }
        }
        _ => failed(doing, error),
    }
}

/// The store of snapshots failed.
pub(crate) fn snapshot(snapshot: &SnapshotId, error: &SnapshotError) -> NodeError {
    let snapshot = snapshot.clone();
    match error {
        SnapshotError::NotFound { .. } => NodeError::NoSuchSnapshot { snapshot },
        SnapshotError::Damaged { damage, .. } => {
            NodeError::BadSnapshot { snapshot, reason: damage.to_string() }
        }
        SnapshotError::NoSpace { .. } | SnapshotError::ReadOnly { .. } => {
            NodeError::NoRoom { reason: chain(error) }
        }
        _ => failed(format!("the work on snapshot {snapshot}"), error),
    }
}
