//! The only place that waits for processes.
//!
//! Process 1 is the parent of every orphan and must wait for all of them; whoever else waited for a
//! child of its own could lose its status to that. So children are started through here, and their
//! statuses are handed on.

#![allow(unsafe_code, reason = "nix's waitpid fails on signals that it has no name for")]

use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often to look without having been told. Signals of ended children are never lost on Linux; this
/// is for a restore that comes between the two.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// Whose statuses to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everyone's: we are process 1.
    Everyone,
    /// Only those of children started here: others in this process wait for their own.
    Own,
}

/// Starts processes and collects their statuses.
#[derive(Debug)]
pub struct Reaper {
    reach: Reach,
    children: Mutex<HashMap<i32, watch::Sender<Option<ExitStatus>>>>,
}

/// A child that was started.
#[derive(Clone, Debug)]
pub struct Child {
    pid: i32,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Child {
    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If the reaper is gone, which outlives every child.
    pub async fn wait(&self) -> ExitStatus {
        let mut status = self.status.clone();
        let ended = status.wait_for(Option::is_some).await.expect("the reaper outlives children");
        ended.expect("waited for it to be some")
    }

    /// Its status, if it has ended.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }
}

impl Reaper {
    /// A reaper that has no children yet. Someone must [`run`](Self::run) it.
    #[must_use]
    pub fn new(reach: Reach) -> Arc<Self> {
        Arc::new(Self { reach, children: Mutex::default() })
    }

    fn children(&self) -> MutexGuard<'_, HashMap<i32, watch::Sender<Option<ExitStatus>>>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes on the child that `start` makes, whose id it returns.
    ///
    /// # Errors
    ///
    /// Those of `start`, which must have waited for a child that failed.
    pub fn adopt(&self, start: impl FnOnce() -> io::Result<i32>) -> io::Result<Child> {
        // Held over the start, so that the status of a child that ends at once finds its entry.
        let mut children = self.children();
        let pid = start()?;
        let (sender, status) = watch::channel(None);
        children.insert(pid, sender);
        drop(children);
        Ok(Child { pid, status })
    }

    /// Sends a signal to a child's process group; false if the child has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn signal_group(&self, child: &Child, signal: Signal) -> io::Result<bool> {
        // Held, so that the id cannot be given to another process meanwhile.
        let children = self.children();
        if !children.contains_key(&child.pid) {
            return Ok(false);
        }
        killpg(Pid::from_raw(child.pid), signal)?;
        drop(children);
        Ok(true)
    }

    /// Collects statuses, for ever.
    ///
    /// # Errors
    ///
    /// If signals cannot be listened to.
    pub async fn run(&self) -> io::Result<()> {
        let mut ended = signal(SignalKind::child())?;
        loop {
            self.collect();
            tokio::select! {
                _ = ended.recv() => {}
                () = tokio::time::sleep(LOOK_ANYWAY) => {}
            }
        }
    }

    fn collect(&self) {
        let mut children = self.children();
        match self.reach {
            Reach::Everyone => {
                while let Some((pid, status)) = wait_for(-1) {
                    if let Some(child) = children.remove(&pid) {
                        child.send_replace(Some(status));
                    }
                }
            }
            Reach::Own => children.retain(|pid, child| match wait_for(*pid) {
                Some((_, status)) => {
                    child.send_replace(Some(status));
                    false
                }
                None => true,
            }),
        }
    }
}

/// Takes the status of a process that has ended: of this one, or of any if -1.
fn wait_for(pid: i32) -> Option<(i32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the pointer is to a local that outlives the call.
    let ended = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
    (ended > 0).then(|| (ended, ExitStatus::from_raw(status)))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn start(reaper: &Reaper, command: &mut Command) -> Child {
        reaper.adopt(|| Ok(command.spawn()?.id().cast_signed())).unwrap()
    }

    async fn with_reaper(test: impl AsyncFnOnce(&Reaper)) {
        let reaper = Reaper::new(Reach::Own);
        tokio::select! {
            result = reaper.run() => panic!("the reaper ended: {result:?}"),
            () = test(&reaper) => {}
        }
    }

    #[tokio::test]
    async fn every_child_gets_its_own_status() {
        with_reaper(async |reaper| {
            let children: Vec<_> = (0..20)
                .map(|code| start(reaper, Command::new("sh").args(["-c", &format!("exit {code}")])))
                .collect();
            for (code, child) in children.into_iter().enumerate() {
                assert_eq!(child.wait().await.code(), i32::try_from(code).ok());
                assert_eq!(child.status(), Some(child.wait().await), "a status can be asked again");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn children_of_others_are_left_alone() {
        with_reaper(async |reaper| {
            let mut foreign = Command::new("false").spawn().unwrap();
            start(reaper, &mut Command::new("true")).wait().await;
            assert_eq!(foreign.wait().unwrap().code(), Some(1));
        })
        .await;
    }

    #[tokio::test]
    async fn an_ended_child_is_not_signalled() {
        use std::os::unix::process::CommandExt as _;
        with_reaper(async |reaper| {
            let child = start(reaper, Command::new("sleep").arg("60").process_group(0));
            assert!(reaper.signal_group(&child, Signal::SIGKILL).unwrap());
            assert_eq!(child.wait().await.signal(), Some(9));
            assert!(!reaper.signal_group(&child, Signal::SIGKILL).unwrap());
        })
        .await;
    }
}
