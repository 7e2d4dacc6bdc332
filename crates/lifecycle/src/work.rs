//! Pieces of work that take time: calls of the node, each with a limit, so that nothing hangs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ow_db::Database;
use ow_node_api::{NodeApi, NodeError, Paused, Resume, Start, Started};
use ow_types::{ExecutionId, Phases, SandboxId, SnapshotId};

use crate::PauseOptions;
use crate::failure::Failure;
use crate::shared::Shared;
use crate::take_back::TakenBack;

mod pause;

pub(crate) use pause::{FailedPause, freeze, is_stored, pause};

/// How long a start may take. A cold boot of the largest template took 3 s on two busy processors.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a resume may take: some GiB read and verified from a slow disk (100 MiB/s).
const RESUME_LIMIT: Duration = Duration::from_secs(120);

/// How long the node may take for a kill, a thaw, a list or a deletion.
pub(crate) const SHORT_LIMIT: Duration = Duration::from_secs(15);

/// How long a healthy guest agent takes to answer, at the most.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// How long until what failed is tried again for the first time; doubled by each failure after.
const AGAIN: Duration = Duration::from_millis(250);

/// At the most 250 ms * 2^7 = 32 s.
const MOST_DOUBLINGS: u32 = 7;

/// How long until what must succeed is tried again, after so many failures before this one.
pub(crate) fn again_after(failures_before: u32) -> Duration {
    AGAIN * 2_u32.pow(failures_before.min(MOST_DOUBLINGS))
}

/// Work in flight; one at a time for each sandbox.
pub(crate) type Work = BoxFuture<'static, Outcome>;

/// How a piece of work ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Started(Result<Started, NodeError>),
    Resumed(Result<Started, NodeError>),
    Frozen(Result<Phases, FailedPause>),
    Paused(Result<Paused, FailedPause>),
    TakenBack(TakenBack),
    Probed(PauseOptions, Result<(), NodeError>),
    EgressSet(Result<(), NodeError>),
    Killed(Result<(), Failure>),
}

/// Gives a call of the node a limit.
pub(crate) async fn within<T>(
    limit: Duration,
    doing: &str,
    call: impl Future<Output = Result<T, NodeError>>,
) -> Result<T, NodeError> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        Err(NodeError::Failed {
            doing: doing.to_owned(),
            reason: format!("the node did not answer within {} s", limit.as_secs()),
        })
    })
}

pub(crate) fn start(node: Arc<dyn NodeApi>, start: Start) -> Work {
    Box::pin(async move { Outcome::Started(within(START_LIMIT, "start", node.start(start)).await) })
}

/// Resumes; a run that did not come up is ended before the answer.
pub(crate) fn resume(shared: Arc<Shared>, resume: Resume) -> Work {
    Box::pin(async move {
        let execution = resume.execution.clone();
        let outcome = within(RESUME_LIMIT, "resume", shared.parts.node.resume(resume)).await;
        if outcome.is_err() {
            shared.end(&execution).await;
        }
        Outcome::Resumed(outcome)
    })
}

impl Shared {
    /// Ends what may be left of a run; what resists is ended in the background, some time.
    pub(crate) async fn end(&self, execution: &ExecutionId) {
        let node = Arc::clone(&self.parts.node);
        for _ in 0..END_ATTEMPTS {
            if try_to_end(&*node, execution).await {
                return;
            }
        }
        let execution = execution.clone();
        self.spawn(async move {
            while !try_to_end(&*node, &execution).await {
                tokio::time::sleep(END_AGAIN).await;
            }
        });
    }
}

/// How often a run is tried to be ended while others wait for it.
const END_ATTEMPTS: u32 = 3;

/// How long until a run that resists is tried to be ended again.
const END_AGAIN: Duration = Duration::from_secs(10);

async fn try_to_end(node: &dyn NodeApi, execution: &ExecutionId) -> bool {
    let ended = within(SHORT_LIMIT, "kill", node.kill(execution)).await;
    if let Err(error) = &ended {
        tracing::error!(%execution, error = error as &dyn std::error::Error, "a run resists");
    }
    ended.is_ok()
}

/// Asks the guest agent whether it answers.
pub(crate) fn probe(node: Arc<dyn NodeApi>, execution: ExecutionId, options: PauseOptions) -> Work {
    Box::pin(async move {
        let answer = within(PROBE_LIMIT, "observe", node.observe(&execution, u64::MAX)).await;
        Outcome::Probed(options, answer.map(drop))
    })
}

pub(crate) fn set_egress(
    node: Arc<dyn NodeApi>,
    execution: ExecutionId,
    egress: ow_types::Egress,
) -> Work {
    Box::pin(async move {
        let set = node.set_egress(&execution, &egress);
        Outcome::EgressSet(within(SHORT_LIMIT, "set_egress", set).await)
    })
}

/// All that is to be removed of a sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Remains {
    pub(crate) sandbox: SandboxId,
    pub(crate) runs: Vec<ExecutionId>,
    pub(crate) snapshots: Vec<SnapshotId>,
    /// Whether nobody was ever told of it: who asked for it may ask again.
    pub(crate) unanswered: bool,
}

/// Ends the runs, deletes the snapshots and removes the record, after `delay`.
pub(crate) fn kill(
    db: Arc<dyn Database>,
    node: Arc<dyn NodeApi>,
    remains: Remains,
    delay: Duration,
) -> Work {
    Box::pin(async move {
        tokio::time::sleep(delay).await;
        if remains.unanswered
            && let Err(error) = db.give_up_claim(&remains.sandbox).await
        {
            return Outcome::Killed(Err(error.into()));
        }
        for execution in &remains.runs {
            let killed = retried("kill", || node.kill(execution)).await;
            if let Err(error) = killed {
                return Outcome::Killed(Err(Failure::Node { doing: "killing", error }));
            }
        }
        delete_snapshots(&*node, &remains.sandbox, &remains.snapshots).await;
        Outcome::Killed(db.remove(&remains.sandbox).await.map_err(Failure::from))
    })
}

/// Deletes snapshots that no record needs. What resists is deleted when the server looks again.
pub(crate) async fn delete_snapshots(
    node: &dyn NodeApi,
    sandbox: &SandboxId,
    snapshots: &[SnapshotId],
) {
    for snapshot in snapshots {
        let delete = || node.delete_snapshot(sandbox, snapshot);
        if let Err(error) = retried("delete_snapshot", delete).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%snapshot, error, "a snapshot is left over for now");
        }
    }
}

/// A second attempt overcomes what passes, such as a process that ended meanwhile.
async fn retried<F: Future<Output = Result<(), NodeError>>>(
    doing: &str,
    call: impl Fn() -> F,
) -> Result<(), NodeError> {
    match within(SHORT_LIMIT, doing, call()).await {
        Err(error) if error.is_retryable() => within(SHORT_LIMIT, doing, call()).await,
        answer => answer,
    }
}
