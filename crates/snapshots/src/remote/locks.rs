//! Keeps what brings chunks of a sandbox apart from what removes them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ow_types::SandboxId;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// A lock for each sandbox that is worked on.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<HashMap<SandboxId, Arc<RwLock<()>>>>);

impl Locks {
    /// Waits until nothing of a sandbox is being removed, and holds removals off.
    pub(super) async fn shared(&self, sandbox: &SandboxId) -> OwnedRwLockReadGuard<()> {
        self.of(sandbox).read_owned().await
    }

    /// Waits until a sandbox is left alone, and keeps it so.
    pub(super) async fn exclusive(&self, sandbox: &SandboxId) -> OwnedRwLockWriteGuard<()> {
        self.of(sandbox).write_owned().await
    }

    fn of(&self, sandbox: &SandboxId) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().expect("nothing panics while it holds the locks");
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(sandbox.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_removal_waits_for_uploads_of_its_sandbox_only() {
        let (locks, one, other) = (Locks::default(), SandboxId::random(), SandboxId::random());
        let (first, second) = (locks.shared(&one).await, locks.shared(&one).await);
        assert!(locks.exclusive(&one).now_or_never().is_none());
        assert!(locks.exclusive(&other).now_or_never().is_some());
        drop((first, second));
        let removal = locks.exclusive(&one).now_or_never().expect("nothing is uploaded");
        assert!(locks.shared(&one).now_or_never().is_none());
        drop(removal);
        assert!(locks.shared(&other).now_or_never().is_some());
        assert_eq!(locks.0.lock().unwrap().len(), 1, "what nobody holds is forgotten");
    }
}
