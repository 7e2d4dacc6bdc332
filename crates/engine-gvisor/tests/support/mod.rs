//! A host for engine tests: network namespaces, a root file system and a guest of their own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ow_engine::conformance::Host;
use ow_engine::{Engine, Place};
use ow_engine_gvisor::{Config, GvisorEngine, Timeouts};
use ow_types::{ExecutionId, Resources};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// Where the guest answers.
const GUEST: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 200, 0, 2)), 49982);

/// Host users far from those of real accounts, and of a server that runs here.
const FIRST_UID: u32 = 1_500_000_000;

/// Numbers the places of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A host of one test; dropped, it ends what the test left.
#[derive(Debug)]
pub(crate) struct TestHost {
    directory: TempDir,
    runsc: PathBuf,
    places: Mutex<Vec<Place>>,
}

/// Makes a host, or says why the test is skipped.
pub(crate) async fn host() -> Option<TestHost> {
    #[allow(clippy::disallowed_methods, reason = "a test is told by its environment")]
    let runsc = std::env::var("OVERWINTER_TEST_RUNSC");
    let Ok(runsc) = runsc else {
        return skip("OVERWINTER_TEST_RUNSC does not name a runsc");
    };
    if !rustix::process::geteuid().is_root() {
        return skip("making network namespaces takes root");
    }
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let host = TestHost { directory, runsc: runsc.into(), places: Mutex::default() };
    host.make_rootfs();
    Some(host)
}

#[allow(clippy::print_stderr, reason = "a test that is skipped says why")]
fn skip(why: &str) -> Option<TestHost> {
    eprintln!("skipped: {why}");
    None
}

impl TestHost {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the engine keeps its records.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.path("state")
    }

    /// The program.
    pub(crate) fn runsc(&self) -> &Path {
        &self.runsc
    }

    /// A new engine.
    pub(crate) async fn gvisor(&self) -> GvisorEngine {
        let config = Config {
            runsc: self.runsc.clone(),
            older: Vec::new(),
            state_directory: self.state_directory(),
            timeouts: Timeouts::default(),
        };
        GvisorEngine::new(config).await.expect("this runsc can be used")
    }

    /// Makes an image of next to nothing: the guest is mounted into it.
    fn make_rootfs(&self) {
        fs::copy(compiled_guest(), self.path("guest")).expect("there is room");
        let root = self.path("root");
        for name in ["dev", "proc", "sys", "tmp", "run", "etc", ".overwinter"] {
            fs::create_dir_all(root.join(name)).expect("it can be made");
        }
        for name in ["template", "removed"] {
            fs::write(root.join("etc").join(name), "from the template").expect("there is room");
        }
        run("mkfs.erofs", &["-Enoinline_data", text(&self.path("rootfs")), text(&root)]);
    }

    fn outer_namespace(place: &Place) -> PathBuf {
        place.network_namespace.with_extension("outer")
    }

    /// Gives a place its network: an inner namespace for `runsc`, an outer one to ask from.
    fn make_network(place: &Place) {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let inner = name(&place.network_namespace).expect("it has a name");
        let outer = name(&Self::outer_namespace(place)).expect("it has a name");
        for line in [
            format!("netns add {outer}"),
            format!("netns add {inner}"),
            format!("-n {outer} link add host0 type veth peer name eth0 netns {inner}"),
            format!("-n {outer} addr add 10.200.0.1/24 dev host0"),
            format!("-n {outer} link set host0 up"),
            format!("-n {inner} addr add 10.200.0.2/24 dev eth0"),
            format!("-n {inner} link set eth0 up"),
            format!("-n {inner} link set lo up"),
            format!("-n {inner} route add default via 10.200.0.1"),
        ] {
            run("ip", &line.split(' ').collect::<Vec<_>>());
        }
    }

    fn remember(&self, place: &Place) {
        self.places.lock().expect("nothing panics with the lock").push(place.clone());
    }
}

#[async_trait]
impl Host for TestHost {
    async fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.gvisor().await)
    }

    fn place(&self, resources: Resources) -> Place {
        let execution = ExecutionId::random();
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let directory = self.path(execution.as_str());
        fs::DirBuilder::new().mode(0o700).create(&directory).expect("it can be made");
        let place = Place {
            directory,
            rootfs: self.path("rootfs"),
            guest: self.path("guest"),
            network_namespace: format!("/run/netns/{execution}.inner").into(),
            cgroup: format!("/overwinter-test-{}/{execution}", std::process::id()),
            first_uid: FIRST_UID + 65_536 * number,
            resources,
            hostname: "conformance".to_owned(),
            engine: None,
            execution,
        };
        self.remember(&place);
        Self::make_network(&place);
        place
    }

    fn image(&self) -> PathBuf {
        let image = self.path(&format!("image{}", NEXT.fetch_add(1, Ordering::SeqCst)));
        fs::create_dir(&image).expect("it can be made");
        image
    }

    fn image_without_room(&self) -> PathBuf {
        let image = self.image();
        run("mount", &["-t", "tmpfs", "-o", "size=256k", "tmpfs", text(&image)]);
        let empty = image.join("image");
        fs::create_dir(&empty).expect("it can be made");
        empty
    }

    fn ask_within(&self, place: &Place, line: &str, limit: Duration) -> io::Result<String> {
        let outer = Self::outer_namespace(place);
        let line = format!("{line}\n");
        let asking = spawn(move || {
            let namespace = fs::File::open(&outer)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            let began = Instant::now();
            let connection = loop {
                let left = limit.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
                match TcpStream::connect_timeout(&GUEST, left) {
                    Err(_) if began.elapsed() < limit => sleep(Duration::from_millis(2)),
                    result => break result?,
                }
            };
            ask_once(connection, &line, limit)
        });
        asking.join().expect("asking does not panic")
    }

    fn end_from_outside(&self, place: &Place) {
        let pid = self.state_directory().join("runs").join(place.execution.as_str()).join("pid");
        let pid = fs::read_to_string(pid).expect("a run that was made has one");
        let pid = Pid::from_raw(pid.trim().parse().expect("it is a number")).expect("not zero");
        kill_process(pid, Signal::KILL).expect("it runs");
    }

    fn leftovers(&self, place: &Place) -> Vec<String> {
        let run = place.execution.as_str();
        let mut found = processes_of(run);
        let cgroups = directories_below(Path::new("/sys/fs/cgroup"), 3);
        found.extend(cgroups.into_iter().filter(|path| path.contains(run)));
        for directory in ["state/runs", "state/runsc", run] {
            let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
            let paths = entries.map(|entry| entry.path().display().to_string());
            found.extend(paths.filter(|path| path.contains(run)));
        }
        found
    }
}

fn ask_once(mut connection: TcpStream, line: &str, limit: Duration) -> io::Result<String> {
    connection.set_read_timeout(Some(limit))?;
    connection.write_all(line.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Processes in whose command line the run is named.
fn processes_of(run: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let command_lines = entries.filter_map(|entry| {
        let bytes = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    });
    command_lines.filter(|line| line.contains(run)).map(|line| format!("process {line}")).collect()
}

fn directories_below(directory: &Path, depth: usize) -> Vec<String> {
    if depth == 0 {
        return Vec::new();
    }
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let both = directories.map(|entry| {
        let mut found = directories_below(&entry.path(), depth - 1);
        found.push(entry.path().display().to_string());
        found
    });
    both.flatten().collect()
}

/// The suite's guest.
fn compiled_guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(compile_guest)
}

/// Compiles it, unless another process of these tests has; a rename keeps them apart.
fn compile_guest() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/examples/conformance_guest.rs");
    let guest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-guest");
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    if modified(&guest) < modified(Path::new(source)) {
        let new = guest.with_extension(std::process::id().to_string());
        let flags = ["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o", text(&new)];
        run("rustc", &[&flags[..], &[source]].concat());
        fs::rename(&new, &guest).expect("it is on the same disk");
    }
    guest
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our own names are text")
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().expect("the program is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// Ends what a test that failed left, and only that.
impl Drop for TestHost {
    fn drop(&mut self) {
        let places = std::mem::take(&mut *self.places.lock().expect("nothing panics with it"));
        let here = std::env::temp_dir();
        for place in &places {
            let cgroups = directories_below(Path::new("/sys/fs/cgroup"), 3);
            let cgroups = cgroups.iter().filter(|path| path.contains(place.execution.as_str()));
            for group in cgroups {
                end_all(Path::new(group));
            }
            for namespace in [&place.network_namespace, &Self::outer_namespace(place)] {
                let name = namespace.file_name().unwrap_or_default();
                let _ = Command::new("ip").args(["netns", "del"]).arg(name).output();
            }
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let ours = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        for mount in ours.filter(|path| Path::new(path).starts_with(self.directory.path())) {
            assert!(Path::new(mount).starts_with(&here), "only what is below our directory");
            let _ = Command::new("umount").arg(mount).output();
        }
        let name = format!("overwinter-test-{}", std::process::id());
        for group in directories_below(Path::new("/sys/fs/cgroup"), 2) {
            if group.ends_with(&name) {
                let _ = fs::remove_dir(group);
            }
        }
    }
}

fn end_all(group: &Path) {
    for _ in 0..500 {
        let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        if fs::remove_dir(group).is_ok() || !group.exists() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
}
