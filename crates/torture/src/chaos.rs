//! Kills the server and the processes of its sandboxes at moments nobody expects.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tokio::sync::watch;

use crate::Options;
use crate::server::Server;
use crate::tally::{Tally, add};

#[derive(Debug)]
pub(crate) struct Chaos {
    server: Arc<Server>,
    tally: Arc<Tally>,
    server_every: f64,
    sandbox_every: f64,
    rng: StdRng,
}

impl Chaos {
    pub(crate) fn new(
        server: Arc<Server>,
        tally: Arc<Tally>,
        options: &Options,
        rng: StdRng,
    ) -> Self {
        let (server_every, sandbox_every) =
            (options.server_kill_seconds, options.sandbox_kill_seconds);
        Self { server, tally, server_every, sandbox_every, rng }
    }

    /// Goes on until it is stopped, and leaves the server running.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut until_server = self.wait(self.server_every);
        let mut until_sandbox = self.wait(self.sandbox_every);
        loop {
            let next = until_server.min(until_sandbox);
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(next) => {}
            }
            until_server = until_server.saturating_sub(next);
            until_sandbox = until_sandbox.saturating_sub(next);
            if until_server.is_zero() {
                self.kill_server().await;
                until_server = self.wait(self.server_every);
            }
            if until_sandbox.is_zero() {
                self.kill_sandbox_process();
                until_sandbox = self.wait(self.sandbox_every);
            }
        }
    }

    /// Between a quarter and seven quarters of the average.
    fn wait(&mut self, average: f64) -> Duration {
        Duration::from_secs_f64(average * self.rng.random_range(0.25..1.75))
    }

    async fn kill_server(&mut self) {
        self.server.kill().await;
        add(&self.tally.server_kills);
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..300))).await;
        match self.server.start().await {
            Ok(took) => self.tally.recovered_in(took),
            Err(error) => self.tally.stuck(error),
        }
    }

    fn kill_sandbox_process(&mut self) {
        // Counted before, so that a worker never sees the effect without the cause.
        self.tally.sandbox_killed();
        let processes = processes_with(&self.server.mark(), is_sandbox);
        if let Some(pid) = processes.choose(&mut self.rng) {
            // It may have ended since it was found.
            let _ = kill(*pid, Signal::SIGKILL);
        }
    }
}

/// Ends every process of runsc whose command line holds `mark`, calls first: one that a server left
/// in its midst would go on to make a sandbox.
pub(crate) async fn kill_all(mark: &str) {
    for _ in 0..50 {
        let left = [processes_with(mark, is_call), processes_with(mark, is_sandbox)].concat();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A sandbox or its gofer, by its command line.
fn is_sandbox(line: &str) -> bool {
    line.starts_with("runsc-sandbox") || line.starts_with("runsc-gofer")
}

/// A call to the program, which is started by its path.
fn is_call(line: &str) -> bool {
    let program = line.split('\0').next().unwrap_or_default();
    program.rsplit_once('/').is_some_and(|(_, name)| name.starts_with("runsc"))
}

/// The processes of a kind whose command lines hold `mark`.
fn processes_with(mark: &str, is_kind: fn(&str) -> bool) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        is_kind(&line) && line.contains(mark)
    })
    .map(Pid::from_raw)
    .collect()
}
