//! What can be turned.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ow_snapshots::RemoteConfig;
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// How a [`crate::Node`] works.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything of this node is kept; one node at a time owns it.
    pub data: PathBuf,
    /// The guest agent's binary, linked statically. It is copied: an upgrade may replace it.
    pub guest: PathBuf,
    /// How many places of each template are kept ready; each takes about 20 MB of memory, and
    /// saves a start or resume about a tenth of a second.
    #[serde(default = "prepared_places")]
    pub prepared_places: usize,
    /// How long what is saved stays frozen in memory too, for a quick return; zero for not at all.
    #[serde(default = "frozen_for", with = "humantime_serde")]
    pub frozen_for: Duration,
    /// How much memory may stay frozen; a quarter of the machine's if not given.
    #[serde(default)]
    pub frozen_memory_mib: Option<u64>,
    /// Where snapshots go that must survive this machine; none if not given.
    #[serde(default)]
    pub remote: Option<RemoteConfig>,
    /// Networks that no sandbox reaches, whatever its own rules allow.
    #[serde(default = "blocked_networks")]
    pub blocked_networks: Vec<Network>,
    /// Where sandboxes' names are resolved; the host's own resolvers if empty.
    #[serde(default)]
    pub resolvers: Vec<Ipv4Addr>,
}

const fn prepared_places() -> usize {
    2
}

/// Source: docs/decisions/0012-memory-tier.md.
const fn frozen_for() -> Duration {
    Duration::from_secs(120)
}

/// Everything that is not the public internet: a guest is hostile, and what listens on an
/// operator's own network trusts who is on it. Source: the IANA registry of special addresses.
fn blocked_networks() -> Vec<Network> {
    const NOT_PUBLIC: [(u8, u8, u8, u8, u8); 10] = [
        (0, 0, 0, 0, 8),
        (10, 0, 0, 0, 8),
        (100, 64, 0, 0, 10),
        (127, 0, 0, 0, 8),
        (169, 254, 0, 0, 16),
        (172, 16, 0, 0, 12),
        (192, 168, 0, 0, 16),
        (192, 0, 0, 0, 24),
        (224, 0, 0, 0, 4),
        (240, 0, 0, 0, 4),
    ];
    let network = |(a, b, c, d, length)| Network::new(Ipv4Addr::new(a, b, c, d), length);
    NOT_PUBLIC.into_iter().map(network).collect()
}

impl Config {
    /// The defaults, with what has none.
    #[must_use]
    pub fn new(data: PathBuf, guest: PathBuf) -> Self {
        Self {
            data,
            guest,
            prepared_places: prepared_places(),
            frozen_for: frozen_for(),
            frozen_memory_mib: None,
            remote: None,
            blocked_networks: blocked_networks(),
            resolvers: Vec::new(),
        }
    }
}
