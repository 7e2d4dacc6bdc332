//! Watching the guest: its end, its address after a restart, its usage and its events.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ow_guest_proto::control::Observation;
use ow_node_api::{Held, NodeError};
use ow_types::{Event, ExecutionId, KillReason, State, Timestamp};
use std::future::pending;
use tokio::sync::broadcast::error::RecvError;

use crate::command::Command;
use crate::driver::Driver;
use crate::failure::Failure;
use crate::shared::Shared;
use crate::work::{SHORT_LIMIT, within};
use crate::{LogLine, Sample};

/// How often a running guest is asked what it uses and what happened in it.
const OBSERVE_EVERY: Duration = Duration::from_secs(5);

/// How often the node is asked where a guest is that did not answer when the server started.
const LOCATE_EVERY: Duration = Duration::from_secs(1);

/// What is asked of a guest beside the work.
#[derive(Default)]
pub(crate) struct Side {
    asking: Option<BoxFuture<'static, Seen>>,
    due: Option<Timestamp>,
    /// The number of the last event that is in the journal.
    last_event: u64,
    /// When that event was: numbers begin anew in a guest that went back to an older snapshot.
    last_event_at: Option<Timestamp>,
}

/// What was seen of a run.
pub(crate) enum Seen {
    Observed(ExecutionId, Timestamp, Result<Observation, NodeError>),
    Located(ExecutionId, Result<Vec<Held>, NodeError>),
}

impl Side {
    /// Lets the guest be looked at from this moment on, and not later.
    pub(crate) const fn look_at(&mut self, moment: Timestamp) {
        self.due = Some(moment);
    }

    /// The answer to what was asked; never, if nothing was.
    pub(crate) async fn seen(&mut self) -> Seen {
        match &mut self.asking {
            Some(asking) => {
                let seen = asking.await;
                self.asking = None;
                seen
            }
            None => pending().await,
        }
    }
}

impl Driver {
    /// When the guest is looked at next.
    pub(crate) fn next_look(&mut self) -> Option<Timestamp> {
        if !self.is_at_rest() || self.side.asking.is_some() {
            return None;
        }
        let every = if self.address.is_some() { OBSERVE_EVERY } else { LOCATE_EVERY };
        let latest = self.shared.now().after(every);
        // A clock that was set back does not put the next look off.
        let due = self.side.due.map_or(latest, |due| due.min(latest));
        self.side.due = Some(due);
        Some(due)
    }

    /// Looks at the guest as soon as nothing else is done.
    pub(crate) fn look_now(&mut self) {
        self.side.look_at(self.shared.now());
    }

    pub(crate) fn look(&mut self) {
        self.side.due = None;
        let Some(execution) = self.record.state.execution().cloned() else { return };
        let (shared, id) = (Arc::clone(&self.shared), self.record.id.clone());
        let (node, located) = (self.node(), self.address.is_some());
        let (after, since) = (self.side.last_event, self.side.last_event_at);
        self.side.asking = Some(Box::pin(async move {
            if !located {
                let held = within(SHORT_LIMIT, "held", node.held()).await;
                return Seen::Located(execution, held);
            }
            let since = match since {
                Some(since) => since,
                None => shared.journal.last_guest_event(&id).await,
            };
            let observed = within(SHORT_LIMIT, "observe", node.observe(&execution, after)).await;
            Seen::Observed(execution, since, observed)
        }));
    }

    pub(crate) async fn see(&mut self, seen: Seen) {
        let current = self.record.state.execution().cloned();
        match seen {
            Seen::Observed(execution, ..) | Seen::Located(execution, _)
                if current.as_ref() != Some(&execution) => {}
            Seen::Observed(_, since, Ok(observation)) => self.observed(since, observation),
            Seen::Observed(execution, _, Err(NodeError::NoSuchRun { .. })) => {
                self.run_ended(execution).await;
            }
            Seen::Observed(_, _, Err(error)) => {
                tracing::debug!(sandbox = %self.record.id, %error, "the guest is not observed");
            }
            Seen::Located(execution, Ok(held)) => {
                match held.into_iter().find(|held| held.execution == execution) {
                    Some(Held { address: Some(address), .. }) => {
                        self.open_route(address);
                        self.answer_routes();
                    }
                    Some(_) => {}
                    None => self.run_ended(execution).await,
                }
            }
            Seen::Located(_, Err(error)) => {
                tracing::warn!(sandbox = %self.record.id, %error, "the guest is not located");
            }
        }
    }

    /// Keeps the usage, and writes events that are not in the journal yet.
    fn observed(&mut self, since: Timestamp, observation: Observation) {
        let sample = Sample { at: self.shared.now(), metrics: observation.metrics };
        self.shared.samples.push(&self.record.id, sample);
        let mut newest = since;
        let mut lines = Vec::new();
        for event in observation.events {
            self.side.last_event = self.side.last_event.max(event.number);
            let at = Timestamp::from_unix_millis(event.unix_millis);
            if at <= since && self.side.last_event_at.is_none() {
                continue;
            }
            newest = newest.max(at);
            let mut line =
                LogLine { at, level: event.level, message: event.message, fields: event.fields };
            line.fields.insert(crate::journal::GUEST_EVENT.to_owned(), event.number.to_string());
            lines.push(line);
        }
        self.side.last_event_at = Some(newest);
        if !lines.is_empty() {
            self.shared.journal.append(&self.record.id, lines);
        }
    }

    /// A run ended. Where work is in flight its outcome tells more, and is waited for.
    pub(crate) async fn run_ended(&mut self, execution: ExecutionId) {
        if self.record.state.execution() != Some(&execution) {
            return;
        }
        if !matches!(self.record.state, State::Running { .. }) {
            self.ended_early = Some(execution);
            return;
        }
        let error = NodeError::NoSuchRun { execution };
        self.guest_died(&Failure::Node { doing: "asking the guest of", error }).await;
    }

    /// Acts on an end that was told before the work that began the run was over.
    pub(crate) async fn check_ended_early(&mut self) {
        if let Some(execution) = self.ended_early.take() {
            self.run_ended(execution).await;
        }
    }

    /// Falls back to what was saved last, or removes the sandbox if nothing ever was.
    pub(crate) async fn guest_died(&mut self, failure: &Failure) {
        self.work = None;
        self.joined.fail(failure);
        let Some(snapshot) = self.record.snapshot.clone() else {
            self.shared.tell(&self.record, "error", "The sandbox ended by itself");
            return Box::pin(self.begin_kill(KillReason::GuestDied)).await;
        };
        let generation = snapshot.generation;
        let Ok(mut next) = self.after(Event::FellBack(snapshot)) else { return };
        next.end_at = self.shared.now();
        let note = format!("The sandbox ended by itself; generation {generation} is left of it");
        self.shared.tell(&self.record, "error", &note);
        if let Some(report) = &mut next.last_transition {
            report.note = Some(note);
        }
        self.close_route();
        self.accept(next).await;
        self.rests();
    }
}

/// Tells drivers that their runs ended.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    mut ended: tokio::sync::broadcast::Receiver<ExecutionId>,
) {
    loop {
        match ended.recv().await {
            // The run's driver alone knows its name; a machine holds some thousand at the most.
            Ok(execution) => shared.registry.tell_run(&execution),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "ends of runs were missed: they are found when observed");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl crate::registry::Registry {
    /// Sends the end of a run to every driver: each knows whether it is its own.
    fn tell_run(&self, execution: &ExecutionId) {
        self.tell_all(|| Command::Ended(execution.clone()));
    }
}
