//! Who may work on a run: one at a time, and all of them give way to a kill.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ow_engine::EngineError;
use ow_types::ExecutionId;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a call that was killed may take to be gone before the next goes on beside it: it takes
/// milliseconds, unless the kernel does not let it go.
const ENDING: Duration = Duration::from_secs(5);

/// The work that is going on, by run.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    runs: Mutex<HashMap<ExecutionId, Arc<Turn>>>,
}

/// One run's.
#[derive(Debug)]
struct Turn {
    killed: CancellationToken,
    busy: tokio::sync::Mutex<()>,
    /// Calls that were given up, and have not ended yet.
    ending: TaskTracker,
}

impl Default for Turn {
    fn default() -> Self {
        let ending = TaskTracker::new();
        // So that it can be waited for at any time; it goes on taking calls.
        ending.close();
        Self { killed: CancellationToken::new(), busy: tokio::sync::Mutex::default(), ending }
    }
}

impl Turn {
    /// Waits for the turn, and for what the one before it left.
    async fn busy(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let busy = self.busy.lock().await;
        if tokio::time::timeout(ENDING, self.ending.wait()).await.is_err() {
            tracing::warn!("a call to runsc was killed and has not ended");
        }
        busy
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionId, Arc<Turn>>> {
        self.runs.lock().expect("nothing panics while it holds the turns")
    }

    fn of(&self, run: &ExecutionId) -> Arc<Turn> {
        Arc::clone(self.lock().entry(run.clone()).or_default())
    }

    /// Where calls for a run end that are given up.
    pub(crate) fn ending(&self, run: &ExecutionId) -> TaskTracker {
        self.of(run).ending.clone()
    }

    /// Does `work` after what is going on, unless the run is killed before or meanwhile.
    pub(crate) async fn take<T>(
        &self,
        run: &ExecutionId,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let turn = self.of(run);
        let work = async {
            let _busy = turn.busy().await;
            work.await
        };
        tokio::select! {
            biased;
            () = turn.killed.cancelled() => Err(EngineError::NoSuchRun { run: run.clone() }),
            result = work => result,
        }
    }

    /// Breaks off what is going on, and does `work` instead.
    pub(crate) async fn overtake<T>(
        &self,
        run: &ExecutionId,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let turn = self.of(run);
        turn.killed.cancel();
        let _busy = turn.busy().await;
        let result = work.await?;
        self.lock().retain(|_, other| !Arc::ptr_eq(other, &turn));
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> ExecutionId {
        ExecutionId::random()
    }

    #[tokio::test]
    async fn a_kill_breaks_off_what_hangs() {
        let (turns, run) = (Turns::default(), run());
        let hangs = turns.take(&run, std::future::pending::<Result<(), _>>());
        let kill = turns.overtake(&run, async { Ok(()) });
        let (hung, killed) = tokio::join!(hangs, kill);
        assert!(matches!(hung, Err(EngineError::NoSuchRun { .. })));
        killed.unwrap();
        turns.take(&run, async { Ok(()) }).await.unwrap();
    }

    #[tokio::test]
    async fn runs_do_not_wait_for_each_other() {
        let (turns, one, other) = (Turns::default(), run(), run());
        let hangs = turns.take(&one, std::future::pending::<Result<(), _>>());
        tokio::select! {
            _ = hangs => panic!("it cannot end"),
            other = turns.take(&other, async { Ok(1) }) => assert_eq!(other.unwrap(), 1),
        }
    }

    #[tokio::test]
    async fn a_turn_begins_when_what_was_given_up_has_ended() {
        let (turns, run) = (Turns::default(), run());
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        turns.ending(&run).spawn(ended);
        let next = turns.take(&run, async { Ok(()) });
        tokio::pin!(next);
        tokio::select! {
            biased;
            _ = &mut next => panic!("it did not wait"),
            () = tokio::task::yield_now() => {}
        }
        end.send(()).unwrap();
        next.await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_call_leaves_the_turn_to_others() {
        let (turns, run) = (Turns::default(), run());
        {
            let hangs = turns.take(&run, std::future::pending::<Result<(), _>>());
            tokio::select! { biased; _ = hangs => {}, () = async {} => {} }
        }
        turns.take(&run, async { Ok(()) }).await.unwrap();
    }
}
