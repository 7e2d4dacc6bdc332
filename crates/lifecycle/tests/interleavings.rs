//! Random calls, faults, crashes and moves of the clock, in any order, and what must hold then.
//!
//! The memory of a fake run is a counter, so that it shows which snapshot a run goes on from. The
//! time of tokio is paused: whatever waits for a limit of the node reaches it at once.

mod support {
    pub(crate) mod faulty;
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ow_db::{Database as _, ListQuery};
use ow_lifecycle::{Config, Lifecycle, LifecycleError, NewSandbox, Parts, PauseOptions};
use ow_node_api::NodeError;
use ow_node_api::fake::{FakeNode, FakeRun, Verb};
use ow_types::{
    Durability, Egress, ExecutionId, ManualClock, OnTimeout, PauseMode, SandboxId, Settings,
    SnapshotId, State, TeamId, Timestamp,
};
use proptest::prelude::*;
use support::faulty::FaultyDatabase;
use tokio::task::JoinSet;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Create {
        kill_on_timeout: bool,
        auto_resume: bool,
    },
    Pause(u8, Durability),
    Connect(u8),
    SetTimeout(u8, u16),
    Kill(u8),
    Route(u8),
    /// The guest changes its memory.
    Touch(u8),
    /// The guest ends by itself.
    Die(u8),
    /// The node gives up what it keeps in memory.
    Evict,
    Advance(u16),
    Hang(Verb),
    Fail(Verb),
    FailAfter(Verb),
    Delay(Verb, u8),
    /// The write after some others never answers.
    Stall(u8, bool),
    /// Some writes find no room.
    Refuse(u8),
    /// The server ends without a word, and another takes over.
    Crash,
    /// The machine loses power.
    PowerLoss,
    /// Everything that can go on does.
    Settle,
    /// Tasks go on a little.
    Yield(u8),
}

fn any_verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        1 => Just(Verb::Start),
        3 => Just(Verb::Resume),
        2 => Just(Verb::Freeze),
        3 => Just(Verb::Pause),
        2 => Just(Verb::Secure),
        1 => Just(Verb::Thaw),
        2 => Just(Verb::Kill),
        1 => Just(Verb::DeleteSnapshot),
        1 => Just(Verb::Held),
        1 => Just(Verb::Stored),
        1 => Just(Verb::Observe),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::bool::weighted(0.25), any::<bool>())
            .prop_map(|(kill_on_timeout, auto_resume)| Step::Create { kill_on_timeout, auto_resume }),
        8 => (any::<u8>(), prop::sample::select(&Durability::ALL[..]))
            .prop_map(|(which, level)| Step::Pause(which, level)),
        8 => any::<u8>().prop_map(Step::Connect),
        2 => (any::<u8>(), 0_u16..600).prop_map(|(which, seconds)| Step::SetTimeout(which, seconds)),
        1 => any::<u8>().prop_map(Step::Kill),
        3 => any::<u8>().prop_map(Step::Route),
        6 => any::<u8>().prop_map(Step::Touch),
        1 => any::<u8>().prop_map(Step::Die),
        1 => Just(Step::Evict),
        3 => (0_u16..600).prop_map(Step::Advance),
        2 => any_verb().prop_map(Step::Hang),
        2 => any_verb().prop_map(Step::Fail),
        2 => any_verb().prop_map(Step::FailAfter),
        1 => (any_verb(), 0_u8..20).prop_map(|(verb, seconds)| Step::Delay(verb, seconds)),
        2 => (0_u8..4, any::<bool>()).prop_map(|(writes, after)| Step::Stall(writes, after)),
        1 => (1_u8..4).prop_map(Step::Refuse),
        2 => Just(Step::Crash),
        1 => Just(Step::PowerLoss),
        4 => Just(Step::Settle),
        6 => (0_u8..6).prop_map(Step::Yield),
    ]
}

/// What clients were told, and what must therefore be so.
#[derive(Debug)]
struct Known {
    /// What its memory holds at least.
    floor: u64,
    /// What the last acknowledged pause holds.
    acknowledged: Option<u64>,
    /// Whether anything happened after which it may be gone.
    may_be_gone: bool,
    kill_on_timeout: bool,
    auto_resume: bool,
}

impl Known {
    /// Its run ended with all that was not saved.
    fn lose_run(&mut self) {
        self.floor = self.acknowledged.unwrap_or_default();
        self.may_be_gone |= self.acknowledged.is_none();
    }
}

#[derive(Debug, Default)]
struct Model {
    sandboxes: BTreeMap<SandboxId, Known>,
    /// In the order they were made, so that steps can point at them.
    order: Vec<SandboxId>,
    /// Runs seen of each snapshot.
    runs: BTreeMap<SnapshotId, BTreeSet<ExecutionId>>,
}

type Shared = Arc<Mutex<Model>>;

struct World {
    node: Arc<FakeNode>,
    db: Arc<FaultyDatabase>,
    clock: Arc<ManualClock>,
    team: TeamId,
    logs: tempfile::TempDir,
    model: Shared,
    lifecycle: Option<Lifecycle>,
    calls: JoinSet<()>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_millis(1_800_000_000_000)));
        Self {
            node: Arc::new(FakeNode::new(clock.clone())),
            db: Arc::new(FaultyDatabase::new()),
            clock,
            team: TeamId::random(),
            logs: tempfile::tempdir().expect("a directory for logs"),
            model: Shared::default(),
            lifecycle: None,
            calls: JoinSet::new(),
        }
    }

    async fn start(&mut self) {
        // A node that does not say what it holds keeps a server from starting: it is started again.
        for _ in 0..30 {
            let parts = Parts {
                db: self.db.clone(),
                node: self.node.clone(),
                clock: self.clock.clone(),
                config: Config { retention: None, ..Config::default() },
                log_directory: self.logs.path().to_owned(),
            };
            if let Ok(lifecycle) = Lifecycle::start(parts).await {
                self.lifecycle = Some(lifecycle);
                return;
            }
        }
        panic!("the server does not start");
    }

    /// Ends the server and its clients where they stand.
    async fn crash(&mut self) {
        self.calls.shutdown().await;
        self.lifecycle = None;
        settle().await;
        self.db.heal();
    }

    fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.clone().expect("it runs")
    }

    fn pick(&self, which: u8) -> Option<SandboxId> {
        let model = self.model.lock().expect("no panic");
        let index = usize::from(which).checked_rem(model.order.len())?;
        model.order.get(index).cloned()
    }

    async fn take(&mut self, step: Step) {
        if self.db.is_stalled() {
            self.crash().await;
            self.start().await;
        }
        match step {
            Step::Create { kill_on_timeout, auto_resume } => {
                self.create(kill_on_timeout, auto_resume);
            }
            Step::Pause(which, level) => self.pause(which, level),
            Step::Connect(which) => self.connect(which),
            Step::SetTimeout(which, seconds) => self.set_timeout(which, seconds),
            Step::Kill(which) => self.kill(which),
            Step::Route(which) => self.route(which),
            Step::Touch(which) => self.touch(which).await,
            Step::Die(which) => self.die(which).await,
            Step::Evict => self.node.evict(),
            Step::Advance(seconds) => {
                for known in self.model.lock().expect("no panic").sandboxes.values_mut() {
                    known.may_be_gone |= known.kill_on_timeout;
                }
                self.clock.advance(Duration::from_secs(seconds.into()));
            }
            // Dropped without release, it hangs until the limit.
            Step::Hang(verb) => drop(self.node.hang_next(verb)),
            Step::Fail(verb) => self.node.fail_next(verb, failed()),
            Step::FailAfter(verb) => self.node.fail_after_next(verb, failed()),
            Step::Delay(verb, seconds) => {
                self.node.delay_next(verb, Duration::from_secs(seconds.into()));
            }
            Step::Stall(writes, after) => self.db.stall(writes, after),
            Step::Refuse(writes) => self.db.refuse(writes),
            Step::Crash => {
                self.crash().await;
                self.start().await;
            }
            Step::PowerLoss => {
                self.crash().await;
                self.node.crash();
                for known in self.model.lock().expect("no panic").sandboxes.values_mut() {
                    known.lose_run();
                }
                self.start().await;
            }
            Step::Settle => settle().await,
            Step::Yield(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
        }
        self.look_at_randomness();
    }

    fn create(&mut self, kill_on_timeout: bool, auto_resume: bool) {
        let (lifecycle, model, team) = (self.lifecycle(), self.model.clone(), self.team.clone());
        let new = NewSandbox {
            template: "base".to_owned(),
            settings: Settings {
                timeout: Duration::from_secs(300),
                on_timeout: if kill_on_timeout { OnTimeout::Kill } else { OnTimeout::Pause },
                pause_mode: PauseMode::Full,
                auto_resume,
            },
            metadata: BTreeMap::new(),
            env_vars: BTreeMap::new(),
            secure: false,
            egress: Egress::default(),
            idempotency: None,
        };
        self.calls.spawn(async move {
            if let Ok(record) = lifecycle.create(&team, new).await {
                let known = Known {
                    floor: 0,
                    acknowledged: None,
                    may_be_gone: kill_on_timeout,
                    kill_on_timeout,
                    auto_resume,
                };
                let mut model = model.lock().expect("no panic");
                model.order.push(record.id.clone());
                model.sandboxes.insert(record.id, known);
            }
        });
    }

    fn pause(&mut self, which: u8, level: Durability) {
        let Some(id) = self.pick(which) else { return };
        let (lifecycle, model, team) = (self.lifecycle(), self.model.clone(), self.team.clone());
        let node = self.node.clone();
        self.calls.spawn(async move {
            let options = PauseOptions {
                mode: PauseMode::Full,
                durability: Some(level),
                require_healthy_guest: false,
            };
            let answer = lifecycle.pause(&team, &id, options).await;
            check_found(&model, &id, answer.as_ref().err());
            let Ok(report) = answer else { return };
            let reached = report.durability.expect("a pause says how safe it is");
            assert!(reached >= level, "{id}: {reached:?} was acknowledged for {level:?}");
            if reached == Durability::Frozen {
                // It is lost with its run, so it is no more than what runs.
                return;
            }
            let stored = node.snapshots_of(&id);
            let saved = stored.iter().find(|saved| saved.stored.generation == report.generation);
            if let Some(saved) = saved {
                assert!(saved.durability >= level, "{id}: it is {:?}", saved.durability);
                let mut model = model.lock().expect("no panic");
                let known = model.sandboxes.get_mut(&id).expect("it is known");
                let before = known.acknowledged.unwrap_or_default();
                assert!(saved.memory >= before, "{id}: an acknowledged pause was lost");
                known.acknowledged = Some(saved.memory);
            }
        });
    }

    fn connect(&mut self, which: u8) {
        let Some(id) = self.pick(which) else { return };
        let (lifecycle, model, team) = (self.lifecycle(), self.model.clone(), self.team.clone());
        self.calls.spawn(async move {
            let answer = lifecycle.connect(&team, &id, Some(Duration::from_secs(300))).await;
            check_found(&model, &id, answer.as_ref().err());
            assert!(
                !matches!(answer, Err(LifecycleError::AlreadyRunning { .. })),
                "a connect is never refused because it runs"
            );
        });
    }

    fn set_timeout(&mut self, which: u8, seconds: u16) {
        let Some(id) = self.pick(which) else { return };
        let (lifecycle, team) = (self.lifecycle(), self.team.clone());
        let mut model = self.model.lock().expect("no panic");
        let known = model.sandboxes.get_mut(&id).expect("it is known");
        known.may_be_gone |= known.kill_on_timeout;
        drop(model);
        self.calls.spawn(async move {
            // What is paused has no timeout to set: any answer will do.
            drop(lifecycle.set_timeout(&team, &id, Duration::from_secs(seconds.into())).await);
        });
    }

    fn kill(&mut self, which: u8) {
        let Some(id) = self.pick(which) else { return };
        let (lifecycle, team) = (self.lifecycle(), self.team.clone());
        let mut model = self.model.lock().expect("no panic");
        model.sandboxes.get_mut(&id).expect("it is known").may_be_gone = true;
        drop(model);
        let db = self.db.clone();
        self.calls.spawn(async move {
            if lifecycle.kill(&team, &id).await.is_ok() {
                assert!(db.get(&id).await.expect("it is read").is_none(), "{id} was killed");
            }
        });
    }

    fn route(&mut self, which: u8) {
        let Some(id) = self.pick(which) else { return };
        let (lifecycle, model) = (self.lifecycle(), self.model.clone());
        self.calls.spawn(async move {
            let answer = lifecycle.route(&id).await;
            let wakes = model.lock().expect("no panic").sandboxes[&id].auto_resume;
            if wakes {
                check_found(&model, &id, answer.as_ref().err());
            }
        });
    }

    /// The guest's memory changes, and clients see that it did.
    async fn touch(&self, which: u8) {
        let Some(id) = self.pick(which) else { return };
        let record = self.db.get(&id).await.expect("it is read");
        let Some(State::Running { execution }) = record.map(|record| record.state) else { return };
        let memory = self.node.remember(&execution);
        if memory > 0 {
            let mut model = self.model.lock().expect("no panic");
            let known = model.sandboxes.get_mut(&id).expect("it is known");
            assert!(memory > known.floor, "{id} went back from {} to {memory}", known.floor);
            known.floor = memory;
        }
    }

    async fn die(&self, which: u8) {
        let Some(id) = self.pick(which) else { return };
        for (execution, _) in self.node.runs_of(&id) {
            self.model.lock().expect("no panic").sandboxes.get_mut(&id).expect("known").lose_run();
            self.node.die(&execution);
        }
    }

    /// Of the runs of one snapshot only the first may go on with its random numbers.
    fn look_at_randomness(&self) {
        let mut model = self.model.lock().expect("no panic");
        let ids = model.order.clone();
        for (execution, run) in ids.iter().flat_map(|id| self.node.runs_of(id)) {
            let Some(snapshot) = run.resumed_from else { continue };
            let seen = model.runs.entry(snapshot).or_default();
            if seen.insert(execution) && !run.reseeded {
                assert!(seen.len() == 1, "a second run shares the random numbers of the first");
            }
        }
    }

    /// After everything: calls are answered, what was acknowledged goes on, everything can go.
    async fn conclude(&mut self) {
        if self.db.is_stalled() {
            self.crash().await;
            self.start().await;
        }
        self.db.heal();
        for _ in 0..120 {
            let minute = Duration::from_secs(60);
            match tokio::time::timeout(minute, self.calls.join_next()).await {
                Ok(None) => break,
                Ok(Some(call)) => call.expect("it answers as it must"),
                // The clock of the records goes on as well.
                Err(_) => self.clock.advance(minute),
            }
        }
        assert!(self.calls.is_empty(), "every call is answered in bounded time");
        settle().await;
        let ids = self.model.lock().expect("no panic").order.clone();
        for id in ids {
            self.check_goes_on(&id).await;
        }
        self.kill_all().await;
    }

    async fn check_goes_on(&self, id: &SandboxId) {
        let (lifecycle, team) = (self.lifecycle(), self.team.clone());
        let mut last = None;
        for _ in 0..30 {
            let connect = lifecycle.connect(&team, id, Some(Duration::from_secs(300)));
            match in_time(connect).await {
                Ok((record, _)) => {
                    let runs = self.only_run(id).await;
                    assert_eq!(record.state.execution(), Some(&runs[0].0));
                    let model = self.model.lock().expect("no panic");
                    let known = &model.sandboxes[id];
                    let memory = runs[0].1.memory;
                    assert!(memory >= known.floor, "{id}: {memory} is before {}", known.floor);
                    return;
                }
                Err(error) => last = Some(error),
            }
            settle().await;
        }
        let may_be_gone = self.model.lock().expect("no panic").sandboxes[id].may_be_gone;
        assert!(may_be_gone, "{id} cannot be resumed: {last:?}");
    }

    /// The run of a sandbox, once any that resisted is ended.
    async fn only_run(&self, id: &SandboxId) -> Vec<(ExecutionId, FakeRun)> {
        for _ in 0..30 {
            if self.node.runs_of(id).len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let runs = self.node.runs_of(id);
        assert_eq!(runs.len(), 1, "{id} runs once");
        runs
    }

    async fn kill_all(&mut self) {
        let (lifecycle, team) = (self.lifecycle(), self.team.clone());
        // Some were made although their client did not live to hear of it.
        let query = ListQuery { running: true, paused: true, limit: 1000, ..ListQuery::default() };
        let listed = lifecycle.list(&team, query).await.expect("a list is read").sandboxes;
        let mut ids = self.model.lock().expect("no panic").order.clone();
        ids.extend(listed.into_iter().map(|record| record.id));
        for id in &ids {
            let mut attempts = 0;
            while let Err(error) = in_time(lifecycle.kill(&team, id)).await {
                if matches!(error, LifecycleError::NotFound { .. }) {
                    break;
                }
                attempts += 1;
                assert!(attempts < 30, "{id} cannot be killed: {error}");
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            assert!(self.db.get(id).await.expect("it is read").is_none());
        }
        drop(lifecycle);
        // What resisted is found by the next server, or the one after.
        for _ in 0..30 {
            self.crash().await;
            self.start().await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            let left = ids.iter().any(|id| !self.node.snapshots_of(id).is_empty());
            if !left && self.node.run_count() == 0 {
                assert!(self.db.unsettled().await.expect("it is read").is_empty());
                return;
            }
        }
        panic!("something is left over: {} runs", self.node.run_count());
    }
}

/// A sandbox that cannot be gone is found by everyone.
fn check_found(model: &Shared, id: &SandboxId, error: Option<&LifecycleError>) {
    if matches!(error, Some(LifecycleError::NotFound { .. })) {
        let gone = model.lock().expect("no panic").sandboxes[id].may_be_gone;
        assert!(gone, "{id} was not found");
    }
    let stopped = matches!(error, Some(LifecycleError::ShuttingDown));
    assert!(!stopped, "{id}: a call was not answered by a server that runs");
}

fn failed() -> NodeError {
    NodeError::Failed { doing: "it".into(), reason: "the test says so".into() }
}

/// Fails if a call is not answered.
async fn in_time<T>(call: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(2 * 60 * 60);
    tokio::time::timeout(limit, call).await.expect("a call is answered in bounded time")
}

/// Lets everything go on that waits for no time.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn run(keep_frozen: bool, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new();
        world.node.set_durability(Durability::DurableRemote);
        world.node.keep_frozen(keep_frozen);
        world.start().await;
        for _ in 0..2 {
            world.take(Step::Create { kill_on_timeout: false, auto_resume: true }).await;
        }
        settle().await;
        for step in steps {
            world.take(step).await;
        }
        world.conclude().await;
        world.crash().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_goes_on_and_nothing_is_stuck(
        keep_frozen in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..40),
    ) {
        run(keep_frozen, steps);
    }
}
