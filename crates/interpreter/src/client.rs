//! The client of an execution: takes its lines one by one, or has left.

use bytes::Bytes;
use tokio::sync::mpsc;

/// Where lines go.
pub(crate) struct Client {
    /// None once it has left: lines are dropped then.
    sender: Option<mpsc::Sender<Bytes>>,
    /// Lines that it must take before more is read from the kernel.
    pending: Vec<Bytes>,
}

impl Client {
    pub(crate) const fn new(sender: mpsc::Sender<Bytes>) -> Self {
        Self { sender: Some(sender), pending: Vec::new() }
    }

    pub(crate) fn push(&mut self, line: Bytes) {
        if self.sender.is_some() {
            self.pending.push(line);
        }
    }

    /// True once it has all lines, or has left.
    pub(crate) fn is_served(&self) -> bool {
        self.pending.is_empty()
    }

    /// Delivers the first line and returns true; false once the client has left, which without a
    /// line is all that is waited for. Never returns if the client was forgotten.
    ///
    /// # Cancel safety
    ///
    /// No line is lost.
    pub(crate) async fn serve(&mut self) -> bool {
        let Some(sender) = &self.sender else { return std::future::pending().await };
        if self.pending.is_empty() {
            sender.closed().await;
            return false;
        }
        match sender.reserve().await {
            Ok(permit) => {
                permit.send(self.pending.remove(0));
                true
            }
            Err(_) => false,
        }
    }

    /// Delivers all lines, unless the client leaves.
    pub(crate) async fn serve_all(&mut self) {
        while !self.is_served() && self.serve().await {}
    }

    /// Takes note that it has left.
    pub(crate) fn forget(&mut self) {
        self.sender = None;
        self.pending.clear();
    }
}
