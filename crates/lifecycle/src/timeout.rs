//! How long a sandbox runs, and what happens when that is over.

use std::time::Duration;

use ow_types::{KillReason, OnTimeout, SandboxId, State, TeamId, Timestamp};

use crate::command::{Command, Reply};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::shared::Shared;
use crate::{Lifecycle, LifecycleError, Result};

impl Lifecycle {
    /// Sets when a running sandbox's timeout ends, from now; a paused one is not found.
    ///
    /// # Errors
    ///
    /// [`LifecycleError::NotFound`], [`LifecycleError::TimeoutTooLong`], and failures.
    pub async fn set_timeout(
        &self,
        team: &TeamId,
        id: &SandboxId,
        timeout: Duration,
    ) -> Result<()> {
        self.change_timeout(team, id, timeout, false).await
    }

    /// Extends a running sandbox's timeout to at least `duration` from now.
    ///
    /// # Errors
    ///
    /// As [`Lifecycle::set_timeout`].
    pub async fn refresh(&self, team: &TeamId, id: &SandboxId, duration: Duration) -> Result<()> {
        self.change_timeout(team, id, duration, true).await
    }

    async fn change_timeout(
        &self,
        team: &TeamId,
        id: &SandboxId,
        timeout: Duration,
        only_extend: bool,
    ) -> Result<()> {
        self.shared.refuse_if_stopping()?;
        self.shared.check_timeout(timeout)?;
        self.shared.find(team, id).await?;
        let command = |reply| Command::SetTimeout { timeout, only_extend, reply };
        self.shared.ask(id, command).await
    }
}

impl Shared {
    /// Refuses what is longer than sandboxes may run.
    pub(crate) fn check_timeout(&self, timeout: Duration) -> Result<()> {
        let limit = self.parts.config.max_runtime;
        if timeout > limit {
            return Err(LifecycleError::TimeoutTooLong { limit });
        }
        Ok(())
    }
}

/// When the action of a timeout is tried again after it failed.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    not_before: Option<Timestamp>,
}

/// How long until a timeout's pause that failed is tried again; doubled by each failure.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);

/// At the most 5 s * 2^6, somewhat more than five minutes.
const MOST_DOUBLINGS: u32 = 6;

impl Backoff {
    pub(crate) fn failed(&mut self, now: Timestamp) {
        let wait = FIRST_BACKOFF * 2_u32.pow(self.failures.min(MOST_DOUBLINGS));
        self.failures += 1;
        self.not_before = Some(now.after(wait));
    }

    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Driver {
    /// The moment `timeout` from now, or the last at which it may still run.
    pub(crate) fn end_after(&self, timeout: Duration) -> Timestamp {
        self.capped(self.record.started_at, self.shared.now().after(timeout))
    }

    /// A sandbox that began to run at `started_at` runs no longer than the server allows.
    pub(crate) fn capped(&self, started_at: Timestamp, end: Timestamp) -> Timestamp {
        end.min(started_at.after(self.shared.parts.config.max_runtime))
    }

    pub(crate) async fn set_timeout(
        &mut self,
        timeout: Duration,
        only_extend: bool,
        reply: Reply<()>,
    ) {
        match self.record.state {
            State::Running { .. } => {
                let end = self.end_after(timeout);
                let end = if only_extend { end.max(self.record.end_at) } else { end };
                let own = (!only_extend).then_some(timeout);
                drop(reply.send(self.set_end(end, own).await));
            }
            State::Starting { .. } | State::Resuming { .. } => {
                self.waiting.push_back(Command::SetTimeout { timeout, only_extend, reply });
            }
            State::Pausing { .. }
            | State::Paused { .. }
            | State::Killing { .. }
            | State::Killed { .. } => drop(reply.send(Err(Failure::Gone))),
        }
    }

    /// Moves the end of the timeout; `own` becomes the sandbox's own timeout, if it is any time.
    pub(crate) async fn set_end(
        &mut self,
        end: Timestamp,
        own: Option<Duration>,
    ) -> std::result::Result<(), Failure> {
        let mut next = self.record.clone();
        next.end_at = end;
        if let Some(own) = own.filter(|own| !own.is_zero()) {
            next.settings.timeout = own;
        }
        if next != self.record {
            self.commit(next).await?;
            self.backoff.reset();
        }
        Ok(())
    }

    /// When the timeout's action is due, if the sandbox runs and nothing else is done with it.
    ///
    /// A clock that was set back does not let it run longer than a whole runtime from then.
    pub(crate) fn deadline(&mut self) -> Option<Timestamp> {
        if !self.is_at_rest() {
            return None;
        }
        let end = self.capped(self.record.started_at, self.record.end_at);
        let end = self.capped(self.shared.now(), end);
        if end < self.record.end_at {
            self.record.end_at = end;
            self.unsaved = true;
        }
        match self.record.settings.on_timeout {
            OnTimeout::Kill => Some(end),
            OnTimeout::Pause => Some(end.max(self.backoff.not_before.unwrap_or_default())),
        }
    }

    /// Kills or pauses, as the sandbox's settings say.
    pub(crate) async fn time_out(&mut self) {
        if self.deadline().is_none_or(|deadline| deadline > self.shared.now()) {
            return;
        }
        match self.record.settings.on_timeout {
            OnTimeout::Kill => self.begin_kill(KillReason::TimedOut).await,
            OnTimeout::Pause => {
                let mode = self.record.settings.pause_mode;
                self.begin_pause(mode, crate::pause::USUAL).await;
            }
        }
    }
}
