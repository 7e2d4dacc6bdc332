//! What all verbs of a node share.

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use ow_engine::Engine;
use ow_node_api::NodeError;
use ow_snapshots::Store;
use ow_types::{Clock, Egress, ExecutionId, SnapshotId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agent::Agents;
use crate::frozen::Frozen;
use crate::lock::DataLock;
use crate::network::{self, Rules, Slots};
use crate::place::cgroup_of;
use crate::pool::Pool;
use crate::remote::Remote;
use crate::run::Run;
use crate::turns::Turns;
use crate::warm::WarmImage;
use crate::{Config, Template, cpu, errors};

/// Where servers on a machine share out slots; a reboot, which ends every run, empties it.
const SLOTS_DIRECTORY: &str = "/run/overwinter/slots";

/// How many ends of runs a listener may fall behind before it must ask what is held.
const ENDED_CAPACITY: usize = 4096;

/// The parts of a node.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) remote: Option<Remote>,
    pub(crate) agents: Agents,
    pub(crate) slots: Slots,
    pub(crate) pool: Pool,
    pub(crate) frozen: Frozen,
    pub(crate) turns: Turns,
    pub(crate) ended: broadcast::Sender<ExecutionId>,
    pub(crate) tracker: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// The control group of all runs.
    pub(crate) cgroup: String,
    pub(crate) cpu_features: Vec<String>,
    pub(crate) hostname: String,
    resolvers: Vec<Ipv4Addr>,
    templates: RwLock<Templates>,
    runs: Mutex<HashMap<ExecutionId, Arc<Run>>>,
    warm_images: Mutex<HashMap<SnapshotId, WarmImage>>,
    _lock: DataLock,
}

#[derive(Debug, Default)]
struct Templates {
    offered: Vec<Template>,
    /// Templates that were replaced, which snapshots may need.
    former: Vec<Template>,
}

impl Inner {
    pub(crate) async fn open(
        mut config: Config,
        engine: Arc<dyn Engine>,
        templates: Vec<Template>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NodeError> {
        make_directory(&config.data)?;
        config.data = config
            .data
            .canonicalize()
            .map_err(|error| errors::io(format!("finding `{}`", config.data.display()), &error))?;
        let lock = DataLock::take(&config.data)?;
        make_directory(&config.data.join("runs"))?;
        let cannot = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| errors::io(what, &error)
        };
        let agents = Agents::open(config.data.join("agents"), &config.guest)
            .map_err(cannot("keeping the guest agent"))?;
        let slots = Slots::open(SLOTS_DIRECTORY.into()).map_err(cannot("sharing out slots"))?;
        let store = Store::open(config.data.join("snapshots"))
            .map_err(|error| errors::failed("opening the snapshots", &error))?;
        let remote = Remote::open(config.remote.as_ref(), &config.data)?;
        network::set_up_host().await?;
        let resolvers = match config.resolvers.as_slice() {
            [] => network::resolvers_of_host(),
            given => given.to_vec(),
        };
        let cgroup = cgroup_of(&config.data).map_err(cannot("naming the control groups"))?;
        let frozen = Frozen::of(&config);
        let hostname = nix::unistd::gethostname().unwrap_or_default();
        Ok(Self {
            config,
            engine,
            clock,
            store,
            remote,
            agents,
            slots,
            pool: Pool::default(),
            frozen,
            turns: Turns::new(),
            ended: broadcast::channel(ENDED_CAPACITY).0,
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            cgroup,
            cpu_features: cpu::features(),
            hostname: hostname.to_string_lossy().into_owned(),
            resolvers,
            templates: RwLock::new(Templates { offered: templates, former: Vec::new() }),
            runs: Mutex::default(),
            warm_images: Mutex::default(),
            _lock: lock,
        })
    }

    /// Where places are.
    pub(crate) fn runs_directory(&self) -> PathBuf {
        self.config.data.join("runs")
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<ExecutionId, Arc<Run>>> {
        self.runs.lock().expect("nothing panics while it holds the runs")
    }

    /// Templates' images that were verified, by name.
    pub(crate) fn warm_images(&self) -> MutexGuard<'_, HashMap<SnapshotId, WarmImage>> {
        self.warm_images.lock().expect("nothing panics while it holds the images")
    }

    /// A run, from the moment that it is asked for until nothing of it runs.
    pub(crate) fn run(&self, execution: &ExecutionId) -> Option<Arc<Run>> {
        self.runs().get(execution).cloned()
    }

    /// Every run.
    pub(crate) fn all_runs(&self) -> Vec<Arc<Run>> {
        self.runs().values().cloned().collect()
    }

    /// The run of this name, and whether it is new.
    pub(crate) fn register(&self, run: Run) -> (Arc<Run>, bool) {
        let mut runs = self.runs();
        if let Some(known) = runs.get(&run.execution) {
            return (known.clone(), false);
        }
        let run = Arc::new(run);
        runs.insert(run.execution.clone(), run.clone());
        (run, true)
    }

    /// Forgets a run; whether it was known.
    pub(crate) fn forget(&self, execution: &ExecutionId) -> bool {
        self.runs().remove(execution).is_some()
    }

    /// The templates that can be started.
    pub(crate) fn offered(&self) -> Vec<Template> {
        self.templates().offered.clone()
    }

    fn templates(&self) -> std::sync::RwLockReadGuard<'_, Templates> {
        self.templates.read().expect("nothing panics while it holds the templates")
    }

    /// The template that new sandboxes of a name are made of.
    pub(crate) fn template(&self, name: &str) -> Result<Template, NodeError> {
        let found = self.templates().offered.iter().find(|template| template.name == name).cloned();
        found.ok_or_else(|| NodeError::NoSuchTemplate { name: name.to_owned() })
    }

    /// The template with this root file system, offered or replaced.
    pub(crate) fn template_of(&self, digest: &str) -> Option<Template> {
        let templates = self.templates();
        let mut all = templates.offered.iter().chain(&templates.former);
        all.find(|template| template.digest == digest).cloned()
    }

    /// Offers a template in place of one of its name.
    pub(crate) fn offer(&self, template: Template) {
        {
            let mut templates =
                self.templates.write().expect("nothing panics while it holds the templates");
            let (same, mut offered): (Vec<_>, Vec<_>) =
                templates.offered.drain(..).partition(|known| known.name == template.name);
            offered.push(template);
            templates.offered = offered;
            templates.former.extend(same);
        }
        self.refresh_pool();
    }

    /// Knows a template that is not offered.
    pub(crate) fn keep(&self, template: Template) {
        let mut templates =
            self.templates.write().expect("nothing panics while it holds the templates");
        templates.former.push(template);
    }

    /// Lets the pool keep places of what is offered now.
    pub(crate) fn refresh_pool(&self) {
        let wanted = |template: &Template| self.wanted(template);
        self.pool.keep(self.offered().iter().map(wanted).collect());
    }

    /// The rules for what a sandbox may reach.
    pub(crate) fn rules(&self, egress: &Egress) -> Result<Rules, NodeError> {
        network::rules(egress, &self.config.blocked_networks, &self.resolvers)
    }

    pub(crate) async fn set_egress(
        &self,
        execution: &ExecutionId,
        egress: &Egress,
    ) -> Result<(), NodeError> {
        let rules = self.rules(egress)?;
        let none = || NodeError::NoSuchRun { execution: execution.clone() };
        let run = self.run(execution).ok_or_else(none)?;
        let _turn = run.work.lock().await;
        let slot = run.placed().ok_or_else(none)?.slot;
        network::set_egress(slot, &rules).await
    }
}

/// Does what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(errors::failed("the node's work on its disk", &error)))
}

/// Makes a directory through which the processes of sandboxes reach what is theirs, and see nothing.
pub(crate) fn make_directory(path: &Path) -> Result<(), NodeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(path);
    made.map_err(|error| errors::io(format!("creating `{}`", path.display()), &error))
}
