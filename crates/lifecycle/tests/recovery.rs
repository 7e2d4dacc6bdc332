//! A server that is gone, and another that takes over.

mod support;

use std::time::Duration;

use ow_lifecycle::LifecycleError;
use ow_node_api::fake::Verb;
use ow_node_api::{NodeApi as _, Start};
use ow_types::{ExecutionId, OnTimeout, Resources, SandboxId};
use support::{World, paused, running, settle};

#[tokio::test(start_paused = true)]
async fn running_sandboxes_are_adopted_and_their_timeouts_hold() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let before = server.run(&id).await;
    drop(server);
    let server = world.start().await;
    assert_eq!(server.run(&id).await, before);
    server.lifecycle.route(&id).await.unwrap();
    server.advance(Duration::from_secs(300)).await;
    server.until_gone(&id).await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_ended_while_the_server_was_gone_is_acted_upon() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create_with(|new| new.settings.on_timeout = OnTimeout::Pause).await;
    drop(server);
    settle().await;
    world.clock.advance(Duration::from_secs(100_000));
    let server = world.start().await;
    server.until(&id, "paused", paused).await;
    server.connect(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_hung_when_the_server_ended_leaves_it_running() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let hang = world.node.hang_next(Verb::Pause);
    tokio::select! {
        _ = server.pause(&id) => panic!("it hangs"),
        () = hang.reached() => {}
    }
    drop(server);
    settle().await;
    assert!(world.node.runs_of(&id)[0].1.frozen);
    let server = world.start().await;
    server.until(&id, "running", running).await;
    server.lifecycle.route(&id).await.unwrap();
    assert!(!world.node.runs_of(&id)[0].1.frozen);
    server.pause(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_resume_in_flight_is_rolled_back_and_can_be_repeated() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    world.node.remember(&server.run(&id).await);
    server.pause(&id).await.unwrap();
    let hang = world.node.hang_next(Verb::Resume);
    tokio::select! {
        _ = server.connect(&id) => panic!("it hangs"),
        () = hang.reached() => {}
    }
    drop(server);
    settle().await;
    let server = world.start().await;
    let (record, _) = server.connect(&id).await.unwrap();
    let run = world.node.run(record.state.execution().unwrap()).unwrap();
    assert_eq!(run.memory, 1);
    assert!(run.reseeded, "it may have run before");
    assert_eq!(world.node.runs_of(&id).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_in_flight_is_undone() {
    let world = World::new();
    let server = world.start().await;
    let hang = world.node.hang_next(Verb::Start);
    let lifecycle = server.lifecycle.clone();
    tokio::select! {
        _ = lifecycle.create(&world.team, world.new_sandbox()) => panic!("it hangs"),
        () = hang.reached() => {}
    }
    let id = world.db.unsettled().await.unwrap()[0].id.clone();
    drop((server, lifecycle));
    settle().await;
    let server = world.start().await;
    server.until_gone(&id).await;
    assert_eq!(world.node.run_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kill_in_flight_is_finished() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    server.pause(&id).await.unwrap();
    server.connect(&id).await.unwrap();
    let hang = world.node.hang_next(Verb::Kill);
    tokio::select! {
        _ = server.kill(&id) => panic!("it hangs"),
        () = hang.reached() => {}
    }
    drop(server);
    settle().await;
    let server = world.start().await;
    server.until_gone(&id).await;
    assert_eq!(world.node.run_count(), 0);
    assert!(world.node.snapshots_of(&id).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_lost_power_brings_back_what_was_saved() {
    let world = World::new();
    let server = world.start().await;
    let (saved, unsaved) = (server.create().await, server.create().await);
    world.node.remember(&server.run(&saved).await);
    server.pause(&saved).await.unwrap();
    server.connect(&saved).await.unwrap();
    drop(server);
    world.node.crash();
    let server = world.start().await;
    server.until(&saved, "paused", paused).await;
    server.until_gone(&unsaved).await;
    let (record, _) = server.connect(&saved).await.unwrap();
    assert_eq!(world.node.run(record.state.execution().unwrap()).unwrap().memory, 1);
}

#[tokio::test(start_paused = true)]
async fn runs_and_snapshots_that_no_record_names_are_removed() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    server.pause(&id).await.unwrap();
    let stranger = SandboxId::random();
    let execution = ExecutionId::random();
    let start = Start {
        execution: execution.clone(),
        identity: ow_node_api::Identity {
            sandbox: stranger.clone(),
            template: "base".to_owned(),
            env_vars: Default::default(),
            access_token: None,
        },
        resources: Resources::default(),
        egress: Default::default(),
    };
    drop(server);
    world.node.start(start.clone()).await.unwrap();
    world
        .node
        .pause(ow_node_api::Pause {
            execution,
            sandbox: stranger.clone(),
            snapshot: ow_types::SnapshotId::random(),
            generation: 1,
            mode: ow_types::PauseMode::Full,
            durability: ow_types::Durability::DurableLocal,
            frozen: false,
        })
        .await
        .unwrap();
    world.node.start(Start { execution: ExecutionId::random(), ..start }).await.unwrap();
    let server = world.start().await;
    for _ in 0..100 {
        settle().await;
        if world.node.run_count() == 0 && world.node.snapshots_of(&stranger).is_empty() {
            break;
        }
    }
    assert_eq!(world.node.run_count(), 0);
    assert!(world.node.snapshots_of(&stranger).is_empty());
    server.connect(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_lets_work_end_and_sandboxes_run() {
    let world = World::new();
    let server = world.start().await;
    let (runs, pauses) = (server.create().await, server.create().await);
    let hang = world.node.hang_next(Verb::Pause);
    let (pause, ()) = tokio::join!(server.pause(&pauses), async {
        hang.reached().await;
        tokio::join!(server.lifecycle.shut_down(), async {
            settle().await;
            let refused = server.connect(&runs).await;
            assert!(matches!(refused, Err(LifecycleError::ShuttingDown)), "{refused:?}");
            hang.release();
        });
    });
    pause.unwrap();
    assert_eq!(world.node.run_count(), 1);
    let server = world.start().await;
    assert!(running(&server.get(&runs).await.unwrap().state));
    assert!(paused(&server.get(&pauses).await.unwrap().state));
}

#[tokio::test]
async fn a_transition_is_two_writes_and_outlives_the_server_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("records.db");
    let open = async || std::sync::Arc::new(ow_db::SqliteDatabase::open(&file).await.unwrap());
    let mut world = World::with(open().await);
    let server = world.start().await;
    let id = server.create().await;
    let revision = async |server: &support::Server<'_>| server.get(&id).await.unwrap().revision;
    assert_eq!(revision(&server).await, 1, "inserted, then running");
    server.pause(&id).await.unwrap();
    assert_eq!(revision(&server).await, 3, "pausing, then paused");
    drop(server);
    world.db = open().await;
    let server = world.start().await;
    server.connect(&id).await.unwrap();
    assert_eq!(revision(&server).await, 5, "resuming, then running");
    server.kill(&id).await.unwrap();
    assert!(world.db.get(&id).await.unwrap().is_none());
}
