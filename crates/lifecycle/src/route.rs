//! Where the traffic of a sandbox's ports goes.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ow_types::{KillReason, SandboxId, State};
use tokio_util::sync::CancellationToken;

use crate::command::{Command, Reply};
use crate::driver::Driver;
use crate::failure::Failure;
use crate::{Lifecycle, Result, Route};

impl Lifecycle {
    /// Where traffic for a sandbox goes, whoever sends it; wakes it if it is to be woken.
    ///
    /// Waits for a start or resume in flight. A paused sandbox that traffic does not wake is
    /// not found.
    ///
    /// # Errors
    ///
    /// [`crate::LifecycleError::NotFound`], and why it could not be woken.
    pub async fn route(&self, id: &SandboxId) -> Result<Route> {
        if let Some(route) = self.shared.registry.route(id) {
            return Ok(route);
        }
        // Names that nobody has are asked for a lot, and must not cost a task each.
        let found = self.shared.parts.db.get(id).await?;
        let wakes = found.is_some_and(|record| {
            let paused = record.state.shown_as_paused() == Some(true);
            !self.shared.is_gone(&record) && (!paused || record.settings.auto_resume)
        });
        if !wakes {
            return Err(Failure::Gone.about(id));
        }
        self.shared.ask(id, |reply| Command::Route { reply }).await
    }

    /// The sandbox whose guest agent asks for this token, for clients that send no id.
    pub async fn find_by_access_token(&self, token: &str) -> Option<SandboxId> {
        let found = self.shared.parts.db.find_by_envd_token(token).await;
        found.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a token is not looked up");
            None
        })
    }
}

impl Driver {
    pub(crate) async fn route(&mut self, reply: Reply<Route>) {
        if self.shared.is_expired(&self.record) {
            drop(reply.send(Err(Failure::Gone)));
            return self.begin_kill(KillReason::Expired).await;
        }
        let auto_resume = self.record.settings.auto_resume;
        match self.record.state {
            State::Running { .. } => match self.current_route() {
                Some(route) => drop(reply.send(Ok(route))),
                // Its guest agent has not answered yet since the server started.
                None => self.joined.routes.push(reply),
            },
            State::Resuming { .. } => self.joined.routes.push(reply),
            State::Starting { .. } => self.waiting.push_back(Command::Route { reply }),
            State::Pausing { acknowledged: true, .. } if auto_resume => {
                self.joined.routes.push(reply);
                if self.attempt.is_none() {
                    self.begin_take_back(self.timeout_by_traffic(), false);
                }
            }
            State::Pausing { .. } if auto_resume => {
                self.waiting.push_back(Command::Route { reply });
            }
            State::Paused { .. } if auto_resume => {
                self.joined.routes.push(reply);
                self.begin_resume(self.timeout_by_traffic(), false).await;
            }
            _ => drop(reply.send(Err(Failure::Gone))),
        }
    }

    /// How long traffic lets a sandbox run that it wakes.
    fn timeout_by_traffic(&self) -> std::time::Duration {
        self.record.settings.timeout.max(self.shared.parts.config.auto_resume_timeout)
    }

    fn current_route(&self) -> Option<Route> {
        self.ends.route.borrow().clone()
    }

    /// Lets traffic in, with a token that no earlier run had.
    pub(crate) fn open_route(&mut self, address: Ipv4Addr) {
        self.address = Some(address);
        let egress = &self.record.egress;
        let token = &self.record.tokens.traffic;
        let route = Route {
            address,
            ended: self.current_route().map_or_else(CancellationToken::new, |route| route.ended),
            traffic_token: (!egress.public_traffic).then(|| token.clone()),
            mask_request_host: egress.mask_request_host.clone(),
        };
        self.ends.route.send_replace(Some(route));
    }

    /// Lets traffic in again after a pause that failed.
    pub(crate) fn reopen_route(&mut self) {
        if let Some(address) = self.address {
            self.open_route(address);
            self.answer_routes();
        }
    }

    /// Cuts every connection off, and lets none in.
    pub(crate) fn close_route(&self) {
        if let Some(route) = self.ends.route.send_replace(None) {
            route.ended.cancel();
        }
    }

    /// Answers who waited for the traffic to be let in.
    pub(crate) fn answer_routes(&mut self) {
        if let Some(route) = self.current_route() {
            crate::command::answer_all(&mut self.joined.routes, &Ok(route));
        }
    }

    /// Nothing of it runs: no traffic, and its place among the running is free.
    pub(crate) fn rests(&mut self) {
        self.close_route();
        self.address = None;
        self.side = crate::guest::Side::default();
        self.shared.samples.forget(&self.record.id);
        self.shared.registry.free_slot(&self.record.team, &self.record.id);
    }

    /// Starts to measure a transition.
    pub(crate) fn clock_starts(&mut self) {
        self.begun = std::time::Instant::now();
    }

    /// Reports the transition that the record holds as its last.
    pub(crate) fn tell_done(&self) {
        if let Some(report) = &self.record.last_transition {
            self.shared.tell_done(&self.record, report, self.took());
        }
    }

    /// The node, for calls beside the work.
    pub(crate) fn node(&self) -> Arc<dyn ow_node_api::NodeApi> {
        Arc::clone(&self.shared.parts.node)
    }
}
