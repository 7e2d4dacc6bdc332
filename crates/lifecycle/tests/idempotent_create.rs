//! A create that names itself is met once, whatever ends the server meanwhile.

mod support;

use ow_lifecycle::{LifecycleError, NewSandbox};
use ow_node_api::fake::Verb;
use support::{World, failed, settle};

fn named(world: &World) -> NewSandbox {
    NewSandbox { idempotency: Some(("order-7".to_owned(), [1; 32])), ..world.new_sandbox() }
}

#[tokio::test(start_paused = true)]
async fn a_repetition_after_a_crash_finds_the_sandbox_that_was_made() {
    let world = World::new();
    let server = world.start().await;
    let made = server.lifecycle.create(&world.team, named(&world)).await.unwrap();
    drop(server);
    settle().await;
    let server = world.start().await;
    let again = server.lifecycle.create(&world.team, named(&world)).await.unwrap();
    assert_eq!(again.id, made.id);
    assert_eq!(world.node.run_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_a_crash_cut_off_is_made_anew_and_leaves_one() {
    let world = World::new();
    let server = world.start().await;
    let hang = world.node.hang_next(Verb::Start);
    tokio::select! {
        _ = server.lifecycle.create(&world.team, named(&world)) => panic!("it hangs"),
        () = hang.reached() => {}
    }
    drop(server);
    settle().await;
    let server = world.start().await;
    let mut made = server.lifecycle.create(&world.team, named(&world)).await;
    while let Err(LifecycleError::IdempotencyInFlight) = made {
        settle().await;
        made = server.lifecycle.create(&world.team, named(&world)).await;
    }
    let made = made.unwrap();
    settle().await;
    assert_eq!(world.node.run_count(), 1);
    let again = server.lifecycle.create(&world.team, named(&world)).await.unwrap();
    assert_eq!(again.id, made.id);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_failed_can_be_asked_for_again() {
    let world = World::new();
    let server = world.start().await;
    world.node.fail_next(Verb::Start, failed());
    let refused = server.lifecycle.create(&world.team, named(&world)).await;
    assert!(matches!(refused, Err(LifecycleError::Node { .. })), "{refused:?}");
    settle().await;
    server.lifecycle.create(&world.team, named(&world)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_two_at_once_one_is_made() {
    let world = World::new();
    let server = world.start().await;
    let create = || server.lifecycle.create(&world.team, named(&world));
    let (one, two) = tokio::join!(create(), create());
    let made = [&one, &two].into_iter().filter(|answer| answer.is_ok()).count();
    assert!(made >= 1, "{one:?} {two:?}");
    for answer in [one, two] {
        if let Err(error) = answer {
            assert!(matches!(error, LifecycleError::IdempotencyInFlight), "{error:?}");
        }
    }
    assert_eq!(world.node.run_count(), 1);
}
