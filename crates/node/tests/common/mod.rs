//! A node with the real engine in a network of its own, for tests that make real sandboxes.
//!
//! `OVERWINTER_TEST_RUNSC` names the engine's program; without it these tests are skipped. The
//! guest is `guest.rs` and the template a shell, both made once by `tools.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ow_engine::Engine as _;
use ow_engine_gvisor::{GvisorEngine, Timeouts};
use ow_node::{Config, Node, Template};
use ow_node_api::{Identity, NodeApi as _, Pause, Resume, Start};
use ow_types::{
    Durability, Egress, ExecutionId, PauseMode, Resources, SandboxId, SnapshotId, SystemClock,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use tools::{call, tools};

mod tools;

pub(crate) use tools::runsc;

/// A node, and what it works with.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) data: PathBuf,
    pub(crate) engine: Arc<GvisorEngine>,
    directory: PathBuf,
}

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a test's sandboxes may use.
pub(crate) const RESOURCES: Resources = Resources { vcpu: 1, memory_mib: 256, disk_mib: 256 };

/// Runs a test with a node in a network of its own, and then looks that nothing is left.
pub(crate) fn with_node<Fut: Future<Output = ()>>(test: impl FnOnce(World) -> Fut) {
    with_configured_node(|_| {}, test);
}

/// The same with a node whose configuration `change` has changed.
pub(crate) fn with_configured_node<Fut: Future<Output = ()>>(
    change: impl FnOnce(&mut Config),
    test: impl FnOnce(World) -> Fut,
) {
    if tools().is_none() {
        return;
    }
    // The node's threads and programs are in the network of the thread that starts them.
    unshare(CloneFlags::CLONE_NEWNET).expect("root may");
    call("ip", &["link", "set", "lo", "up"]);
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().to_owned();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let runtime = Runtime::new().expect("threads");
        runtime.block_on(async { test(World::with(&path, change).await).await });
        runtime.shutdown_timeout(Duration::from_secs(5));
    }));
    let runtime = Runtime::new().expect("threads");
    runtime.block_on(clean(&path));
    runtime.shutdown_timeout(Duration::from_secs(5));
    unmount_below(&path);
    if let Err(panic) = done {
        resume_unwind(panic);
    }
    assert_nothing_is_left(&path.join("data"));
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Unmounts what is below a directory: `runsc` keeps a network namespace in its own.
fn unmount_below(directory: &Path) {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").expect("it is there");
    let mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for mount in mounts.filter(|mount| mount.starts_with(directory)) {
        umount2(mount, MntFlags::MNT_DETACH).expect("root may");
    }
}

async fn clean(path: &Path) {
    let world = World::open(path).await;
    for held in world.node.held().await.expect("the node answers") {
        world.node.kill(&held.execution).await.expect("a run ends");
    }
    world.node.shut_down().await;
    assert_eq!(world.engine.runs().await.expect("the engine answers"), []);
}

fn assert_nothing_is_left(data: &Path) {
    let left = fs::read_dir(data.join("runs")).expect("the node made it").count();
    assert_eq!(left, 0, "places are left");
    for entry in fs::read_dir("/run/overwinter/slots").expect("the node made it").flatten() {
        let owner = fs::read_to_string(entry.path()).unwrap_or_default();
        assert!(!Path::new(&owner).starts_with(data), "slot {:?} is left", entry.file_name());
    }
    let devices = fs::read_to_string("/proc/thread-self/net/dev").expect("it is there");
    assert!(!devices.contains("owh"), "interfaces are left: {devices}");
}

/// The memory limits of a node's runs.
pub(crate) fn memory_limits(data: &Path) -> Vec<String> {
    let metadata = fs::metadata(data).expect("the node made it");
    let name = format!("overwinter/{:x}-{:x}", metadata.dev(), metadata.ino());
    let mut limits = Vec::new();
    for root in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
        for run in fs::read_dir(Path::new(root).join(&name)).into_iter().flatten().flatten() {
            for file in ["memory.limit_in_bytes", "memory.max"] {
                limits.extend(fs::read_to_string(run.path().join(file)));
            }
        }
    }
    limits
}

impl World {
    pub(crate) async fn open(directory: &Path) -> Self {
        Self::with(directory, |_| {}).await
    }

    /// Opens a node whose configuration `change` has changed.
    pub(crate) async fn with(directory: &Path, change: impl FnOnce(&mut Config)) -> Self {
        Self::of(directory, runsc(), Vec::new(), change).await
    }

    /// Opens a node whose new runs are of one `runsc`, and that knows older ones.
    pub(crate) async fn of(
        directory: &Path,
        runsc: PathBuf,
        older: Vec<PathBuf>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let tools = tools().expect("the test was not skipped");
        let state_directory = directory.join("engine");
        let timeouts = Timeouts::default();
        let config = ow_engine_gvisor::Config { runsc, older, state_directory, timeouts };
        let engine = Arc::new(GvisorEngine::new(config).await.expect("the engine starts"));
        let data = directory.join("data");
        let template = Template {
            name: "shell".into(),
            digest: tools.digest.clone(),
            rootfs: tools.rootfs.clone(),
            directory: directory.join("template"),
            resources: RESOURCES,
            warm: true,
        };
        fs::create_dir_all(&template.directory).expect("a directory");
        let mut config = Config::new(data.clone(), tools.guest.clone());
        config.prepared_places = 0;
        // Most tests are about what is on the disk.
        config.frozen_for = Duration::ZERO;
        change(&mut config);
        let node = Node::open(config, engine.clone(), vec![template], Arc::new(SystemClock)).await;
        let node = node.expect("the node opens");
        Self { node, data, engine, directory: directory.to_owned() }
    }

    /// Ends the engine's process of every place, as an operator's mistake would.
    pub(crate) async fn end_everything(&self) {
        let state = self.directory.join("engine/runs");
        for run in self.engine.runs().await.expect("the engine answers") {
            let pid = fs::read_to_string(state.join(run.as_str()).join("pid")).expect("one");
            let pid = Pid::from_raw(pid.trim().parse().expect("a number"));
            kill(pid, Signal::SIGKILL).expect("it runs");
        }
    }

    /// Stops this node, without its sandboxes, and starts another on the same data.
    pub(crate) async fn restarted(self) -> Self {
        let directory = self.stopped().await;
        Self::open(&directory).await
    }

    /// The same with another `runsc` for new runs, and older ones.
    pub(crate) async fn restarted_with(self, runsc: &Path, older: &[PathBuf]) -> Self {
        let directory = self.stopped().await;
        Self::of(&directory, runsc.to_owned(), older.to_vec(), |_| {}).await
    }

    async fn stopped(self) -> PathBuf {
        self.node.shut_down().await;
        self.directory
    }

    pub(crate) async fn start(&self, sandbox: &SandboxId) -> Sandbox {
        self.start_with(sandbox, Egress::default()).await
    }

    pub(crate) async fn start_with(&self, sandbox: &SandboxId, egress: Egress) -> Sandbox {
        let execution = ExecutionId::random();
        let start = Start {
            execution: execution.clone(),
            identity: identity(sandbox),
            resources: RESOURCES,
            egress,
        };
        let started = self.node.start(start).await.expect("a sandbox starts");
        Sandbox { id: sandbox.clone(), execution, address: started.address }
    }

    /// Starts a sandbox, counts once in its memory, and pauses it.
    pub(crate) async fn paused(&self) -> (SandboxId, SnapshotId) {
        let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
        let sandbox = self.start(&id).await;
        assert_eq!(sandbox.count().await, 0);
        self.node.pause(sandbox.pause(&snapshot)).await.expect("it is saved");
        (id, snapshot)
    }

    pub(crate) async fn resume(&self, sandbox: &SandboxId, snapshot: &SnapshotId) -> Sandbox {
        let resume = resume(sandbox, snapshot);
        let execution = resume.execution.clone();
        let started = self.node.resume(resume).await.expect("a sandbox resumes");
        Sandbox { id: sandbox.clone(), execution, address: started.address }
    }
}

pub(crate) fn identity(sandbox: &SandboxId) -> Identity {
    Identity {
        sandbox: sandbox.clone(),
        template: "shell".into(),
        env_vars: BTreeMap::new(),
        access_token: None,
    }
}

pub(crate) fn resume(sandbox: &SandboxId, snapshot: &SnapshotId) -> Resume {
    Resume {
        execution: ExecutionId::random(),
        identity: identity(sandbox),
        egress: Egress::default(),
        snapshot: snapshot.clone(),
        reseed: false,
    }
}

/// A sandbox that runs.
pub(crate) struct Sandbox {
    pub(crate) id: SandboxId,
    pub(crate) execution: ExecutionId,
    pub(crate) address: Ipv4Addr,
}

impl Sandbox {
    pub(crate) fn pause(&self, snapshot: &SnapshotId) -> Pause {
        Pause {
            execution: self.execution.clone(),
            sandbox: self.id.clone(),
            snapshot: snapshot.clone(),
            generation: 1,
            mode: PauseMode::Full,
            durability: Durability::DurableLocal,
            frozen: false,
        }
    }

    /// Counts in the guest's memory: 0 the first time, and one more each time.
    pub(crate) async fn count(&self) -> u64 {
        self.ask("/count", "").await.parse().expect("a number")
    }

    /// Runs a command in the guest's shell; what it printed.
    pub(crate) async fn run(&self, command: &str) -> String {
        self.ask("/run", command).await
    }

    /// Asks the test's guest; an error is an answer too.
    pub(crate) async fn ask(&self, path: &str, body: &str) -> String {
        let (address, path, body) = (self.address, path.to_owned(), body.to_owned());
        let asked = tokio::task::spawn_blocking(move || ask(address, &path, &body));
        asked.await.expect("no panic in it").unwrap_or_else(|error| format!("error: {error}"))
    }
}

fn ask(address: Ipv4Addr, path: &str, body: &str) -> std::io::Result<String> {
    const LIMIT: Duration = Duration::from_secs(20);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, 49982)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
