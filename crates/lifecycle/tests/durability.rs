//! How safe a pause is: what is answered at each level, and what happens after.

mod support;

use std::time::Duration;

use ow_lifecycle::{Found, LifecycleError, PauseOptions};
use ow_node_api::fake::Verb;
use ow_types::{Durability, PauseMode, SandboxId, State, TransitionReport};
use support::{Server, World, failed, full, paused, running, settle};

fn at(level: Durability) -> PauseOptions {
    PauseOptions { durability: Some(level), ..full() }
}

async fn pause_at(
    server: &Server<'_>,
    id: &SandboxId,
    level: Durability,
) -> ow_lifecycle::Result<TransitionReport> {
    server.lifecycle.pause(&server.world.team, id, at(level)).await
}

const fn frozen(state: &State) -> bool {
    matches!(state, State::Pausing { acknowledged: true, .. })
}

async fn durability(server: &Server<'_>, id: &SandboxId) -> Durability {
    let record = server.get(id).await.expect("it exists");
    record.snapshot.expect("it was paused").durability
}

/// Waits until the newest snapshot is as safe as this.
async fn until_safe(server: &Server<'_>, id: &SandboxId, level: Durability) {
    for _ in 0..1000 {
        let record = server.get(id).await.expect("it exists");
        if record.snapshot.is_some_and(|snapshot| snapshot.durability >= level) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("sandbox {id} did not become {level:?}");
}

#[tokio::test(start_paused = true)]
async fn frozen_answers_at_once_and_is_saved_all_the_same() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let hang = world.node.hang_next(Verb::Pause);
    let report = pause_at(&server, &id, Durability::Frozen).await.unwrap();
    assert_eq!(report.durability, Some(Durability::Frozen));
    hang.reached().await;
    assert!(frozen(&server.get(&id).await.unwrap().state));
    hang.release();
    server.until(&id, "paused", paused).await;
    assert_eq!(durability(&server, &id).await, Durability::DurableLocal);
    let details = server.get(&id).await.unwrap().last_transition.unwrap();
    assert_eq!(details.durability, Some(Durability::DurableLocal));
    assert_eq!(server.connect(&id).await.unwrap().1, Found::Resumed);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_more_waits_for_it_and_who_asks_for_less_does_not() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let hang = world.node.hang_next(Verb::Pause);
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    hang.reached().await;
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    let usual = server.pause(&id);
    tokio::pin!(usual);
    tokio::select! {
        _ = &mut usual => panic!("it is only frozen"),
        () = settle() => {}
    }
    hang.release();
    assert_eq!(usual.await.unwrap().durability, Some(Durability::DurableLocal));
    let again = server.pause(&id).await;
    assert!(matches!(again, Err(LifecycleError::AlreadyPaused { .. })), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_only_frozen_is_taken_back_by_everyone_who_connects() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create_with(|new| new.settings.auto_resume = true).await;
    let run = server.run(&id).await;
    world.node.remember(&run);
    let hang = world.node.hang_next(Verb::Pause);
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    hang.reached().await;
    let (one, two, route) =
        tokio::join!(server.connect(&id), server.connect(&id), server.lifecycle.route(&id));
    let found = [one.unwrap().1, two.unwrap().1];
    assert!(found.contains(&Found::Resumed), "{found:?}");
    route.unwrap();
    assert_eq!(server.run(&id).await, run, "it is the same run");
    hang.release();
    settle().await;
    assert_eq!(world.node.run(&run).unwrap().memory, 1);
    assert!(!world.node.run(&run).unwrap().frozen);
    assert!(world.node.snapshots_of(&id).is_empty(), "the pause that was given up left nothing");
    server.pause(&id).await.unwrap();
    server.connect(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_complete_before_it_was_taken_back_is_resumed() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    world.node.remember(&server.run(&id).await);
    // The snapshot is complete, and its answer takes long.
    world.node.fail_after_next(Verb::Pause, failed());
    let hang = world.node.hang_next(Verb::Stored);
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    hang.reached().await;
    let (record, found) = server.connect(&id).await.unwrap();
    assert_eq!(found, Found::Resumed);
    let run = world.node.run(record.state.execution().unwrap()).unwrap();
    assert_eq!((run.memory, run.resumed_from.is_some()), (1, true));
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_stays_frozen_until_it_is_saved() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let run = server.run(&id).await;
    for _ in 0..5 {
        world.node.fail_next(Verb::Pause, failed());
    }
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    settle().await;
    assert!(world.node.run(&run).unwrap().frozen, "it must not run on");
    let usual = server.pause(&id).await;
    assert!(matches!(usual, Err(LifecycleError::Node { .. })), "{usual:?}");
    tokio::time::sleep(Duration::from_secs(30)).await;
    server.until(&id, "paused", paused).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_starts_anew_goes_on_saving_what_was_acknowledged() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    world.node.remember(&server.run(&id).await);
    let hang = world.node.hang_next(Verb::Pause);
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    hang.reached().await;
    drop(server);
    settle().await;
    let server = world.start().await;
    server.until(&id, "paused", paused).await;
    assert_eq!(world.node.snapshots_of(&id)[0].memory, 1);
    server.connect(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_frozen_run_that_dies_falls_back_to_what_was_saved() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    server.pause(&id).await.unwrap();
    server.connect(&id).await.unwrap();
    let run = server.run(&id).await;
    let hang = world.node.hang_next(Verb::Pause);
    pause_at(&server, &id, Durability::Frozen).await.unwrap();
    hang.reached().await;
    world.node.die(&run);
    hang.release();
    server.until(&id, "paused", paused).await;
    let (record, _) = server.connect(&id).await.unwrap();
    assert_eq!(record.snapshot.unwrap().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn captured_is_made_durable_after_the_answer() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let hang = world.node.hang_next(Verb::Secure);
    let report = pause_at(&server, &id, Durability::Captured).await.unwrap();
    assert_eq!(report.durability, Some(Durability::Captured));
    hang.reached().await;
    assert_eq!(durability(&server, &id).await, Durability::Captured);
    let more = pause_at(&server, &id, Durability::DurableLocal);
    tokio::pin!(more);
    tokio::select! {
        _ = &mut more => panic!("it is only captured"),
        () = settle() => {}
    }
    hang.release();
    assert_eq!(more.await.unwrap().durability, Some(Durability::DurableLocal));
    assert_eq!(world.node.snapshots_of(&id)[0].durability, Durability::DurableLocal);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_goes_on_to_the_object_store_while_the_sandbox_runs_again() {
    let world = World::new();
    world.node.set_durability(Durability::DurableRemote);
    let server = world.start().await;
    let id = server.create().await;
    let hang = world.node.hang_next(Verb::Secure);
    server.pause(&id).await.unwrap();
    hang.reached().await;
    server.connect(&id).await.unwrap();
    hang.release();
    until_safe(&server, &id, Durability::DurableRemote).await;
    assert!(running(&server.get(&id).await.unwrap().state));
}

#[tokio::test(start_paused = true)]
async fn an_object_store_that_fails_is_told_and_tried_again() {
    let world = World::new();
    world.node.set_durability(Durability::DurableRemote);
    let server = world.start().await;
    let id = server.create().await;
    world.node.fail_next(Verb::Secure, failed());
    let refused = pause_at(&server, &id, Durability::DurableRemote).await;
    let reached = match &refused {
        Err(LifecycleError::LessSafe { reached, .. }) => *reached,
        other => panic!("{other:?}"),
    };
    assert_eq!(reached, Durability::DurableLocal);
    assert!(paused(&server.get(&id).await.unwrap().state), "it is paused all the same");
    for _ in 0..3 {
        server.advance(Duration::from_secs(60)).await;
    }
    until_safe(&server, &id, Durability::DurableRemote).await;
    let report = pause_at(&server, &id, Durability::DurableRemote).await;
    assert!(matches!(report, Err(LifecycleError::AlreadyPaused { .. })), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_less_safe_is_made_safer_by_the_next_server() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let hang = world.node.hang_next(Verb::Secure);
    pause_at(&server, &id, Durability::Captured).await.unwrap();
    hang.reached().await;
    drop(server);
    settle().await;
    let server = world.start().await;
    until_safe(&server, &id, Durability::DurableLocal).await;
}

#[tokio::test(start_paused = true)]
async fn a_level_that_is_not_to_be_had_is_refused_before_anything_happens() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let refused = pause_at(&server, &id, Durability::DurableRemote).await;
    assert!(matches!(refused, Err(LifecycleError::Unsupported { .. })), "{refused:?}");
    assert!(running(&server.get(&id).await.unwrap().state));
}

#[tokio::test(start_paused = true)]
async fn files_alone_are_never_only_frozen() {
    let world = World::new();
    let server = world.start().await;
    let id = server.create().await;
    let options = PauseOptions { mode: PauseMode::Filesystem, ..at(Durability::Frozen) };
    let report = server.lifecycle.pause(&world.team, &id, options).await.unwrap();
    assert!(report.durability >= Some(Durability::Captured), "{:?}", report.durability);
}

#[tokio::test(start_paused = true)]
async fn a_return_from_memory_proves_no_snapshot() {
    let world = World::new();
    world.node.keep_frozen(true);
    let server = world.start().await;
    let id = server.create().await;
    server.pause(&id).await.unwrap();
    world.node.evict();
    server.connect(&id).await.unwrap();
    assert!(server.get(&id).await.unwrap().snapshot.unwrap().proven);
    for _ in 0..3 {
        server.pause(&id).await.unwrap();
        server.connect(&id).await.unwrap();
    }
    let record = server.get(&id).await.unwrap();
    let (newest, before) = (record.snapshot.unwrap(), record.previous_snapshot.unwrap());
    assert_eq!((newest.generation, newest.proven), (4, false));
    assert_eq!((before.generation, before.proven), (1, true), "the proven one stays");
    let kept: Vec<u64> =
        world.node.snapshots_of(&id).iter().map(|kept| kept.stored.generation).collect();
    assert_eq!(kept, [1, 4]);
    // None of the newer ones can be read: the proven one goes on.
    world.node.keep_frozen(false);
    server.pause(&id).await.unwrap();
    let newest = server.get(&id).await.unwrap().snapshot.unwrap();
    world.node.corrupt(&newest.id, "a flipped bit");
    let (record, _) = server.connect(&id).await.unwrap();
    assert_eq!(record.snapshot.unwrap().generation, 1);
}
