//! Making what is paused safer after its answer: onto the disk, and into the object store.
//!
//! It goes on beside everything else, also while the sandbox runs again: the snapshot stays until a
//! newer one is proven.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use ow_node_api::{NodeError, Secure};
use ow_types::{
    Durability, Phases, SandboxId, SnapshotId, State, TransitionKind, TransitionReport,
};
use tokio::sync::oneshot;

use crate::command::{Asked, Command, Reply, answer_less_safe, answer_reached};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::shared::Shared;
use crate::work::within;

/// How long the node may take. Some GiB are compressed and sent over a slow line (10 MiB/s).
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// How often snapshots are looked for that are less safe than they can be.
const EVERY: Duration = Duration::from_secs(60);

/// How many are looked up at once.
const BATCH: u32 = 1000;

/// How many are made safer at once by the look, so that they do not crowd out what somebody asks.
const AT_ONCE: usize = 2;

/// What makes a snapshot safer.
pub(crate) struct Securing {
    snapshot: SnapshotId,
    level: Durability,
    work: BoxFuture<'static, Result<Phases, NodeError>>,
}

/// How that ended.
pub(crate) struct Secured {
    snapshot: SnapshotId,
    level: Durability,
    result: Result<Phases, NodeError>,
}

/// The outcome; never, if nothing is made safer.
pub(crate) async fn ended(securing: &mut Option<Securing>) -> Secured {
    let Some(Securing { snapshot, level, work }) = securing else { return pending().await };
    let secured = Secured { snapshot: snapshot.clone(), level: *level, result: work.await };
    *securing = None;
    secured
}

/// The level after this one.
const fn next_level(level: Durability) -> Durability {
    match level {
        Durability::Frozen | Durability::Captured => Durability::DurableLocal,
        Durability::DurableLocal | Durability::DurableRemote => Durability::DurableRemote,
    }
}

impl Driver {
    /// How safe the newest snapshot is; none if it was never paused.
    fn reached(&self) -> Option<Durability> {
        self.record.snapshot.as_ref().map(|snapshot| snapshot.durability)
    }

    /// Somebody wants what is paused to be as safe as this.
    pub(crate) fn secure_to(&mut self, asked: Asked) {
        self.secures.push(asked);
        self.secure_further();
    }

    /// The server looks whether it can be safer.
    pub(crate) async fn secure(&mut self, reply: Reply<TransitionReport>) {
        if !matches!(self.record.state, State::Paused { .. }) {
            return drop(reply.send(Err(Failure::Gone)));
        }
        let level = self.shared.parts.node.capacity().durability;
        self.secure_to(Asked { level, reply });
    }

    /// Begins the next step for the newest snapshot, if there is one and it is not begun.
    pub(crate) fn secure_further(&mut self) {
        let most = self.shared.parts.node.capacity().durability;
        let Some(snapshot) = &self.record.snapshot else { return };
        if self.securing.is_some() {
            return;
        }
        if snapshot.durability >= most {
            return self.answer_secured();
        }
        let level = next_level(snapshot.durability);
        let secure = Secure {
            sandbox: self.record.id.clone(),
            snapshot: snapshot.id.clone(),
            durability: level,
            record: serde_json::to_vec(&self.record).unwrap_or_default(),
        };
        let (node, snapshot) = (self.node(), snapshot.id.clone());
        let work = async move { within(LIMIT, "secure", node.secure(secure)).await };
        self.securing = Some(Securing { snapshot, level, work: Box::pin(work) });
    }

    /// Takes in that a snapshot is safer, or why it is not, and goes on.
    pub(crate) async fn secured(&mut self, secured: Secured) {
        let Secured { snapshot, level, result } = secured;
        let newest = self.record.snapshot.as_ref().is_some_and(|newest| newest.id == snapshot);
        match result {
            Ok(phases) => {
                tracing::info!(
                    sandbox = %self.record.id, %snapshot, level = level.as_str(), ?phases, "safer"
                );
                self.note_secured(&snapshot, level).await;
                self.answer_secured();
                self.secure_further();
            }
            // The newest was not the one that was tried.
            Err(_) if !newest => self.secure_further(),
            Err(error) => {
                metrics::counter!("overwinter_secure_failures_total", "level" => level.as_str())
                    .increment(1);
                let reason = &error as &dyn std::error::Error;
                tracing::warn!(
                    sandbox = %self.record.id, %snapshot, level = level.as_str(), error = reason,
                    "a snapshot is not made safer now"
                );
                let reached = self.reached().unwrap_or(Durability::Frozen);
                answer_less_safe(&mut self.secures, reached, &error.to_string());
            }
        }
    }

    async fn note_secured(&mut self, snapshot: &SnapshotId, level: Durability) {
        let mut next = self.record.clone();
        let named = next.snapshots().into_iter().find(|named| named.id == *snapshot);
        let Some(generation) = named.map(|named| named.generation) else { return };
        next.change_snapshot(snapshot, |named| named.durability = level);
        if let Some(report) = &mut next.last_transition
            && report.kind == TransitionKind::Paused
            && report.generation == generation
        {
            report.durability = Some(level);
        }
        self.accept(next).await;
    }

    /// Answers who asked for no more than what is reached.
    fn answer_secured(&mut self) {
        let (Some(reached), Some(mut report)) =
            (self.reached(), self.record.last_transition.clone())
        else {
            return;
        };
        report.durability = Some(reached);
        answer_reached(&mut self.secures, reached, &report);
    }
}

/// Looks from time to time for snapshots that are less safe than they can be, as after a crash or
/// while the object store could not be reached.
pub(crate) async fn keep_securing(shared: Arc<Shared>) {
    loop {
        let most = shared.parts.node.capacity().durability;
        match shared.parts.db.less_safe_than(most, BATCH).await {
            Ok(found) => {
                let each = |id: SandboxId| secure(Arc::clone(&shared), id);
                futures::stream::iter(found).for_each_concurrent(AT_ONCE, each).await;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "snapshots that are not safe yet are not found");
            }
        }
        shared.parts.clock.sleep_until(shared.now().after(EVERY)).await;
    }
}

async fn secure(shared: Arc<Shared>, id: SandboxId) {
    let (reply, answer) = oneshot::channel();
    shared.send(&id, Command::Secure { reply });
    drop(answer.await);
}
