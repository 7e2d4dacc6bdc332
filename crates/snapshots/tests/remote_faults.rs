//! Stores that hang, refuse or are full, and a machine without room.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;
#[allow(dead_code, reason = "not every test file uses every helper")]
#[path = "common/remote.rs"]
mod remote;

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use common::SmallDisk;
use ow_snapshots::{Cancel, RemoteConfig, RemoteError, SnapshotError, Store};
use remote::Machine;
use tempfile::TempDir;

/// A store at an address, which is given keys of no worth.
fn s3(endpoint: String, timeout: Duration) -> RemoteConfig {
    let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
    RemoteConfig {
        endpoint: Some(endpoint),
        allow_http: true,
        timeout,
        variables: keys.map(|(name, value)| (name.into(), value.into())).into(),
        ..RemoteConfig::new("s3://bucket/prefix")
    }
}

/// What connects here waits for as long as the listener lives.
fn hanging_store() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, endpoint)
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hang_the_caller() {
    let (_listener, endpoint) = hanging_store();
    let machine = Machine::new(&s3(endpoint, Duration::from_millis(200)));
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &[Some(1)]);
    let failed = machine.upload(&snapshot).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed:?}");
    let failed = machine.fetch(&snapshot).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed:?}");
}

#[tokio::test]
async fn work_that_waits_for_a_store_can_be_cancelled() {
    let (_listener, endpoint) = hanging_store();
    let machine = Machine::new(&s3(endpoint, Duration::from_secs(3600)));
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &[Some(1)]);
    let cancel = Cancel::default();
    let upload = machine.remote.upload(&machine.local, &snapshot, b"", &cancel);
    let (stopped, ()) = tokio::join!(upload, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel.cancel();
    });
    assert!(matches!(stopped, Err(RemoteError::Snapshot(SnapshotError::Cancelled))));
}

#[tokio::test]
async fn a_store_that_is_not_there_is_told_from_a_snapshot_that_is_not() {
    let (listener, endpoint) = hanging_store();
    drop(listener);
    let machine = Machine::new(&s3(endpoint, Duration::from_secs(1)));
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &[Some(1)]);
    let failed = machine.fetch(&snapshot).await.unwrap_err();
    assert!(matches!(failed, RemoteError::Failed { .. }), "{failed:?}");
    assert!(failed.is_retryable());
    assert!(machine.remote.delete(&machine.sandbox, &snapshot).await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn a_fetch_without_room_leaves_nothing() {
    let Some(disk) = SmallDisk::mounted("size=4m") else { return };
    let store = TempDir::new().unwrap();
    let url = format!("file://{}", store.path().display());
    let machine = Machine::new(&RemoteConfig::new(url));
    let chunks: Vec<_> = (0..8).map(Some).collect();
    let (snapshot, _) = machine.uploaded(1, &chunks).await;
    let local = Store::open(disk.path()).unwrap();
    let cancel = Cancel::default();
    let failed = machine.remote.fetch(&machine.sandbox, &snapshot, &local, &cancel).await;
    assert!(
        matches!(failed, Err(RemoteError::Snapshot(SnapshotError::NoSpace { .. }))),
        "{failed:?}"
    );
    assert_eq!(disk.entries(), 0);
}

#[tokio::test]
async fn an_upload_to_a_full_store_fails_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mounted("size=1m") else { return };
    let url = format!("file://{}", disk.path().join("store").display());
    let machine = Machine::new(&RemoteConfig::new(url));
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![7; 900 << 10]).unwrap();
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &[Some(1)]);
    let failed = machine.upload(&snapshot).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed:?}");
    assert!(!machine.contains(&snapshot).await);
    fs::remove_file(&filler).unwrap();
    machine.upload(&snapshot).await.unwrap();
    machine.fetch(&snapshot).await.unwrap();
}
