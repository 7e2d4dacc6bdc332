//! What tests make go wrong, and when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::NodeError;

/// A method of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// [`crate::NodeApi::start`].
    Start,
    /// [`crate::NodeApi::resume`].
    Resume,
    /// [`crate::NodeApi::freeze`].
    Freeze,
    /// [`crate::NodeApi::pause`].
    Pause,
    /// [`crate::NodeApi::secure`].
    Secure,
    /// [`crate::NodeApi::thaw`].
    Thaw,
    /// [`crate::NodeApi::kill`].
    Kill,
    /// [`crate::NodeApi::delete_snapshot`].
    DeleteSnapshot,
    /// [`crate::NodeApi::held`].
    Held,
    /// [`crate::NodeApi::stored`].
    Stored,
    /// [`crate::NodeApi::observe`].
    Observe,
    /// [`crate::NodeApi::set_egress`].
    SetEgress,
}

/// What becomes of the next call of a verb.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It fails and changes nothing.
    Fail(NodeError),
    /// It does its work, and the answer is an error.
    FailAfter(NodeError),
    /// It does not go on until it is let go.
    Hang(Arc<Gate>),
    /// It takes this long by the node's clock.
    Delay(Duration),
}

/// Faults to come, by verb, first come first served.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<Verb, VecDeque<Fault>>);

impl Faults {
    pub(super) fn push(&mut self, verb: Verb, fault: Fault) {
        self.0.entry(verb).or_default().push_back(fault);
    }

    pub(super) fn take(&mut self, verb: Verb) -> Option<Fault> {
        self.0.get_mut(&verb)?.pop_front()
    }
}

/// Where a call waits.
#[derive(Debug)]
pub(super) struct Gate {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn closed() -> Arc<Self> {
        Arc::new(Self { reached: watch::Sender::new(false), open: watch::Sender::new(false) })
    }

    pub(super) async fn pass(&self) {
        self.reached.send_replace(true);
        wait_for_true(&self.open).await;
    }
}

async fn wait_for_true(flag: &watch::Sender<bool>) {
    let waited = flag.subscribe().wait_for(|set| *set).await.map(|_| ());
    waited.expect("the sender lives in the gate that is borrowed");
}

/// A call that hangs, or will; it hangs on if this is dropped.
#[derive(Debug, Clone)]
pub struct Hang(pub(super) Arc<Gate>);

impl Hang {
    /// Returns when the call has come and hangs.
    pub async fn reached(&self) {
        wait_for_true(&self.0.reached).await;
    }

    /// Lets the call go on.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }
}
