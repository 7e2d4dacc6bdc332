//! The edge over the real lifecycle: what traffic wakes, and what a pause and a kill do to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ow_db::MemoryDatabase;
use ow_edge::Routes;
use ow_lifecycle::{Lifecycle, LifecycleError, NewSandbox, Parts, PauseOptions, Route};
use ow_node_api::fake::{FakeNode, Verb};
use ow_types::{Egress, OnTimeout, PauseMode, SandboxId, Settings, SystemClock, TeamId};
use support::{End, LIMIT, edge_over, end, endless, mirror, read_to_end, read_until};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::DropGuard;

mod support;

/// The lifecycle's routes, but all to loopback, where the tests' servers are.
#[derive(Debug)]
struct OnLoopback(Lifecycle);

#[async_trait]
impl Routes for OnLoopback {
    async fn route(&self, id: &SandboxId) -> Result<Route, LifecycleError> {
        let route = self.0.route(id).await?;
        Ok(Route { address: Ipv4Addr::LOCALHOST, ..route })
    }

    async fn find_by_access_token(&self, token: &str) -> Option<SandboxId> {
        self.0.find_by_access_token(token).await
    }
}

struct World {
    lifecycle: Lifecycle,
    node: Arc<FakeNode>,
    team: TeamId,
    edge: SocketAddr,
    _stop: DropGuard,
    _logs: TempDir,
}

impl World {
    async fn start() -> Self {
        let logs = TempDir::new().expect("there is room for a directory");
        let node = Arc::new(FakeNode::default());
        let parts = Parts {
            db: Arc::new(MemoryDatabase::default()),
            node: node.clone(),
            clock: Arc::new(SystemClock),
            config: ow_lifecycle::Config::default(),
            log_directory: logs.path().to_owned(),
        };
        let lifecycle = Lifecycle::start(parts).await.expect("nothing is there to recover");
        let (edge, stop) = edge_over(OnLoopback(lifecycle.clone())).await;
        Self { lifecycle, node, team: TeamId::random(), edge, _stop: stop, _logs: logs }
    }

    async fn create(&self, auto_resume: bool) -> SandboxId {
        let settings = Settings {
            timeout: Duration::from_secs(300),
            on_timeout: OnTimeout::Pause,
            pause_mode: PauseMode::Full,
            auto_resume,
        };
        let new = NewSandbox {
            template: "base".to_owned(),
            settings,
            metadata: std::collections::BTreeMap::new(),
            env_vars: std::collections::BTreeMap::new(),
            secure: true,
            egress: Egress::default(),
            idempotency: None,
        };
        self.lifecycle.create(&self.team, new).await.expect("the fake node starts it").id
    }

    async fn pause(&self, id: &SandboxId) {
        let options =
            PauseOptions { mode: PauseMode::Full, durability: None, require_healthy_guest: false };
        self.lifecycle.pause(&self.team, id, options).await.expect("the fake node pauses it");
    }

    /// A connection on which a request for a port has been sent.
    async fn ask(&self, id: &SandboxId, port: u16) -> TcpStream {
        let mut stream = TcpStream::connect(self.edge).await.expect("the edge listens");
        let request =
            format!("GET / HTTP/1.1\r\nHost: {port}-{id}.sbx.test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        stream
    }
}

#[tokio::test]
async fn traffic_wakes_a_sandbox_that_it_is_to_wake_and_waits_for_it() {
    let world = World::start().await;
    let id = world.create(true).await;
    world.pause(&id).await;
    let port = mirror().await;
    let hang = world.node.hang_next(Verb::Resume);
    let mut first = world.ask(&id, port).await;
    hang.reached().await;
    let mut second = world.ask(&id, port).await;
    hang.release();
    for stream in [&mut first, &mut second] {
        let answer = read_to_end(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert_eq!(world.node.call_count(Verb::Resume), 1);
}

#[tokio::test]
async fn traffic_wakes_no_other_and_no_hostile_request_wakes_any() {
    let world = World::start().await;
    let id = world.create(false).await;
    world.pause(&id).await;
    let answer = read_to_end(&mut world.ask(&id, 80).await).await;
    assert!(answer.contains("The sandbox was not found"), "{answer}");
    let sleeper = world.create(true).await;
    world.pause(&sleeper).await;
    let answer = read_to_end(&mut world.ask(&sleeper, 49982).await).await;
    assert!(answer.contains("port is not open"), "{answer}");
    assert_eq!(world.node.call_count(Verb::Resume), 0);
}

#[tokio::test]
async fn a_pause_resets_open_requests_and_the_sandbox_answers_again_after_it() {
    let world = World::start().await;
    let id = world.create(false).await;
    let port = endless().await;
    let mut stream = world.ask(&id, port).await;
    read_until(&mut stream, "hello").await;
    world.pause(&id).await;
    assert_eq!(end(&mut stream).await, End::Reset);
    world.lifecycle.connect(&world.team, &id, None).await.unwrap();
    let mut stream = world.ask(&id, port).await;
    read_until(&mut stream, "hello").await;
}

#[tokio::test]
async fn a_kill_resets_open_requests_and_then_nothing_is_found() {
    let world = World::start().await;
    let id = world.create(false).await;
    let port = endless().await;
    let mut stream = world.ask(&id, port).await;
    read_until(&mut stream, "hello").await;
    let kill = world.lifecycle.kill(&world.team, &id);
    tokio::time::timeout(LIMIT, kill).await.unwrap().unwrap();
    assert_eq!(end(&mut stream).await, End::Reset);
    let answer = read_to_end(&mut world.ask(&id, port).await).await;
    assert!(answer.contains("The sandbox was not found"), "{answer}");
}
