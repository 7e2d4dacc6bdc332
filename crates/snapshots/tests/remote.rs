//! A directory as the object store: what is in it comes back, or is refused by name.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;
#[allow(dead_code, reason = "not every test file uses every helper")]
#[path = "common/remote.rs"]
mod remote;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use ow_snapshots::{Cancel, RemoteConfig, RemoteError, SnapshotError, Store};
use ow_types::SnapshotId;
use remote::Machine;
use tempfile::TempDir;

/// A machine, and the directory that is its object store.
struct Place {
    machine: Machine,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let url = format!("file://{}", directory.path().join("store").display());
        Self { machine: Machine::new(&RemoteConfig::new(url)), directory }
    }

    fn sandbox(&self) -> PathBuf {
        let sandbox = self.machine.sandbox.as_str();
        self.directory.path().join("store/sandboxes").join(sandbox)
    }

    fn manifest(&self, snapshot: &SnapshotId) -> PathBuf {
        self.sandbox().join(snapshot.as_str()).join("manifest.json")
    }

    fn chunk_count(&self) -> usize {
        fs::read_dir(self.sandbox().join("chunks")).map_or(0, Iterator::count)
    }
}

#[tokio::test]
async fn a_snapshot_comes_back() {
    remote::comes_back(&Place::new().machine).await;
}

#[tokio::test]
async fn generations_share_their_chunks() {
    remote::generations_share(&Place::new().machine).await;
}

#[tokio::test]
async fn files_come_back_under_their_digests() {
    let place = Place::new();
    remote::files_come_back(&place.machine, place.directory.path()).await;
}

#[tokio::test]
async fn zeros_take_no_room_in_the_store_nor_on_the_disk() {
    let place = Place::new();
    let (snapshot, uploaded) = place.machine.uploaded(1, &[None; 16]).await;
    assert_eq!(uploaded.zero, 16 << 20);
    assert_eq!(place.chunk_count(), 1, "only that of `checkpoint.img`");
    place.machine.local.remove(&snapshot).unwrap();
    place.machine.fetch(&snapshot).await.unwrap();
    let metadata = fs::metadata(place.machine.pages(&snapshot)).unwrap();
    assert_eq!(metadata.len(), 16 << 20);
    assert!(metadata.blocks() * 512 < 1 << 20);
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_in_the_store() {
    let place = Place::new();
    for directory in ["store", "store/sandboxes", "store/files"] {
        let metadata = fs::metadata(place.directory.path().join(directory)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_does_not_exist_and_can_be_repeated() {
    let place = Place::new();
    let (one, _) = place.machine.uploaded(1, &[Some(1)]).await;
    let chunks = [Some(1), Some(2), Some(3)];
    let two = common::generation(&place.machine.local, &place.machine.sandbox, 2, &chunks);
    // The manifest cannot be written where a directory is.
    fs::create_dir_all(place.manifest(&two).join("in the way")).unwrap();
    let failed = place.machine.upload(&two).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed:?}");
    assert!(!place.machine.contains(&two).await);
    assert_eq!(place.machine.remote.list().await.unwrap().len(), 1);
    let left = place.chunk_count();
    assert_eq!(left, 4);

    fs::remove_dir_all(place.manifest(&two)).unwrap();
    place.machine.upload(&two).await.unwrap();
    assert_eq!(place.chunk_count(), left);
    place.machine.delete(&two).await;
    assert_eq!(place.chunk_count(), 2, "those of the first stay");
    assert!(place.machine.contains(&one).await);
}

#[tokio::test]
async fn what_a_cut_off_upload_left_goes_with_the_next_deletion() {
    let place = Place::new();
    let (one, _) = place.machine.uploaded(1, &[Some(1)]).await;
    let (two, _) = place.machine.uploaded(2, &[Some(1), Some(2)]).await;
    // As if the upload of a third had ended before its manifest was written.
    let (three, _) = place.machine.uploaded(3, &[Some(3), Some(4)]).await;
    fs::remove_file(place.manifest(&three)).unwrap();
    assert_eq!(place.chunk_count(), 5);
    place.machine.delete(&one).await;
    assert_eq!(place.chunk_count(), 3);
    place.machine.delete(&two).await;
    assert!(!place.sandbox().exists());
}

#[tokio::test]
async fn a_cancelled_upload_or_fetch_leaves_no_snapshot() {
    let place = Place::new();
    let machine = &place.machine;
    let cancel = Cancel::default();
    cancel.cancel();
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &[Some(1)]);
    let stopped = machine.remote.upload(&machine.local, &snapshot, b"", &cancel).await;
    assert!(matches!(stopped, Err(RemoteError::Snapshot(SnapshotError::Cancelled))));
    assert!(!machine.contains(&snapshot).await);
    machine.upload(&snapshot).await.unwrap();
    machine.local.remove(&snapshot).unwrap();
    let stopped = machine.remote.fetch(&machine.sandbox, &snapshot, &machine.local, &cancel).await;
    assert!(matches!(stopped, Err(RemoteError::Snapshot(SnapshotError::Cancelled))));
    assert_eq!(fs::read_dir(machine.disk.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_the_chunks() {
    let place = Place::new();
    let (one, _) = place.machine.uploaded(1, &[Some(1)]).await;
    let (two, _) = place.machine.uploaded(2, &[Some(2)]).await;
    fs::write(place.manifest(&two), "{}").unwrap();
    place.machine.delete(&one).await;
    assert_eq!(place.chunk_count(), 3, "they may be of the second");
    place.machine.delete(&two).await;
    assert!(!place.sandbox().exists());
}

#[tokio::test]
async fn a_server_that_starts_anew_finds_what_was_stored() {
    let place = Place::new();
    let (snapshot, _) = place.machine.uploaded(1, &[Some(1)]).await;
    let url = format!("file://{}", place.directory.path().join("store").display());
    let elsewhere = Machine::new(&RemoteConfig::new(url));
    let listed = elsewhere.remote.list().await.unwrap();
    assert_eq!(listed[0].snapshot, snapshot);
    let (sandbox, cancel) = (&listed[0].sandbox, Cancel::default());
    elsewhere.remote.fetch(sandbox, &snapshot, &elsewhere.local, &cancel).await.unwrap();
    Store::open(elsewhere.disk.path()).unwrap().verify(&snapshot, &cancel).unwrap();
}
