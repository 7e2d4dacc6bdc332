//! The life of every sandbox: one task owns each, and brings about what its record says.
//!
//! [`Lifecycle`] is what the API and the edge call. A sandbox that runs, or is on its way, has a
//! driver: a task that owns its record, does one piece of work at a time, and answers everyone who
//! waits for it. A paused sandbox has none until something is asked of it.
//!
//! | Promise | Where it is kept |
//! |---|---|
//! | the record is written before the node is asked | `commit` in `record.rs`, called by each verb |
//! | who asks for what is in flight joins it | `driver::Joined` |
//! | kill overtakes everything | `kill.rs`: it drops the work in flight |
//! | after a crash nothing is lost or left over | `recover.rs`, `collect.rs` |
//! | the snapshot before is kept until the newest is proven | `keep_proven` in `pause.rs`, `resume.rs` |
//! | what is acknowledged before it is saved is saved all the same | `go_on_saving` in `pause.rs` |

use std::sync::Arc;

use ow_db::Database;
use ow_node_api::{NodeApi, TemplateOffer};
use ow_types::Clock;

mod collect;
mod command;
mod config;
mod connect;
mod create;
mod driver;
mod egress;
mod error;
mod failure;
mod get;
mod guest;
mod journal;
mod kill;
mod list;
mod log;
mod observe;
mod pause;
mod record;
mod recover;
mod registry;
mod report;
mod resume;
mod retention;
mod route;
mod secure;
mod shared;
mod start;
mod take_back;
mod timeout;
mod words;
mod work;

pub use config::Config;
pub use error::LifecycleError;
pub use words::{Found, LogLine, NewSandbox, Page, PauseOptions, Route, Sample};

use shared::{Guard, Shared};

/// All sandboxes of a server.
///
/// When the last clone is dropped without [`Lifecycle::shut_down`], work in flight is abandoned
/// as by a crash, and the next start recovers.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    shared: Arc<Shared>,
    _guard: Arc<Guard>,
}

/// What the lifecycle works with.
#[derive(Debug)]
pub struct Parts {
    /// Records.
    pub db: Arc<dyn Database>,
    /// The machine.
    pub node: Arc<dyn NodeApi>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What can be turned.
    pub config: Config,
    /// Where sandboxes' logs are kept.
    pub log_directory: std::path::PathBuf,
}

/// The result of every call.
pub type Result<T> = std::result::Result<T, LifecycleError>;

impl Lifecycle {
    /// Templates that can be started.
    #[must_use]
    pub fn templates(&self) -> Vec<TemplateOffer> {
        self.shared.parts.node.capacity().templates
    }
}
