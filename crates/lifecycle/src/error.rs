//! How the lifecycle refuses and fails.

use std::time::Duration;

use ow_db::DbError;
use ow_node_api::NodeError;
use ow_types::{Durability, SandboxId};

/// Why a sandbox was not brought where it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// There is none of that name, or it is another team's, or it is gone.
    #[error("Sandbox \"{id}\" doesn't exist or you don't have access to it")]
    NotFound {
        /// The name.
        id: SandboxId,
    },
    /// There is no template of that name.
    #[error("template '{name}' not found")]
    TemplateNotFound {
        /// The name.
        name: String,
    },
    /// A pause of what is paused.
    #[error("Error pausing sandbox - sandbox '{id}' is already paused")]
    AlreadyPaused {
        /// The sandbox.
        id: SandboxId,
    },
    /// A resume of what runs.
    #[error("Sandbox {id} is already running")]
    AlreadyRunning {
        /// The sandbox.
        id: SandboxId,
    },
    /// Longer than sandboxes may run.
    #[error("Timeout cannot be greater than {} hours", limit.as_secs() / 3600)]
    TimeoutTooLong {
        /// The limit.
        limit: Duration,
    },
    /// The request's name was used for another body.
    #[error("the Idempotency-Key was used before with another body")]
    IdempotencyMismatch,
    /// The request of this name is still at work.
    #[error("a request with this Idempotency-Key is in flight")]
    IdempotencyInFlight,
    /// The team runs as many as it may.
    #[error("you have reached the limit of {limit} running sandboxes: kill or pause some")]
    TooManyRunning {
        /// The limit.
        limit: u64,
    },
    /// The guest agent did not answer, and the caller wanted it to.
    #[error("the guest agent of sandbox {id} does not answer")]
    GuestUnresponsive {
        /// The sandbox.
        id: SandboxId,
    },
    /// The server stops.
    #[error("the server is shutting down: try again")]
    ShuttingDown,
    /// The durability or pause mode asked for is not to be had.
    #[error("{what} is not supported by this server")]
    Unsupported {
        /// What was asked.
        what: String,
    },
    /// It is paused, and not yet as safe as was asked for; the server goes on trying.
    #[error(
        "sandbox {id} is paused and {}, but not yet {}: {reason}; ask again",
        reached.as_str(), asked.as_str()
    )]
    LessSafe {
        /// The sandbox.
        id: SandboxId,
        /// How safe it is.
        reached: Durability,
        /// How safe it was to be.
        asked: Durability,
        /// Why it is not.
        reason: String,
    },
    /// The node failed.
    #[error("{doing} sandbox {id} failed")]
    Node {
        /// What was tried.
        doing: &'static str,
        /// On which.
        id: SandboxId,
        /// Why not.
        #[source]
        source: NodeError,
    },
    /// The node did not say what it holds.
    #[error("the node does not say what it holds")]
    Recovery(#[source] NodeError),
    /// The records failed.
    #[error("the records of the server cannot be read or written")]
    Db(#[from] DbError),
}
