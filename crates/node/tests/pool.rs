//! Places that are made ready ahead of time.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::time::Duration;

use common::{World, with_configured_node, with_node};
use ow_node_api::NodeApi as _;
use ow_types::{SandboxId, SnapshotId};

async fn filled(world: &World, places: usize) {
    for _ in 0..500 {
        if world.node.prepared_places() == places {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} places are ready, and not {places}", world.node.prepared_places());
}

#[test]
fn places_are_used_once_refilled_and_removed_at_the_end() {
    with_node(async |first| {
        let directory = first.data.parent().expect("it has one").join("pool");
        std::fs::create_dir(&directory).unwrap();
        let world = World::with(&directory, |config| config.prepared_places = 2).await;
        filled(&world, 2).await;
        let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
        let sandbox = world.start(&id).await;
        let another = world.start(&SandboxId::random()).await;
        assert_ne!(sandbox.address, another.address);
        assert_eq!((sandbox.count().await, another.count().await), (0, 0));
        world.node.pause(sandbox.pause(&snapshot)).await.unwrap();
        filled(&world, 2).await;
        let sandbox = world.resume(&id, &snapshot).await;
        assert_eq!(sandbox.count().await, 1);
        // Prepared places are no runs.
        assert_eq!(world.node.held().await.unwrap().len(), 2);
        world.node.kill(&sandbox.execution).await.unwrap();
        world.node.kill(&another.execution).await.unwrap();
        world.node.shut_down().await;
        assert_eq!(std::fs::read_dir(world.data.join("runs")).unwrap().count(), 0);
    });
}

#[test]
fn a_place_that_died_while_it_was_ready_fails_no_start() {
    with_configured_node(
        |config| config.prepared_places = 1,
        async |world| {
            filled(&world, 1).await;
            world.end_everything().await;
            let sandbox = world.start(&SandboxId::random()).await;
            assert_eq!(sandbox.count().await, 0);
            assert_eq!(world.node.held().await.unwrap().len(), 1);
        },
    );
}
