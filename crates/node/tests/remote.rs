//! What is in the object store survives the loss of the disk and of the machine.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;

use std::cell::RefCell;
use std::fs;
use std::future::Future;
use std::net::TcpListener;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{Sandbox, World, resume, until, with_configured_node, with_node};
use ow_node::{Config, Node, RemoteConfig};
use ow_node_api::{NodeApi as _, NodeError, Secure, Started};
use ow_types::{Durability, SandboxId, SnapshotId, SystemClock, Tier};

/// Where the object store of a node with this data is.
fn store_of(data: &Path) -> PathBuf {
    data.with_file_name("store")
}

fn use_store(config: &mut Config) {
    config.remote = Some(RemoteConfig::new(format!("file://{}", store_of(&config.data).display())));
}

/// Runs a test with a node that has a directory as its object store.
fn with_store<Fut: Future<Output = ()>>(test: impl FnOnce(World) -> Fut) {
    with_configured_node(use_store, test);
}

fn to_store(sandbox: &SandboxId, snapshot: &SnapshotId) -> Secure {
    Secure {
        sandbox: sandbox.clone(),
        snapshot: snapshot.clone(),
        durability: Durability::DurableRemote,
        record: b"the record".to_vec(),
    }
}

/// The same, and brings it to the object store.
async fn stored(world: &World) -> (SandboxId, SnapshotId) {
    let (id, snapshot) = world.paused().await;
    world.node.secure(to_store(&id, &snapshot)).await.expect("it is stored");
    (id, snapshot)
}

async fn goes_on(node: &Node, id: &SandboxId, snapshot: &SnapshotId, tier: Tier) -> Sandbox {
    let asked = resume(id, snapshot);
    let execution = asked.execution.clone();
    let Started { address, tier: found, phases } = node.resume(asked).await.expect("it resumes");
    assert_eq!(found, tier, "{phases:?}");
    let sandbox = Sandbox { id: id.clone(), execution, address };
    assert_eq!(sandbox.count().await, 1);
    sandbox
}

/// Changes a bit in the largest file of a snapshot here.
fn damage(world: &World, snapshot: &SnapshotId) {
    let pages = world.data.join("snapshots").join(snapshot.as_str()).join("image/pages.img");
    let pages = fs::File::options().read(true).write(true).open(pages).expect("it is there");
    let mut byte = [0];
    pages.read_exact_at(&mut byte, 5000).expect("it is so long");
    pages.write_all_at(&[byte[0] ^ 1], 5000).expect("it can be written");
}

#[test]
fn a_snapshot_that_is_lost_or_damaged_here_comes_back_from_the_store() {
    with_store(async |world| {
        assert_eq!(world.node.capacity().durability, Durability::DurableRemote);
        let (id, snapshot) = stored(&world).await;
        fs::remove_dir_all(world.data.join("snapshots").join(snapshot.as_str())).unwrap();
        let sandbox = goes_on(&world.node, &id, &snapshot, Tier::ObjectStore).await;
        world.node.kill(&sandbox.execution).await.unwrap();
        // It is here again, whole.
        let sandbox = goes_on(&world.node, &id, &snapshot, Tier::Disk).await;
        world.node.kill(&sandbox.execution).await.unwrap();
        damage(&world, &snapshot);
        let sandbox = goes_on(&world.node, &id, &snapshot, Tier::ObjectStore).await;
        world.node.kill(&sandbox.execution).await.unwrap();
    });
}

/// Another build of the agent: what follows the program's end is not looked at.
fn other_guest(guest: &Path, other: PathBuf) -> PathBuf {
    let mut content = fs::read(guest).expect("it was built");
    content.push(0);
    fs::write(&other, content).expect("the disk has room");
    let permissions = fs::metadata(guest).expect("it is there").permissions();
    fs::set_permissions(&other, permissions).expect("they can be set");
    other
}

#[test]
fn another_machine_takes_over_with_nothing_but_the_store() {
    let configured = RefCell::new(None);
    with_configured_node(
        |config| {
            use_store(config);
            *configured.borrow_mut() = Some(config.clone());
        },
        async |world| {
            let (id, snapshot) = stored(&world).await;
            world.node.shut_down().await;
            let mut config = configured.borrow().clone().expect("it was configured");
            config.guest = other_guest(&config.guest, world.data.with_file_name("other-guest"));
            config.data = world.data.with_file_name("elsewhere");
            let engine = world.engine.clone();
            let node = Node::open(config, engine, Vec::new(), Arc::new(SystemClock)).await;
            let node = node.expect("the node opens");
            let sandbox = goes_on(&node, &id, &snapshot, Tier::ObjectStore).await;
            node.kill(&sandbox.execution).await.unwrap();
            node.shut_down().await;
        },
    );
}

#[test]
fn a_deleted_snapshot_leaves_the_store_too() {
    with_store(async |world| {
        let (id, snapshot) = stored(&world).await;
        let there = store_of(&world.data).join("sandboxes").join(id.as_str());
        assert_eq!(fs::read(there.join("record.json")).unwrap(), b"the record");
        world.node.delete_snapshot(&id, &snapshot).await.unwrap();
        until("it leaves the store", async || !there.exists()).await;
        let gone = world.node.resume(resume(&id, &snapshot)).await.unwrap_err();
        assert!(matches!(gone, NodeError::NoSuchSnapshot { .. }), "{gone}");
    });
}

#[test]
fn a_deletion_that_the_store_does_not_take_is_owed_until_it_does() {
    with_store(async |world| {
        let (id, snapshot) = stored(&world).await;
        let there = store_of(&world.data).join("sandboxes").join(id.as_str());
        // A manifest that cannot be removed: a directory is in its place.
        let manifest = there.join(snapshot.as_str()).join("manifest.json");
        fs::remove_file(&manifest).unwrap();
        fs::create_dir_all(manifest.join("in the way")).unwrap();
        world.node.delete_snapshot(&id, &snapshot).await.unwrap();
        assert!(!world.data.join("snapshots").join(snapshot.as_str()).exists());
        let note = world.data.join("owed").join(snapshot.as_str());
        assert_eq!(fs::read_to_string(&note).unwrap(), id.as_str());
        world.node.shut_down().await;
        assert!(note.exists() && there.exists());
        let directory = world.data.parent().expect("it has one").to_owned();
        drop(world);
        fs::remove_dir_all(&manifest).unwrap();
        let world = World::with(&directory, use_store).await;
        until("it is done after all", async || !note.exists() && !there.exists()).await;
        world.node.shut_down().await;
    });
}

#[test]
fn a_store_that_is_gone_is_no_reason_to_give_a_snapshot_up() {
    // A port that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let change = |config: &mut Config| {
        let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
        config.remote = Some(RemoteConfig {
            endpoint: Some(endpoint),
            allow_http: true,
            timeout: Duration::from_millis(200),
            variables: keys.map(|(name, value)| (name.into(), value.into())).into(),
            ..RemoteConfig::new("s3://bucket")
        });
    };
    with_configured_node(change, async |world| {
        let (id, snapshot) = world.paused().await;
        let failed = world.node.secure(to_store(&id, &snapshot)).await.unwrap_err();
        assert!(matches!(failed, NodeError::Failed { .. }), "{failed}");
        let sandbox = goes_on(&world.node, &id, &snapshot, Tier::Disk).await;
        world.node.kill(&sandbox.execution).await.unwrap();
        let image = world.data.join("snapshots").join(snapshot.as_str());
        fs::rename(&image, world.data.join("away")).unwrap();
        let failed = world.node.resume(resume(&id, &snapshot)).await.unwrap_err();
        assert!(matches!(failed, NodeError::Failed { .. }), "{failed}");
        fs::rename(world.data.join("away"), &image).unwrap();
        let sandbox = goes_on(&world.node, &id, &snapshot, Tier::Disk).await;
        world.node.kill(&sandbox.execution).await.unwrap();
    });
}

#[test]
fn a_node_without_a_store_says_so() {
    with_node(async |world| {
        assert_eq!(world.node.capacity().durability, Durability::DurableLocal);
        let (id, snapshot) = world.paused().await;
        let refused = world.node.secure(to_store(&id, &snapshot)).await.unwrap_err();
        assert!(matches!(refused, NodeError::Unsupported { .. }), "{refused}");
    });
}
