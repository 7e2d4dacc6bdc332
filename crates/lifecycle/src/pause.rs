//! Pausing: save the sandbox, then end its run.

use std::sync::Arc;
use std::time::Duration;

use ow_db::SandboxRecord;
use ow_node_api::{NodeError, Pause, Paused};
use ow_types::{
    Admission, Denied, Durability, Event, ExecutionId, PauseMode, Phases, Request, SandboxId,
    SnapshotId, SnapshotRef, State, TeamId, TransitionKind, TransitionReport,
};

use crate::command::{Asked, Command, Reply, answer_reached, fail_asked};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::work::{self, FailedPause};
use crate::{Lifecycle, PauseOptions, Result};

impl Lifecycle {
    /// Pauses a sandbox; joins a pause in flight.
    ///
    /// A paused one is made safer, if a level is asked for by name that it has not reached.
    ///
    /// # Errors
    ///
    /// [`crate::LifecycleError::NotFound`], [`crate::LifecycleError::AlreadyPaused`],
    /// [`crate::LifecycleError::LessSafe`] if it is paused and no more,
    /// [`crate::LifecycleError::GuestUnresponsive`] where that was a condition, and failures, after
    /// which the sandbox runs on.
    pub async fn pause(
        &self,
        team: &TeamId,
        id: &SandboxId,
        options: PauseOptions,
    ) -> Result<TransitionReport> {
        self.shared.refuse_if_stopping()?;
        self.shared.find(team, id).await?;
        self.shared.ask(id, |reply| Command::Pause { options, reply }).await
    }
}

/// How safe a pause is before its answer, unless the caller asks for another level.
pub(crate) const USUAL: Durability = Durability::DurableLocal;

/// Makes `newest` the newest snapshot, and returns one that is needed no more.
///
/// The one before stays until the newest is proven. Where the one before is not proven itself, as
/// after a return from memory, the proven one before that stays in its stead.
fn keep_proven(record: &mut SandboxRecord, newest: SnapshotRef) -> Option<SnapshotId> {
    let before = record.snapshot.replace(newest)?;
    let unneeded = match &record.previous_snapshot {
        Some(proven) if proven.proven && !before.proven => Some(before),
        _ => record.previous_snapshot.replace(before),
    };
    unneeded.map(|snapshot| snapshot.id)
}

impl Driver {
    pub(crate) async fn pause(&mut self, options: PauseOptions, reply: Reply<TransitionReport>) {
        let most = self.shared.parts.node.capacity().durability;
        let level = options.durability.unwrap_or(USUAL);
        if level > most {
            let what = format!("durability `{}` without an object store", level.as_str());
            let error = NodeError::Unsupported { what };
            return drop(reply.send(Err(Failure::Node { doing: "pausing", error })));
        }
        let asked = Asked { level, reply };
        match self.record.state.admit(Request::Pause) {
            Err(Denied::AlreadyPaused) if self.is_less_safe_than(options.durability) => {
                self.secure_to(asked);
            }
            Err(denied) => drop(asked.reply.send(Err(denied.into()))),
            Ok(Admission::Join) => self.join_pause(asked),
            // Something else is asked of the running guest.
            Ok(Admission::Begin) if self.work.is_none() => {
                self.joined.pauses.push(asked);
                self.begin_pause_if_healthy(options).await;
            }
            Ok(Admission::Begin | Admission::Wait | Admission::TakeBack) => {
                self.waiting.push_back(Command::Pause { options, reply: asked.reply });
            }
        }
    }

    /// Whether somebody asks by name for more than a paused sandbox is.
    fn is_less_safe_than(&self, asked: Option<Durability>) -> bool {
        let reached = self.record.snapshot.as_ref().map(|snapshot| snapshot.durability);
        asked > reached
    }

    fn join_pause(&mut self, asked: Asked) {
        self.joined.pauses.push(asked);
        if let (State::Pausing { acknowledged: true, .. }, Some(report)) =
            (&self.record.state, &self.record.last_transition)
        {
            answer_reached(&mut self.joined.pauses, Durability::Frozen, report);
        }
    }

    async fn begin_pause_if_healthy(&mut self, options: PauseOptions) {
        match self.record.state.execution() {
            Some(execution) if options.require_healthy_guest => {
                let node = Arc::clone(&self.shared.parts.node);
                self.work = Some(work::probe(node, execution.clone(), options));
            }
            _ => self.begin_pause(options.mode, options.durability.unwrap_or(USUAL)).await,
        }
    }

    pub(crate) async fn finish_probe(
        &mut self,
        options: PauseOptions,
        result: std::result::Result<(), NodeError>,
    ) {
        match result {
            Ok(()) => self.begin_pause(options.mode, options.durability.unwrap_or(USUAL)).await,
            Err(error) => {
                self.shared.tell_failed(&self.record, "paused", &error);
                fail_asked(&mut self.joined.pauses, &Failure::GuestUnresponsive);
            }
        }
    }

    /// Writes that the pause begins, cuts off traffic, and asks the node.
    pub(crate) async fn begin_pause(&mut self, mode: PauseMode, durability: Durability) {
        let Some(execution) = self.record.state.execution().cloned() else { return };
        self.clock_starts();
        let snapshot = SnapshotRef::begun(self.next_generation(), mode);
        let begun = match self.after(Event::PauseBegun(snapshot.clone())) {
            Ok(next) => self.commit(next).await,
            Err(mistake) => Err(mistake),
        };
        if let Err(failure) = begun {
            self.backoff.failed(self.shared.now());
            fail_asked(&mut self.joined.pauses, &failure);
            return;
        }
        self.close_route();
        let routes = std::mem::take(&mut self.joined.routes);
        self.waiting.extend(routes.into_iter().map(|reply| Command::Route { reply }));
        let shared = Arc::clone(&self.shared);
        // What keeps files only does not go on where it stands, so there is nothing to take back.
        self.work = Some(if durability == Durability::Frozen && mode == PauseMode::Full {
            work::freeze(shared, execution, snapshot.id)
        } else {
            let local = durability.clamp(Durability::Captured, Durability::DurableLocal);
            work::pause(shared, self.pause_of(execution, snapshot, local), Duration::ZERO)
        });
    }

    /// What the node is asked, of a run that may stand still already.
    fn pause_of(
        &self,
        execution: ExecutionId,
        snapshot: SnapshotRef,
        durability: Durability,
    ) -> Pause {
        Pause {
            execution,
            sandbox: self.record.id.clone(),
            snapshot: snapshot.id,
            generation: snapshot.generation,
            mode: snapshot.mode,
            durability,
            frozen: matches!(self.record.state, State::Pausing { acknowledged: true, .. }),
        }
    }

    /// Acknowledges what stands still, if that could be written, and goes on to save it.
    pub(crate) async fn finish_freeze(&mut self, result: std::result::Result<Phases, FailedPause>) {
        let phases = match result {
            Ok(phases) => phases,
            Err(failed) => return self.finish_pause(Err(failed)).await,
        };
        if let Ok(mut next) = self.after(Event::Frozen) {
            let generation = next.state.snapshot().map_or(0, |snapshot| snapshot.generation);
            let mut report = self.report(TransitionKind::Paused, phases, generation);
            report.durability = Some(Durability::Frozen);
            next.end_at = self.shared.now();
            next.last_transition = Some(report.clone());
            match self.commit(next).await {
                Ok(()) => answer_reached(&mut self.joined.pauses, Durability::Frozen, &report),
                Err(failure) => {
                    let error = failure.about(&self.record.id);
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a pause is acknowledged once it is saved");
                }
            }
        }
        self.go_on_saving();
    }

    /// Saves what stands still, later by each failure before.
    pub(crate) fn go_on_saving(&mut self) {
        let State::Pausing { execution, snapshot, .. } = self.record.state.clone() else { return };
        let delay = match self.failed_saves {
            0 => Duration::ZERO,
            failures => work::again_after(failures - 1),
        };
        let pause = self.pause_of(execution, snapshot, Durability::DurableLocal);
        self.work = Some(work::pause(Arc::clone(&self.shared), pause, delay));
    }

    fn next_generation(&self) -> u64 {
        let newest = self.record.snapshots().into_iter().map(|snapshot| snapshot.generation).max();
        newest.unwrap_or_default() + 1
    }

    pub(crate) async fn finish_pause(&mut self, result: std::result::Result<Paused, FailedPause>) {
        match result {
            Ok(paused) => self.paused(paused, None).await,
            Err(FailedPause::Saved(error)) => {
                let note = Some(format!("complete, though {error}"));
                self.paused(crate::recover::unanswered_pause(), note).await;
            }
            Err(FailedPause::InDoubt(error)) => {
                // Nobody is told that it is safe, and a resume falls back if it is not there.
                let failure = Failure::Node { doing: "pausing", error: error.clone() };
                fail_asked(&mut self.joined.pauses, &failure);
                let paused = Paused {
                    durability: Durability::Captured,
                    ..crate::recover::unanswered_pause()
                };
                let note = Some(format!("it is not known whether it is complete: {error}"));
                self.paused(paused, note).await;
            }
            Err(FailedPause::Alive(error)) => self.pause_failed(error).await,
            Err(FailedPause::Frozen(error)) => {
                self.shared.tell_failed(&self.record, "paused", &error);
                self.failed_saves += 1;
                fail_asked(&mut self.joined.pauses, &Failure::Node { doing: "pausing", error });
                self.go_on_saving();
            }
            Err(FailedPause::Dead(error)) => {
                self.shared.tell_failed(&self.record, "paused", &error);
                let failure = Failure::Node { doing: "pausing", error };
                self.give_up_snapshot();
                self.guest_died(&failure).await;
            }
        }
    }

    /// The snapshot is complete. Who asked for more waits on, while it is made safer.
    pub(crate) async fn paused(&mut self, paused: Paused, note: Option<String>) {
        let Ok(mut next) = self.after(Event::PauseDone) else { return };
        let Some(snapshot) = next.state.snapshot_mut() else { return };
        snapshot.durability = paused.durability;
        let snapshot = snapshot.clone();
        let report = TransitionReport {
            durability: Some(paused.durability),
            bytes: paused.bytes,
            note,
            ..self.report(TransitionKind::Paused, paused.phases, snapshot.generation)
        };
        let unneeded = keep_proven(&mut next, snapshot);
        if !matches!(self.record.state, State::Pausing { acknowledged: true, .. }) {
            next.end_at = self.shared.now();
        }
        next.guest_unresponsive_at_pause = !paused.guest_healthy;
        next.last_transition = Some(report.clone());
        self.accept(next).await;
        self.delete_once_saved(unneeded.into_iter().collect());
        self.backoff.reset();
        self.failed_saves = 0;
        self.rests();
        self.tell_done();
        answer_reached(&mut self.joined.pauses, paused.durability, &report);
        self.secures.append(&mut self.joined.pauses);
        self.secure_further();
    }

    /// The guest goes on: it gets its traffic back, and a timeout's pause is tried again later.
    async fn pause_failed(&mut self, error: NodeError) {
        self.shared.tell_failed(&self.record, "paused", &error);
        self.give_up_snapshot();
        let Ok(next) = self.after(Event::PauseFailed) else { return };
        self.accept(next).await;
        self.backoff.failed(self.shared.now());
        self.reopen_route();
        let failure = Failure::Node { doing: "pausing", error };
        fail_asked(&mut self.joined.pauses, &failure);
        self.check_ended_early().await;
    }

    /// Deletes what a failed pause may have left, in the background.
    pub(crate) fn give_up_snapshot(&self) {
        if let State::Pausing { snapshot, .. } = &self.record.state {
            self.delete_later(vec![snapshot.id.clone()]);
        }
    }

    /// Deletes snapshots that the record does not need, once a moment is free.
    pub(crate) fn delete_later(&self, snapshots: Vec<SnapshotId>) {
        let (node, id) = (self.node(), self.record.id.clone());
        self.shared.spawn(async move { work::delete_snapshots(&*node, &id, &snapshots).await });
    }

    /// How long the transition took so far.
    pub(crate) fn took(&self) -> Duration {
        self.begun.elapsed()
    }
}
