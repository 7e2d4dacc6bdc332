//! What a sandbox is after the server was gone: what its record intends, and what the node holds.
//!
//! | The record says | The node holds | Then it is |
//! |---|---|---|
//! | starting | anything | killed: nobody was told of it |
//! | running | its run | running |
//! | running | its run, frozen | thawed and running |
//! | running | nothing | what was saved last, or gone |
//! | pausing | its run, running | running: the pause failed |
//! | pausing | the snapshot, with no run or a frozen one | paused: the pause is complete |
//! | pausing | its run, frozen, and no snapshot | thawed and running |
//! | pausing, acknowledged | its run, frozen, and no snapshot | saved: the pause goes on |
//! | pausing | neither | what was saved last, or gone |
//! | resuming | anything | paused: the guest may not have been told who it is |
//! | being killed | anything | killed |

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ow_db::SandboxRecord;
use ow_node_api::{Held, NodeApi, NodeError, Paused, Stored};
use ow_types::{Durability, Event, ExecutionId, KillReason, Phases, SandboxId, SnapshotId, State};

use crate::driver::Driver;
use crate::failure::Failure;
use crate::work::{FailedPause, SHORT_LIMIT, within};

/// What a node holds.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    pub(crate) runs: HashMap<SandboxId, Vec<Held>>,
    pub(crate) stored: HashMap<SnapshotId, Stored>,
}

impl Holdings {
    pub(crate) async fn of(node: &dyn NodeApi) -> Result<Self, NodeError> {
        let mut holdings = Self::default();
        for held in within(SHORT_LIMIT, "held", node.held()).await? {
            holdings.runs.entry(held.sandbox.clone()).or_default().push(held);
        }
        for stored in within(SHORT_LIMIT, "stored", node.stored()).await? {
            holdings.stored.insert(stored.snapshot.clone(), stored);
        }
        Ok(holdings)
    }
}

/// What is done about a sandbox.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is where it belongs.
    Leave,
    /// It runs; it is to be thawed first, if that is so.
    Adopt { address: Option<Ipv4Addr>, thaw: bool },
    /// Its pause is complete.
    PauseDone,
    /// Its pause is acknowledged, and goes on.
    GoOnSaving,
    /// It is paused, as if the resume had not begun.
    BackToPaused,
    /// Its guest is gone.
    Died,
    /// It is to be killed.
    Kill(KillReason),
}

/// Compares what the record intends with what the node holds.
pub(crate) fn judge(record: &SandboxRecord, holdings: &Holdings) -> Verdict {
    let run = record.state.execution().and_then(|execution| {
        holdings.runs.get(&record.id)?.iter().find(|held| held.execution == *execution)
    });
    let adopt = |held: &Held| Verdict::Adopt { address: held.address, thaw: held.frozen };
    match &record.state {
        State::Paused { .. } => Verdict::Leave,
        State::Starting { .. } => Verdict::Kill(KillReason::StartFailed),
        State::Running { .. } => run.map_or(Verdict::Died, adopt),
        State::Pausing { snapshot, acknowledged, .. } => {
            let stored = holdings.stored.contains_key(&snapshot.id);
            match run {
                Some(held) if !held.frozen => adopt(held),
                _ if stored => Verdict::PauseDone,
                Some(_) if *acknowledged => Verdict::GoOnSaving,
                Some(held) => adopt(held),
                None => Verdict::Died,
            }
        }
        State::Resuming { .. } => Verdict::BackToPaused,
        State::Killing { reason } | State::Killed { reason } => Verdict::Kill(*reason),
    }
}

impl Driver {
    /// Recovers a sandbox whose driver ended without a word.
    pub(crate) async fn recover_alone(&mut self) {
        if matches!(self.record.state, State::Paused { .. }) {
            return;
        }
        let node = self.node();
        match Holdings::of(&*node).await {
            Ok(holdings) => self.recover(&holdings).await,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(sandbox = %self.record.id, error, "it is believed to be as before");
            }
        }
    }

    /// Brings the sandbox where it belongs, and ends any other run of it.
    pub(crate) async fn recover(&mut self, holdings: &Holdings) {
        let runs = holdings.runs.get(&self.record.id).map(Vec::as_slice).unwrap_or_default();
        let verdict = judge(&self.record, holdings);
        tracing::info!(sandbox = %self.record.id, state = ?self.record.state, ?verdict, "recovered");
        let kept = match verdict {
            Verdict::Adopt { .. } | Verdict::GoOnSaving => self.record.state.execution().cloned(),
            _ => None,
        };
        let others: Vec<ExecutionId> = runs.iter().map(|held| held.execution.clone()).collect();
        let others: Vec<ExecutionId> =
            others.into_iter().filter(|execution| Some(execution) != kept.as_ref()).collect();
        match verdict {
            Verdict::Leave => self.end_all(&others).await,
            Verdict::Adopt { address, thaw } => {
                self.end_all(&others).await;
                self.adopt(address, thaw).await;
            }
            Verdict::PauseDone => {
                self.end_all(&others).await;
                self.finish_recovered_pause(holdings).await;
            }
            Verdict::GoOnSaving => {
                self.end_all(&others).await;
                drop(self.shared.registry.take_slot(&self.record.team, &self.record.id, None));
                self.go_on_saving();
            }
            Verdict::BackToPaused => {
                self.end_all(&others).await;
                let Some(newest) = self.record.snapshot.clone() else { return };
                let Ok(next) = self.after(Event::ResumeFailed(newest)) else { return };
                self.accept(next).await;
            }
            Verdict::Died => {
                let error = NodeError::Failed {
                    doing: "finding the run after a restart".to_owned(),
                    reason: "the node does not hold it".to_owned(),
                };
                self.end_all(&others).await;
                self.guest_died(&Failure::Node { doing: "recovering", error }).await;
            }
            Verdict::Kill(reason) => self.kill_recovered(reason, others).await,
        }
    }

    async fn end_all(&mut self, runs: &[ExecutionId]) {
        for execution in runs {
            self.shared.end(execution).await;
        }
    }

    async fn adopt(&mut self, address: Option<Ipv4Addr>, thaw: bool) {
        let Some(execution) = self.record.state.execution().cloned() else { return };
        let (team, id) = (self.record.team.clone(), self.record.id.clone());
        // It runs, whatever the limit says now.
        drop(self.shared.registry.take_slot(&team, &id, None));
        if thaw {
            let thawed = within(SHORT_LIMIT, "thaw", self.node().thaw(&execution)).await;
            if let Err(error) = thawed {
                let error = &error as &dyn std::error::Error;
                tracing::error!(sandbox = %id, %execution, error, "a run may be frozen still");
            }
        }
        if let State::Pausing { snapshot, acknowledged, .. } = self.record.state.clone() {
            let event = if acknowledged { Event::TakenBack } else { Event::PauseFailed };
            let Ok(next) = self.after(event) else { return };
            self.accept(next).await;
            self.delete_later(vec![snapshot.id]);
        }
        match address {
            Some(address) => self.open_route(address),
            // It was frozen, or its guest agent did not answer: it is located once it does.
            None => self.look_now(),
        }
    }

    /// The answer was lost, the snapshot was not.
    async fn finish_recovered_pause(&mut self, holdings: &Holdings) {
        let State::Pausing { snapshot, .. } = &self.record.state else { return };
        let taken_at = holdings.stored.get(&snapshot.id).map(|stored| stored.taken_at);
        let error = NodeError::Failed {
            doing: "answering".to_owned(),
            reason: "the server ended meanwhile".to_owned(),
        };
        self.finish_pause(Err(FailedPause::Saved(error))).await;
        if let Some(taken_at) =
            taken_at.filter(|_| matches!(self.record.state, State::Paused { .. }))
        {
            let mut next = self.record.clone();
            next.end_at = taken_at.min(next.end_at);
            self.accept(next).await;
        }
    }

    async fn kill_recovered(&mut self, reason: KillReason, mut runs: Vec<ExecutionId>) {
        if !matches!(self.record.state, State::Killing { .. }) {
            runs.extend(self.record.state.execution().cloned());
            let Ok(next) = self.after(Event::KillBegun(reason)) else { return };
            self.accept(next).await;
        }
        runs.sort();
        runs.dedup();
        let remains = self.remains(runs);
        self.work = Some(self.kill_work(remains, std::time::Duration::ZERO));
    }
}

/// What is known of a pause whose answer was lost.
pub(crate) fn unanswered_pause() -> Paused {
    Paused {
        durability: Durability::DurableLocal,
        phases: Phases::default(),
        bytes: std::collections::BTreeMap::new(),
        guest_healthy: true,
    }
}
