//! Snapshots on a disk of their own, and what any object store must do with them.

use std::fs;
use std::path::{Path, PathBuf};

use ow_snapshots::{
    Cancel, RemoteConfig, RemoteError, RemoteStore, SnapshotError, Store, Uploaded,
};
use ow_types::{SandboxId, SnapshotId};
use tempfile::TempDir;

use crate::common::generation;

/// A machine with snapshots, and an object store.
pub(crate) struct Machine {
    pub(crate) disk: TempDir,
    pub(crate) local: Store,
    pub(crate) remote: RemoteStore,
    pub(crate) sandbox: SandboxId,
}

impl Machine {
    pub(crate) fn new(config: &RemoteConfig) -> Self {
        let disk = TempDir::new().expect("a directory");
        let local = Store::open(disk.path()).expect("a store");
        let remote = RemoteStore::open(config).expect("an object store");
        Self { disk, local, remote, sandbox: SandboxId::random() }
    }

    pub(crate) async fn upload(&self, snapshot: &SnapshotId) -> Result<Uploaded, RemoteError> {
        let record = format!("record of {snapshot}");
        self.remote.upload(&self.local, snapshot, record.as_bytes(), &Cancel::default()).await
    }

    pub(crate) async fn fetch(&self, snapshot: &SnapshotId) -> Result<(), RemoteError> {
        let cancel = Cancel::default();
        self.remote.fetch(&self.sandbox, snapshot, &self.local, &cancel).await.map(drop)
    }

    pub(crate) async fn contains(&self, snapshot: &SnapshotId) -> bool {
        self.remote.contains(&self.sandbox, snapshot).await.expect("the store answers")
    }

    pub(crate) async fn delete(&self, snapshot: &SnapshotId) {
        self.remote.delete(&self.sandbox, snapshot).await.expect("the store answers");
    }

    /// A generation with these chunks, in the object store.
    pub(crate) async fn uploaded(
        &self,
        number: u64,
        chunks: &[Option<u32>],
    ) -> (SnapshotId, Uploaded) {
        let snapshot = generation(&self.local, &self.sandbox, number, chunks);
        let uploaded = self.upload(&snapshot).await.expect("the store has room");
        (snapshot, uploaded)
    }

    pub(crate) fn pages(&self, snapshot: &SnapshotId) -> PathBuf {
        self.disk.path().join(snapshot.as_str()).join("image/pages.img")
    }

    /// Fails unless a snapshot here is whole and has this content.
    pub(crate) fn assert_whole(&self, snapshot: &SnapshotId, pages: &[u8]) {
        self.local.verify(snapshot, &Cancel::default()).expect("it is whole");
        assert!(fs::read(self.pages(snapshot)).expect("it is there") == pages);
    }
}

/// A snapshot comes back from the store as it was brought there, and is told of.
pub(crate) async fn comes_back(machine: &Machine) {
    let (snapshot, uploaded) = machine.uploaded(1, &[Some(1), None, Some(2), Some(1)]).await;
    assert_eq!((uploaded.zero, uploaded.deduplicated), (1 << 20, 1 << 20));
    assert!(uploaded.stored > 1000 && uploaded.stored < 1 << 20, "{uploaded:?}");
    let (pages, manifest) = (
        fs::read(machine.pages(&snapshot)).expect("it is there"),
        machine.local.read(&snapshot).expect("it is there"),
    );
    machine.local.remove(&snapshot).expect("it can be removed");
    assert!(machine.contains(&snapshot).await);
    machine.fetch(&snapshot).await.expect("it is there");
    machine.assert_whole(&snapshot, &pages);
    assert_eq!(machine.local.read(&snapshot).expect("it is there"), manifest);

    let listed = machine.remote.list().await.expect("the store answers");
    let listed = listed.iter().find(|listed| listed.snapshot == snapshot).expect("it is listed");
    assert_eq!((&listed.sandbox, listed.generation), (&machine.sandbox, 1));
    assert!(machine.remote.sandboxes().await.expect("it answers").contains(&machine.sandbox));
    let record = machine.remote.record(&machine.sandbox).await.expect("it answers");
    assert_eq!(record, Some(format!("record of {snapshot}").into_bytes()));
    assert!(!machine.contains(&SnapshotId::random()).await);
    let unknown = machine.fetch(&SnapshotId::random()).await;
    assert!(
        matches!(unknown, Err(RemoteError::Snapshot(SnapshotError::NotFound { .. }))),
        "{unknown:?}"
    );
    assert_eq!(machine.remote.record(&SandboxId::random()).await.expect("it answers"), None);
}

/// A later generation sends what is new, and its deletion takes no chunk from the other.
pub(crate) async fn generations_share(machine: &Machine) {
    let (one, first) = machine.uploaded(1, &[Some(1), Some(2), Some(3)]).await;
    let (two, second) = machine.uploaded(2, &[Some(1), Some(4), Some(3)]).await;
    // `checkpoint.img` has not changed either.
    assert_eq!(second.deduplicated, (2 << 20) + 12);
    assert!(second.stored < first.stored / 2);
    let again = machine.upload(&two).await.expect("it can be repeated");
    assert_eq!(again.stored, 0);

    let pages = fs::read(machine.pages(&two)).expect("it is there");
    machine.delete(&one).await;
    machine.delete(&one).await;
    assert!(!machine.contains(&one).await);
    machine.local.remove(&two).expect("it can be removed");
    machine.fetch(&two).await.expect("nothing of it was removed");
    machine.assert_whole(&two, &pages);
    machine.delete(&two).await;
    assert!(!machine.remote.sandboxes().await.expect("it answers").contains(&machine.sandbox));
    assert_eq!(machine.remote.record(&machine.sandbox).await.expect("it answers"), None);
}

/// A file comes back under its digest, and only under it.
pub(crate) async fn files_come_back(machine: &Machine, directory: &Path) {
    let (cancel, path, back) =
        (Cancel::default(), directory.join("rootfs"), directory.join("fetched"));
    let mut content = vec![7; 3 << 20];
    content[(1 << 20)..(2 << 20)].fill(0);
    content.extend(b"a rest");
    fs::write(&path, &content).expect("the disk has room");
    let digest = blake3::hash(&content).to_hex().to_string();
    let remote = &machine.remote;
    let missing = remote.fetch_file(&digest, &back, &cancel).await;
    assert!(matches!(missing, Err(RemoteError::NoSuchFile { .. })), "{missing:?}");
    assert!(!remote.has_file(&digest).await.expect("it answers"));
    assert!(remote.put_file(&digest, &path, &cancel).await.expect("there is room") > 0);
    assert_eq!(remote.put_file(&digest, &path, &cancel).await.expect("there is room"), 0);
    assert!(remote.has_file(&digest).await.expect("it answers"));
    remote.fetch_file(&digest, &back, &cancel).await.expect("it is there");
    assert!(fs::read(&back).expect("it is there") == content);

    let other = blake3::hash(b"other").to_hex().to_string();
    let refused = remote.put_file(&other, &path, &cancel).await;
    assert!(matches!(refused, Err(RemoteError::FileDamaged { .. })), "{refused:?}");
    let refused = remote.has_file("../../etc/passwd").await;
    assert!(matches!(refused, Err(RemoteError::NotADigest { .. })), "{refused:?}");
}
