//! What runs there are and what they do, after a restart of the server too.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ow_engine::{EndReason, EngineError, RunState};
use ow_types::ExecutionId;
use serde::Deserialize;

use crate::files::{Files, io_error, runs_directory};
use crate::pause::GRACE;
use crate::process::{self, sandbox};
use crate::{GvisorEngine, QUESTION_TIMEOUT, cgroup};

/// How often a run that is being made is looked at until it has a process to wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What `runsc state` prints, as far as we read it.
#[derive(Debug, Deserialize)]
struct Printed {
    status: String,
}

/// What a run is doing.
pub(crate) async fn state(
    engine: &GvisorEngine,
    run: &ExecutionId,
) -> Result<Option<RunState>, EngineError> {
    let files = engine.files(run);
    if !files.exist() {
        return Ok(None);
    }
    // A process that has ended is seen here at once; `runsc state` may still say that it runs.
    if sandbox(&files).is_none() {
        return Ok(Some(RunState::Ended));
    }
    let call = engine.call("asking for the state of", run, QUESTION_TIMEOUT);
    let output = match call.arg("state").arg(run.as_str()).run().await {
        Err(_) if sandbox(&files).is_none() => return Ok(Some(RunState::Ended)),
        result => result?,
    };
    let status = serde_json::from_str(&output).map(|printed: Printed| printed.status);
    Ok(Some(match status.as_deref() {
        Ok("created") => RunState::Prepared,
        Ok("running") => RunState::Running,
        Ok("paused") => RunState::Frozen,
        _ => RunState::Ended,
    }))
}

/// Every run that there is anything of.
pub(crate) fn runs(state_directory: &Path) -> Result<Vec<ExecutionId>, EngineError> {
    let directory = runs_directory(state_directory);
    let failed = |error| io_error("listing", &directory)(error);
    let mut runs = Vec::new();
    for entry in fs::read_dir(&directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        runs.extend(name.to_str().and_then(|name| name.parse().ok()));
    }
    runs.sort();
    Ok(runs)
}

/// Returns when the run has ended.
pub(crate) async fn ended(files: &Files) {
    while files.exist() {
        if let Some(process) = sandbox(files) {
            if process::ended(process).await.is_ok() {
                return;
            }
        } else if files.is_made() {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Why a run ended, as long as it has not been killed.
pub(crate) fn end_reason(files: &Files) -> Option<EndReason> {
    let record = files.record()?;
    if sandbox(files).is_some() || !files.is_made() {
        return None;
    }
    let out_of_memory = cgroup::killed_for_memory(&record.cgroup) > 0;
    let panicked = fs::metadata(files.panic()).is_ok_and(|trace| trace.len() > 0);
    Some(match (out_of_memory, panicked) {
        (true, _) => EndReason::OutOfMemory,
        (false, true) => EndReason::EngineFailed,
        (false, false) => EndReason::Ended,
    })
}

/// How long a process that was sent `SIGKILL` may take to be gone, on a machine that is busy.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Ends calls to runsc that a server left behind which was killed.
///
/// They would go on and, for instance, make the directory again of an image that recovery has
/// just removed. Those that stop a run or let it go on may end by themselves first. Calls of this
/// process, and of another that lives, are left alone.
pub(crate) async fn end_orphaned_calls(root: &Path) -> Result<(), EngineError> {
    let failed = |error| io_error("looking for calls of a server before", root)(error);
    let orphans = orphaned_calls(root).map_err(failed)?;
    let (turning, others): (Vec<i32>, Vec<i32>) = orphans.into_iter().partition(|pid| turns(*pid));
    kill_calls(&others, root);
    wait_for(&turning, root, GRACE).await;
    kill_calls(&turning, root);
    wait_for(&[turning, others].concat(), root, KILL_LIMIT).await;
    Ok(())
}

fn kill_calls(pids: &[i32], root: &Path) {
    for pid in pids.iter().filter(|pid| is_call(**pid, root)) {
        if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn wait_for(pids: &[i32], root: &Path, limit: Duration) {
    let began = tokio::time::Instant::now();
    while pids.iter().any(|pid| is_call(*pid, root)) && began.elapsed() < limit {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn orphaned_calls(root: &Path) -> std::io::Result<Vec<i32>> {
    let own = fs::read_link("/proc/self/exe")?;
    let mut orphans = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let has_server = || {
            let parent = fs::read_link(format!("/proc/{}/exe", parent(pid)?)).ok()?;
            Some(parent == own)
        };
        if is_call(pid, root) && has_server() != Some(true) {
            orphans.push(pid);
        }
    }
    Ok(orphans)
}

/// Whether a process is a call to runsc with this root, and no sandbox or gofer.
fn is_call(pid: i32, root: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut arguments = line.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let flag = format!("--root={}", root.display());
    !program.starts_with(b"runsc-") && arguments.any(|argument| argument == flag.as_bytes())
}

/// Whether a call stops a run or lets it go on; see [`GRACE`].
fn turns(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == b"pause" || argument == b"resume")
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts a call to `verb` whose server is gone, which takes 300 ms and then leaves a file.
    fn orphan(root: &Path, verb: &str) -> std::path::PathBuf {
        let done = root.join(verb);
        let script = format!("sleep 0.3; : > {}", done.display());
        let start = "sh -c \"$0\" call \"$1\" \"$2\" & exit";
        let flag = format!("--root={}", root.display());
        let mut shell = std::process::Command::new("sh");
        let status = shell.args(["-c", start, &script, &flag, verb]).status().unwrap();
        assert!(status.success());
        done
    }

    #[tokio::test]
    async fn only_calls_that_cannot_be_taken_back_end_by_themselves() {
        let root = tempfile::tempdir().unwrap();
        let [pause, checkpoint] = ["pause", "checkpoint"].map(|verb| orphan(root.path(), verb));
        end_orphaned_calls(root.path()).await.unwrap();
        assert_eq!(orphaned_calls(root.path()).unwrap(), [0; 0]);
        // The other would be done by now too.
        assert!(pause.exists() && !checkpoint.exists());
    }
}
