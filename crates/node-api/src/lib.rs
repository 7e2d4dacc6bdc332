//! What a node does for the lifecycle: it starts, saves, restores and ends sandboxes on a machine.
//!
//! The node answers for one machine and decides nothing about a sandbox's life: it keeps no record
//! of what should be, only reports what is.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;

use async_trait::async_trait;
use ow_guest_proto::control::Observation;
use ow_types::{
    Durability, Egress, ExecutionId, PauseMode, Phases, Resources, SandboxId, SnapshotId, Tier,
    Timestamp,
};
use tokio::sync::broadcast;

mod error;

#[cfg(feature = "fake")]
pub mod fake;

pub use error::NodeError;

/// Who a guest is, and what its processes are told.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The template's name.
    pub template: String,
    /// Variables of every process.
    pub env_vars: BTreeMap<String, String>,
    /// The token that the guest agent asks for.
    pub access_token: Option<String>,
}

/// Asks for a new run of a template.
#[derive(Debug, Clone)]
pub struct Start {
    /// The run's name.
    pub execution: ExecutionId,
    /// Who it is.
    pub identity: Identity,
    /// Limits.
    pub resources: Resources,
    /// What it may reach.
    pub egress: Egress,
}

/// Asks for a run that goes on from a snapshot.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The run's name.
    pub execution: ExecutionId,
    /// Who it is.
    pub identity: Identity,
    /// What it may reach.
    pub egress: Egress,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whether what the snapshot holds has run before, so that random numbers must be renewed.
    pub reseed: bool,
}

/// Asks for a run to be saved and ended.
#[derive(Debug, Clone)]
pub struct Pause {
    /// The run.
    pub execution: ExecutionId,
    /// Whose it is.
    pub sandbox: SandboxId,
    /// The name of the snapshot to write.
    pub snapshot: SnapshotId,
    /// Its generation.
    pub generation: u64,
    /// What to keep.
    pub mode: PauseMode,
    /// How safe it must be before the answer: [`Durability::Captured`] or
    /// [`Durability::DurableLocal`]. [`NodeApi::secure`] leads to the rest.
    pub durability: Durability,
    /// Whether somebody was told already that it is paused, after [`NodeApi::freeze`]: a failure
    /// then leaves it frozen, to be saved by another call.
    pub frozen: bool,
}

/// Asks for a snapshot to be made as safe as this.
#[derive(Debug, Clone)]
pub struct Secure {
    /// Whose it is.
    pub sandbox: SandboxId,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// How safe it must be before the answer; more than [`Durability::Frozen`].
    pub durability: Durability,
    /// The sandbox's record, which goes to the object store with the snapshot, so that another
    /// machine can take the sandbox over.
    pub record: Vec<u8>,
}

/// A run that answers.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where its ports are.
    pub address: Ipv4Addr,
    /// Where it was found: what comes from memory proves nothing about what is on the disk.
    pub tier: Tier,
    /// Where the time went.
    pub phases: Phases,
}

/// A run that is saved.
#[derive(Debug, Clone)]
pub struct Paused {
    /// How safe it is.
    pub durability: Durability,
    /// Where the time went.
    pub phases: Phases,
    /// Bytes by what became of them: `captured`, `zero`, `stored`.
    pub bytes: BTreeMap<String, u64>,
    /// Whether the guest agent answered before it was frozen.
    pub guest_healthy: bool,
}

/// A run that the node holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// The run.
    pub execution: ExecutionId,
    /// Whose it is.
    pub sandbox: SandboxId,
    /// Where its ports are, if it runs and its guest agent answers.
    pub address: Option<Ipv4Addr>,
    /// Whether it is stopped in memory, as in the middle of a pause.
    pub frozen: bool,
}

/// A snapshot that the node can restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whose it is.
    pub sandbox: SandboxId,
    /// Its generation.
    pub generation: u64,
    /// What it holds.
    pub mode: PauseMode,
    /// When it was taken.
    pub taken_at: Timestamp,
}

/// What the node can take.
#[derive(Debug, Clone)]
pub struct Capacity {
    /// Names of the templates that can be started, with what they ask for.
    pub templates: Vec<TemplateOffer>,
    /// How safe a snapshot can be made here: [`Durability::DurableRemote`] needs an object store.
    pub durability: Durability,
}

/// A template that can be started.
#[derive(Debug, Clone)]
pub struct TemplateOffer {
    /// Its name, which clients use as its id.
    pub name: String,
    /// The digest of its image.
    pub digest: String,
    /// What its sandboxes are given.
    pub resources: Resources,
}

/// Makes sandboxes run on one machine.
///
/// Every method may be called again with the same names: what is already so is no error. A
/// failure leaves what was: a failed pause a running sandbox, a failed resume the snapshot.
#[async_trait]
pub trait NodeApi: Send + Sync + Debug {
    /// What can be started here.
    fn capacity(&self) -> Capacity;

    /// Starts a run and returns once its guest agent has been told who it is.
    async fn start(&self, start: Start) -> Result<Started, NodeError>;

    /// Restores a run and returns once its guest agent has been told who it is.
    ///
    /// The snapshot is verified before the guest runs, and stays. A run that was saved to it and is
    /// still frozen in memory goes on instead, under the new name.
    async fn resume(&self, resume: Resume) -> Result<Started, NodeError>;

    /// Stops a run in memory, where it stays until it is saved, thawed or killed.
    async fn freeze(&self, execution: &ExecutionId) -> Result<Phases, NodeError>;

    /// Saves a run and ends it. On failure it goes on running, unless it was frozen before.
    ///
    /// What is saved may stay frozen in memory, where a resume finds it; it is no run any more.
    async fn pause(&self, pause: Pause) -> Result<Paused, NodeError>;

    /// Makes a snapshot as safe as this, if it is not so already.
    async fn secure(&self, secure: Secure) -> Result<Phases, NodeError>;

    /// Lets a frozen run go on. A pause of it that is in flight fails.
    ///
    /// A pause that was complete before leaves nothing to thaw: [`NodeError::NoSuchRun`].
    async fn thaw(&self, execution: &ExecutionId) -> Result<(), NodeError>;

    /// Ends a run, whatever it is doing; no error if there is none.
    async fn kill(&self, execution: &ExecutionId) -> Result<(), NodeError>;

    /// Removes a snapshot from everywhere, with what is frozen of it; no error if there is none.
    async fn delete_snapshot(
        &self,
        sandbox: &SandboxId,
        snapshot: &SnapshotId,
    ) -> Result<(), NodeError>;

    /// Every run here, after a restart of the server too.
    async fn held(&self) -> Result<Vec<Held>, NodeError>;

    /// Every complete snapshot here.
    async fn stored(&self) -> Result<Vec<Stored>, NodeError>;

    /// Usage and events of a run's guest, events after the number given.
    async fn observe(&self, execution: &ExecutionId, after: u64) -> Result<Observation, NodeError>;

    /// Changes what a run may reach.
    async fn set_egress(&self, execution: &ExecutionId, egress: &Egress) -> Result<(), NodeError>;

    /// Names each run that ends, by itself or not. Who falls behind asks `held`.
    fn ended(&self) -> broadcast::Receiver<ExecutionId>;
}
