//! What happens when a timeout, a runtime or a retention ends, by a clock that the tests move.

mod support;

use std::time::Duration;

use ow_lifecycle::{Config, LifecycleError};
use ow_node_api::fake::Verb;
use ow_types::{Clock as _, OnTimeout, PauseMode};
use support::{World, failed, paused, running};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_timeout_kills_at_its_moment_and_not_before() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    server.advance(Duration::from_millis(299_999)).await;
    assert!(running(&server.get(&id).await.unwrap().state));
    server.advance(Duration::from_millis(1)).await;
    server.until_gone(&id).await;
    assert_eq!(world.node.run_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn auto_pause_persists_across_resumes() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create_with(|new| new.settings.on_timeout = OnTimeout::Pause).await;
    for round in 1..=3 {
        world.node.remember(&server.run(&id).await);
        server.advance(seconds(300)).await;
        server.until(&id, "paused", paused).await;
        let (record, _) = server.connect(&id).await.unwrap();
        assert_eq!(world.node.run(record.state.execution().unwrap()).unwrap().memory, round);
    }
}

#[tokio::test(start_paused = true)]
async fn an_auto_pause_may_keep_files_only() {
    let world = World::new();
    let server = world.start().await;
    let id = server
        .create_with(|new| {
            new.settings.on_timeout = OnTimeout::Pause;
            new.settings.pause_mode = PauseMode::Filesystem;
        })
        .await;
    server.advance(seconds(300)).await;
    server.until(&id, "paused", paused).await;
    assert_eq!(world.node.snapshots_of(&id)[0].stored.mode, PauseMode::Filesystem);
}

#[tokio::test(start_paused = true)]
async fn an_auto_pause_that_fails_is_tried_again_and_nothing_is_killed() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create_with(|new| new.settings.on_timeout = OnTimeout::Pause).await;
    world.node.fail_next(Verb::Pause, failed());
    world.node.fail_next(Verb::Pause, failed());
    server.advance(seconds(300)).await;
    assert!(running(&server.get(&id).await.unwrap().state));
    server.advance(seconds(5)).await;
    assert!(running(&server.get(&id).await.unwrap().state));
    assert_eq!(world.node.call_count(Verb::Pause), 2);
    server.advance(seconds(10)).await;
    server.until(&id, "paused", paused).await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_can_be_shortened_a_refresh_only_extends() {
    let world = World::new();
    let server = world.start().await;
    let (lifecycle, team) = (&server.lifecycle, &world.team);
    let id = server.create().await;
    let end_in = async || server.get(&id).await.unwrap().end_at.since(world.clock.now());
    lifecycle.set_timeout(team, &id, seconds(60)).await.unwrap();
    assert_eq!(end_in().await, seconds(60));
    lifecycle.refresh(team, &id, seconds(20)).await.unwrap();
    assert_eq!(end_in().await, seconds(60));
    lifecycle.refresh(team, &id, seconds(90)).await.unwrap();
    assert_eq!(end_in().await, seconds(90));
    lifecycle.connect(team, &id, Some(seconds(30))).await.unwrap();
    assert_eq!(end_in().await, seconds(90), "a connect does not shorten");
    let too_long = lifecycle.set_timeout(team, &id, seconds(25 * 60 * 60)).await;
    assert!(matches!(too_long, Err(LifecycleError::TimeoutTooLong { .. })));
    lifecycle.set_timeout(team, &id, Duration::ZERO).await.unwrap();
    server.until_gone(&id).await;
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_paused_sandbox_is_not_found() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    server.pause(&id).await.unwrap();
    let set = server.lifecycle.set_timeout(&world.team, &id, seconds(60)).await;
    assert!(matches!(set, Err(LifecycleError::NotFound { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_connect_without_a_timeout_uses_the_last() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    server.lifecycle.set_timeout(&world.team, &id, seconds(77)).await.unwrap();
    server.pause(&id).await.unwrap();
    let (record, _) = server.lifecycle.connect(&world.team, &id, None).await.unwrap();
    assert_eq!(record.end_at.since(world.clock.now()), seconds(77));
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_longer_than_allowed_and_a_resume_begins_anew() {
    let mut world = World::new();
    world.config = Config { max_runtime: seconds(1000), ..Config::default() };
    let server = world.start().await;
    let id = server.create_with(|new| new.settings.on_timeout = OnTimeout::Pause).await;
    server.advance(seconds(200)).await;
    server.lifecycle.set_timeout(&world.team, &id, seconds(1000)).await.unwrap();
    assert_eq!(server.get(&id).await.unwrap().end_at.since(world.clock.now()), seconds(800));
    server.advance(seconds(800)).await;
    server.until(&id, "paused", paused).await;
    let (record, _) =
        server.lifecycle.connect(&world.team, &id, Some(seconds(1000))).await.unwrap();
    assert_eq!(record.end_at.since(world.clock.now()), seconds(1000));
}

#[tokio::test(start_paused = true)]
async fn a_paused_sandbox_is_kept_to_the_second_and_then_not_found() {
    let mut world = World::new();
    world.config = Config { retention: Some(seconds(3600)), ..Config::default() };
    let server = world.start().await;
    let id = server.create().await;
    server.advance(seconds(7)).await;
    server.pause(&id).await.unwrap();
    server.advance(seconds(3599)).await;
    assert!(paused(&server.get(&id).await.unwrap().state));
    server.advance(seconds(1)).await;
    assert!(matches!(server.get(&id).await, Err(LifecycleError::NotFound { .. })));
    assert!(matches!(server.connect(&id).await, Err(LifecycleError::NotFound { .. })));
    server.until_gone(&id).await;
    assert!(world.node.snapshots_of(&id).is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_retention_a_sandbox_is_kept_for_good() {
    let mut world = World::new();
    world.config = Config { retention: None, ..Config::default() };
    let server = world.start().await;
    let id = server.create().await;
    server.pause(&id).await.unwrap();
    server.advance(seconds(100 * 365 * 24 * 60 * 60)).await;
    server.connect(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_does_not_let_a_sandbox_run_for_ever() {
    let mut world = World::new();
    world.config = Config { max_runtime: seconds(1000), ..Config::default() };
    let server = world.start().await;
    let id = server.create().await;
    let year = seconds(365 * 24 * 60 * 60);
    let back = world.clock.now().unix_millis() - u64::try_from(year.as_millis()).unwrap();
    world.clock.set(ow_types::Timestamp::from_unix_millis(back));
    for _ in 0..4 {
        server.advance(seconds(300)).await;
    }
    server.until_gone(&id).await;
}
