//! A node with the real engine in a network of its own, for tests that make real sandboxes.
//!
//! `OVERWINTER_TEST_RUNSC` names the engine's program; without it these tests are skipped. The
//! guest is `guest.rs` and the template a shell, both made here once.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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

/// What all tests of a program share.
struct Tools {
    runsc: PathBuf,
    guest: PathBuf,
    rootfs: PathBuf,
    /// The digest of `rootfs`.
    digest: String,
}

/// The engine's program.
pub(crate) fn runsc() -> PathBuf {
    tools().expect("the test was not skipped").runsc.clone()
}

/// The tools, or nothing where the test cannot be done, which is printed.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Option<Tools>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        #[allow(clippy::disallowed_methods, reason = "whoever runs the tests names the engine")]
        let Ok(runsc) = std::env::var("OVERWINTER_TEST_RUNSC") else {
            eprintln!("skipped: OVERWINTER_TEST_RUNSC names no runsc");
            return None;
        };
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root makes networks");
            return None;
        }
        let (guest, rootfs) = (build_guest(), build_rootfs());
        let content = fs::read(&rootfs).expect("it was built");
        let digest = blake3::hash(&content).to_hex().to_string();
        Some(Tools { runsc: runsc.into(), guest, rootfs, digest })
    });
    tools.as_ref()
}

fn call(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// A directory for what is made once; each test program makes its own.
fn built(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("the program is a file");
    let program = program.file_name().expect("it has a name").to_string_lossy().into_owned();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    fs::create_dir_all(&directory).expect("the target directory can be written");
    directory.join(name)
}

/// A file that is made once for a build of the test program, by whichever process comes first.
///
/// Servers that tests start are processes of the same program: none may find it half made.
fn made(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let place = built(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    let program = changed(&std::env::current_exe().expect("the program is a file"));
    if changed(&place) > program {
        return place;
    }
    let new = built(&format!("{name}.{}", std::process::id()));
    make(&new);
    fs::rename(&new, &place).expect("a file of the same directory");
    place
}

fn build_guest() -> PathBuf {
    made("guest", |guest| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/guest.rs");
        let target = guest.to_str().expect("the path is text");
        let options = ["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"];
        call("rustc", &[&options[..], &[target, source]].concat());
    })
}

/// A root file system with a shell and what it is linked with.
fn build_rootfs() -> PathBuf {
    made("rootfs.erofs", |image| fill_rootfs(&image.with_extension("tree"), image))
}

fn fill_rootfs(tree: &Path, image: &Path) {
    for directory in ["bin", "proc", "sys", "dev", "tmp", "etc", "lib", "lib64"] {
        fs::create_dir_all(tree.join(directory)).expect("a directory");
    }
    let mut files = Vec::new();
    for program in ["bash", "cat", "dd", "sync", "head"] {
        let path = format!("/bin/{program}");
        let linked = Command::new("ldd").arg(&path).output().expect("ldd").stdout;
        let linked = String::from_utf8_lossy(&linked).into_owned();
        let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(libraries.map(str::to_owned));
        files.push(path);
    }
    for file in files {
        let to = tree.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("it is in a directory")).expect("a directory");
        fs::copy(&file, to).expect("a copy");
    }
    let (tree_name, image_name) = (tree.to_string_lossy(), image.to_string_lossy());
    call("mkfs.erofs", &["-E", "noinline_data", &image_name, &tree_name]);
    fs::remove_dir_all(tree).expect("what was made above");
}

/// A node, and what it works with.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) data: PathBuf,
    pub(crate) engine: Arc<GvisorEngine>,
    directory: PathBuf,
}

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
