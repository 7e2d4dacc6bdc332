//! Keeps the kernel of one context: starts it, replaces it, and tells it what changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::host::Host;
use crate::kernel::{Kernel, KernelError};
use crate::language::{Changes, Language};

/// A kernel that ended by itself sooner than this after its start is not started again until it
/// is needed, so that one that cannot live does not use up the machine.
const SETTLED: Duration = Duration::from_secs(5);

/// The kernel of a context, and what it knows.
pub(crate) struct Keeper {
    pub(crate) language: Language,
    pub(crate) kernel: Option<Kernel>,
    /// What the next client must know.
    pub(crate) notice: Option<String>,
    /// A seed that the kernel could not take yet.
    pub(crate) seed: Option<[u8; 32]>,
    host: Arc<Host>,
    tracker: TaskTracker,
    cwd: PathBuf,
    started: Instant,
    /// Variables of the sandbox that the kernel has.
    passed: BTreeMap<String, String>,
}

impl Keeper {
    /// A keeper without a kernel, which comes when it is needed.
    pub(crate) fn new(
        host: Arc<Host>,
        tracker: TaskTracker,
        language: Language,
        cwd: PathBuf,
    ) -> Self {
        Self {
            language,
            kernel: None,
            notice: None,
            seed: None,
            host,
            tracker,
            cwd,
            started: Instant::now(),
            passed: BTreeMap::new(),
        }
    }

    /// Starts a kernel if there is none.
    pub(crate) async fn ensure_kernel(&mut self) -> Result<(), KernelError> {
        if self.kernel.is_some() {
            return Ok(());
        }
        let envs = if self.language.inherits_env() { self.host.envs() } else { BTreeMap::new() };
        let kernel =
            Kernel::start(&self.host, &self.tracker, self.language, &self.cwd, &envs).await?;
        tracing::info!(
            language = self.language.name(),
            pid = kernel.process.pid(),
            "kernel started"
        );
        self.kernel = Some(kernel);
        self.started = Instant::now();
        self.passed = envs;
        // It was seeded when it started.
        self.seed = None;
        Ok(())
    }

    /// Makes the kernel ready for an execution with variables of its own.
    pub(crate) async fn prepare(
        &mut self,
        extra: &BTreeMap<String, String>,
    ) -> Result<(), KernelError> {
        let ended = self.kernel.as_ref().and_then(|kernel| kernel.process.wait().now_or_never());
        if let Some(how) = ended {
            self.lose(&how);
        }
        self.ensure_kernel().await?;
        self.update_kernel().await?;
        if extra.is_empty() {
            return Ok(());
        }
        let changes = extra.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        self.change_env(&changes.collect()).await
    }

    /// Ends the kernel, if there is one, and starts another.
    pub(crate) async fn restart(&mut self) -> Result<(), KernelError> {
        self.end().await;
        self.notice = None;
        self.ensure_kernel().await
    }

    /// Ends the kernel, if there is one, and waits for its end.
    pub(crate) async fn end(&mut self) {
        if let Some(kernel) = self.kernel.take() {
            kernel.kill().await;
        }
    }

    /// Gives up a kernel that ended by itself while nothing ran.
    pub(crate) fn lose(&mut self, how: &str) {
        let language = self.language.name();
        tracing::warn!(language, how, "kernel ended");
        self.kernel = None;
        self.notice = Some(format!(
            "The {language} kernel ended ({how}) and was started anew: its variables are lost.\n"
        ));
    }

    /// The same, and starts another if that promises to live.
    pub(crate) async fn mourn(&mut self, how: &str) {
        self.lose(how);
        if self.started.elapsed() >= SETTLED {
            self.revive().await;
        }
    }

    /// Starts a kernel for whoever comes next; on failure the next execution tries again.
    pub(crate) async fn revive(&mut self) {
        if let Err(error) = self.ensure_kernel().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot start a kernel");
        }
    }

    /// Brings the kernel up to date outside of an execution.
    pub(crate) async fn settle(&mut self, what: &str) {
        if self.kernel.is_some()
            && let Err(error) = self.update_kernel().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, what, "cannot tell a kernel");
        }
    }

    /// Gives the kernel what it missed: random states, and variables of the sandbox.
    async fn update_kernel(&mut self) -> Result<(), KernelError> {
        let wanted = self.host.envs();
        if wanted != self.passed {
            let mut changes: Changes =
                wanted.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
            for name in self.passed.keys() {
                changes.entry(name.clone()).or_insert_with(|| self.base_value(name));
            }
            self.change_env(&changes).await?;
            self.passed = wanted;
        }
        if let Some(seed) = self.seed.take()
            && let Some(kernel) = self.kernel.as_mut()
        {
            if self.language.answers_requests() {
                kernel.request_aside(&json!({ "seed": hex(&seed) })).await?;
            } else if let Some(code) = self.language.reseed_code(&seed) {
                kernel.run_aside(&code).await?;
            }
        }
        Ok(())
    }

    /// Puts variables of one execution back to what they are for all; without success the kernel
    /// is given up.
    pub(crate) async fn take_back(&mut self, extra: &BTreeMap<String, String>) {
        if extra.is_empty() {
            return;
        }
        let changes = extra
            .keys()
            .map(|name| {
                let value = self.passed.get(name).cloned().or_else(|| self.base_value(name));
                (name.clone(), value)
            })
            .collect();
        if let Err(error) = self.change_env(&changes).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot reset variables");
            self.kernel = None;
        }
    }

    /// Ends code that ignored an interrupt; false if the kernel does not survive that.
    pub(crate) async fn stop_what_goes_on(&mut self) -> bool {
        let (Some(code), Some(kernel)) = (self.language.stop_code(), self.kernel.as_mut()) else {
            return true;
        };
        kernel.run_aside(code).await.is_ok()
    }

    fn base_value(&self, name: &str) -> Option<String> {
        if self.language.inherits_env() {
            self.host.base_env(self.language).remove(name)
        } else {
            None
        }
    }

    async fn change_env(&mut self, changes: &Changes) -> Result<(), KernelError> {
        let Some(kernel) = self.kernel.as_mut() else { return Ok(()) };
        if self.language.answers_requests() {
            kernel.request_aside(&json!({ "env": changes })).await
        } else {
            kernel.run_aside(&self.language.env_code(changes)).await
        }
    }

    /// Waits for the end of the kernel, and meanwhile drops what it publishes: output of threads
    /// that outlived their execution. Never returns without a kernel.
    pub(crate) async fn ended(&mut self) -> String {
        let Some(kernel) = &mut self.kernel else { return std::future::pending().await };
        loop {
            tokio::select! {
                how = kernel.process.wait() => return how,
                message = kernel.published.recv() => if message.is_none() {
                    return kernel.process.wait().await;
                },
                _ = Kernel::printed(&mut kernel.pipes) => {}
                reply = kernel.replies.recv() => if reply.is_none() {
                    return kernel.process.wait().await;
                },
            }
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
