use std::path::PathBuf;

use ow_engine::{EngineVersion, Place};
use ow_types::Resources;

use super::*;
use crate::network::Slot;
use crate::place::Wanted;

fn kept(sandbox: &SandboxId, bytes: u64) -> Kept {
    let resources = Resources::default();
    let wanted = Wanted {
        template: "shell".into(),
        template_digest: "shell-1".into(),
        rootfs: PathBuf::new(),
        agent: "agent".into(),
        resources,
        engine: EngineVersion { name: "gvisor".into(), version: "1".into() },
    };
    let place = Place {
        execution: ExecutionId::random(),
        engine: None,
        directory: PathBuf::new(),
        rootfs: PathBuf::new(),
        guest: PathBuf::new(),
        network_namespace: PathBuf::new(),
        cgroup: "/none".into(),
        first_uid: 0,
        resources,
        hostname: "sandbox".into(),
    };
    let placed = Placed { wanted, slot: Slot::of(1), place };
    Kept::new(SnapshotId::random(), sandbox.clone(), placed, bytes)
}

/// Puts one of another sandbox in; its snapshot, and those that went for it.
fn put(frozen: &Frozen, bytes: u64) -> (SnapshotId, Vec<SnapshotId>) {
    let kept = kept(&SandboxId::random(), bytes);
    let snapshot = kept.snapshot.clone();
    (snapshot, frozen.put(kept).into_iter().map(|kept| kept.snapshot).collect())
}

#[test]
fn the_oldest_go_for_the_newest_and_what_never_fits_at_once() {
    let frozen = Frozen::new(100);
    let (one, two) = (put(&frozen, 40).0, put(&frozen, 40).0);
    assert_eq!(put(&frozen, 60).1, [one]);
    assert_eq!(put(&frozen, 1).1, [two]);
    let (large, gone) = put(&frozen, 101);
    assert_eq!((gone.len(), gone.last()), (3, Some(&large)));
    assert_eq!(frozen.len(), 0);
}

#[test]
fn only_its_sandbox_takes_one_out_and_once() {
    let frozen = Frozen::new(100);
    let sandbox = SandboxId::random();
    let kept = kept(&sandbox, 1);
    let snapshot = kept.snapshot.clone();
    frozen.put(kept);
    assert!(frozen.take(&snapshot, &SandboxId::random()).is_none());
    assert!(frozen.take(&snapshot, &sandbox).unwrap().gone.is_cancelled());
    assert!(frozen.take(&snapshot, &sandbox).is_none());
}

#[test]
fn a_sandbox_is_there_once_and_nothing_after_the_end() {
    let frozen = Frozen::new(100);
    let sandbox = SandboxId::random();
    assert!(frozen.put(kept(&sandbox, 1)).is_empty());
    assert_eq!(frozen.put(kept(&sandbox, 2)).len(), 1);
    assert_eq!(frozen.len(), 1);
    assert_eq!(frozen.close().len(), 1);
    assert_eq!(put(&frozen, 1).1.len(), 1);
    assert_eq!(frozen.len(), 0);
}

#[test]
fn as_many_go_as_are_needed() {
    let frozen = Frozen::new(1000);
    for _ in 0..4 {
        put(&frozen, 10);
    }
    assert_eq!(frozen.shed(0).len(), 0);
    assert_eq!(frozen.shed(11).len(), 2);
    assert_eq!(frozen.shed(100).len(), 2);
}
