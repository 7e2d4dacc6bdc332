//! Running the program `runsc`: bounded in time, with bounded output, leaving no process behind.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ow_engine::EngineError;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// How much of what `runsc` says is kept; an error of it is a line, a panic a few pages.
const OUTPUT_BYTES: usize = 16 * 1024;

/// How much of its output goes into an error.
const ERROR_LINES: usize = 6;

/// How long one of those lines may be.
const ERROR_LINE_CHARACTERS: usize = 400;

/// The program and the flags of every call.
#[derive(Debug, Clone)]
pub(crate) struct Runsc {
    program: PathBuf,
    flags: Vec<String>,
}

/// One call that has not been made yet.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    runsc: &'a Runsc,
    doing: String,
    limit: Duration,
    log: Option<PathBuf>,
    args: Vec<String>,
    /// How long it may go on after it was given up, before it is killed.
    grace: Duration,
    /// Where calls end that were given up.
    ending: TaskTracker,
}

impl Runsc {
    /// A program without flags, to be asked what it is.
    pub(crate) const fn bare(program: PathBuf) -> Self {
        Self { program, flags: Vec::new() }
    }

    /// The same program with `flags` before every command.
    pub(crate) fn with_flags(&self, flags: Vec<String>) -> Self {
        Self { program: self.program.clone(), flags }
    }

    /// A call for `doing`, which may take `limit`.
    pub(crate) fn call(&self, doing: impl Into<String>, limit: Duration) -> Call<'_> {
        let (doing, ending) = (doing.into(), TaskTracker::new());
        let grace = Duration::ZERO;
        Call { runsc: self, doing, limit, log: None, args: Vec::new(), grace, ending }
    }
}

impl Call<'_> {
    /// Adds an argument.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(str::to_owned));
        self
    }

    /// Adds `--name=path`.
    pub(crate) fn path(self, name: &str, path: &Path) -> Self {
        self.arg(format!("--{name}={}", path.display()))
    }

    /// Says where it can be waited for, if it is given up.
    pub(crate) fn ending_in(mut self, ending: TaskTracker) -> Self {
        self.ending = ending;
        self
    }

    /// Lets it end by itself for a while when it is given up.
    ///
    /// For what cannot be taken back: the sandbox does what it was told whatever becomes of the call,
    /// which would not note it.
    pub(crate) fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Says that the call leaves processes behind, which keep its standard streams.
    ///
    /// They get none: a guest could fill a file without end, and a pipe would tie it to us. What
    /// `runsc` itself has to say goes to `log`.
    pub(crate) fn detached(mut self, log: PathBuf) -> Self {
        self.log = Some(log);
        self
    }

    /// Makes the call and returns what it printed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the call is killed, after its grace, and ends in a task of `ending_in`; what it had
    /// begun in a sandbox may go on.
    pub(crate) async fn run(self) -> Result<String, EngineError> {
        let began = Instant::now();
        let result = tokio::time::timeout(self.limit, self.finish()).await;
        tracing::debug!(doing = self.doing, ms = began.elapsed().as_millis(), "runsc");
        let (status, output) = result.map_err(|_elapsed| EngineError::TimedOut {
            doing: self.doing.clone(),
            limit: self.limit,
        })??;
        if status.success() { Ok(output) } else { Err(failed(self.doing, status, &output)) }
    }

    async fn finish(&self) -> Result<(ExitStatus, String), EngineError> {
        let io = |source| EngineError::Io {
            doing: format!("{}: running `{}`", self.doing, self.runsc.program.display()),
            source,
        };
        let child = self.command().spawn().map_err(io)?;
        let (grace, ending) = (self.grace, self.ending.clone());
        let mut running = Running { child: Some(child), grace, ending };
        let child = running.child.as_mut().expect("it is taken out at the end only");
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::join!(read_bounded(stdout), read_bounded(stderr));
        let status = child.wait().await.map_err(io)?;
        running.child = None;
        let mut output = stdout + &stderr;
        if let Some(log) = &self.log {
            output.push_str(&tail_of(log).await);
        }
        Ok((status, output))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.runsc.program);
        command.args(&self.runsc.flags);
        if let Some(log) = &self.log {
            command.arg(format!("--log={}", log.display()));
        }
        let output = || if self.log.is_some() { Stdio::null() } else { Stdio::piped() };
        command
            .args(&self.args)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            // A signal to the server's group, as of a terminal, is none to a call.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// A call's process. Dropped before it has ended, it is waited for elsewhere, and killed after its
/// grace: whoever comes next must not meet it at work.
struct Running {
    child: Option<Child>,
    grace: Duration,
    ending: TaskTracker,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let grace = self.grace;
        let end = async move {
            if grace.is_zero() || tokio::time::timeout(grace, child.wait()).await.is_err() {
                // It may have ended by itself.
                let _ = child.start_kill();
                let _ = child.wait().await;
            }
        };
        // Without a runtime it is killed by being dropped, and nobody comes next.
        if let Ok(runtime) = Handle::try_current() {
            self.ending.spawn_on(end, &runtime);
        }
    }
}

/// Reads to the end and keeps the last bytes.
async fn read_bounded(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return String::new() };
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * OUTPUT_BYTES {
            kept.drain(..kept.len() - OUTPUT_BYTES);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last bytes of a file; nothing if there is none.
pub(crate) async fn tail_of(path: &Path) -> String {
    use tokio::io::AsyncSeekExt as _;
    let Ok(mut file) = tokio::fs::File::open(path).await else { return String::new() };
    let size = file.metadata().await.map_or(0, |metadata| metadata.len());
    let skipped = size.saturating_sub(OUTPUT_BYTES as u64);
    if file.seek(std::io::SeekFrom::Start(skipped)).await.is_err() {
        return String::new();
    }
    read_bounded(Some(file)).await
}

fn failed(doing: String, status: ExitStatus, output: &str) -> EngineError {
    if is_no_space(output) {
        return EngineError::NoSpace { doing };
    }
    let said = last_lines(output);
    let output = if said.is_empty() { status.to_string() } else { said };
    EngineError::Failed { doing, output }
}

/// Whether `runsc` failed because a file system was full.
pub(crate) fn is_no_space(output: &str) -> bool {
    let output = output.to_ascii_lowercase();
    ["no space left on device", "disk quota exceeded"].iter().any(|text| output.contains(text))
}

fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(ERROR_LINES)..];
    let cut = |line: &&str| message(line).chars().take(ERROR_LINE_CHARACTERS).collect::<String>();
    last.iter().map(cut).collect::<Vec<_>>().join(" | ")
}

/// What a line of the log says, which `runsc` writes as JSON.
fn message(line: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Value>(line).ok();
    let text = parsed.as_ref().and_then(|value| value.get("msg")?.as_str());
    text.unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Runsc, [String; 2], Duration) {
        (Runsc::bare("/bin/sh".into()), ["-c".to_owned(), script.to_owned()], limit)
    }

    async fn run(script: &str, limit: Duration) -> Result<String, EngineError> {
        let (runsc, [flag, script], limit) = shell(script, limit);
        runsc.call("a test", limit).arg(flag).arg(script).run().await
    }

    #[tokio::test]
    async fn a_failure_quotes_the_last_lines() {
        let failed = run("seq 100; exit 3", Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(failed.to_string(), "a test failed: 95 | 96 | 97 | 98 | 99 | 100");
    }

    #[tokio::test]
    async fn a_silent_failure_tells_the_exit_status() {
        let failed = run("exit 3", Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(failed.to_string(), "a test failed: exit status: 3");
    }

    #[tokio::test]
    async fn a_full_disk_is_told_apart() {
        let script = "echo 'write x: no space left on device' >&2; exit 1";
        let failed = run(script, Duration::from_secs(10)).await.unwrap_err();
        assert!(matches!(failed, EngineError::NoSpace { .. }), "{failed:?}");
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 60", pid.display());
        let failed = run(&script, Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(failed, EngineError::TimedOut { .. }), "{failed:?}");
        let pid = std::fs::read_to_string(pid).unwrap();
        let process = PathBuf::from(format!("/proc/{}", pid.trim()));
        for _ in 0..100 {
            if !process.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the process is still there, or was not reaped");
    }

    #[tokio::test]
    async fn endless_output_is_bounded() {
        let output = run("yes | head -c 1000000", Duration::from_secs(20)).await.unwrap();
        assert!(output.len() <= 2 * OUTPUT_BYTES + 4096, "{}", output.len());
    }
}
