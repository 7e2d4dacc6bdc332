//! A disk that takes no more is named, and nothing is left on it.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::fs;
use std::io::Write as _;

use common::SmallDisk;
use nix::mount::{MsFlags, mount};
use ow_snapshots::{Cancel, Safety, SnapshotError, Store};
use ow_types::SnapshotId;

#[test]
fn a_disk_without_room_for_the_manifest_keeps_nothing() {
    let Some(disk) = SmallDisk::mounted("size=4m") else { return };
    let store = Store::open(disk.path()).unwrap();
    let partial = store.begin(&SnapshotId::random()).unwrap();
    let mut filler = fs::File::create(partial.image().join("pages.img")).unwrap();
    while filler.write_all(&[7; 4096]).is_ok() {}
    let failed = partial.commit(common::about(), Safety::Durable, &Cancel::default());
    assert!(matches!(failed, Err(SnapshotError::NoSpace { .. })), "{failed:?}");
    assert_eq!(disk.entries(), 0);
}

#[test]
fn a_disk_without_inodes_keeps_nothing() {
    let Some(disk) = SmallDisk::mounted("nr_inodes=5") else { return };
    let store = Store::open(disk.path()).unwrap();
    let failed = common::committed(&store, &SnapshotId::random(), Safety::Durable);
    assert!(matches!(failed, Err(SnapshotError::NoSpace { .. })), "{failed:?}");
    assert_eq!(disk.entries(), 0);
    fs::write(disk.path().join("a"), "").unwrap();
    fs::write(disk.path().join("b"), "").unwrap();
    fs::write(disk.path().join("c"), "").unwrap();
    let failed = store.begin(&SnapshotId::random());
    assert!(matches!(failed, Err(SnapshotError::NoSpace { .. })), "{failed:?}");
    assert_eq!(disk.entries(), 3);
}

#[test]
fn a_read_only_disk_is_named_and_what_is_on_it_can_be_verified() {
    let Some(disk) = SmallDisk::mounted("size=16m") else { return };
    let store = Store::open(disk.path()).unwrap();
    let snapshot = SnapshotId::random();
    common::committed(&store, &snapshot, Safety::Durable).unwrap();
    let read_only = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, disk.path(), None::<&str>, read_only, None::<&str>).unwrap();
    let refused = store.begin(&SnapshotId::random());
    assert!(matches!(refused, Err(SnapshotError::ReadOnly { .. })), "{refused:?}");
    let refused = store.remove(&snapshot);
    assert!(matches!(refused, Err(SnapshotError::ReadOnly { .. })), "{refused:?}");
    store.verify(&snapshot, &Cancel::default()).unwrap();
}
