//! Stopping a run in memory and letting it go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ow_engine::{EngineError, RunState};
use ow_node_api::NodeError;
use ow_types::{ExecutionId, Phases};

use crate::inner::Inner;
use crate::place::Placed;
use crate::run::Run;
use crate::stopwatch::Stopwatch;
use crate::{cgroup, errors};

/// How long the agent may take to say that it is well, before it is frozen without.
pub(crate) const HEALTHY: Duration = Duration::from_millis(500);

/// Pauses between tries to let a run go on.
const TRY_AGAIN: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(200), Duration::from_secs(2)];

/// Stops a run in memory; if that fails, it goes on.
pub(crate) async fn freeze(
    inner: &Arc<Inner>,
    execution: &ExecutionId,
) -> Result<Phases, NodeError> {
    let none = || NodeError::NoSuchRun { execution: execution.clone() };
    let run = inner.run(execution).ok_or_else(none)?;
    let _turn = run.work.lock().await;
    let placed = run.placed().filter(|_| run.is_ready()).ok_or_else(none)?;
    let name = &placed.place.execution;
    let mut watch = Stopwatch::begin();
    let was_healthy = run.was_healthy.load(Ordering::Relaxed);
    let is_silent = !run.look_at_health(HEALTHY).await;
    watch.lap("health");
    if is_silent && matches!(inner.engine.state(name).await, Ok(Some(RunState::Frozen))) {
        run.was_healthy.store(was_healthy, Ordering::Relaxed);
        return Ok(watch.phases);
    }
    let of_engine = |error| errors::engine(execution, &error);
    // Only a kill breaks it off: broken off, it may have been frozen without a note of that.
    let frozen = async { inner.engine.freeze(name).await.map_err(of_engine) };
    if let Err(error) = run.unless_killed(frozen).await {
        go_on(inner, &run, &placed).await;
        return Err(error);
    }
    watch.lap("freeze");
    Ok(watch.phases)
}

/// Lets a frozen run go on, and fails a pause of it that is in flight.
///
/// A pause that is past its point of no return ends the run before this has its turn.
pub(crate) async fn thaw(inner: &Inner, execution: &ExecutionId) -> Result<(), NodeError> {
    let none = || NodeError::NoSuchRun { execution: execution.clone() };
    let run = inner.run(execution).ok_or_else(none)?;
    run.call_off_pauses();
    let _turn = run.work.lock().await;
    let placed = run.placed().ok_or_else(none)?;
    put_back_memory_limit(&run, &placed);
    let thawed = inner.engine.thaw(&placed.place.execution).await;
    thawed.map_err(|error| errors::engine(execution, &error))
}

/// Lets a run go on after what failed.
pub(crate) async fn go_on(inner: &Inner, run: &Run, placed: &Placed) {
    put_back_memory_limit(run, placed);
    for pause in TRY_AGAIN {
        if run.killed.is_cancelled() {
            return;
        }
        match inner.engine.thaw(&placed.place.execution).await {
            Ok(()) | Err(EngineError::NoSuchRun { .. }) => return,
            Err(error) => {
                let error = errors::chain(&error);
                tracing::error!(execution = %run.execution, error, "a run cannot be thawed");
            }
        }
        tokio::time::sleep(pause).await;
    }
}

fn put_back_memory_limit(run: &Run, placed: &Placed) {
    if let Err(error) = cgroup::put_back_memory_limit(&placed.place) {
        tracing::warn!(execution = %run.execution, %error, "a run has no memory limit");
    }
}
