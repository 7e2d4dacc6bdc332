//! The words of the domain: ids, units, time, and the state machine of a sandbox.
//!
//! Nothing here does IO, so that every rule about a sandbox's life can be tested as a function.

mod clock;
mod durability;
mod ids;
mod phases;
mod settings;
mod state;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use durability::{Durability, Tier};
pub use ids::{ExecutionId, InvalidId, SandboxId, SnapshotId, TeamId};
pub use phases::{Phase, Phases};
pub use settings::{
    Egress, OnTimeout, PauseMode, Resources, Settings, SnapshotRef, Tokens, TransitionKind,
    TransitionReport,
};
pub use state::{Admission, Denied, Event, InvalidTransition, KillReason, Request, State};
