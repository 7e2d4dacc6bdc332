//! How the end of an execution is told from the signs that kernels give of it.
//!
//! A kernel says twice that it is done: it publishes that it is idle, and it replies. Some send
//! only one of both, and some say it before all of their output has come.

use std::time::Duration;

use tokio::time::Instant;

/// How long a fence may take once its own request was answered.
const FENCE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one sign of the end may come after the other, or after the last output behind it:
/// kernels that failed inside send no reply, and kernels that drop messages drop `idle` too.
const OTHER_HALF_TIMEOUT: Duration = Duration::from_secs(2);

/// The way to know that all output of an execution has come, in kernels that say that they are
/// idle too early: a message that takes the way of the output, behind it.
#[derive(Debug)]
pub(crate) enum Fence {
    /// The kernel's word is good.
    NotNeeded,
    /// To be sent when the kernel says that it is idle.
    Needed,
    /// Sent; waited for until the deadline.
    Sent { id: String, deadline: Option<Instant> },
    /// Arrived, or given up.
    Passed,
}

impl Fence {
    pub(crate) const fn new(is_needed: bool) -> Self {
        if is_needed { Self::Needed } else { Self::NotNeeded }
    }

    /// Whether a message with this parent belongs to it.
    pub(crate) fn is(&self, parent: &str) -> bool {
        matches!(self, Self::Sent { id, .. } if id == parent)
    }

    /// Its own request was answered: it arrives soon or never.
    pub(crate) fn answered(&mut self) {
        if let Self::Sent { deadline, .. } = self {
            *deadline = Some(Instant::now() + FENCE_TIMEOUT);
        }
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Sent { deadline, .. } => *deadline,
            _ => None,
        }
    }
}

/// The two signs of the end.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    idle: bool,
    replied: bool,
    deadline: Option<Instant>,
}

impl Signs {
    pub(crate) const fn both(&self) -> bool {
        self.idle && self.replied
    }

    pub(crate) fn idle(&mut self) {
        self.idle = true;
        self.expect_other();
    }

    pub(crate) fn replied(&mut self) {
        self.replied = true;
        self.expect_other();
    }

    /// Puts the deadline off, if there is one: the kernel or the client was busy.
    pub(crate) fn put_off(&mut self) {
        if self.deadline.is_some() {
            self.expect_other();
        }
    }

    fn expect_other(&mut self) {
        self.deadline = (!self.both()).then(|| Instant::now() + OTHER_HALF_TIMEOUT);
    }

    /// Until when the other sign may come.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The other sign does not come.
    pub(crate) fn give_up(&mut self) {
        *self = Self { idle: true, replied: true, deadline: None };
    }
}
