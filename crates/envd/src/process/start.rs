//! Starts a process for a client, and sees it through to its end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use ow_guest_proto::connect::Code;
use ow_guest_proto::process::{ProcessConfig, StartRequest};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::output::{Channel, Hub, Piece};
use super::{Input, LINGER, Process, Program, Stdio3, describe, terminal};
use crate::act;
use crate::active_time::sleep_active;
use crate::guest::Guest;
use crate::paths;
use crate::rpc::RpcError;
use crate::users::User;

/// The largest piece of output. A pipe holds twice as much.
const PIECE_BYTES: usize = 32 << 10;

/// How long to go on reading after a process that was killed, whose output others may hold open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Our ends of what a process writes to.
enum Source {
    Pipe(Channel, pipe::Receiver),
    Terminal(terminal::Master),
}

/// Starts what is asked for. `timeout` is how long it may run.
pub(super) async fn start(
    guest: &Guest,
    user: User,
    request: StartRequest,
    timeout: Option<Duration>,
) -> Result<Arc<Process>, RpcError> {
    let config = request.process.ok_or_else(|| RpcError::invalid("no process is given"))?;
    if config.cmd.is_empty() {
        return Err(RpcError::invalid("cmd is empty"));
    }
    let cwd = check_cwd(&config, &user).await?;
    let program = Program {
        program: PathBuf::from(&config.cmd),
        args: config.args.clone(),
        env: environment(guest, &user, &config.envs),
        cwd,
        user,
    };
    let username = program.user.name.clone();
    let failed = |error: io::Error| start_error(&config.cmd, &error);
    let (stdio, input, sources) = if let Some(pty) = request.pty {
        let size = pty.size.unwrap_or_default();
        let size = terminal::size(size.cols, size.rows)?;
        let (master, slave) = terminal::open(size, &program.user).map_err(failed)?;
        let source = vec![Source::Terminal(master.clone())];
        (Stdio3::Terminal(slave), Input::Terminal(master), source)
    } else {
        pipes(request.stdin.unwrap_or(true)).map_err(failed)?
    };
    let child = guest.spawn(program, stdio).await.map_err(failed)?;
    let process = Arc::new(Process {
        user: username,
        config,
        tag: request.tag,
        child,
        reaper: Arc::clone(guest.reaper()),
        input,
        output: Hub::default(),
        ended: watch::Sender::new(None),
        timed_out: AtomicBool::new(false),
        signalled: Notify::new(),
    });
    guest.processes().insert(Arc::clone(&process));
    Ok(see_through(guest, process, sources, timeout))
}

async fn check_cwd(config: &ProcessConfig, user: &User) -> Result<PathBuf, RpcError> {
    let cwd = paths::resolve(config.cwd.as_deref().unwrap_or_default(), user)?;
    let (path, user) = (cwd.clone(), user.clone());
    let metadata = tokio::task::spawn_blocking(move || act::as_user(&user, || path.metadata()))
        .await
        .expect("looking at a file does not panic");
    let shown = cwd.display();
    match metadata.and_then(std::convert::identity) {
        Ok(metadata) if metadata.is_dir() => Ok(cwd),
        Ok(_) => Err(RpcError::invalid(format!("cwd '{shown}' is not a directory"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A user whose home was never made starts at the root, as with login(1).
            if config.cwd.as_deref().unwrap_or_default().is_empty() {
                return Ok(PathBuf::from("/"));
            }
            Err(RpcError::invalid(format!("cwd '{shown}' does not exist")))
        }
        Err(error) => Err(RpcError::from_io(&format!("look at cwd '{shown}'"), &error)),
    }
}

fn start_error(cmd: &str, error: &io::Error) -> RpcError {
    let mut failure = RpcError::from_io(&format!("error starting process '{cmd}'"), error);
    if failure.code == Code::NotFound {
        failure.code = Code::InvalidArgument;
    }
    failure
}

/// What a process finds in its environment: who it runs as, the sandbox's variables, its own.
pub(crate) fn environment(
    guest: &Guest,
    user: &User,
    own: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let home = user.home.to_string_lossy().into_owned();
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), guest.path_variable().to_owned()),
        ("HOME".to_owned(), home),
        ("USER".to_owned(), user.name.clone()),
        ("LOGNAME".to_owned(), user.name.clone()),
    ]);
    env.extend(guest.identity().env_vars.clone());
    env.extend(own.clone());
    env
}

fn pipes(with_stdin: bool) -> io::Result<(Stdio3, Input, Vec<Source>)> {
    let (stdout_sender, stdout) = pipe::pipe()?;
    let (stderr_sender, stderr) = pipe::pipe()?;
    let (stdin, input) = if with_stdin {
        let (sender, receiver) = pipe::pipe()?;
        (receiver.into_blocking_fd()?, Some(sender))
    } else {
        (File::open("/dev/null")?.into(), None)
    };
    let stdio = Stdio3::Files([
        stdin,
        stdout_sender.into_blocking_fd()?,
        stderr_sender.into_blocking_fd()?,
    ]);
    let sources =
        vec![Source::Pipe(Channel::Stdout, stdout), Source::Pipe(Channel::Stderr, stderr)];
    Ok((stdio, Input::Pipe(Mutex::new(input)), sources))
}

/// Starts the tasks that read what a process writes and wait for its end.
fn see_through(
    guest: &Guest,
    process: Arc<Process>,
    sources: Vec<Source>,
    timeout: Option<Duration>,
) -> Arc<Process> {
    guest.events().add("info", "process started", &fields(&process));
    let (guest, watched) = (guest.clone(), Arc::clone(&process));
    let tasks = guest.tasks().clone();
    tasks.spawn(async move {
        let stop = CancellationToken::new();
        let mut readers = JoinSet::new();
        for source in sources {
            readers.spawn(read(source, Arc::clone(&watched), stop.clone()));
        }
        let status = run_out(&watched, timeout, &mut readers, &stop).await;
        let ended = describe(status);
        let mut about = fields(&watched).to_vec();
        about.push(("status", ended.status.clone()));
        about.push(("exit_code", ended.exit_code.to_string()));
        guest.events().add("info", "process ended", &about);
        watched.ended.send_replace(Some(ended));
        watched.output.close();
        tokio::select! {
            () = async { watched.release_input().await; std::future::pending().await } => {}
            () = sleep_active(LINGER) => {}
        }
        guest.processes().remove(&watched);
    });
    process
}

fn fields(process: &Process) -> [(&'static str, String); 4] {
    let ProcessConfig { cmd, args, .. } = &process.config;
    [
        ("pid", process.pid().to_string()),
        ("cmd", format!("{cmd} {}", args.join(" "))),
        ("user", process.user.clone()),
        ("tag", process.tag.clone().unwrap_or_default()),
    ]
}

/// Waits until the process has ended and its output has been read.
///
/// The output of what it left running in the background counts, as upstream has it, but not after a
/// signal or the end of its time: then only what is there is read.
async fn run_out(
    process: &Process,
    timeout: Option<Duration>,
    readers: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> std::process::ExitStatus {
    let time_is_over = async {
        match timeout {
            Some(timeout) => sleep_active(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time_is_over);
    let mut is_over = false;
    let status = tokio::select! {
        status = process.child.wait() => status,
        () = &mut time_is_over => {
            is_over = true;
            process.timed_out.store(true, Ordering::Release);
            // It may have ended this very moment, which is as good.
            let _ = process.signal(Signal::SIGKILL);
            process.child.wait().await
        }
    };
    let all_read = async { while readers.join_next().await.is_some() {} };
    tokio::pin!(all_read);
    let cut_short = async {
        if !is_over && matches!(process.input, Input::Pipe(_)) {
            tokio::select! {
                () = process.signalled.notified() => {}
                () = &mut time_is_over => process.timed_out.store(true, Ordering::Release),
            }
        }
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = &mut all_read => return status,
        () = cut_short => {}
    }
    stop.cancel();
    all_read.await;
    status
}

/// Reads a source to its end, or until `stop` and then only what is there.
async fn read(mut source: Source, process: Arc<Process>, stop: CancellationToken) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let channel = match &source {
            Source::Pipe(channel, _) => *channel,
            Source::Terminal(_) => Channel::Pty,
        };
        let read = async {
            match &mut source {
                Source::Pipe(_, pipe) => pipe.read(&mut buffer).await,
                Source::Terminal(terminal) => terminal.read(&mut buffer).await,
            }
        };
        let length = tokio::select! {
            biased;
            length = read => length,
            () = stop.cancelled() => return,
        };
        match length {
            Ok(0) => return,
            Ok(length) => {
                process.output.publish(Piece { channel, bytes: buffer[..length].to_vec() }).await;
            }
            Err(error) => {
                tracing::warn!(pid = process.pid(), %error, "read a process's output");
                return;
            }
        }
    }
}
