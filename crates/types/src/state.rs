//! The states of a sandbox, what may be asked in each, and how one follows another.
//!
//! Both are pure functions: [`State::admit`] answers a request, [`State::apply`] a thing that
//! happened. The task that owns a sandbox calls them and does the work between.

use serde::{Deserialize, Serialize};

use crate::{ExecutionId, SnapshotRef};

/// Why a sandbox was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// A client asked for it.
    Requested,
    /// Its timeout ended, and it was not to be paused.
    TimedOut,
    /// It stayed paused for longer than paused sandboxes are kept.
    Expired,
    /// Its guest ended by itself, and it was never paused.
    GuestDied,
    /// It could not be started.
    StartFailed,
}

/// Where a sandbox is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Being made.
    Starting {
        /// The run that is begun.
        execution: ExecutionId,
    },
    /// Running.
    Running {
        /// Its run.
        execution: ExecutionId,
    },
    /// Being saved; back to `Running` if that fails before it was acknowledged.
    Pausing {
        /// The run that is saved.
        execution: ExecutionId,
        /// Where to.
        snapshot: SnapshotRef,
        /// Whether somebody was told that it is paused, while it is only frozen: then it stays
        /// frozen until it is saved, or somebody takes it back.
        #[serde(default)]
        acknowledged: bool,
    },
    /// Saved, and nothing of it runs.
    Paused {
        /// Its newest state.
        snapshot: SnapshotRef,
    },
    /// Being restored; back to `Paused` if that fails.
    Resuming {
        /// The run that is begun.
        execution: ExecutionId,
        /// Where from.
        snapshot: SnapshotRef,
    },
    /// Being removed.
    Killing {
        /// Why.
        reason: KillReason,
    },
    /// Gone.
    Killed {
        /// Why.
        reason: KillReason,
    },
}

/// What can be asked of a sandbox's lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Save it and stop.
    Pause,
    /// Restore it.
    Resume,
    /// End it.
    Kill,
}

/// How a request is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Work for it starts now.
    Begin,
    /// The work in flight is what was asked: its outcome is the answer.
    Join,
    /// Ask again when the work in flight is over.
    Wait,
    /// It is only frozen yet: it need not be saved first.
    TakeBack,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A resume of what runs.
    #[error("the sandbox is already running")]
    AlreadyRunning,
    /// A pause of what is paused.
    #[error("the sandbox is already paused")]
    AlreadyPaused,
    /// Anything about what is gone.
    #[error("the sandbox does not exist")]
    Gone,
}

/// What happened to a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The guest answers: a start or resume is complete.
    Started,
    /// A pause begins, to this snapshot.
    PauseBegun(SnapshotRef),
    /// It stands still, and somebody is told that it is paused.
    Frozen,
    /// The snapshot is complete.
    PauseDone,
    /// The pause failed, and the guest goes on.
    PauseFailed,
    /// Somebody wants it back before it was saved, and the guest goes on.
    TakenBack,
    /// A resume begins, by this run from this snapshot.
    ResumeBegun(ExecutionId, SnapshotRef),
    /// The resume failed; this is the newest snapshot.
    ResumeFailed(SnapshotRef),
    /// The guest is gone, and this is what was saved of it last.
    FellBack(SnapshotRef),
    /// It is to be ended.
    KillBegun(KillReason),
    /// Nothing of it is left.
    KillDone,
}

/// An event that cannot happen in a state: a mistake in the code that applied it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen in {state:?}")]
pub struct InvalidTransition {
    /// The state that stays.
    pub state: State,
    /// What was applied.
    pub event: Event,
}

impl State {
    /// Answers a request by the state alone.
    ///
    /// | | Pause | Resume | Kill |
    /// |---|---|---|---|
    /// | Starting | wait | wait | begin |
    /// | Running | begin | denied | begin |
    /// | Pausing | join | wait | begin |
    /// | Pausing, acknowledged | join | take back | begin |
    /// | Paused | denied | begin | begin |
    /// | Resuming | wait | join | begin |
    /// | Killing | denied | denied | join |
    /// | Killed | denied | denied | denied |
    ///
    /// # Errors
    ///
    /// [`Denied`] says what of the state stands against it.
    pub const fn admit(&self, request: Request) -> Result<Admission, Denied> {
        use Admission::{Begin, Join, TakeBack, Wait};
        match (self, request) {
            (Self::Killed { .. }, _) => Err(Denied::Gone),
            (Self::Killing { .. }, Request::Kill) => Ok(Join),
            (Self::Killing { .. }, _) => Err(Denied::Gone),
            (_, Request::Kill) => Ok(Begin),
            (Self::Running { .. }, Request::Pause) | (Self::Paused { .. }, Request::Resume) => {
                Ok(Begin)
            }
            (Self::Pausing { .. }, Request::Pause) | (Self::Resuming { .. }, Request::Resume) => {
                Ok(Join)
            }
            (Self::Pausing { acknowledged: true, .. }, Request::Resume) => Ok(TakeBack),
            (Self::Running { .. }, Request::Resume) => Err(Denied::AlreadyRunning),
            (Self::Paused { .. }, Request::Pause) => Err(Denied::AlreadyPaused),
            (Self::Starting { .. }, _)
            | (Self::Pausing { .. }, Request::Resume)
            | (Self::Resuming { .. }, Request::Pause) => Ok(Wait),
        }
    }

    /// The state after `event`.
    ///
    /// # Errors
    ///
    /// [`InvalidTransition`] if the event cannot happen in this state.
    pub fn apply(self, event: Event) -> Result<Self, Box<InvalidTransition>> {
        Ok(match (self, event) {
            (Self::Starting { execution } | Self::Resuming { execution, .. }, Event::Started) => {
                Self::Running { execution }
            }
            (Self::Running { execution }, Event::PauseBegun(snapshot)) => {
                Self::Pausing { execution, snapshot, acknowledged: false }
            }
            (Self::Pausing { execution, snapshot, acknowledged: false }, Event::Frozen) => {
                Self::Pausing { execution, snapshot, acknowledged: true }
            }
            (Self::Pausing { snapshot, .. }, Event::PauseDone) => Self::Paused { snapshot },
            (Self::Pausing { execution, acknowledged: false, .. }, Event::PauseFailed)
            | (Self::Pausing { execution, acknowledged: true, .. }, Event::TakenBack) => {
                Self::Running { execution }
            }
            (Self::Paused { .. }, Event::ResumeBegun(execution, snapshot)) => {
                Self::Resuming { execution, snapshot }
            }
            (Self::Resuming { .. }, Event::ResumeFailed(snapshot))
            | (
                Self::Running { .. } | Self::Pausing { .. } | Self::Resuming { .. },
                Event::FellBack(snapshot),
            ) => Self::Paused { snapshot },
            (Self::Killing { reason }, Event::KillDone) => Self::Killed { reason },
            (
                Self::Starting { .. }
                | Self::Running { .. }
                | Self::Pausing { .. }
                | Self::Paused { .. }
                | Self::Resuming { .. },
                Event::KillBegun(reason),
            ) => Self::Killing { reason },
            (state, event) => return Err(Box::new(InvalidTransition { state, event })),
        })
    }

    /// The run that the state speaks of, if one does.
    #[must_use]
    pub const fn execution(&self) -> Option<&ExecutionId> {
        match self {
            Self::Starting { execution }
            | Self::Running { execution }
            | Self::Pausing { execution, .. }
            | Self::Resuming { execution, .. } => Some(execution),
            Self::Paused { .. } | Self::Killing { .. } | Self::Killed { .. } => None,
        }
    }

    /// The snapshot that the state speaks of, if one does.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&SnapshotRef> {
        match self {
            Self::Pausing { snapshot, .. }
            | Self::Paused { snapshot }
            | Self::Resuming { snapshot, .. } => Some(snapshot),
            Self::Starting { .. }
            | Self::Running { .. }
            | Self::Killing { .. }
            | Self::Killed { .. } => None,
        }
    }

    /// As [`State::snapshot`], to be changed.
    pub const fn snapshot_mut(&mut self) -> Option<&mut SnapshotRef> {
        match self {
            Self::Pausing { snapshot, .. }
            | Self::Paused { snapshot }
            | Self::Resuming { snapshot, .. } => Some(snapshot),
            Self::Starting { .. }
            | Self::Running { .. }
            | Self::Killing { .. }
            | Self::Killed { .. } => None,
        }
    }

    /// Whether clients are shown `paused`; `None` if they are shown nothing.
    #[must_use]
    pub const fn shown_as_paused(&self) -> Option<bool> {
        match self {
            Self::Starting { .. } | Self::Running { .. } | Self::Resuming { .. } => Some(false),
            Self::Pausing { .. } | Self::Paused { .. } => Some(true),
            Self::Killing { .. } | Self::Killed { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
