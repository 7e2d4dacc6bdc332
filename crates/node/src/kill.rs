//! Ending runs, by request or after they ended by themselves.

use std::sync::Arc;
use std::time::Duration;

use ow_node_api::NodeError;
use ow_types::ExecutionId;
use tokio::sync::MutexGuard;

use crate::errors;
use crate::inner::Inner;
use crate::place::Placed;
use crate::record::Record;
use crate::run::Run;

/// Pauses between tries to end a run: the kernel may be slow to let processes go.
const TRY_AGAIN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// Ends a run, whatever it is doing.
///
/// What is in flight for it fails at its next step, and has cleaned up when this returns.
pub(crate) async fn kill(inner: &Arc<Inner>, execution: &ExecutionId) -> Result<(), NodeError> {
    let Some(run) = inner.run(execution) else { return Ok(()) };
    run.killed.cancel();
    if let Some(placed) = run.placed() {
        // A capture or restore that hangs in the engine ends by this, before its turn is over.
        end(inner, &run, &placed).await?;
    }
    let turn = run.work.lock().await;
    retire(inner, &run, &turn).await
}

/// Ends what is left of a run, forgets it and tells so; no error if that was done before.
///
/// The caller has the run's turn.
pub(crate) async fn retire(
    inner: &Arc<Inner>,
    run: &Arc<Run>,
    _turn: &MutexGuard<'_, ()>,
) -> Result<(), NodeError> {
    if let Some(placed) = run.placed() {
        end(inner, run, &placed).await?;
        if let Err(error) = Record::remove(&placed.place.directory) {
            tracing::warn!(execution = %run.execution, %error, "a run's record stays");
        }
        run.set_placed(None);
        let inner = inner.clone();
        inner.clone().tracker.spawn(async move {
            inner.remove_rest(&placed.place.directory, Some(placed.slot)).await;
        });
    }
    tell(inner, run);
    Ok(())
}

/// Forgets a run and names it as ended, once; the caller has its turn.
pub(crate) fn tell(inner: &Inner, run: &Run) {
    inner.forget(&run.execution);
    if !run.told.is_cancelled() {
        run.told.cancel();
        // Nobody may be listening.
        let _ = inner.ended.send(run.execution.clone());
    }
}

async fn end(inner: &Inner, run: &Run, placed: &Placed) -> Result<(), NodeError> {
    let mut pauses = TRY_AGAIN.iter();
    loop {
        match inner.engine.kill(&placed.place.execution).await {
            Ok(()) => return Ok(()),
            Err(error) => match pauses.next() {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return Err(errors::engine(&run.execution, &error)),
            },
        }
    }
}

/// Retires a run when it ends by itself.
pub(crate) fn watch(inner: &Arc<Inner>, run: Arc<Run>) {
    let Some(placed) = run.placed() else { return };
    let inner = inner.clone();
    inner.clone().tracker.spawn(async move {
        let name = &placed.place.execution;
        tokio::select! {
            () = inner.engine.ended(name) => {}
            () = inner.stopping.cancelled() => return,
            // Killed, or saved: its place is another's business.
            () = run.killed.cancelled() => return,
            () = run.told.cancelled() => return,
        }
        let turn = run.work.lock().await;
        if run.placed().is_none() {
            return;
        }
        let reason = inner.engine.end_reason(name).await;
        tracing::info!(execution = %run.execution, sandbox = %run.sandbox, ?reason, "a run ended");
        if let Err(error) = retire(&inner, &run, &turn).await {
            tracing::error!(execution = %run.execution, %error, "an ended run cannot be removed");
        }
    });
}
