//! What is saved stays frozen in memory for a while; whatever becomes of it, the snapshot is there.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::fs;
use std::future::Future;
use std::time::Duration;

use common::{PATIENCE, Sandbox, World, resume, until, with_configured_node};
use ow_node::Config;
use ow_node_api::{NodeApi as _, NodeError, Pause, Resume, Started};
use ow_types::{PauseMode, SandboxId, SnapshotId, Tier};

/// Runs a test with a node that keeps what it saved frozen, configured by `change`.
fn with_frozen<Fut: Future<Output = ()>>(
    change: impl FnOnce(&mut Config),
    test: impl FnOnce(World) -> Fut,
) {
    let all = |config: &mut Config| {
        config.frozen_for = PATIENCE * 10;
        config.frozen_memory_mib = Some(8192);
        change(config);
    };
    with_configured_node(all, test);
}

/// Counts the places, with and without runs.
fn places(world: &World) -> usize {
    fs::read_dir(world.data.join("runs")).expect("the node made it").count()
}

async fn resumed(world: &World, resume: Resume) -> (Sandbox, Started) {
    let (id, execution) = (resume.identity.sandbox.clone(), resume.execution.clone());
    let started = world.node.resume(resume).await.expect("it resumes");
    (Sandbox { id, execution, address: started.address }, started)
}

/// Resumes, and looks that it goes on as it was saved, from `tier`.
async fn goes_on(world: &World, id: &SandboxId, snapshot: &SnapshotId, tier: Tier) -> Sandbox {
    let (sandbox, started) = resumed(world, resume(id, snapshot)).await;
    assert_eq!(started.tier, tier, "{:?}", started.phases);
    assert_eq!(sandbox.count().await, 1);
    sandbox
}

#[test]
fn a_quick_return_goes_on_in_memory_as_another_run() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
            let sandbox = world.start(&id).await;
            assert_eq!(sandbox.count().await, 0);
            let waits = "(exec 5<> <(:); read -t 600 -u 5) > /dev/null 2>&1 & echo $!";
            let process = sandbox.run(waits).await;
            let is_there = format!("[ -d /proc/{process} ] && echo there");
            assert_eq!(sandbox.run(&is_there).await, "there");
            let mut ended = world.node.ended();
            world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
            assert_eq!(ended.recv().await.unwrap(), sandbox.execution);
            assert!(world.node.held().await.unwrap().is_empty());
            assert_eq!(world.node.frozen_count(), 1);
            let (back, started) = resumed(&world, resume(&id, &snapshot)).await;
            assert_eq!((started.tier, back.address), (Tier::Memory, sandbox.address));
            assert_eq!(world.node.frozen_count(), 0);
            assert_eq!((back.count().await, back.ask("/inits", "").await.as_str()), (1, "2"));
            assert_eq!(back.run(&is_there).await, "there");
            let held = world.node.held().await.unwrap();
            assert_eq!((held.len(), &held[0].execution), (1, &back.execution));
            // The old name is nobody's.
            world.node.kill(&sandbox.execution).await.unwrap();
            let gone = world.node.thaw(&sandbox.execution).await.unwrap_err();
            assert!(matches!(gone, NodeError::NoSuchRun { .. }), "{gone}");
            assert_eq!(back.count().await, 2);
            // And again, after which the snapshot of before is still what it was.
            let second = SnapshotId::random();
            world.node.pause(back.pause(&second)).await.unwrap();
            let (back, started) = resumed(&world, resume(&id, &second)).await;
            assert_eq!((started.tier, back.count().await), (Tier::Memory, 3));
            world.node.kill(&back.execution).await.unwrap();
            goes_on(&world, &id, &snapshot, Tier::Disk).await;
        },
    );
}

#[test]
fn a_run_from_memory_is_limited_and_taken_over_like_another() {
    with_frozen(
        |_| {},
        async |world| {
            let id = SandboxId::random();
            let sandbox = world.start(&id).await;
            assert_eq!(sandbox.count().await, 0);
            let limits = common::memory_limits(&world.data);
            let snapshot = SnapshotId::random();
            world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
            assert_ne!(common::memory_limits(&world.data), limits, "a limit was lifted");
            let sandbox = goes_on(&world, &id, &snapshot, Tier::Memory).await;
            assert_eq!(common::memory_limits(&world.data), limits);
            let world = world.restarted().await;
            let held = world.node.held().await.unwrap();
            assert_eq!((held.len(), &held[0].execution), (1, &sandbox.execution));
            assert_eq!(sandbox.count().await, 2);
        },
    );
}

#[test]
fn only_the_whole_machine_stays_frozen() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
            let sandbox = world.start(&id).await;
            let mut pause = sandbox.pause(&snapshot);
            pause.mode = PauseMode::Filesystem;
            world.node.pause(pause).await.unwrap();
            assert_eq!(world.node.frozen_count(), 0);
            until("its place is removed", async || places(&world) == 0).await;
        },
    );
}

#[test]
fn it_is_given_up_after_a_while() {
    with_frozen(
        |config| config.frozen_for = Duration::from_secs(1),
        async |world| {
            let (id, snapshot) = world.paused().await;
            until("it is given up", async || world.node.frozen_count() == 0).await;
            until("its place is removed", async || places(&world) == 0).await;
            goes_on(&world, &id, &snapshot, Tier::Disk).await;
        },
    );
}

#[test]
fn it_is_given_up_for_others_when_there_is_no_memory_for_both() {
    with_frozen(
        |config| config.frozen_memory_mib = Some(48),
        async |world| {
            let mut saved = Vec::new();
            for _ in 0..2 {
                let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
                let sandbox = world.start(&id).await;
                assert_eq!(sandbox.count().await, 0);
                sandbox.run("dd if=/dev/urandom of=/tmp/file bs=1M count=32").await;
                world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
                assert_eq!(world.node.frozen_count(), 1);
                saved.push((id, snapshot));
            }
            goes_on(&world, &saved[1].0, &saved[1].1, Tier::Memory).await;
            goes_on(&world, &saved[0].0, &saved[0].1, Tier::Disk).await;
        },
    );
}

#[test]
fn one_that_was_killed_goes_on_from_the_disk() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = world.paused().await;
            world.end_everything().await;
            // At once, while the node may not have seen it, or after.
            goes_on(&world, &id, &snapshot, Tier::Disk).await;
        },
    );
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = world.paused().await;
            world.end_everything().await;
            until("its end is seen", async || world.node.frozen_count() == 0).await;
            until("its place is removed", async || places(&world) == 0).await;
            goes_on(&world, &id, &snapshot, Tier::Disk).await;
        },
    );
}

#[test]
fn it_goes_with_its_snapshot() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = world.paused().await;
            world.node.delete_snapshot(&id, &snapshot).await.unwrap();
            assert_eq!((world.node.frozen_count(), places(&world)), (0, 0));
            let none = world.node.resume(resume(&id, &snapshot)).await.unwrap_err();
            assert!(matches!(none, NodeError::NoSuchSnapshot { .. }), "{none}");
        },
    );
}

#[test]
fn another_sandbox_does_not_get_it() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = world.paused().await;
            let refused =
                world.node.resume(resume(&SandboxId::random(), &snapshot)).await.unwrap_err();
            assert!(matches!(refused, NodeError::BadSnapshot { .. }), "{refused}");
            goes_on(&world, &id, &snapshot, Tier::Memory).await;
        },
    );
}

#[test]
fn a_server_that_stops_leaves_nothing_frozen() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = world.paused().await;
            let world = world.restarted().await;
            assert_eq!((world.node.frozen_count(), places(&world)), (0, 0));
            goes_on(&world, &id, &snapshot, Tier::Disk).await;
        },
    );
}

#[test]
fn a_thaw_and_a_pause_leave_a_run_or_a_snapshot_and_never_both() {
    with_frozen(
        |_| {},
        async |world| {
            let id = SandboxId::random();
            let mut sandbox = world.start(&id).await;
            // Enough that each step takes its time.
            sandbox.run("dd if=/dev/urandom of=/tmp/file bs=1M count=100").await;
            let mut count = 0;
            for (round, wait) in [0, 5, 20, 40, 80, 120, 160, 240, 1000].into_iter().enumerate() {
                assert_eq!(sandbox.count().await, count, "after {wait} ms");
                count += 1;
                let snapshot = SnapshotId::random();
                let mut pause = sandbox.pause(&snapshot);
                if round % 2 == 1 {
                    world.node.freeze(&sandbox.execution).await.unwrap();
                    pause.frozen = true;
                }
                let snapshots = world.data.join("snapshots");
                let begun = snapshots.join(format!("{snapshot}.partial"));
                let done = snapshots.join(snapshot.as_str());
                let (paused, thawed) = tokio::join!(world.node.pause(pause), async {
                    until("the pause has begun", async || begun.exists() || done.exists()).await;
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                    world.node.thaw(&sandbox.execution).await
                });
                let stored =
                    world.node.stored().await.unwrap().iter().any(|s| s.snapshot == snapshot);
                let held = !world.node.held().await.unwrap().is_empty();
                let outcome = (paused.is_ok(), stored, thawed.is_ok(), held);
                let saved = (true, true, false, false);
                let went_on = (false, false, true, true);
                assert!(outcome == saved || outcome == went_on, "after {wait} ms: {outcome:?}");
                assert_eq!(fs::read_dir(&snapshots).unwrap().count(), usize::from(stored));
                if stored {
                    sandbox = resumed(&world, resume(&id, &snapshot)).await.0;
                    world.node.delete_snapshot(&id, &snapshot).await.unwrap();
                }
            }
            assert_eq!(sandbox.count().await, count);
        },
    );
}

#[test]
fn what_is_frozen_stays_so_when_it_cannot_be_saved() {
    with_frozen(
        |_| {},
        async |world| {
            let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
            let sandbox = world.start(&id).await;
            assert_eq!(sandbox.count().await, 0);
            let phases = world.node.freeze(&sandbox.execution).await.unwrap();
            assert!(phases.iter().any(|phase| phase.name == "freeze"), "{phases:?}");
            world.node.freeze(&sandbox.execution).await.unwrap();
            let is_frozen = async || world.node.held().await.unwrap()[0].frozen;
            assert!(is_frozen().await);
            let pause = Pause { frozen: true, ..sandbox.pause(&snapshot) };
            // No snapshot can be begun where a file is in the way of its directory.
            let in_the_way = world.data.join("snapshots").join(format!("{snapshot}.partial"));
            fs::write(&in_the_way, "").unwrap();
            world.node.pause(pause.clone()).await.unwrap_err();
            assert!(is_frozen().await);
            fs::remove_file(&in_the_way).unwrap();
            let paused = world.node.pause(pause).await.unwrap();
            assert!(paused.guest_healthy);
            assert!(world.node.held().await.unwrap().is_empty());
            goes_on(&world, &id, &snapshot, Tier::Memory).await;
        },
    );
}

#[test]
fn what_is_frozen_can_be_thawed_or_killed() {
    with_frozen(
        |_| {},
        async |world| {
            let sandbox = world.start(&SandboxId::random()).await;
            assert_eq!(sandbox.count().await, 0);
            world.node.freeze(&sandbox.execution).await.unwrap();
            for _ in 0..2 {
                world.node.thaw(&sandbox.execution).await.unwrap();
            }
            assert_eq!(sandbox.count().await, 1);
            // A pause that was asked for before the thaw, and has its turn after it, ends nothing.
            let snapshot = SnapshotId::random();
            let late = Pause { frozen: true, ..sandbox.pause(&snapshot) };
            world.node.pause(late).await.unwrap_err();
            assert_eq!(sandbox.count().await, 2);
            assert!(world.node.stored().await.unwrap().is_empty());
            world.node.freeze(&sandbox.execution).await.unwrap();
            world.node.kill(&sandbox.execution).await.unwrap();
            let gone = world.node.freeze(&sandbox.execution).await.unwrap_err();
            assert!(matches!(gone, NodeError::NoSuchRun { .. }), "{gone}");
            assert_eq!(world.node.frozen_count(), 0);
        },
    );
}
