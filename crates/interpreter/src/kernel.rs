//! One kernel: its process and our connections to it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::dial::{Dialled, addresses, dial, send};
use crate::host::Host;
use crate::language::Language;
use crate::message::{Message, Session};
use crate::pipes::{Pipes, Taken};
use crate::zmtp::Writer;
use crate::{KernelCommand, KernelProcess, ProcessSignal};

/// How long a kernel may take to answer first. A Java kernel in a sandbox of one busy CPU took
/// 9 s; this leaves room.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long something said between executions may take.
const ASIDE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a kernel is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    #[error("{language} is not installed in this template; it has {installed}")]
    NotInstalled { language: &'static str, installed: String },
    #[error("start the {language} kernel in `{cwd}`", cwd = cwd.display())]
    Spawn {
        language: &'static str,
        cwd: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the {language} kernel ended while it started, with {how}{output}")]
    EndedAtStart { language: &'static str, how: String, output: String },
    #[error("the {language} kernel did not answer")]
    Silent { language: &'static str },
    #[error("talk to the {language} kernel")]
    Connection {
        language: &'static str,
        #[source]
        source: io::Error,
    },
}

/// A kernel that answers.
pub(crate) struct Kernel {
    pub(crate) process: Box<dyn KernelProcess>,
    /// What it publishes. Not reading it makes the kernel wait.
    pub(crate) published: mpsc::Receiver<Message>,
    /// What it prints, if that does not come as messages.
    pub(crate) pipes: Option<Pipes>,
    /// Its answers on the shell and control channels.
    pub(crate) replies: mpsc::Receiver<Message>,
    /// Executions that it counted though nobody should know of them.
    pub(crate) uncounted: u64,
    language: Language,
    session: Session,
    shell: Writer,
    control: Writer,
    dir: PathBuf,
    _readers: DropGuard,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("process", &self.process).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Starts a kernel and waits until it answers.
    pub(crate) async fn start(
        host: &Host,
        tracker: &TaskTracker,
        language: Language,
        cwd: &Path,
        envs: &BTreeMap<String, String>,
    ) -> Result<Self, KernelError> {
        let venv = &host.config.venv;
        let name = language.name();
        if !language.is_installed(venv) {
            let installed = crate::language::installed(venv);
            return Err(KernelError::NotInstalled { language: name, installed });
        }
        let spawn_error = |source| KernelError::Spawn { language: name, cwd: cwd.into(), source };
        let dir = host.kernel_dir().map_err(spawn_error)?;
        let addresses = addresses(language, &dir)
            .and_then(|addresses| host.give(&addresses.connection_file).map(|()| addresses))
            .map_err(spawn_error)?;
        let pipes = if language.prints_to_pipes() {
            Some(Pipes::create(&dir, host).map_err(spawn_error)?)
        } else {
            None
        };
        let taken = if language.waits_until_taken() {
            Some(Taken::create(&dir, host).map_err(spawn_error)?)
        } else {
            None
        };
        let output = dir.join("output");
        let (program, args) =
            language.command(venv, &host.startup(), &addresses.connection_file, &host.envs());
        let mut env = host.base_env(language);
        env.extend(envs.iter().map(|(name, value)| (name.clone(), value.clone())));
        let process = host
            .config
            .spawner
            .spawn(KernelCommand {
                program,
                args,
                env,
                cwd: cwd.into(),
                user: host.config.user.clone(),
                output: Some(output.clone()),
            })
            .await
            .map_err(spawn_error)?;

        let mut guard = KillOnDrop(Some(process));
        let process = guard.0.as_deref().expect("just set");
        let started = tokio::select! {
            kernel = timeout(START_TIMEOUT, dial(&addresses, language, host, tracker, taken)) => kernel,
            how = process.wait() => {
                guard.0 = None;
                let printed = pipes.into_iter().flat_map(|mut pipes| pipes.rest());
                let printed = printed.map(|(_, text)| text).collect();
                let output = last_lines(&output, printed);
                let _ = fs::remove_dir_all(&dir);
                return Err(KernelError::EndedAtStart { language: name, how, output });
            }
        };
        let dialled = match started {
            Err(_) => Err(KernelError::Silent { language: name }),
            Ok(Err(source)) => Err(KernelError::Connection { language: name, source }),
            Ok(Ok(dialled)) => Ok(dialled),
        };
        let Dialled { session, shell, control, published, replies, readers } = dialled?;
        let process = guard.0.take().expect("still there");
        let mut kernel = Self {
            process,
            published,
            pipes,
            replies,
            uncounted: 0,
            language,
            session,
            shell,
            control,
            dir,
            _readers: readers,
        };
        if let Some(code) = language.startup_code(&kernel.dir) {
            let id = kernel.ask_silently(&code).await?;
            kernel.answered(&id, true, START_TIMEOUT).await?;
        }
        Ok(kernel)
    }

    /// The next thing that it prints other than by messages, and where.
    pub(crate) async fn printed(pipes: &mut Option<Pipes>) -> (&'static str, String) {
        match pipes {
            Some(pipes) => pipes.next().await,
            None => std::future::pending().await,
        }
    }

    /// Sends a request on the shell channel and returns its id.
    pub(crate) async fn ask(&mut self, kind: &str, content: &Value) -> Result<String, KernelError> {
        let (id, frames) = self.session.request(kind, content);
        send(&mut self.shell, &frames).await.map_err(|source| self.connection_error(source))?;
        Ok(id)
    }

    /// Sends a request on the control channel, which is answered also while code runs, and
    /// returns its id.
    pub(crate) async fn ask_control(
        &mut self,
        kind: &str,
        content: &Value,
    ) -> Result<String, KernelError> {
        let (id, frames) = self.session.request(kind, content);
        send(&mut self.control, &frames).await.map_err(|source| self.connection_error(source))?;
        Ok(id)
    }

    /// Runs code between executions: it is not counted, and what it prints is dropped.
    pub(crate) async fn run_aside(&mut self, code: &str) -> Result<(), KernelError> {
        let id = self.ask_silently(code).await?;
        self.answered(&id, true, ASIDE_TIMEOUT).await
    }

    /// Asks for code to be run without being counted, and returns the id of the request.
    pub(crate) async fn ask_silently(&mut self, code: &str) -> Result<String, KernelError> {
        let content = json!({
            "code": code, "silent": true, "store_history": false, "user_expressions": {},
            "allow_stdin": false, "stop_on_error": false,
        });
        self.uncounted += u64::from(self.language.counts_silent());
        self.ask("execute_request", &content).await
    }

    /// Sends our own request to a kernel that answers it, and waits for the answer.
    pub(crate) async fn request_aside(&mut self, content: &Value) -> Result<(), KernelError> {
        let id = self.ask_control("overwinter_request", content).await?;
        self.answered(&id, false, ASIDE_TIMEOUT).await
    }

    /// Waits for the answer to a request, and if asked for the end of its work, and drops what
    /// is published meanwhile.
    async fn answered(
        &mut self,
        id: &str,
        until_idle: bool,
        patience: Duration,
    ) -> Result<(), KernelError> {
        let deadline = Instant::now() + patience;
        let (mut replied, mut idle) = (false, !until_idle);
        while !(replied && idle) {
            let next = async {
                tokio::select! {
                    message = self.replies.recv() => message.map(|message| (true, message)),
                    message = self.published.recv() => message.map(|message| (false, message)),
                    _ = Self::printed(&mut self.pipes) => Some((false, Message::default())),
                }
            };
            match timeout_at(deadline, next).await {
                Err(_) => return Err(KernelError::Silent { language: self.language.name() }),
                Ok(None) => return Err(self.connection_error(io::ErrorKind::UnexpectedEof.into())),
                Ok(Some((is_reply, message))) if message.parent == id => {
                    replied |= is_reply;
                    idle |= is_idle(&message);
                }
                Ok(Some(_)) => {}
            }
        }
        Ok(())
    }

    fn connection_error(&self, source: io::Error) -> KernelError {
        KernelError::Connection { language: self.language.name(), source }
    }

    /// Ends the process and waits for its end.
    pub(crate) async fn kill(self) {
        if let Err(error) = self.process.signal(ProcessSignal::Kill) {
            tracing::warn!(%error, pid = self.process.pid(), "cannot end a kernel");
        }
        if timeout(ASIDE_TIMEOUT, self.process.wait()).await.is_err() {
            tracing::warn!(pid = self.process.pid(), "a kernel that was killed does not end");
        }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.process.signal(ProcessSignal::Kill);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// True if this says that the work for its request is over.
pub(crate) fn is_idle(message: &Message) -> bool {
    message.kind == "status" && message.text("execution_state") == "idle"
}

/// Ends a process whose start was not completed.
struct KillOnDrop(Option<Box<dyn KernelProcess>>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(process) = &self.0 {
            let _ = process.signal(ProcessSignal::Kill);
        }
    }
}

/// The end of what a kernel said that did not start: what it printed to its pipes, and before that
/// to its file.
fn last_lines(output: &Path, printed: String) -> String {
    let mut text = fs::read(output).unwrap_or_default();
    text.extend(printed.into_bytes());
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned();
    if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
}
