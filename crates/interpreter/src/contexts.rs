//! The contexts of a sandbox, in the order in which they were made.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::driver::{Command, Driver, Execution};
use crate::host::{Host, random_hex};
use crate::keeper::Keeper;
use crate::kernel::KernelError;
use crate::language::Language;

/// Executions that may wait in one context; more are refused by making their client wait.
const WAITING_EXECUTIONS: usize = 64;

/// A context as clients see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContextInfo {
    pub(crate) id: String,
    pub(crate) language: &'static str,
    pub(crate) cwd: PathBuf,
}

/// A context: the way to its driver.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) info: ContextInfo,
    pub(crate) executions: mpsc::Sender<Execution>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    /// The language whose code runs here if no context is named.
    default_of: Option<Language>,
}

impl Context {
    /// Makes the kernel start now, and waits for it.
    pub(crate) async fn start(&self) -> Result<(), KernelError> {
        self.command(Command::Start).await
    }

    /// Ends the kernel and waits for a new one.
    pub(crate) async fn restart(&self) -> Result<(), KernelError> {
        self.command(Command::Restart).await
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), KernelError>>) -> Command,
    ) -> Result<(), KernelError> {
        let (sender, done) = oneshot::channel();
        let _ = self.commands.send(command(sender)).await;
        // No answer means that the context was removed meanwhile.
        done.await.unwrap_or(Ok(()))
    }

    /// Renews random states; returns once that is certain.
    pub(crate) async fn reseed(&self, seed: [u8; 32]) {
        let (sender, done) = oneshot::channel();
        if self.commands.send(Command::Reseed(seed, sender)).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Has changed variables passed to the kernel.
    pub(crate) fn pass_envs(&self) {
        // Without room it happens before the next execution.
        let _ = self.commands.try_send(Command::PassEnvs);
    }
}

/// All contexts.
#[derive(Debug)]
pub(crate) struct Contexts {
    host: Arc<Host>,
    tracker: TaskTracker,
    stop: CancellationToken,
    restores: watch::Sender<u64>,
    list: Mutex<Vec<Arc<Context>>>,
}

impl Contexts {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self {
            host,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
            restores: watch::Sender::new(0),
            list: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Tells all executions that lost connections are not clients that left.
    pub(crate) fn restored(&self) {
        self.restores.send_modify(|count| *count += 1);
        for context in self.all() {
            context.pass_envs();
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Context>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Context>> {
        self.all().into_iter().find(|context| context.info.id == id)
    }

    /// The context that runs code of a language if none is named; made if there is none.
    pub(crate) fn default_for(&self, language: Language) -> Arc<Context> {
        let language = language.default_context();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = list.iter().find(|context| context.default_of == Some(language)) {
            return Arc::clone(context);
        }
        let context = self.make(language, self.host.config.home.clone(), Some(language));
        list.push(Arc::clone(&context));
        context
    }

    /// Makes a context whose kernel starts when it is needed.
    pub(crate) fn create(&self, language: Language, cwd: PathBuf) -> Arc<Context> {
        let context = self.make(language, cwd, None);
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&context));
        context
    }

    fn make(&self, language: Language, cwd: PathBuf, default_of: Option<Language>) -> Arc<Context> {
        let hex = random_hex();
        let id = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
        let (executions, executions_receiver) = mpsc::channel(WAITING_EXECUTIONS);
        let (commands, commands_receiver) = mpsc::channel(WAITING_EXECUTIONS);
        let stop = self.stop.child_token();
        let (host, tracker) = (Arc::clone(&self.host), self.tracker.clone());
        let driver = Driver {
            keeper: Keeper::new(host, tracker, language, cwd.clone()),
            executions: executions_receiver,
            commands: commands_receiver,
            restores: self.restores.subscribe(),
            stop: stop.clone(),
        };
        self.tracker.spawn(driver.run());
        let info = ContextInfo { id, language: language.name(), cwd };
        Arc::new(Context { info, executions, commands, stop, default_of })
    }

    /// Removes a context and ends its kernel; false if there is none.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = list.iter().position(|context| context.info.id == id) else { return false };
        list.remove(at).stop.cancel();
        true
    }

    /// Ends all kernels.
    pub(crate) async fn shut_down(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
