//! Connecting: extend the timeout of what runs, resume what is paused, wait for what is between.

use std::time::Duration;

use ow_db::SandboxRecord;
use ow_types::{Admission, Denied, KillReason, Request, SandboxId, TeamId};

use crate::command::{Command, Reply};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::{Found, Lifecycle, Result};

impl Lifecycle {
    /// Extends a running sandbox's timeout, or resumes a paused one. None means its last timeout.
    ///
    /// Waits for a pause in flight.
    ///
    /// # Errors
    ///
    /// As [`Lifecycle::resume`], but it is no error that the sandbox runs.
    pub async fn connect(
        &self,
        team: &TeamId,
        id: &SandboxId,
        timeout: Option<Duration>,
    ) -> Result<(SandboxRecord, Found)> {
        self.shared.refuse_if_stopping()?;
        self.shared.check_timeout(timeout.unwrap_or_default())?;
        self.shared.find(team, id).await?;
        self.shared.ask(id, |reply| Command::Connect { timeout, reply }).await
    }
}

impl Driver {
    pub(crate) async fn connect(
        &mut self,
        timeout: Option<Duration>,
        reply: Reply<(SandboxRecord, Found)>,
    ) {
        if let Err(Denied::AlreadyRunning) = self.record.state.admit(Request::Resume) {
            let end = self.end_after(timeout.unwrap_or(self.record.settings.timeout));
            let extended = self.set_end(end.max(self.record.end_at), timeout).await;
            let answer = extended.map(|()| (self.record.clone(), Found::Running));
            return drop(reply.send(answer));
        }
        let again = |timeout, reply| Command::Connect { timeout, reply };
        self.resume_or_wait(timeout, reply, again).await;
    }

    pub(crate) async fn resume(
        &mut self,
        timeout: Option<Duration>,
        reply: Reply<(SandboxRecord, Found)>,
    ) {
        let again = |timeout, reply| Command::Resume { timeout, reply };
        self.resume_or_wait(timeout, reply, again).await;
    }

    async fn resume_or_wait(
        &mut self,
        timeout: Option<Duration>,
        reply: Reply<(SandboxRecord, Found)>,
        again: impl FnOnce(Option<Duration>, Reply<(SandboxRecord, Found)>) -> Command,
    ) {
        if self.shared.is_expired(&self.record) {
            drop(reply.send(Err(Failure::Gone)));
            return self.begin_kill(KillReason::Expired).await;
        }
        match self.record.state.admit(Request::Resume) {
            Err(denied) => drop(reply.send(Err(denied.into()))),
            Ok(Admission::Wait) => self.waiting.push_back(again(timeout, reply)),
            Ok(Admission::Begin) => {
                self.joined.resumes.push(reply);
                let long = timeout.unwrap_or(self.record.settings.timeout);
                self.begin_resume(long, timeout.is_some()).await;
            }
            Ok(Admission::TakeBack) if self.attempt.is_none() => {
                self.joined.resumes.push(reply);
                let long = timeout.unwrap_or(self.record.settings.timeout);
                self.begin_take_back(long, timeout.is_some());
            }
            Ok(Admission::Join | Admission::TakeBack) => {
                self.joined.resumes.push(reply);
                self.join_resume(timeout);
            }
        }
    }

    /// The resume in flight is to last for at least this long.
    fn join_resume(&mut self, timeout: Option<Duration>) {
        let long = timeout.unwrap_or(self.record.settings.timeout);
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| long > attempt.timeout) {
            attempt.timeout = long;
            attempt.keep_timeout = timeout.is_some();
        }
    }
}
