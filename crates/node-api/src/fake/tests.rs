use ow_types::Durability;

use super::*;
use crate::{NodeApi as _, Pause};

fn identity(sandbox: &SandboxId) -> Identity {
    Identity {
        sandbox: sandbox.clone(),
        template: "base".into(),
        env_vars: BTreeMap::new(),
        access_token: None,
    }
}

async fn started(node: &FakeNode, sandbox: &SandboxId) -> ExecutionId {
    let execution = ExecutionId::random();
    let start = Start {
        execution: execution.clone(),
        identity: identity(sandbox),
        resources: Resources::default(),
        egress: Egress::default(),
    };
    node.start(start).await.unwrap();
    execution
}

fn pause(execution: &ExecutionId, sandbox: &SandboxId, snapshot: &SnapshotId) -> Pause {
    Pause {
        execution: execution.clone(),
        sandbox: sandbox.clone(),
        snapshot: snapshot.clone(),
        generation: 1,
        mode: PauseMode::Full,
        durability: Durability::DurableLocal,
        frozen: false,
    }
}

fn resume(sandbox: &SandboxId, snapshot: &SnapshotId) -> Resume {
    Resume {
        execution: ExecutionId::random(),
        identity: identity(sandbox),
        egress: Egress::default(),
        snapshot: snapshot.clone(),
        reseed: false,
    }
}

fn failed() -> NodeError {
    NodeError::Failed { doing: "it".into(), reason: "the test says so".into() }
}

#[tokio::test]
async fn what_a_pause_saved_goes_on_after_a_crash() {
    let node = FakeNode::default();
    let (sandbox, snapshot) = (SandboxId::random(), SnapshotId::random());
    let execution = started(&node, &sandbox).await;
    assert_eq!(node.remember(&execution), 1);
    assert_eq!(node.write(&execution), 1);
    node.pause(pause(&execution, &sandbox, &snapshot)).await.unwrap();
    node.crash();
    let resume = resume(&sandbox, &snapshot);
    node.resume(resume.clone()).await.unwrap();
    let run = node.run(&resume.execution).unwrap();
    assert_eq!((run.memory, run.files), (1, 1));
}

#[tokio::test]
async fn a_failed_pause_leaves_the_run_and_no_snapshot() {
    let node = FakeNode::default();
    let (sandbox, snapshot) = (SandboxId::random(), SnapshotId::random());
    let execution = started(&node, &sandbox).await;
    node.fail_next(Verb::Pause, failed());
    node.pause(pause(&execution, &sandbox, &snapshot)).await.unwrap_err();
    assert!(!node.run(&execution).unwrap().frozen);
    assert!(node.snapshot(&snapshot).is_none());
}

#[tokio::test]
async fn a_kill_overtakes_a_pause_that_hangs() {
    let node = Arc::new(FakeNode::default());
    let (sandbox, snapshot) = (SandboxId::random(), SnapshotId::random());
    let execution = started(&node, &sandbox).await;
    let hang = node.hang_next(Verb::Pause);
    let asked = pause(&execution, &sandbox, &snapshot);
    let (paused, ()) = tokio::join!(node.pause(asked), async {
        hang.reached().await;
        assert!(node.run(&execution).unwrap().frozen);
        node.kill(&execution).await.unwrap();
        hang.release();
    });
    assert!(matches!(paused, Err(NodeError::NoSuchRun { .. })), "{paused:?}");
    assert!(node.snapshot(&snapshot).is_none());
}

#[tokio::test]
async fn a_corrupt_snapshot_is_refused_with_its_damage() {
    let node = FakeNode::default();
    let (sandbox, snapshot) = (SandboxId::random(), SnapshotId::random());
    let execution = started(&node, &sandbox).await;
    node.pause(pause(&execution, &sandbox, &snapshot)).await.unwrap();
    node.corrupt(&snapshot, "a flipped byte");
    let refused = node.resume(resume(&sandbox, &snapshot)).await.unwrap_err();
    assert!(refused.to_string().contains("a flipped byte"), "{refused}");
    assert_eq!(node.run_count(), 0);
}

#[tokio::test]
async fn a_run_that_dies_is_named() {
    let node = FakeNode::default();
    let execution = started(&node, &SandboxId::random()).await;
    let mut ended = node.ended();
    node.die(&execution);
    assert_eq!(ended.recv().await.unwrap(), execution);
}
