//! The processes of clients, and `process.Process`.
//!
//! A process belongs to nobody's connection: it goes on when its client leaves, until it ends, is
//! killed, or its time is over. After its end it can be connected to for [`LINGER`], so that a client
//! whose connection broke still learns how it went.

mod launch;
mod output;
mod rpc;
mod spawn;
pub(crate) mod start;
mod status;
mod table;
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use ow_guest_proto::connect::Code;
use ow_guest_proto::process::{Ended, ProcessConfig, ProcessInfo, ProcessInput};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, Notify, watch};

use crate::reaper::{Child, Reaper};
use crate::rpc::RpcError;
pub(crate) use rpc::routes;
pub(crate) use spawn::{Program, Stdio3, spawn};
pub(crate) use status::ended as describe;
pub(crate) use table::Table;

/// How long an ended process can be connected to. Source: CONTRACT.md section 3.2.
pub(crate) const LINGER: Duration = Duration::from_secs(30);

/// A process that a client started.
#[derive(Debug)]
pub(crate) struct Process {
    /// The name of the user that it runs as.
    user: String,
    pub(crate) config: ProcessConfig,
    pub(crate) tag: Option<String>,
    child: Child,
    reaper: Arc<Reaper>,
    input: Input,
    pub(crate) output: output::Hub,
    ended: watch::Sender<Option<Ended>>,
    timed_out: AtomicBool,
    /// Told when a signal that ends processes is sent.
    signalled: Notify,
}

/// Where input goes.
#[derive(Debug)]
enum Input {
    /// To standard input, until it is closed.
    Pipe(Mutex<Option<pipe::Sender>>),
    /// To a terminal.
    Terminal(terminal::Master),
}

impl Process {
    pub(crate) const fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(crate) fn info(&self) -> ProcessInfo {
        ProcessInfo { config: self.config.clone(), pid: self.pid(), tag: self.tag.clone() }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Waits until it has ended and all its output has been handed on.
    pub(crate) async fn wait(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.expect("the sender is in self");
        ended.clone().expect("waited for it to be some")
    }

    /// Whether it was killed because its time was over.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Acquire)
    }

    /// Sends a signal to it and the processes that it started.
    ///
    /// The whole group, since clients run `bash -l -c …` and mean what that runs.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), RpcError> {
        let sent = self.reaper.signal_group(&self.child, signal).map_err(|error| {
            RpcError::from_io(&format!("send {signal} to process {}", self.pid()), &error)
        })?;
        if !sent {
            return Err(self.is_over());
        }
        self.signalled.notify_one();
        Ok(())
    }

    /// Closes its input once it has ended: descriptors are few, and ended processes stay for a while.
    ///
    /// Waits for a write in progress, which a process that it left behind may never read.
    pub(crate) async fn release_input(&self) {
        if let Input::Pipe(stdin) = &self.input {
            stdin.lock().await.take();
        }
    }

    fn is_over(&self) -> RpcError {
        RpcError::not_found(format!("process with pid {} has ended", self.pid()))
    }

    /// Writes to it, and returns once it, or its pipe, has taken everything.
    pub(crate) async fn write(&self, input: ProcessInput) -> Result<(), RpcError> {
        if !self.is_running() {
            return Err(self.is_over());
        }
        let failed = |error| self.input_error(&error);
        match (&self.input, input.stdin, input.pty) {
            (Input::Terminal(terminal), None, Some(bytes)) => {
                terminal.write_all(&bytes.0).await.map_err(failed)
            }
            (Input::Pipe(stdin), Some(bytes), None) => {
                let mut stdin = stdin.lock().await;
                let stdin = stdin.as_mut().ok_or_else(|| {
                    RpcError::new(Code::FailedPrecondition, "stdin not enabled or closed")
                })?;
                stdin.write_all(&bytes.0).await.map_err(failed)
            }
            (Input::Terminal(_), Some(_), None) => Err(RpcError::new(
                Code::FailedPrecondition,
                "the process has a terminal: write to the pty, not to stdin",
            )),
            (Input::Pipe(_), None, Some(_)) => Err(RpcError::new(
                Code::FailedPrecondition,
                "the process has no terminal: write to stdin, not to a pty",
            )),
            _ => Err(RpcError::invalid("input is neither for stdin nor for a pty")),
        }
    }

    fn input_error(&self, error: &std::io::Error) -> RpcError {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            let words = format!("process {} no longer reads its input", self.pid());
            return RpcError::new(Code::FailedPrecondition, words);
        }
        RpcError::from_io(&format!("write to process {}", self.pid()), error)
    }

    /// Lets it read the end of its input, after all that was written.
    pub(crate) async fn close_input(&self) -> Result<(), RpcError> {
        match &self.input {
            Input::Pipe(stdin) => {
                stdin.lock().await.take();
                Ok(())
            }
            Input::Terminal(_) => Err(RpcError::new(
                Code::FailedPrecondition,
                "a terminal has no end of input: send Ctrl+D (0x04) instead",
            )),
        }
    }

    /// Changes the size of its terminal.
    pub(crate) fn resize(&self, cols: u32, rows: u32) -> Result<(), RpcError> {
        let Input::Terminal(terminal) = &self.input else {
            return Err(RpcError::new(Code::FailedPrecondition, "the process has no terminal"));
        };
        terminal
            .resize(terminal::size(cols, rows)?)
            .map_err(|error| RpcError::from_io("resize the terminal", &error))
    }
}
