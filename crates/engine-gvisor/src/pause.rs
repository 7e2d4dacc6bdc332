//! Stopping a run, letting it go on, and writing it to disk.

use std::path::Path;
use std::time::{Duration, Instant};

use ow_engine::{Captured, EngineError, RunState};
use ow_types::{ExecutionId, PauseMode, Phases};

use crate::files::{Record, io_error};
use crate::resume::started_gib;
use crate::{GvisorEngine, cgroup, recover};

/// The files of an image.
pub(crate) const fn image_files(mode: PauseMode) -> &'static [&'static str] {
    match mode {
        PauseMode::Full => &["checkpoint.img", "pages.img", "pages_meta.img"],
        PauseMode::Filesystem => {
            &["fscheckpoint.pb", "multitar.img", "pages.img", "pages_meta.img"]
        }
    }
}

/// How long a call to stop a run, or to let it go on, may take after it was given up.
///
/// The sandbox stops all the same, and gVisor counts: if `runsc` is killed before it has noted that
/// the sandbox is paused, nothing makes it go on again.
pub(crate) const GRACE: Duration = Duration::from_secs(4);

/// Stops a run in memory.
pub(crate) async fn freeze(engine: &GvisorEngine, run: &ExecutionId) -> Result<(), EngineError> {
    let limit = engine.config.timeouts.freeze;
    turn(engine, run, "pause", "freezing", limit, RunState::Frozen).await
}

/// Lets a frozen run go on.
///
/// A capture that was given up may still be written inside, and is waited for: a second call beside
/// one that waits would let the run go on twice, which the sandbox does not survive.
pub(crate) async fn thaw(engine: &GvisorEngine, run: &ExecutionId) -> Result<(), EngineError> {
    let record = engine.files(run).record();
    let capture = record.map_or(Duration::ZERO, |record| capture_limit(engine, &record));
    let limit = engine.config.timeouts.freeze + capture;
    turn(engine, run, "resume", "thawing", limit, RunState::Running).await
}

/// Calls `verb`; if that fails because the run is already as wanted, it has not failed.
async fn turn(
    engine: &GvisorEngine,
    run: &ExecutionId,
    verb: &str,
    doing: &str,
    limit: Duration,
    wanted: RunState,
) -> Result<(), EngineError> {
    if !engine.files(run).is_made() {
        return Err(EngineError::NoSuchRun { run: run.clone() });
    }
    let call = engine.call(doing, run, limit).with_grace(GRACE);
    let Err(error) = call.arg(verb).arg(run.as_str()).run().await else { return Ok(()) };
    match recover::state(engine, run).await {
        Ok(Some(state)) if state == wanted => Ok(()),
        Ok(None | Some(RunState::Ended)) => Err(EngineError::NoSuchRun { run: run.clone() }),
        _ => Err(error),
    }
}

/// Writes a frozen run to disk and leaves it frozen.
///
/// It is told to leave the run, always: otherwise a failure to write would end what it could not
/// save.
pub(crate) async fn capture(
    engine: &GvisorEngine,
    run: &ExecutionId,
    image: &Path,
    mode: PauseMode,
) -> Result<Captured, EngineError> {
    let files = engine.files(run);
    let Some(record) = files.record().filter(|_| files.is_made()) else {
        return Err(EngineError::NoSuchRun { run: run.clone() });
    };
    let limit = capture_limit(engine, &record);
    let began = Instant::now();
    let call = engine.call("capturing", run, limit);
    let call = match mode {
        PauseMode::Full => call.args(["checkpoint", "--compression=none"]),
        PauseMode::Filesystem => call.arg("fscheckpoint"),
    };
    let call = call.arg("--leave-running").path("image-path", image).arg(run.as_str());
    if let Err(error) = call.run().await {
        let state = recover::state(engine, run).await;
        let ended = matches!(state, Ok(None | Some(RunState::Ended)));
        return Err(if ended { EngineError::NoSuchRun { run: run.clone() } } else { error });
    }
    let mut phases = Phases::default();
    phases.push("capture", began.elapsed());
    Ok(Captured { files: list(image)?, phases })
}

fn capture_limit(engine: &GvisorEngine, record: &Record) -> Duration {
    let bytes = cgroup::memory_used(&record.cgroup);
    engine.config.timeouts.capture.saturating_mul(started_gib(bytes))
}

fn list(image: &Path) -> Result<Vec<String>, EngineError> {
    let names = std::fs::read_dir(image).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    });
    let mut names: Vec<String> = names.map_err(io_error("listing", image))?;
    names.sort();
    Ok(names)
}
