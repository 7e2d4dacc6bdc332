//! The owner of one context: runs executions in its kernel one after the other, and heals.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::keeper::Keeper;
use crate::kernel::KernelError;
use crate::output;
use crate::running::{Ended, Running};
use crate::translate::Translator;

/// How long a restart waits for a client to take the end of its stream.
const FAREWELL: Duration = Duration::from_secs(1);

/// Code that waits to be run.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) code: String,
    /// Variables of this execution alone.
    pub(crate) env_vars: BTreeMap<String, String>,
    /// Where its lines go. Closed when the client has left.
    pub(crate) lines: mpsc::Sender<Bytes>,
}

/// What a context is asked beside executions. Overtakes them.
#[derive(Debug)]
pub(crate) enum Command {
    /// Start the kernel if it is not there; answers once it is.
    Start(oneshot::Sender<Result<(), KernelError>>),
    /// End the kernel and start another.
    Restart(oneshot::Sender<Result<(), KernelError>>),
    /// Renew random states; answers once that is done or certain to be done before user code.
    Reseed([u8; 32], oneshot::Sender<()>),
    /// Pass changed variables of the sandbox to the kernel.
    PassEnvs,
}

/// The state of a context; lives in its own task.
pub(crate) struct Driver {
    pub(crate) keeper: Keeper,
    pub(crate) executions: mpsc::Receiver<Execution>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Grows each time that the sandbox was restored.
    pub(crate) restores: watch::Receiver<u64>,
    pub(crate) stop: CancellationToken,
}

impl Driver {
    /// Works until the context is removed or everything stops.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.work()).await;
        self.keeper.end().await;
    }

    async fn work(&mut self) {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                how = self.keeper.ended() => self.keeper.mourn(&how).await,
                execution = self.executions.recv() => match execution {
                    Some(execution) => self.execute(execution).await,
                    None => return,
                },
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Start(done) => {
                let _ = done.send(self.keeper.ensure_kernel().await);
            }
            Command::Restart(done) => {
                let _ = done.send(self.keeper.restart().await);
            }
            Command::Reseed(seed, done) => {
                self.keeper.seed = Some(seed);
                self.keeper.settle("reseed").await;
                let _ = done.send(());
            }
            Command::PassEnvs => self.keeper.settle("pass variables to").await,
        }
    }

    async fn execute(&mut self, execution: Execution) {
        if execution.lines.is_closed() {
            return;
        }
        let id = match self.begin(&execution).await {
            Ok(id) => id,
            Err(error) => {
                // It may be half alive; the next execution gets a new one.
                self.keeper.kernel = None;
                let text = chain(&error);
                say_last(execution.lines, output::error("KernelError", &text, &text)).await;
                return;
            }
        };
        let extra = execution.env_vars.clone();
        let lines = execution.lines.clone();
        match self.see_through(id, execution).await {
            Ended::Completely => {
                // The client need not wait for what only the next one needs.
                drop(lines);
                self.keeper.take_back(&extra).await;
            }
            Ended::KernelLost { how } => self.replace_lost_kernel(&how, lines).await,
            Ended::Interrupted { by_force: true } => self.replace_interrupted_kernel().await,
            Ended::Interrupted { by_force: false } => {
                if self.keeper.stop_what_goes_on().await {
                    self.keeper.take_back(&extra).await;
                } else {
                    self.replace_interrupted_kernel().await;
                }
            }
            Ended::Restarted { done } => {
                let error = output::error("ContextRestarting", "Context was restarted", "");
                let _ = timeout(FAREWELL, say_last(lines, error)).await;
                let _ = done.send(self.keeper.restart().await);
            }
        }
    }

    /// Sends code to the kernel and returns the id of the request. A kernel that is found dead
    /// cannot have begun: another one gets the code, once.
    async fn begin(&mut self, execution: &Execution) -> Result<String, KernelError> {
        match self.send(execution).await {
            Err(error @ KernelError::Connection { .. }) => {
                self.keeper.lose(&chain(&error));
                self.send(execution).await
            }
            sent => sent,
        }
    }

    async fn send(&mut self, execution: &Execution) -> Result<String, KernelError> {
        self.keeper.prepare(&execution.env_vars).await?;
        let content = json!({
            "code": execution.code, "silent": false, "store_history": true,
            "user_expressions": {}, "allow_stdin": false, "stop_on_error": false,
        });
        let kernel = self.keeper.kernel.as_mut().expect("it was just prepared");
        kernel.ask("execute_request", &content).await
    }

    /// Passes on what the kernel says about its request until the execution ends or is ended.
    async fn see_through(&mut self, id: String, execution: Execution) -> Ended {
        let mut client = Client::new(execution.lines);
        if let Some(text) = self.keeper.notice.take() {
            client.push(output::printed("stderr", &text));
        }
        let language = self.keeper.language;
        let kernel = self.keeper.kernel.as_mut().expect("it was just asked");
        let translator = Translator::new(client, id, language, execution.code, kernel.uncounted);
        let mut running = Running::new(language, translator, self.restores.clone());
        let ended = running.watch(kernel, &mut self.commands).await;
        self.keeper.seed = running.seed.or(self.keeper.seed);
        ended
    }

    async fn replace_lost_kernel(&mut self, how: &str, lines: mpsc::Sender<Bytes>) {
        let language = self.keeper.language.name();
        tracing::warn!(language, how, "kernel ended in an execution");
        self.keeper.kernel = None;
        let text = format!("The kernel ended ({how}) before the execution was finished");
        say_last(lines, output::error("UnexpectedEndOfExecution", &text, "")).await;
        self.keeper.revive().await;
    }

    async fn replace_interrupted_kernel(&mut self) {
        self.keeper.notice = Some(format!(
            "The {} kernel was started anew, because its last execution was interrupted: its \
             variables are lost.\n",
            self.keeper.language.name()
        ));
        self.keeper.end().await;
        self.keeper.revive().await;
    }
}

/// Ends a client's stream with an error.
async fn say_last(lines: mpsc::Sender<Bytes>, error: Bytes) {
    // A client that has left needs neither.
    let _ = lines.send(error).await;
    let _ = lines.send(Bytes::from_static(output::END)).await;
}

/// An error with its causes, for the user of the sandbox: the kernel is his own.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
