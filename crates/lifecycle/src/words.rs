//! What is asked of the lifecycle, and what it answers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ow_db::{Cursor, SandboxRecord};
use ow_guest_proto::control::Metrics;
use ow_types::{Durability, Egress, PauseMode, Settings, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// Asks for a sandbox.
#[derive(Debug, Clone)]
pub struct NewSandbox {
    /// The template's name.
    pub template: String,
    /// How it is to live.
    pub settings: Settings,
    /// What its owner attaches.
    pub metadata: BTreeMap<String, String>,
    /// Variables of its processes.
    pub env_vars: BTreeMap<String, String>,
    /// Whether the guest agent asks for a token.
    pub secure: bool,
    /// What it may reach.
    pub egress: Egress,
    /// The request's name and the digest of its body, if it may be repeated.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// How a sandbox is paused.
#[derive(Debug, Clone, Copy)]
pub struct PauseOptions {
    /// What is kept.
    pub mode: PauseMode,
    /// How safe it must be before the answer; durable on this machine's disk, if none.
    pub durability: Option<Durability>,
    /// Whether a guest agent that does not answer is a reason not to pause.
    pub require_healthy_guest: bool,
}

/// What a connect found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The sandbox was running.
    Running,
    /// It was paused, and runs again.
    Resumed,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The sandboxes.
    pub sandboxes: Vec<SandboxRecord>,
    /// Where the next page begins; none on the last.
    pub next: Option<Cursor>,
    /// How many of the team's run.
    pub total_running: u64,
}

/// Where the traffic of a sandbox's ports goes.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its address on this machine.
    pub address: Ipv4Addr,
    /// Cancelled when this run ends: every connection to it must then be reset, and none reused.
    pub ended: CancellationToken,
    /// The token that ports other than the guest agent's ask for; none if traffic is public.
    pub traffic_token: Option<String>,
    /// The `Host` header that its ports see, with `${PORT}` for the port.
    pub mask_request_host: Option<String>,
}

/// Usage of a sandbox at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// How much.
    pub metrics: Metrics,
}

/// One line of a sandbox's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What happened.
    pub message: String,
    /// More, by name.
    pub fields: BTreeMap<String, String>,
}
