//! Taking back: what is acknowledged to be paused, and only frozen yet, goes on where it stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ow_node_api::NodeError;
use ow_types::{Durability, Event, ExecutionId, Phases, SnapshotId, State, TransitionKind};

use crate::Found;
use crate::command::{Command, answer_all, answer_less_safe};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::resume::Attempt;
use crate::shared::Shared;
use crate::work::{Outcome, SHORT_LIMIT, Work, is_stored, within};

/// What became of a run that is wanted back.
#[derive(Debug)]
pub(crate) enum TakenBack {
    /// It goes on.
    Alive(Phases),
    /// It was saved before, and is to be resumed.
    Saved,
    /// It is gone, and was not saved.
    Dead(NodeError),
    /// It is not known to go on, and stays what it was.
    Failed(NodeError),
}

fn take_back(shared: Arc<Shared>, execution: ExecutionId, snapshot: SnapshotId) -> Work {
    Box::pin(async move {
        let (node, begun) = (&*shared.parts.node, Instant::now());
        let outcome = match within(SHORT_LIMIT, "thaw", node.thaw(&execution)).await {
            Ok(()) => {
                let mut phases = Phases::default();
                phases.push("thaw", begun.elapsed());
                TakenBack::Alive(phases)
            }
            Err(error @ NodeError::NoSuchRun { .. }) => match is_stored(node, &snapshot).await {
                Some(true) => TakenBack::Saved,
                Some(false) => TakenBack::Dead(error),
                None => TakenBack::Failed(error),
            },
            Err(error) => TakenBack::Failed(error),
        };
        Outcome::TakenBack(outcome)
    })
}

impl Driver {
    /// Stops to save, and lets the run go on; the caller has put aside who is to be answered.
    ///
    /// The node lets a pause that is in flight fail before it thaws.
    pub(crate) fn begin_take_back(&mut self, timeout: Duration, keep_timeout: bool) {
        let State::Pausing { execution, snapshot, .. } = self.record.state.clone() else { return };
        self.clock_starts();
        self.work = Some(take_back(Arc::clone(&self.shared), execution, snapshot.id.clone()));
        self.attempt = Some(Attempt::of(snapshot, timeout, keep_timeout));
    }

    pub(crate) async fn finish_take_back(&mut self, outcome: TakenBack) {
        let Some(attempt) = self.attempt.take() else { return };
        match outcome {
            TakenBack::Alive(phases) => self.taken_back(&attempt, phases).await,
            TakenBack::Saved => {
                self.ask_again(&attempt);
                self.paused(crate::recover::unanswered_pause(), None).await;
            }
            TakenBack::Dead(error) => {
                self.ask_again(&attempt);
                self.shared.tell_failed(&self.record, "resumed", &error);
                self.give_up_snapshot();
                self.guest_died(&Failure::Node { doing: "resuming", error }).await;
            }
            TakenBack::Failed(error) => {
                self.shared.tell_failed(&self.record, "resumed", &error);
                let failure = Failure::Node { doing: "resuming", error };
                answer_all(&mut self.joined.resumes, &Err(failure.clone()));
                answer_all(&mut self.joined.routes, &Err(failure));
                self.go_on_saving();
            }
        }
    }

    async fn taken_back(&mut self, attempt: &Attempt, phases: Phases) {
        self.give_up_snapshot();
        let Ok(mut next) = self.after(Event::TakenBack) else { return };
        let generation = next.snapshot.as_ref().map_or(0, |snapshot| snapshot.generation);
        self.runs_again(&mut next, attempt);
        next.last_transition = Some(self.report(TransitionKind::Resumed, phases, generation));
        self.failed_saves = 0;
        self.accept(next).await;
        answer_less_safe(
            &mut self.joined.pauses,
            Durability::Frozen,
            "it was resumed before it was saved",
        );
        match self.address {
            Some(_) => self.reopen_route(),
            // The server began anew meanwhile: it is located by the next look.
            None => self.look_now(),
        }
        self.tell_done();
        answer_all(&mut self.joined.resumes, &Ok((self.record.clone(), Found::Resumed)));
        self.check_ended_early().await;
    }

    /// Who wants it to run is served from where it is then.
    fn ask_again(&mut self, attempt: &Attempt) {
        let timeout = attempt.keep_timeout.then_some(attempt.timeout);
        let resumes = std::mem::take(&mut self.joined.resumes).into_iter();
        self.waiting.extend(resumes.map(|reply| Command::Connect { timeout, reply }));
        let routes = std::mem::take(&mut self.joined.routes).into_iter();
        self.waiting.extend(routes.map(|reply| Command::Route { reply }));
    }
}
