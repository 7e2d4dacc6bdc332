//! The parts of a server, in the order in which they start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use ow_db::{Database, SqliteDatabase};
use ow_engine_gvisor::GvisorEngine;
use ow_lifecycle::Lifecycle;
use ow_node::Node;
use ow_templates::{Store, Template};
use ow_types::{Clock, SystemClock};

use crate::settings::{Retention, Settings};
use crate::{guest, key, runsc};

/// What runs.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) lifecycle: Lifecycle,
    pub(super) db: Arc<dyn Database>,
    pub(super) clock: Arc<dyn Clock>,
    node: Node,
}

impl Parts {
    /// Stops from the top down; sandboxes go on running.
    pub(super) async fn shut_down(&self) {
        self.lifecycle.shut_down().await;
        self.node.shut_down().await;
    }
}

/// Starts everything, and returns once sandboxes can be created.
pub(super) async fn start(settings: &Settings) -> anyhow::Result<Parts> {
    let data = &settings.data_dir;
    let found = runsc::find(settings.runsc.as_deref(), data)
        .context("no usable runsc; run `overwinter setup` or `overwinter doctor`")?;
    let found = runsc::keep(found, data);
    tracing::info!(version = found.version, path = %found.path.display(), "runsc");
    let guest = guest::unpack(settings.guest.as_deref(), data)?;
    let templates = templates(settings)?;
    let db: Arc<dyn Database> = Arc::new(open_records(settings).await?);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let engine = ow_engine_gvisor::Config {
        older: runsc::others(&found, data),
        runsc: found.path,
        state_directory: data.join("engine"),
        timeouts: ow_engine_gvisor::Timeouts::default(),
    };
    let engine = Arc::new(GvisorEngine::new(engine).await.context("start the engine")?);
    let names: Vec<_> = templates.iter().map(|template| template.name.clone()).collect();
    let node = node_config(settings, guest);
    let node = Node::open(node, engine, templates, clock.clone()).await.context("open the node")?;
    for template in Store::new(data).former().context("read the former templates")? {
        node.keep(offered(settings, template));
    }
    for name in &names {
        warm(&node, name).await;
    }
    let lifecycle = Lifecycle::start(ow_lifecycle::Parts {
        db: db.clone(),
        node: Arc::new(node.clone()),
        clock: clock.clone(),
        config: lifecycle_config(settings),
        log_directory: data.join("logs"),
    })
    .await
    .context("recover the sandboxes")?;
    Ok(Parts { lifecycle, db, clock, node })
}

/// A template that cannot be warmed still starts, only slower.
async fn warm(node: &Node, name: &str) {
    let began = Instant::now();
    match node.warm(name).await {
        Ok(()) => tracing::info!(template = name, took = ?began.elapsed(), "template is warm"),
        Err(error) => {
            let error = anyhow::Error::new(error);
            tracing::error!(template = name, error = format!("{error:#}"), "template stays cold");
        }
    }
}

async fn open_records(settings: &Settings) -> anyhow::Result<SqliteDatabase> {
    key::open_records(&settings.data_dir).await
}

fn node_config(settings: &Settings, guest: PathBuf) -> ow_node::Config {
    let mut config = ow_node::Config::new(settings.data_dir.join("node"), guest);
    config.frozen_for = settings.frozen_for.unwrap_or(config.frozen_for);
    config.frozen_memory_mib = settings.frozen_memory_mib;
    config.remote.clone_from(&settings.remote);
    config
}

fn lifecycle_config(settings: &Settings) -> ow_lifecycle::Config {
    let defaults = ow_lifecycle::Config::default();
    ow_lifecycle::Config {
        max_runtime: settings.max_runtime.unwrap_or(defaults.max_runtime),
        retention: match settings.retention {
            None => defaults.retention,
            Some(Retention::Forever) => None,
            Some(Retention::For(duration)) => Some(duration),
        },
        max_running: settings.max_running.or(defaults.max_running),
        ..defaults
    }
}

/// Every template that is built, with the resources that the settings give it.
fn templates(settings: &Settings) -> anyhow::Result<Vec<ow_node::Template>> {
    let built = Store::new(&settings.data_dir).list().context("read the templates")?;
    if built.is_empty() {
        bail!(
            "`{}` holds no templates: run `overwinter setup --data-dir {}`",
            settings.data_dir.display(),
            settings.data_dir.display()
        );
    }
    for name in settings.templates.keys() {
        if !built.iter().any(|template| template.manifest.name == *name) {
            tracing::warn!(template = name, "the configuration names a template that is not built");
        }
    }
    Ok(built.into_iter().map(|template| offered(settings, template)).collect())
}

fn offered(settings: &Settings, template: Template) -> ow_node::Template {
    let Template { rootfs, manifest } = template;
    let own = settings.templates.get(&manifest.name).copied().unwrap_or_default();
    let directory = rootfs.parent().unwrap_or(&rootfs).to_owned();
    ow_node::Template {
        resources: own.apply(manifest.resources),
        name: manifest.name,
        digest: manifest.digest,
        directory,
        rootfs,
        warm: true,
    }
}
