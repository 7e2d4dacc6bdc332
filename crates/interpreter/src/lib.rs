//! The code interpreter: HTTP on one side, Jupyter kernels on the other.
//!
//! The guest agent runs it on port 49999 of each sandbox. Its surface is CONTRACT.md section 4.

mod client;
mod contexts;
mod departure;
mod dial;
mod driver;
mod fence;
mod host;
mod http;
mod java;
mod keeper;
mod kernel;
mod language;
mod local;
mod memory;
mod message;
mod output;
mod pipes;
mod process;
mod running;
mod snippet;
mod translate;
mod zmtp;

use std::collections::BTreeMap;
use std::fmt;
use std::future::IntoFuture;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use contexts::Contexts;
use host::Host;
use language::Language;

pub use local::LocalSpawner;
pub use process::{KernelCommand, KernelProcess, ProcessSignal, Spawner};

/// What the interpreter is told by the guest agent.
#[derive(Clone)]
pub struct Config {
    /// Whom kernels run as.
    pub user: String,
    /// That user's home, and where contexts start that name no directory.
    pub home: PathBuf,
    /// A directory of the guest that the interpreter owns: sockets and start-up files of kernels.
    /// Created if missing; must be on the sandbox's own file system.
    pub runtime_dir: PathBuf,
    /// Where the kernels are installed: [`Config::DEFAULT_VENV`] unless a test says otherwise.
    pub venv: PathBuf,
    /// The variables of the sandbox, asked for at each start of a kernel and before executions.
    pub envs: Arc<dyn Fn() -> BTreeMap<String, String> + Send + Sync>,
    /// The token that `/execute` asks for; none if the sandbox is not secured.
    pub token: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Starts kernels.
    pub spawner: Arc<dyn Spawner>,
}

impl Config {
    /// Where templates install the kernels. See the crate's README.md.
    pub const DEFAULT_VENV: &str = "/opt/overwinter/venv";
    /// Where a guest keeps what the interpreter owns.
    pub const DEFAULT_RUNTIME_DIR: &str = "/run/overwinter-interpreter";
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("user", &self.user)
            .field("home", &self.home)
            .field("runtime_dir", &self.runtime_dir)
            .field("venv", &self.venv)
            .finish_non_exhaustive()
    }
}

/// The interpreter: a set of contexts, each with its kernel. Clones are the same interpreter.
#[derive(Clone, Debug)]
pub struct Interpreter {
    contexts: Arc<Contexts>,
    ready: CancellationToken,
}

/// How long [`Interpreter::reseed`] waits for kernels that do not answer.
const RESEED_TIMEOUT: Duration = Duration::from_secs(1);

impl Interpreter {
    /// Starts the default kernels in the background and returns at once.
    ///
    /// Must be called inside a tokio runtime. In a template without kernels it starts nothing, and
    /// is ready at once.
    pub fn start(config: Config) -> Self {
        let contexts = Arc::new(Contexts::new(Arc::new(Host::new(config))));
        let interpreter = Self { contexts, ready: CancellationToken::new() };
        if interpreter.present() {
            if let Err(error) = interpreter.contexts.host().prepare() {
                tracing::error!(%error, "cannot write the start-up files of kernels");
            }
            interpreter.start_default_kernels();
        } else {
            interpreter.ready.cancel();
        }
        interpreter
    }

    /// Python's kernel starts at once; JavaScript's takes 130 MiB and starts when it is needed,
    /// but its context is there from the beginning.
    fn start_default_kernels(&self) {
        let python = self.contexts.default_for(Language::Python);
        if Language::JavaScript.is_installed(&self.contexts.host().config.venv) {
            self.contexts.default_for(Language::JavaScript);
        }
        let ready = self.ready.clone();
        self.contexts.tracker().spawn(async move {
            match python.start().await {
                Ok(()) => ready.cancel(),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no default kernel");
                }
            }
        });
    }

    /// True if this template has kernels at all. Without, the guest need not listen.
    pub fn present(&self) -> bool {
        Language::Python.is_installed(&self.contexts.host().config.venv)
    }

    /// True once the default kernels are up, or if there are none.
    pub fn is_ready(&self) -> bool {
        self.ready.is_cancelled()
    }

    /// Returns once [`Interpreter::is_ready`] is true.
    pub async fn ready(&self) {
        self.ready.cancelled().await;
    }

    /// Serves HTTP until `shutdown`, then ends the kernels. Streams of executions that still run
    /// are cut off, not ended.
    ///
    /// # Errors
    ///
    /// If the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> std::io::Result<()> {
        let router = http::router(Arc::clone(&self.contexts));
        // Answers are small and a client waits for each.
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let served =
            shutdown.run_until_cancelled(axum::serve(listener, router).into_future()).await;
        self.stop().await;
        served.unwrap_or(Ok(()))
    }

    /// Ends all kernels and waits for their end.
    pub async fn stop(&self) {
        self.contexts.shut_down().await;
    }

    /// Renews the random states of all kernels, mixed with `seed`.
    ///
    /// Returns when all kernels have done so, or after a second. A kernel other than Python's
    /// that runs code does it before its next execution.
    pub async fn reseed(&self, seed: [u8; 32]) {
        let contexts = self.contexts.all();
        let renewed = futures::future::join_all(contexts.iter().map(|context| {
            // Kernels must not share random numbers among themselves either.
            let mut own = Sha256::new();
            own.update(seed);
            own.update(context.info.id.as_bytes());
            context.reseed(own.finalize().into())
        }));
        if timeout(RESEED_TIMEOUT, renewed).await.is_err() {
            tracing::warn!("not all kernels renewed their random states in time");
        }
    }

    /// Tells that the sandbox has just been restored or thawed: connections that died with the
    /// pause are not clients that left. Call it from `/init`, before [`Interpreter::reseed`].
    ///
    /// Also passes changed variables to the kernels, in the background.
    pub fn restored(&self) {
        self.contexts.restored();
    }
}
