//! A server that is killed at any moment loses no sandbox, and leaves nothing behind.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Sandbox, World, with_node};
use ow_node_api::NodeApi as _;
use ow_types::{SandboxId, SnapshotId};

/// Where the server that is to be killed keeps its data.
const DIRECTORY: &str = "OVERWINTER_TEST_SERVER_DIRECTORY";

/// A server in a process of its own: it starts a sandbox, counts once, and pauses it.
///
/// It is no test, but the part of one that is killed.
#[test]
#[ignore = "it is started by the other tests"]
#[allow(clippy::disallowed_methods, reason = "its starter names the directory")]
fn server_to_be_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let directory = PathBuf::from(directory);
        let all = |config: &mut ow_node::Config| {
            config.prepared_places = 1;
            config.frozen_for = Duration::from_secs(600);
        };
        let world = World::with(&directory, all).await;
        let sandbox = world.start(&SandboxId::random()).await;
        sandbox.count().await;
        let snapshot = SnapshotId::random();
        let names = [sandbox.id.as_str(), sandbox.execution.as_str(), snapshot.as_str()].join(" ");
        fs::write(directory.join("names.partial"), names).unwrap();
        fs::rename(directory.join("names.partial"), directory.join("names")).unwrap();
        world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
        std::future::pending::<()>().await;
    });
}

fn start_server(directory: &Path) -> Child {
    let program = std::env::current_exe().expect("this test is a program");
    Command::new(program)
        .args(["--exact", "server_to_be_killed", "--ignored", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts")
}

async fn names(server: &mut Child, directory: &Path) -> (SandboxId, String, SnapshotId) {
    for _ in 0..1000 {
        if let Ok(names) = fs::read_to_string(directory.join("names")) {
            let mut names = names.split(' ').map(str::to_owned);
            let mut next = || names.next().expect("three names");
            return (next().parse().expect("an id"), next(), next().parse().expect("an id"));
        }
        assert!(server.try_wait().expect("it is our child").is_none(), "the server ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server started no sandbox");
}

#[test]
fn a_server_killed_in_a_pause_loses_nothing() {
    with_node(async |world| {
        let directory = world.data.parent().expect("it has one").to_owned();
        for (round, wait) in [0, 10, 25, 40, 60, 90, 140, 300, 1500].into_iter().enumerate() {
            let directory = directory.join(round.to_string());
            fs::create_dir(&directory).unwrap();
            let mut server = start_server(&directory);
            let (id, execution, snapshot) = names(&mut server, &directory).await;
            tokio::time::sleep(Duration::from_millis(wait)).await;
            server.kill().unwrap();
            server.wait().unwrap();
            let next = World::open(&directory).await;
            went_on(&next, &id, &execution, &snapshot, wait).await;
            for held in next.node.held().await.unwrap() {
                next.node.kill(&held.execution).await.unwrap();
            }
            next.node.shut_down().await;
            assert_eq!(fs::read_dir(next.data.join("runs")).unwrap().count(), 0);
        }
    });
}

/// The sandbox counts on, from where it runs or from its snapshot; at least one of them is there.
async fn went_on(world: &World, id: &SandboxId, execution: &str, snapshot: &SnapshotId, wait: u64) {
    let held = world.node.held().await.expect("the node answers");
    let stored = world.node.stored().await.expect("the node answers");
    let partials = fs::read_dir(world.data.join("snapshots")).expect("the node answers").count();
    assert_eq!(partials, stored.len(), "after {wait} ms a partial snapshot is left");
    assert!(held.len() <= 1 && held.len() + stored.len() >= 1, "after {wait} ms");
    if let Some(held) = held.first() {
        assert_eq!(held.execution.as_str(), execution);
        world.node.thaw(&held.execution).await.expect("the node answers");
        let address =
            world.node.held().await.expect("the node answers")[0].address.expect("it answers");
        let execution = held.execution.clone();
        let sandbox = Sandbox { id: id.clone(), execution, address };
        assert_eq!(sandbox.count().await, 1, "after {wait} ms");
    }
    if let Some(stored) = stored.first() {
        assert_eq!(stored.snapshot, *snapshot);
        assert_eq!(world.resume(id, snapshot).await.count().await, 1, "after {wait} ms");
    }
}

#[test]
fn two_servers_side_by_side_share_the_machine() {
    with_node(async |world| {
        let directory = world.data.parent().expect("it has one").join("other");
        fs::create_dir(&directory).unwrap();
        let other = World::open(&directory).await;
        let (one, two) = (SandboxId::random(), SandboxId::random());
        let (mine, theirs) = tokio::join!(world.start(&one), other.start(&two));
        assert_ne!(mine.address, theirs.address);
        let mine_is_held = world.node.held().await.unwrap();
        assert_eq!(mine_is_held.len(), 1);
        let other = other.restarted().await;
        assert_eq!((mine.count().await, theirs.count().await), (0, 0));
        other.node.kill(&theirs.execution).await.unwrap();
        other.node.shut_down().await;
        assert_eq!(mine.count().await, 1);
    });
}

#[test]
fn a_data_directory_has_one_server() {
    with_node(async |world| {
        let config = ow_node::Config::new(world.data.clone(), "/bin/true".into());
        let clock = std::sync::Arc::new(ow_types::SystemClock);
        let second = ow_node::Node::open(config, world.engine.clone(), Vec::new(), clock).await;
        let refused = second.unwrap_err().to_string();
        assert!(refused.contains("another server"), "{refused}");
    });
}
