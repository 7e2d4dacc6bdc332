//! A sandbox's life on a node: what was acknowledged is what goes on.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::fs;
use std::time::Duration;

use common::{resume, with_node};
use ow_node_api::{NodeApi as _, NodeError, Secure};
use ow_types::{Durability, PauseMode, SandboxId, SnapshotId};

#[test]
fn memory_and_files_go_on_after_a_pause() {
    with_node(async |world| {
        let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
        let sandbox = world.start(&id).await;
        assert_eq!(sandbox.count().await, 0);
        assert_eq!(sandbox.run("echo kept > /tmp/file; cat /tmp/file").await, "kept");
        let paused = world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
        assert_eq!(paused.durability, Durability::DurableLocal);
        assert!(paused.guest_healthy);
        assert!(paused.bytes["captured"] > 0, "{paused:?}");
        assert!(world.node.held().await.unwrap().is_empty());
        assert_eq!(world.node.stored().await.unwrap()[0].snapshot, snapshot);
        for count in 1..3 {
            let sandbox = world.resume(&id, &snapshot).await;
            assert_eq!(sandbox.count().await, 1, "resume {count}");
            assert_eq!(sandbox.run("cat /tmp/file").await, "kept");
            world.node.kill(&sandbox.execution).await.unwrap();
        }
        world.node.delete_snapshot(&id, &snapshot).await.unwrap();
        assert!(world.node.stored().await.unwrap().is_empty());
    });
}

#[test]
fn a_pause_of_files_boots_anew_on_them() {
    with_node(async |world| {
        let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
        let sandbox = world.start(&id).await;
        assert_eq!(sandbox.count().await, 0);
        sandbox.run("echo kept > /tmp/file").await;
        let mut pause = sandbox.pause(&snapshot);
        pause.mode = PauseMode::Filesystem;
        world.node.pause(pause).await.unwrap();
        let sandbox = world.resume(&id, &snapshot).await;
        assert_eq!(sandbox.count().await, 0);
        assert_eq!(sandbox.run("cat /tmp/file").await, "kept");
    });
}

#[test]
fn a_captured_pause_resumes_and_is_brought_to_the_disk_when_asked() {
    with_node(async |world| {
        let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
        let sandbox = world.start(&id).await;
        sandbox.count().await;
        let secure = |sandbox: &SandboxId, durability| Secure {
            sandbox: sandbox.clone(),
            snapshot: snapshot.clone(),
            durability,
            record: Vec::new(),
        };
        let none = world.node.secure(secure(&id, Durability::DurableLocal)).await.unwrap_err();
        assert!(matches!(none, NodeError::NoSuchSnapshot { .. }), "{none}");
        let mut pause = sandbox.pause(&snapshot);
        pause.durability = Durability::Captured;
        let paused = world.node.pause(pause).await.unwrap();
        assert_eq!(paused.durability, Durability::Captured);
        world.node.secure(secure(&id, Durability::Captured)).await.unwrap();
        let (one, two) = tokio::join!(
            world.node.secure(secure(&id, Durability::DurableLocal)),
            world.node.secure(secure(&id, Durability::DurableLocal)),
        );
        assert!(one.is_ok() && two.is_ok(), "{one:?}, {two:?}");
        let most = world.node.capacity().durability;
        assert_eq!(most, Durability::DurableLocal);
        let beyond = world.node.secure(secure(&id, Durability::DurableRemote)).await.unwrap_err();
        assert!(matches!(beyond, NodeError::Unsupported { .. }), "{beyond}");
        let other = SandboxId::random();
        let foreign = world.node.secure(secure(&other, Durability::Captured)).await.unwrap_err();
        assert!(matches!(foreign, NodeError::NoSuchSnapshot { .. }), "{foreign}");
        assert_eq!(world.resume(&id, &snapshot).await.count().await, 1);
    });
}

#[test]
fn runs_are_taken_over_by_the_next_server() {
    with_node(async |world| {
        let sandbox = world.start(&SandboxId::random()).await;
        sandbox.count().await;
        let world = world.restarted().await;
        let held = world.node.held().await.unwrap();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].execution, sandbox.execution);
        assert_eq!(held[0].address, Some(sandbox.address));
        assert_eq!(sandbox.count().await, 1);
        let snapshot = SnapshotId::random();
        world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
        assert_eq!(world.resume(&sandbox.id, &snapshot).await.count().await, 2);
    });
}

#[test]
fn a_guest_that_ends_by_itself_is_named_and_removed() {
    with_node(async |world| {
        let mut ended = world.node.ended();
        let sandbox = world.start(&SandboxId::random()).await;
        sandbox.ask("/exit", "").await;
        let named = tokio::time::timeout(Duration::from_secs(10), ended.recv()).await;
        assert_eq!(named.unwrap().unwrap(), sandbox.execution);
        assert!(world.node.held().await.unwrap().is_empty());
    });
}

#[test]
fn a_damaged_snapshot_is_refused_and_another_of_the_sandbox_resumes() {
    with_node(async |world| {
        let id = SandboxId::random();
        let (first, second) = (SnapshotId::random(), SnapshotId::random());
        let sandbox = world.start(&id).await;
        sandbox.count().await;
        world.node.pause(sandbox.pause(&first)).await.unwrap();
        let sandbox = world.resume(&id, &first).await;
        world.node.pause(sandbox.pause(&second)).await.unwrap();
        let pages = world.data.join("snapshots").join(second.as_str()).join("image/pages.img");
        let mut bytes = fs::read(&pages).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pages, bytes).unwrap();
        let refused = world.node.resume(resume(&id, &second)).await.unwrap_err();
        assert!(matches!(refused, NodeError::BadSnapshot { .. }), "{refused}");
        assert!(refused.to_string().contains("pages.img"), "{refused}");
        let other = world.node.resume(resume(&SandboxId::random(), &first)).await.unwrap_err();
        assert!(matches!(other, NodeError::BadSnapshot { .. }), "{other}");
        assert_eq!(world.resume(&id, &first).await.count().await, 1);
        assert_eq!(world.node.held().await.unwrap().len(), 1);
    });
}

#[test]
fn a_kill_overtakes_a_pause_and_leaves_no_snapshot_or_all_of_it() {
    with_node(async |world| {
        for wait in [0, 20, 60, 120, 200] {
            let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
            let sandbox = world.start(&id).await;
            let (paused, ()) = tokio::join!(world.node.pause(sandbox.pause(&snapshot)), async {
                tokio::time::sleep(Duration::from_millis(wait)).await;
                world.node.kill(&sandbox.execution).await.unwrap();
                // What a killed pause began is gone when the kill is done.
                let directory = world.data.join("snapshots").join(format!("{snapshot}.partial"));
                assert!(!directory.exists(), "after {wait} ms");
            });
            let stored = world.node.stored().await.unwrap().iter().any(|s| s.snapshot == snapshot);
            assert_eq!(paused.is_ok(), stored, "after {wait} ms: {paused:?}");
            assert!(world.node.held().await.unwrap().is_empty());
        }
    });
}

#[test]
fn a_warmed_template_starts_from_its_image_and_knows_the_sandbox() {
    with_node(async |world| {
        world.node.warm("shell").await.unwrap();
        let sandbox = world.start(&SandboxId::random()).await;
        // Once when the image was made, and once by this start.
        assert_eq!(sandbox.ask("/inits", "").await, "2");
        let world = world.restarted().await;
        world.node.warm("shell").await.unwrap();
        assert_eq!(world.start(&SandboxId::random()).await.ask("/inits", "").await, "2");
    });
}
