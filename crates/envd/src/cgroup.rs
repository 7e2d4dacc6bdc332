//! Keeps users' processes in a control group with a limit on their number.
//!
//! gVisor enforces no `RLIMIT_NPROC`, and a sandbox that reaches the host's limit dies as a whole. A group
//! inside the guest gives `EAGAIN` to who forks instead. Source: GVISOR.md section 8.
//!
//! Version 2 of control groups is the one that holds in gVisor. With version 1 and several controllers
//! mounted it charges a new process to whichever of them it meets first (`chargeLocked` in
//! `pkg/sentry/kernel/task_cgroup.go`), so that most forks are not counted: a limit of 300 let 9000 through.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Where control groups are mounted, if they are.
const ROOT: &str = "/sys/fs/cgroup";

/// The group of users' processes.
const NAME: &str = "user";

/// The group that processes join.
#[derive(Debug)]
pub(crate) struct Cgroup {
    procs: PathBuf,
}

impl Cgroup {
    /// Makes the group, or says why there is none.
    pub(crate) fn create(pids_max: u32) -> io::Result<Self> {
        // Version 1 has a directory for each controller, version 2 one for all.
        let v1 = Path::new(ROOT).join("pids");
        let parent = if v1.is_dir() { v1 } else { PathBuf::from(ROOT) };
        let control = parent.join("cgroup.subtree_control");
        if control.exists() {
            fs::write(&control, "+pids")?;
        }
        let group = parent.join(NAME);
        fs::create_dir_all(&group)?;
        fs::write(group.join("pids.max"), pids_max.to_string())?;
        Ok(Self { procs: group.join("cgroup.procs") })
    }

    /// Opens the way into the group: a process that writes `0` there joins it.
    pub(crate) fn open(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(&self.procs)
    }
}
