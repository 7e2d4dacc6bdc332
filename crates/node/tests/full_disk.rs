//! A disk that is full fails what needs room, and harms nothing else.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::fs;
use std::io::Write as _;

use common::{World, memory_limits, with_node};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use ow_node_api::{NodeApi as _, NodeError, Pause};
use ow_types::{SandboxId, SnapshotId};

#[test]
fn a_pause_that_does_not_fit_leaves_the_sandbox_running() {
    with_node(async |first| {
        let disk = first.data.parent().expect("it has one").join("disk");
        fs::create_dir(&disk).unwrap();
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &disk, tmpfs, MsFlags::empty(), Some("size=64m,mode=755")).unwrap();
        let world = World::open(&disk).await;
        let (id, snapshot) = (SandboxId::random(), SnapshotId::random());
        let sandbox = world.start(&id).await;
        assert_eq!(sandbox.count().await, 0);
        let limit = memory_limits(&world.data);
        assert_eq!(limit.len(), 1, "the sandbox has a limit: {limit:?}");
        let mut filler = fs::File::create(disk.join("filler")).unwrap();
        while filler.write_all(&[7; 4096]).is_ok() {}
        let failed = world.node.pause(sandbox.pause(&snapshot)).await.unwrap_err();
        assert!(matches!(failed, NodeError::NoRoom { .. }), "{failed}");
        assert!(failed.is_retryable());
        assert_eq!(memory_limits(&world.data), limit, "the sandbox has its limit again");
        assert_eq!(sandbox.count().await, 1);
        // What somebody was told to stand still does, and is saved when there is room.
        world.node.freeze(&sandbox.execution).await.unwrap();
        let frozen = Pause { frozen: true, ..sandbox.pause(&snapshot) };
        let failed = world.node.pause(frozen.clone()).await.unwrap_err();
        assert!(matches!(failed, NodeError::NoRoom { .. }), "{failed}");
        assert!(world.node.held().await.unwrap()[0].frozen);
        assert_eq!(fs::read_dir(world.data.join("snapshots")).unwrap().count(), 0);
        let failed = world.node.resume(common::resume(&id, &snapshot)).await.unwrap_err();
        assert!(matches!(failed, NodeError::NoSuchSnapshot { .. }), "{failed}");
        fs::remove_file(disk.join("filler")).unwrap();
        drop(filler);
        world.node.pause(frozen).await.unwrap();
        let sandbox = world.resume(&id, &snapshot).await;
        assert_eq!(sandbox.count().await, 2);
        world.node.kill(&sandbox.execution).await.unwrap();
        world.node.shut_down().await;
        drop(world);
        umount2(&disk, MntFlags::MNT_DETACH).unwrap();
    });
}
