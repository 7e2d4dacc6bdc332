//! Why work on a sandbox did not succeed, in a form that many can be told.

use std::sync::Arc;

use ow_db::DbError;
use ow_node_api::NodeError;
use ow_types::{Denied, Durability, SandboxId};

use crate::LifecycleError;

/// What everyone who waits for a piece of work is told when it did not succeed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The sandbox is gone, or on its way.
    Gone,
    AlreadyPaused,
    AlreadyRunning,
    /// The server stops.
    ShuttingDown,
    TooManyRunning(u64),
    GuestUnresponsive,
    IdempotencyInFlight,
    /// It is paused, and not as safe as was asked for.
    LessSafe(Arc<LessSafe>),
    Node {
        doing: &'static str,
        error: NodeError,
    },
    Db(Arc<DbError>),
}

/// How safe a paused sandbox is, which is less than somebody asked for.
#[derive(Debug)]
pub(crate) struct LessSafe {
    pub(crate) reached: Durability,
    pub(crate) asked: Durability,
    pub(crate) reason: String,
}

impl Failure {
    /// The same, as the caller who asked about `id` is told.
    pub(crate) fn about(self, id: &SandboxId) -> LifecycleError {
        let id = id.clone();
        match self {
            Self::Gone => LifecycleError::NotFound { id },
            Self::AlreadyPaused => LifecycleError::AlreadyPaused { id },
            Self::AlreadyRunning => LifecycleError::AlreadyRunning { id },
            Self::ShuttingDown => LifecycleError::ShuttingDown,
            Self::TooManyRunning(limit) => LifecycleError::TooManyRunning { limit },
            Self::GuestUnresponsive => LifecycleError::GuestUnresponsive { id },
            Self::IdempotencyInFlight => LifecycleError::IdempotencyInFlight,
            Self::LessSafe(less) => LifecycleError::LessSafe {
                id,
                reached: less.reached,
                asked: less.asked,
                reason: less.reason.clone(),
            },
            Self::Node { error: NodeError::Unsupported { what }, .. } => {
                LifecycleError::Unsupported { what }
            }
            Self::Node { error: NodeError::NoSuchTemplate { name }, .. } => {
                LifecycleError::TemplateNotFound { name }
            }
            Self::Node { doing, error } => LifecycleError::Node { doing, id, source: error },
            Self::Db(error) => LifecycleError::Db(match &*error {
                DbError::NoSpace { doing } => DbError::NoSpace { doing },
                _ => DbError::Failed { doing: "changing a sandbox's record", source: error.into() },
            }),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::Db(Arc::new(error))
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::AlreadyRunning => Self::AlreadyRunning,
            Denied::AlreadyPaused => Self::AlreadyPaused,
            Denied::Gone => Self::Gone,
        }
    }
}
