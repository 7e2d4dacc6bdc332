//! What an engine does: it runs isolated machines, freezes, saves and restores them.
//!
//! An engine knows runs and image directories. It knows nothing of sandboxes, records, generations
//! or networks: the node makes the place that a run lives in, and names it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use ow_types::{ExecutionId, PauseMode, Phases, Resources};
use serde::{Deserialize, Serialize};

mod error;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use error::EngineError;

/// The engine that wrote an image, and that alone can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineVersion {
    /// The engine, such as `gvisor`.
    pub name: String,
    /// Its build; equal texts read each other's images.
    pub version: String,
}

/// All that the node has made ready for one run.
#[derive(Debug, Clone)]
pub struct Place {
    /// The run's name.
    pub execution: ExecutionId,
    /// Which of the versions that the engine [can run](Engine::can_run) it is of; that of new runs
    /// if none.
    pub engine: Option<EngineVersion>,
    /// A directory of the run's own, for what the engine keeps while it lives; on the same file
    /// system as the writes of the run. The node makes it and removes it.
    pub directory: PathBuf,
    /// The template's root file system: an EROFS image, shared and read-only.
    pub rootfs: PathBuf,
    /// The guest agent's binary on the host, which becomes process 1.
    pub guest: PathBuf,
    /// The network namespace, with `eth0` set up in it.
    pub network_namespace: PathBuf,
    /// The control group, below the root of each hierarchy, such as `/overwinter/x1`.
    pub cgroup: String,
    /// The host's user id that is root inside; the 65,536 from there are the run's.
    pub first_uid: u32,
    /// Limits.
    pub resources: Resources,
    /// Host name inside, until the guest agent is told another.
    pub hostname: String,
}

/// What a capture wrote.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    /// The files of the image, by name within its directory.
    pub files: Vec<String>,
    /// Where the time went.
    pub phases: Phases,
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Made ready, nothing started in it yet.
    Prepared,
    /// Running.
    Running,
    /// Stopped, in memory.
    Frozen,
    /// Ended; `kill` removes what is left.
    Ended,
}

/// Why a run ended that nobody killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its guest agent ended, or the engine's process was ended from outside.
    Ended,
    /// It used more memory than it was given.
    OutOfMemory,
    /// The engine itself broke.
    EngineFailed,
}

/// Runs isolated machines on this host.
///
/// Every method may be called at any time and again: what is already so is no error. A dropped
/// future may leave its work half done; `kill` cleans up after any of them.
///
/// A place in which a start or restore failed is used up: nothing runs in it, but its network
/// namespace may have been changed. Another attempt needs another place.
#[async_trait]
pub trait Engine: Send + Sync + Debug {
    /// Who writes the images of new runs.
    fn version(&self) -> EngineVersion;

    /// Whether runs of a version can be made here, and so its images be restored.
    fn can_run(&self, version: &EngineVersion) -> bool;

    /// Does ahead of time what a start or restore in `place` needs and that depends on neither.
    async fn prepare(&self, place: &Place) -> Result<(), EngineError>;

    /// Boots the guest agent in `place`, prepared or not.
    async fn start(&self, place: &Place) -> Result<Phases, EngineError>;

    /// Restores an image into `place`, prepared or not; the guest runs when this returns.
    ///
    /// A [`PauseMode::Filesystem`] image boots the guest agent anew on the files saved.
    async fn restore(
        &self,
        place: &Place,
        image: &Path,
        mode: PauseMode,
    ) -> Result<Phases, EngineError>;

    /// Stops a run in memory.
    async fn freeze(&self, run: &ExecutionId) -> Result<(), EngineError>;

    /// Lets a frozen run go on.
    async fn thaw(&self, run: &ExecutionId) -> Result<(), EngineError>;

    /// Writes a frozen run to `image`, a new and empty directory; it stays frozen, also on failure.
    ///
    /// The files may still be in the page cache when this returns.
    async fn capture(
        &self,
        run: &ExecutionId,
        image: &Path,
        mode: PauseMode,
    ) -> Result<Captured, EngineError>;

    /// Ends a run and frees all that the engine holds of it; no error if there is none.
    async fn kill(&self, run: &ExecutionId) -> Result<(), EngineError>;

    /// What a run is doing; `None` if there is none of that name.
    async fn state(&self, run: &ExecutionId) -> Result<Option<RunState>, EngineError>;

    /// Every run that this engine holds anything of, after a restart of the server too.
    async fn runs(&self) -> Result<Vec<ExecutionId>, EngineError>;

    /// Returns when the run has ended, by itself or by `kill`.
    async fn ended(&self, run: &ExecutionId);

    /// Why a run ended, until `kill` removes what is left of it.
    ///
    /// None while it runs, when there is none of that name, and where an engine cannot tell.
    async fn end_reason(&self, _run: &ExecutionId) -> Option<EndReason> {
        None
    }
}
