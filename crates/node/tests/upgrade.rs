//! A newer `runsc` comes, and what the older one runs and wrote goes on with the older.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{World, resume, with_node};
use ow_engine::{Engine as _, EngineVersion};
use ow_node_api::{NodeApi as _, NodeError};
use ow_snapshots::Store;
use ow_types::{SandboxId, SnapshotId};
use tempfile::TempDir;

/// Makes another version of `runsc` that differs in nothing but its name.
fn newer(runsc: &Path, directory: &Path) -> PathBuf {
    let said = Command::new(runsc).arg("--version").output().expect("it starts").stdout;
    let said = String::from_utf8(said).expect("text");
    let version = said.lines().find_map(|line| line.strip_prefix("runsc version ")).expect("one");
    let (rest, last) = version.split_at(version.len() - 1);
    let other = format!("{rest}{}", if last == "1" { "2" } else { "1" });
    let path = directory.join("newer-runsc");
    let change = format!("s/{version}/{other}/g");
    let program = File::create(&path).expect("there is room");
    let sed =
        Command::new("sed").env("LC_ALL", "C").arg(change).arg(runsc).stdout(program).status();
    assert!(sed.expect("it starts").success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

fn written_by(world: &World, snapshot: &SnapshotId) -> EngineVersion {
    let store = Store::open(world.data.join("snapshots")).expect("the node made it");
    store.read(snapshot).expect("it is there").engine
}

#[test]
fn a_newer_runsc_is_for_new_runs_and_the_older_for_what_is_of_it() {
    with_node(async |world| {
        let elsewhere = TempDir::new().unwrap();
        let older = common::runsc();
        let newer = newer(&older, elsewhere.path());
        let snapshots = [(); 4].map(|()| SnapshotId::random());
        let (paused, new) = (SandboxId::random(), SandboxId::random());
        let sandbox = world.start(&paused).await;
        assert_eq!(sandbox.count().await, 0);
        world.node.pause(sandbox.pause(&snapshots[0])).await.unwrap();
        let running = world.start(&SandboxId::random()).await;
        assert_eq!(running.count().await, 0);
        let version = world.engine.version();
        assert_eq!(written_by(&world, &snapshots[0]), version);

        // Without the older one it is refused, by name, and nothing happens to it.
        let world = world.restarted_with(&newer, &[]).await;
        let refused = world.node.resume(resume(&paused, &snapshots[0])).await.unwrap_err();
        assert!(matches!(refused, NodeError::BadSnapshot { .. }), "{refused}");
        assert!(refused.to_string().contains(&version.version), "{refused}");

        let world = world.restarted_with(&newer, &[newer.clone(), older]).await;
        assert_ne!(world.engine.version(), version);
        // What ran goes on, and is saved by the version that it runs in.
        assert_eq!(running.count().await, 1);
        world.node.pause(running.pause(&snapshots[1])).await.unwrap();
        assert_eq!(written_by(&world, &snapshots[1]), version);
        // What was paused comes back, and stays with its version.
        let sandbox = world.resume(&paused, &snapshots[0]).await;
        assert_eq!(sandbox.count().await, 1);
        world.node.pause(sandbox.pause(&snapshots[2])).await.unwrap();
        assert_eq!(written_by(&world, &snapshots[2]), version);
        assert_eq!(world.resume(&paused, &snapshots[2]).await.count().await, 2);
        // What is new is of the newer.
        let sandbox = world.start(&new).await;
        assert_eq!(sandbox.count().await, 0);
        world.node.pause(sandbox.pause(&snapshots[3])).await.unwrap();
        assert_eq!(written_by(&world, &snapshots[3]), world.engine.version());
        assert_eq!(world.resume(&new, &snapshots[3]).await.count().await, 1);
        let world = world.restarted_with(&newer, &[common::runsc()]).await;
        world.node.shut_down().await;
    });
}
