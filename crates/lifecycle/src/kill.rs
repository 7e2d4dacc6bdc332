//! Killing: ends the run, deletes the snapshots, forgets the record. It overtakes everything.

use std::sync::Arc;
use std::time::Duration;

use ow_types::{Admission, Event, ExecutionId, KillReason, Request, SandboxId, State, TeamId};

use crate::command::{Command, Reply, answer_all, fail_asked};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::work::{self, Remains};
use crate::{Lifecycle, Result};

impl Lifecycle {
    /// Ends a sandbox and deletes its snapshots.
    ///
    /// # Errors
    ///
    /// [`crate::LifecycleError::NotFound`]; and a failure, after which the server goes on trying.
    pub async fn kill(&self, team: &TeamId, id: &SandboxId) -> Result<()> {
        self.shared.refuse_if_stopping()?;
        let found = self.shared.parts.db.get(id).await?;
        if found.is_none_or(|record| record.team != *team || self.shared.is_expired(&record)) {
            return Err(Failure::Gone.about(id));
        }
        let reason = KillReason::Requested;
        self.shared.ask(id, |reply| Command::Kill { reason, reply }).await
    }
}

impl Driver {
    pub(crate) async fn kill(&mut self, reason: KillReason, reply: Reply<()>) {
        match self.record.state.admit(Request::Kill) {
            Err(denied) => drop(reply.send(Err(denied.into()))),
            Ok(Admission::Begin) => {
                self.joined.kills.push(reply);
                self.begin_kill(reason).await;
            }
            Ok(Admission::Join | Admission::Wait | Admission::TakeBack) => {
                self.joined.kills.push(reply);
            }
        }
    }

    /// Drops the work in flight, answers who waited for it, and removes what there is.
    ///
    /// A record that cannot be written does not save the sandbox.
    pub(crate) async fn begin_kill(&mut self, reason: KillReason) {
        let runs: Vec<ExecutionId> = self.record.state.execution().cloned().into_iter().collect();
        self.clock_starts();
        self.work = None;
        self.attempt = None;
        self.securing = None;
        self.joined.fail(&Failure::Gone);
        fail_asked(&mut self.secures, &Failure::Gone);
        for command in std::mem::take(&mut self.waiting) {
            command.refuse(Failure::Gone);
        }
        self.close_route();
        let remains = self.remains(runs);
        let Ok(next) = self.after(Event::KillBegun(reason)) else { return };
        self.accept(next).await;
        self.work = Some(self.kill_work(remains, Duration::ZERO));
    }

    pub(crate) fn remains(&self, runs: Vec<ExecutionId>) -> Remains {
        let snapshots = self.record.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
        Remains { sandbox: self.record.id.clone(), runs, snapshots, unanswered: false }
    }

    pub(crate) fn kill_work(&mut self, mut remains: Remains, delay: Duration) -> work::Work {
        let reason = KillReason::StartFailed;
        remains.unanswered = self.record.state == State::Killing { reason };
        self.remains = Some(remains.clone());
        let parts = &self.shared.parts;
        work::kill(Arc::clone(&parts.db), Arc::clone(&parts.node), remains, delay)
    }

    pub(crate) async fn finish_kill(&mut self, result: std::result::Result<(), Failure>) {
        if let Err(failure) = &result {
            answer_all(&mut self.joined.kills, &Err(failure.clone()));
            let error = failure.clone().about(&self.record.id);
            self.shared.tell_failed(&self.record, "killed", &error);
            let delay = work::again_after(self.failed_kills);
            self.failed_kills += 1;
            if let Some(remains) = self.remains.take() {
                self.work = Some(self.kill_work(remains, delay));
            }
            return;
        }
        let State::Killing { reason } = self.record.state else { return };
        if let Ok(next) = self.after(Event::KillDone) {
            self.record = next;
        }
        self.shared.tell_killed(&self.record, reason, self.took());
        self.forget();
        answer_all(&mut self.joined.kills, &Ok(()));
    }

    /// Nothing of the sandbox is left, in memory or in its journal.
    pub(crate) fn forget(&mut self) {
        let reason = KillReason::StartFailed;
        if !matches!(self.record.state, State::Killed { .. }) {
            self.record.state = State::Killed { reason };
        }
        self.unsaved = false;
        self.rests();
        self.shared.journal.remove(&self.record.id);
    }
}
