//! A run outlives the server that started it, however that ended.

mod support;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use ow_engine::conformance::Host as _;
use ow_engine::{Engine as _, RunState};
use ow_engine_gvisor::{Config, GvisorEngine, Timeouts};
use ow_types::{ExecutionId, PauseMode, Resources};
use rustix::process::{Pid, Signal, kill_process_group};

/// Where the test that plays the server finds what it is to start, one line for each field.
const ORDERS: &str = "orders";

/// Starts the run of the orders in this directory, as a server of its own.
fn server(directory: &Path) -> Child {
    let this = std::env::current_exe().expect("a test has a program");
    Command::new(this)
        .args(["--ignored", "--exact", "plays_the_server"])
        .current_dir(directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs")
}

/// Not a test: `server` runs it, and then kills it.
#[tokio::test]
#[ignore = "the other test runs it"]
async fn plays_the_server() {
    let Ok(orders) = fs::read_to_string(ORDERS) else { return };
    let lines: Vec<_> = orders.lines().collect();
    let [runsc, state, execution, directory, rootfs, guest, network, cgroup, uid] = lines[..]
    else {
        panic!("the orders are incomplete");
    };
    let place = ow_engine::Place {
        execution: execution.parse().unwrap(),
        directory: directory.into(),
        rootfs: rootfs.into(),
        guest: guest.into(),
        network_namespace: network.into(),
        cgroup: cgroup.to_owned(),
        first_uid: uid.parse().unwrap(),
        resources: Resources { vcpu: 2, memory_mib: 256, disk_mib: 32 },
        hostname: "survivor".to_owned(),
        engine: None,
    };
    let config = Config {
        runsc: runsc.into(),
        older: Vec::new(),
        state_directory: state.into(),
        timeouts: Timeouts::default(),
    };
    let engine = GvisorEngine::new(config).await.unwrap();
    engine.start(&place).await.unwrap();
    fs::write("started", "").unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_run_outlives_its_server() {
    let Some(host) = support::host().await else { return };
    let place = host.place(Resources::default());
    let directory = host.image();
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let orders = [
        path(host.runsc()),
        path(&host.state_directory()),
        place.execution.to_string(),
        path(&place.directory),
        path(&place.rootfs),
        path(&place.guest),
        path(&place.network_namespace),
        place.cgroup.clone(),
        place.first_uid.to_string(),
    ];
    fs::write(directory.join(ORDERS), orders.join("\n")).unwrap();
    let server = server(&directory);
    for _ in 0..1000 {
        if directory.join("started").exists() {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    let group = Pid::from_child(&server);
    kill_process_group(group, Signal::KILL).unwrap();
    // Its output ends with it, unless the run holds on to it.
    server.wait_with_output().unwrap();

    let engine = host.gvisor().await;
    assert_eq!(engine.runs().await.unwrap(), std::slice::from_ref(&place.execution));
    let state = engine.state(&place.execution).await.unwrap();
    assert_eq!(state, Some(RunState::Running));
    host.ask_within(&place, "ticks", Duration::from_secs(20)).unwrap();
    engine.freeze(&place.execution).await.unwrap();
    engine.capture(&place.execution, &host.image(), PauseMode::Full).await.unwrap();
    engine.kill(&place.execution).await.unwrap();
    assert_eq!(host.leftovers(&place), Vec::<String>::new());
}

/// A half-made run that a server left when it was killed is found and removed.
#[tokio::test]
async fn a_half_made_run_is_removed() {
    let Some(host) = support::host().await else { return };
    let place = host.place(Resources::default());
    let engine = host.gvisor().await;
    let cut_off = Duration::from_millis(60);
    let start = tokio::time::timeout(cut_off, engine.start(&place)).await;
    drop(engine);
    let engine = host.gvisor().await;
    if start.is_err() {
        assert_eq!(engine.runs().await.unwrap(), std::slice::from_ref(&place.execution));
    }
    engine.kill(&place.execution).await.unwrap();
    assert_eq!(host.leftovers(&place), Vec::<String>::new());
    assert_eq!(engine.runs().await.unwrap(), Vec::<ExecutionId>::new());
}
