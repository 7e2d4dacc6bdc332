//! A real server in a directory of its own, which can be killed and started again.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use overwinter_client::{Client, ListOptions};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::Options;

/// How long a server may take from its start until sandboxes can be created.
///
/// Three times the goal (DESIGN.md), so that a busy machine ends no run; the tally shows the time.
const START_LIMIT: Duration = Duration::from_secs(15);

/// How long servers keep what is paused frozen in memory, by turns: not at all, for about as long as
/// a sandbox here stays paused, and for longer than any does.
const FROZEN_FOR: [&str; 3] = ["0s", "700ms", "10m"];

#[derive(Debug)]
pub(crate) struct Server {
    binary: PathBuf,
    runsc: Option<PathBuf>,
    data: TempDir,
    log: PathBuf,
    api: u16,
    edge: u16,
    client: Client,
    process: Mutex<Option<Child>>,
    starts: AtomicUsize,
}

impl Server {
    /// Makes a data directory that borrows the templates of `options.data_dir`, and starts.
    pub(crate) async fn set_up(options: &Options) -> Result<Self, String> {
        let data = tempfile::Builder::new()
            .prefix("torture-")
            .tempdir_in(options.data_dir.parent().unwrap_or_else(|| Path::new("/")))
            .map_err(|error| format!("make a data directory: {error}"))?;
        for shared in ["templates", "bin"] {
            let source = options.data_dir.join(shared);
            if source.exists() {
                let source = source.canonicalize().map_err(|error| error.to_string())?;
                std::os::unix::fs::symlink(source, data.path().join(shared))
                    .map_err(|error| format!("borrow `{shared}`: {error}"))?;
            }
        }
        let key = make_key(&options.server, data.path()).await?;
        let (api, edge) = (free_port()?, free_port()?);
        let client = Client::builder(key)
            .api_url(format!("http://127.0.0.1:{api}"))
            .sandbox_url(format!("http://127.0.0.1:{edge}"))
            .build()
            .map_err(|error| error.to_string())?;
        let server = Self {
            binary: options.server.clone(),
            runsc: options.runsc.clone(),
            log: options.log.clone().unwrap_or_else(|| data.path().join("server.log")),
            data,
            api,
            edge,
            client,
            process: Mutex::new(None),
            starts: AtomicUsize::new(0),
        };
        server.start().await?;
        Ok(server)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// What processes of this server's sandboxes have in their command lines.
    pub(crate) fn mark(&self) -> String {
        self.data.path().display().to_string()
    }

    /// Starts the server and returns how long it took until sandboxes can be created.
    pub(crate) async fn start(&self) -> Result<Duration, String> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(self.data.path())
            .arg("--api-listen")
            .arg(format!("127.0.0.1:{}", self.api))
            .arg("--edge-listen")
            .arg(format!("127.0.0.1:{}", self.edge))
            .arg("--frozen-for")
            .arg(FROZEN_FOR[self.starts.fetch_add(1, Ordering::Relaxed) % FROZEN_FOR.len()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log);
        if let Some(runsc) = &self.runsc {
            command.env("OVERWINTER_RUNSC", runsc);
        }
        let began = Instant::now();
        let child = command.spawn().map_err(|error| format!("start the server: {error}"))?;
        *self.process.lock().await = Some(child);
        self.wait_until_healthy(began).await
    }

    async fn wait_until_healthy(&self, began: Instant) -> Result<Duration, String> {
        let url = format!("http://127.0.0.1:{}/health", self.api);
        while began.elapsed() < START_LIMIT {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200) {
                return Ok(began.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("the server was not healthy within {START_LIMIT:?}: {}", self.log_tail()))
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Ends the server at once, as a power cut would.
    pub(crate) async fn kill(&self) {
        if let Some(mut child) = self.process.lock().await.take() {
            // An error means that it has ended already.
            let _ = child.kill().await;
        }
    }

    /// Ends all sandboxes, then the server.
    pub(crate) async fn tear_down(&self) {
        match self.client.list_all(ListOptions::default()).await {
            Ok(sandboxes) => {
                for sandbox in sandboxes {
                    if let Err(error) = self.client.kill(&sandbox.sandbox_id).await {
                        println!("kill {}: {error}", sandbox.sandbox_id);
                    }
                }
            }
            Err(error) => println!("list what is left: {error}"),
        }
        self.kill().await;
        crate::chaos::kill_all(&self.mark()).await;
        // `runsc` keeps a network namespace mounted, and the directory could not be removed.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in mounts.filter(|mount| Path::new(mount).starts_with(self.data.path())) {
            let _ = Command::new("umount").arg("--lazy").arg(mount).output().await;
        }
    }
}

async fn make_key(server: &Path, data: &Path) -> Result<String, String> {
    let output = Command::new(server)
        .args(["key", "create", "--name", "torture", "--data-dir"])
        .arg(data)
        .output()
        .await
        .map_err(|error| format!("run `{}`: {error}", server.display()))?;
    if !output.status.success() {
        return Err(format!("make a key: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}
