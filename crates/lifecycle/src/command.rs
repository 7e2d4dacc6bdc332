//! What is sent to the driver of a sandbox.

use std::time::Duration;

use ow_db::SandboxRecord;
use ow_types::{Durability, Egress, ExecutionId, KillReason, TransitionReport};
use tokio::sync::oneshot;

use crate::failure::{Failure, LessSafe};
use crate::{Found, PauseOptions, Route};

/// Where one answer goes. Nobody may wait for it any more, which is no error.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Failure>>;

/// Asks a driver for something, or tells it something.
#[derive(Debug)]
pub(crate) enum Command {
    Pause {
        options: PauseOptions,
        reply: Reply<TransitionReport>,
    },
    Connect {
        timeout: Option<Duration>,
        reply: Reply<(SandboxRecord, Found)>,
    },
    /// As connect, but what runs already is an error.
    Resume {
        timeout: Option<Duration>,
        reply: Reply<(SandboxRecord, Found)>,
    },
    Kill {
        reason: KillReason,
        reply: Reply<()>,
    },
    SetTimeout {
        timeout: Duration,
        only_extend: bool,
        reply: Reply<()>,
    },
    SetEgress {
        egress: Egress,
        reply: Reply<()>,
    },
    Route {
        reply: Reply<Route>,
    },
    /// It is paused, and may be made safer.
    Secure {
        reply: Reply<TransitionReport>,
    },
    /// It may have stayed paused for longer than paused sandboxes are kept.
    Expire {
        reply: Reply<()>,
    },
    /// This run ended, by itself or not.
    Ended(ExecutionId),
}

impl Command {
    /// Answers with a failure, whatever was asked.
    pub(crate) fn refuse(self, failure: Failure) {
        match self {
            Self::Pause { reply, .. } | Self::Secure { reply } => drop(reply.send(Err(failure))),
            Self::Connect { reply, .. } | Self::Resume { reply, .. } => {
                drop(reply.send(Err(failure)));
            }
            Self::Kill { reply, .. }
            | Self::SetTimeout { reply, .. }
            | Self::SetEgress { reply, .. }
            | Self::Expire { reply } => drop(reply.send(Err(failure))),
            Self::Route { reply } => drop(reply.send(Err(failure))),
            Self::Ended(_) => {}
        }
    }
}

/// Tells everyone who waits the same.
pub(crate) fn answer_all<T: Clone>(waiting: &mut Vec<Reply<T>>, answer: &Result<T, Failure>) {
    for reply in waiting.drain(..) {
        drop(reply.send(answer.clone()));
    }
}

/// Somebody who waits for a sandbox to be as safe as this.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) level: Durability,
    pub(crate) reply: Reply<TransitionReport>,
}

/// Answers those who asked for no more than `reached`, and keeps the rest.
pub(crate) fn answer_reached(
    waiting: &mut Vec<Asked>,
    reached: Durability,
    report: &TransitionReport,
) {
    let (content, rest): (Vec<_>, Vec<_>) =
        std::mem::take(waiting).into_iter().partition(|asked| asked.level <= reached);
    *waiting = rest;
    for asked in content {
        drop(asked.reply.send(Ok(report.clone())));
    }
}

/// Tells everyone who waits for a level that it is not reached.
pub(crate) fn fail_asked(waiting: &mut Vec<Asked>, failure: &Failure) {
    for asked in waiting.drain(..) {
        drop(asked.reply.send(Err(failure.clone())));
    }
}

/// Tells everyone who waits for a level how safe the paused sandbox is instead.
pub(crate) fn answer_less_safe(waiting: &mut Vec<Asked>, reached: Durability, reason: &str) {
    for Asked { level: asked, reply } in waiting.drain(..) {
        let less = LessSafe { reached, asked, reason: reason.to_owned() };
        drop(reply.send(Err(Failure::LessSafe(less.into()))));
    }
}
