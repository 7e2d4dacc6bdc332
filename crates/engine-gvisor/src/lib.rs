//! The engine that runs sandboxes in gVisor, with its program `runsc`.
//!
//! gVisor needs no hardware virtualization and checkpoints a whole sandbox with its memory and
//! files. Every call of [`Engine`] is one or two calls of `runsc`, each with its own time limit;
//! only [`Engine::kill`] does without, so that nothing `runsc` does can be in its way. No process
//! of a sandbox is ours: it lives on when the server ends, and [`Engine::runs`] finds it again.
//!
//! | Verb | File |
//! |---|---|
//! | `prepare`, `start` | `start.rs` |
//! | `freeze`, `thaw`, `capture` | `pause.rs` |
//! | `restore` | `resume.rs` |
//! | `kill` | `kill.rs` |
//! | `state`, `runs`, `ended`, `end_reason` | `recover.rs` |

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use ow_engine::{Captured, EndReason, Engine, EngineError, EngineVersion, Place, RunState};
use ow_types::{ExecutionId, PauseMode, Phases};

mod builds;
mod cgroup;
mod files;
mod kill;
mod pause;
mod process;
mod recover;
mod resume;
mod runsc;
mod spec;
mod start;
mod turns;
mod version;

use builds::Builds;
use files::Files;
use runsc::Call;
use turns::Turns;

/// How long a question to `runsc` that touches no sandbox may take.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How a [`GvisorEngine`] works.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program of new runs.
    pub runsc: PathBuf,
    /// Programs of other versions, for runs and images of theirs.
    pub older: Vec<PathBuf>,
    /// Where the engine keeps its records; of this server alone, and gone with a reboot at best.
    pub state_directory: PathBuf,
    /// How long each verb may take.
    pub timeouts: Timeouts,
}

/// How long each verb may take before it is given up.
///
/// The defaults are ten times and more what a loaded machine of two processors needs, so that they
/// are reached by what hangs only.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Making a sandbox, without what is restored into it.
    pub start: Duration,
    /// Stopping one, and letting it go on.
    pub freeze: Duration,
    /// Writing one to disk, for each started GiB of memory and files.
    pub capture: Duration,
    /// Reading one from disk, for each started GiB of the image.
    pub restore: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            freeze: Duration::from_secs(15),
            capture: Duration::from_secs(60),
            restore: Duration::from_secs(60),
        }
    }
}

/// Runs sandboxes with `runsc`.
#[derive(Debug)]
pub struct GvisorEngine {
    config: Config,
    builds: Builds,
    turns: Turns,
}

impl GvisorEngine {
    /// Makes an engine, and takes over what another left in the same state directory.
    ///
    /// # Errors
    ///
    /// [`EngineError::Failed`] if the program is no `runsc` that can be used, and
    /// [`EngineError::Io`] if the state directory cannot be.
    pub async fn new(config: Config) -> Result<Self, EngineError> {
        let builds = Builds::open(&config).await?;
        files::make_private_directory(&start::runsc_root(&config.state_directory))?;
        files::make_private_directory(&files::runs_directory(&config.state_directory))?;
        recover::end_orphaned_calls(&start::runsc_root(&config.state_directory)).await?;
        Ok(Self { config, builds, turns: Turns::default() })
    }

    fn files(&self, run: &ExecutionId) -> Files {
        Files::of(&self.config.state_directory, run)
    }

    /// A call to the build that the run is of.
    fn call(&self, doing: &str, run: &ExecutionId, limit: Duration) -> Call<'_> {
        let version = self.files(run).record().and_then(|record| record.version);
        let runsc = self.builds.of(version.as_deref());
        let call = runsc.call(format!("{doing} run {run}"), limit);
        call.ending_in(self.turns.ending(run))
    }
}

#[async_trait]
impl Engine for GvisorEngine {
    fn version(&self) -> EngineVersion {
        self.builds.version()
    }

    fn can_run(&self, version: &EngineVersion) -> bool {
        self.builds.has(version)
    }

    async fn prepare(&self, place: &Place) -> Result<(), EngineError> {
        self.turns.take(&place.execution, start::prepare(self, place)).await
    }

    async fn start(&self, place: &Place) -> Result<Phases, EngineError> {
        self.turns.take(&place.execution, start::start(self, place)).await
    }

    async fn restore(
        &self,
        place: &Place,
        image: &Path,
        mode: PauseMode,
    ) -> Result<Phases, EngineError> {
        self.turns.take(&place.execution, resume::restore(self, place, image, mode)).await
    }

    async fn freeze(&self, run: &ExecutionId) -> Result<(), EngineError> {
        self.turns.take(run, pause::freeze(self, run)).await
    }

    async fn thaw(&self, run: &ExecutionId) -> Result<(), EngineError> {
        self.turns.take(run, pause::thaw(self, run)).await
    }

    async fn capture(
        &self,
        run: &ExecutionId,
        image: &Path,
        mode: PauseMode,
    ) -> Result<Captured, EngineError> {
        self.turns.take(run, pause::capture(self, run, image, mode)).await
    }

    async fn kill(&self, run: &ExecutionId) -> Result<(), EngineError> {
        self.turns.overtake(run, kill::kill(self, run)).await
    }

    async fn state(&self, run: &ExecutionId) -> Result<Option<RunState>, EngineError> {
        recover::state(self, run).await
    }

    async fn runs(&self) -> Result<Vec<ExecutionId>, EngineError> {
        recover::runs(&self.config.state_directory)
    }

    async fn ended(&self, run: &ExecutionId) {
        recover::ended(&self.files(run)).await;
    }

    async fn end_reason(&self, run: &ExecutionId) -> Option<EndReason> {
        recover::end_reason(&self.files(run))
    }
}
