//! Resuming: restore the newest snapshot, or the one before where the newest is damaged.

use std::sync::Arc;
use std::time::Duration;

use ow_db::SandboxRecord;
use ow_node_api::{Identity, NodeError, Resume, Started};
use ow_types::{
    Durability, Event, ExecutionId, SandboxId, SnapshotId, SnapshotRef, State, TeamId, Tier,
    TransitionKind,
};

use crate::command::{Command, answer_all};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::{Found, Lifecycle, Result, work};

impl Lifecycle {
    /// Resumes a paused sandbox; a running one is an error. No timeout means its last.
    ///
    /// # Errors
    ///
    /// [`crate::LifecycleError::NotFound`], [`crate::LifecycleError::AlreadyRunning`],
    /// [`crate::LifecycleError::TooManyRunning`], and failures, after which it is still paused.
    pub async fn resume(
        &self,
        team: &TeamId,
        id: &SandboxId,
        timeout: Option<Duration>,
    ) -> Result<SandboxRecord> {
        self.shared.refuse_if_stopping()?;
        self.shared.check_timeout(timeout.unwrap_or_default())?;
        self.shared.find(team, id).await?;
        let resumed = self.shared.ask(id, |reply| Command::Resume { timeout, reply }).await?;
        Ok(resumed.0)
    }
}

/// A resume in flight.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// What it runs from, counted.
    snapshot: SnapshotRef,
    /// How long the sandbox runs if it succeeds: the longest that was asked for.
    pub(crate) timeout: Duration,
    /// Whether that becomes the sandbox's own timeout.
    pub(crate) keep_timeout: bool,
    /// Whether it is the second attempt on this snapshot.
    again: bool,
    /// What went wrong before.
    note: Option<String>,
}

impl Attempt {
    /// The first attempt on a snapshot.
    pub(crate) const fn of(snapshot: SnapshotRef, timeout: Duration, keep_timeout: bool) -> Self {
        Self { snapshot, timeout, keep_timeout, again: false, note: None }
    }
}

/// Whether the guest cannot have run: then the image was not used, and need not count as used.
const fn never_ran(error: &NodeError) -> bool {
    matches!(
        error,
        NodeError::BadSnapshot { .. }
            | NodeError::NoSuchSnapshot { .. }
            | NodeError::NoSuchTemplate { .. }
            | NodeError::NoRoom { .. }
            | NodeError::Unsupported { .. }
    )
}

/// Whether the newest snapshot is what is wrong, and will be at every attempt.
///
/// One that is missing is so for the machine's reasons, such as a disk that is not mounted, unless
/// it was acknowledged before it was safe from a loss of power.
fn never_restores(error: &NodeError, snapshot: &SnapshotRef) -> bool {
    match error {
        NodeError::BadSnapshot { .. } => true,
        NodeError::NoSuchSnapshot { .. } => snapshot.durability < Durability::DurableLocal,
        _ => false,
    }
}

impl Driver {
    /// Restores the newest snapshot; the caller has put aside who is to be answered.
    pub(crate) async fn begin_resume(&mut self, timeout: Duration, keep_timeout: bool) {
        let State::Paused { snapshot } = self.record.state.clone() else { return };
        let (team, id) = (&self.record.team, &self.record.id);
        let limit = self.shared.parts.config.max_running;
        if let Err(failure) = self.shared.registry.take_slot(team, id, limit) {
            return self.fail_resumes(&failure);
        }
        self.clock_starts();
        self.attempt_resume(Attempt::of(snapshot, timeout, keep_timeout)).await;
    }

    /// Counts the use of the snapshot, on disk, and then asks the node.
    async fn attempt_resume(&mut self, mut attempt: Attempt) {
        let reseed = attempt.snapshot.restored > 0;
        attempt.snapshot.restored += 1;
        let (execution, snapshot) = (ExecutionId::random(), attempt.snapshot.clone());
        let begun = match self.after(Event::ResumeBegun(execution.clone(), snapshot.clone())) {
            Ok(mut next) => {
                next.change_snapshot(&snapshot.id, |counted| counted.restored = snapshot.restored);
                self.commit(next).await
            }
            Err(mistake) => Err(mistake),
        };
        if let Err(failure) = begun {
            self.rests();
            return self.fail_resumes(&failure);
        }
        let resume = Resume {
            execution,
            identity: self.identity(),
            egress: self.record.egress.clone(),
            snapshot: snapshot.id,
            reseed,
        };
        self.attempt = Some(attempt);
        self.work = Some(work::resume(Arc::clone(&self.shared), resume));
    }

    /// Who the guest is told that it is.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            sandbox: self.record.id.clone(),
            template: self.record.template.clone(),
            env_vars: self.record.env_vars.clone(),
            access_token: self.record.tokens.envd.clone(),
        }
    }

    pub(crate) async fn finish_resume(&mut self, result: std::result::Result<Started, NodeError>) {
        let Some(attempt) = self.attempt.take() else { return };
        match result {
            Ok(started) => self.resumed(attempt, started).await,
            Err(error) => self.resume_failed(attempt, error).await,
        }
    }

    /// What was read to run from is proven, and any other snapshot can go. What was in memory still
    /// proves nothing of what is stored.
    async fn resumed(&mut self, attempt: Attempt, started: Started) {
        let Ok(mut next) = self.after(Event::Started) else { return };
        let newest = self.record.snapshot.as_ref().filter(|kept| kept.id == attempt.snapshot.id);
        let kind = match newest {
            Some(_) => TransitionKind::Resumed,
            None => TransitionKind::ResumedFromPrevious,
        };
        // It may have been made safer meanwhile.
        let mut used = newest.cloned().unwrap_or_else(|| attempt.snapshot.clone());
        let mut report = self.report(kind, started.phases, used.generation);
        report.note.clone_from(&attempt.note);
        self.runs_again(&mut next, &attempt);
        let mut unneeded: Vec<SnapshotId> = Vec::new();
        if started.tier != Tier::Memory {
            used.proven = true;
            unneeded = next.snapshots().into_iter().map(|s| s.id).collect();
            unneeded.retain(|id| *id != used.id);
            next.previous_snapshot = None;
        }
        next.snapshot = Some(used);
        next.guest_unresponsive_at_pause = false;
        next.last_transition = Some(report);
        self.accept(next).await;
        self.delete_once_saved(unneeded);
        self.open_route(started.address);
        self.tell_done();
        answer_all(&mut self.joined.resumes, &Ok((self.record.clone(), Found::Resumed)));
        self.answer_routes();
        self.check_ended_early().await;
    }

    /// Its time begins anew, for as long as was asked.
    pub(crate) fn runs_again(&self, next: &mut SandboxRecord, attempt: &Attempt) {
        let now = self.shared.now();
        next.started_at = now;
        next.end_at = self.capped(now, now.after(attempt.timeout));
        if attempt.keep_timeout && !attempt.timeout.is_zero() {
            next.settings.timeout = attempt.timeout;
        }
    }

    /// Deletes snapshots that the record names no more.
    ///
    /// Until it is saved the database names them still; then they are found as snapshots that no
    /// record names.
    pub(crate) fn delete_once_saved(&self, unneeded: Vec<SnapshotId>) {
        if !self.unsaved && !unneeded.is_empty() {
            self.delete_later(unneeded);
        }
    }

    /// Tries again where that may help, then the snapshot before, and then gives up for now.
    async fn resume_failed(&mut self, mut attempt: Attempt, error: NodeError) {
        self.shared.tell_failed(&self.record, "resumed", &error);
        if never_ran(&error) {
            attempt.snapshot.restored -= 1;
        }
        let used = attempt.snapshot.clone();
        let Some(newest) = self.record.snapshot.clone() else { return };
        let Ok(mut next) = self.after(Event::ResumeFailed(newest)) else { return };
        next.change_snapshot(&used.id, |counted| counted.restored = used.restored);
        if let (State::Paused { snapshot }, Some(newest)) = (&mut next.state, &next.snapshot) {
            snapshot.clone_from(newest);
        }
        let newest_failed = next.snapshot.as_ref().is_some_and(|newest| newest.id == used.id);
        if error.is_retryable() && !attempt.again {
            (self.record, self.unsaved) = (next, true);
            return self.attempt_resume(Attempt { again: true, ..attempt }).await;
        }
        let lost = never_restores(&error, &used);
        if let (true, true, Some(previous)) = (lost, newest_failed, next.previous_snapshot.clone())
        {
            (self.record, self.unsaved) = (next, true);
            let note = Some(format!("generation {}: {error}", used.generation));
            let attempt = Attempt { snapshot: previous, again: false, note, ..attempt };
            return self.attempt_resume(attempt).await;
        }
        if let Some(report) = &mut next.last_transition {
            report.note = Some(format!("the last resume failed: {error}"));
        }
        self.accept(next).await;
        self.rests();
        self.fail_resumes(&Failure::Node { doing: "resuming", error });
    }

    /// Tells everyone who waits for the resume that there is none.
    fn fail_resumes(&mut self, failure: &Failure) {
        answer_all(&mut self.joined.resumes, &Err(failure.clone()));
        answer_all(&mut self.joined.routes, &Err(failure.clone()));
    }
}
