//! Runs the code interpreter, and starts its kernels as users of the sandbox.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use ow_interpreter::{Config, Interpreter, KernelCommand, KernelProcess, ProcessSignal, Spawner};

use crate::guest::Guest;
use crate::process::{Program, Stdio3, describe};
use crate::reaper::{Child, Reaper};
use crate::users;

/// Whom kernels run as, until the node names another default user.
const KERNEL_USER: &str = "user";

/// Has no input, and takes all output.
const NOWHERE: &str = "/dev/null";

impl Guest {
    /// Starts the code interpreter if this template has its kernels; it is to be served then.
    ///
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn start_interpreter(&self) -> Option<Interpreter> {
        let venv = self.options().interpreter_venv.clone();
        let venv = venv.unwrap_or_else(|| PathBuf::from(Config::DEFAULT_VENV));
        let user = users::find(KERNEL_USER).or_else(|| users::find("root"))?;
        let (envs, token) = (self.clone(), self.clone());
        let interpreter = Interpreter::start(Config {
            user: user.name,
            home: user.home,
            runtime_dir: PathBuf::from(Config::DEFAULT_RUNTIME_DIR),
            venv,
            envs: Arc::new(move || envs.identity().env_vars.clone()),
            token: Arc::new(move || {
                token.identity().access_token.as_ref().map(|token| token.expose().to_owned())
            }),
            spawner: Arc::new(KernelSpawner(self.clone())),
        });
        if !interpreter.present() {
            return None;
        }
        self.set_interpreter(interpreter.clone());
        Some(interpreter)
    }
}

#[derive(Debug)]
struct KernelSpawner(Guest);

#[async_trait]
impl Spawner for KernelSpawner {
    async fn spawn(&self, command: KernelCommand) -> io::Result<Box<dyn KernelProcess>> {
        let user = users::find(&command.user).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no user {}", command.user))
        })?;
        let (stdout, stderr) = outputs(command.output.as_deref())?;
        let stdin = File::open(NOWHERE)?.into();
        let stdio = Stdio3::Files([stdin, stdout, stderr]);
        let program = Program {
            program: command.program.clone(),
            args: command.args,
            env: command.env,
            cwd: command.cwd,
            user,
        };
        let child = self.0.spawn(program, stdio).await?;
        let kernel = command.program.display().to_string();
        let about = [("pid", child.pid().to_string()), ("program", kernel)];
        self.0.events().add("info", "kernel started", &about);
        let (guest, watched) = (self.0.clone(), child.clone());
        self.0.tasks().spawn(async move {
            let status = describe(watched.wait().await).status;
            let about = [("pid", watched.pid().to_string()), ("status", status)];
            guest.events().add("warn", "kernel ended", &about);
        });
        Ok(Box::new(Kernel { child, reaper: Arc::clone(self.0.reaper()) }))
    }
}

fn outputs(path: Option<&Path>) -> io::Result<(OwnedFd, OwnedFd)> {
    let path = path.unwrap_or_else(|| Path::new(NOWHERE));
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    Ok((file.try_clone()?.into(), file.into()))
}

#[derive(Debug)]
struct Kernel {
    child: Child,
    reaper: Arc<Reaper>,
}

#[async_trait]
impl KernelProcess for Kernel {
    fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn signal(&self, signal: ProcessSignal) -> io::Result<()> {
        let signal = match signal {
            ProcessSignal::Interrupt => Signal::SIGINT,
            ProcessSignal::Kill => Signal::SIGKILL,
        };
        self.reaper.signal_group(&self.child, signal).map(|_sent| ())
    }

    async fn wait(&self) -> String {
        describe(self.child.wait().await).status
    }
}
