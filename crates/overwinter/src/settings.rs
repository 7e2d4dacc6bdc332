//! The server's settings: flags before variables of the environment before the file.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use ow_node::RemoteConfig;
use ow_types::Resources;
use serde::Deserialize;

use crate::cli::DomainFlags;

mod remote;

use remote::{RemoteFlags, RemoteTable};

/// Where the API answers if nothing else is said: this machine only.
const API_LISTEN: &str = "127.0.0.1:3000";

/// Where sandboxes' ports answer if nothing else is said: this machine only.
const EDGE_LISTEN: &str = "127.0.0.1:3002";

/// What a command line and the environment may say.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// A file with any of these settings; see docs/OPERATIONS.md.
    #[arg(long, env = "OVERWINTER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: /var/lib/overwinter, or below the home for other users].
    #[arg(long, env = "OVERWINTER_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the API answers [default: 127.0.0.1:3000].
    #[arg(long, env = "OVERWINTER_API_LISTEN", value_name = "ADDR")]
    pub(crate) api_listen: Option<SocketAddr>,
    /// Where sandboxes' ports answer [default: 127.0.0.1:3002].
    #[arg(long, env = "OVERWINTER_EDGE_LISTEN", value_name = "ADDR")]
    pub(crate) edge_listen: Option<SocketAddr>,
    /// The domain that sandboxes' host names end in, with a port if it is not 443 [default: none].
    #[arg(long, env = "OVERWINTER_DOMAIN", value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    #[command(flatten)]
    pub(crate) names: DomainFlags,
    /// The `runsc` to use [default: the one of `overwinter setup`, or on PATH].
    #[arg(long, env = "OVERWINTER_RUNSC", value_name = "FILE")]
    pub(crate) runsc: Option<PathBuf>,
    /// The guest agent to use instead of the one in this binary; for development.
    #[arg(long, env = "OVERWINTER_GUEST", value_name = "FILE")]
    pub(crate) guest: Option<PathBuf>,
    /// How long a paused sandbox is kept: a duration, or `forever` [default: 30days].
    #[arg(long, env = "OVERWINTER_RETENTION", value_name = "DURATION")]
    pub(crate) retention: Option<Retention>,
    /// The longest timeout of a sandbox, and the longest it runs without a pause [default: 24h].
    #[arg(long, env = "OVERWINTER_MAX_RUNTIME", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) max_runtime: Option<Duration>,
    /// How many sandboxes a team may run at once [default: as many as fit].
    #[arg(long, env = "OVERWINTER_MAX_RUNNING", value_name = "COUNT")]
    pub(crate) max_running: Option<u64>,
    /// How long a paused sandbox stays in memory too, for a quick return; `0s` for not at all
    /// [default: 2m].
    #[arg(long, env = "OVERWINTER_FROZEN_FOR", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) frozen_for: Option<Duration>,
    /// How much memory paused sandboxes may take, in MiB [default: a quarter of the machine's].
    #[arg(long, env = "OVERWINTER_FROZEN_MEMORY_MIB", value_name = "MIB")]
    pub(crate) frozen_memory_mib: Option<u64>,
    #[command(flatten)]
    pub(crate) remote: RemoteFlags,
    /// A token that opens /metrics; without one only this machine may read it.
    #[arg(long, env = "OVERWINTER_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(crate) admin_token: Option<String>,
    /// Writes the log as JSON.
    #[arg(long, env = "OVERWINTER_LOG_JSON")]
    pub(crate) log_json: bool,
}

/// How long a paused sandbox is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Retention {
    /// Until somebody kills it.
    Forever,
    /// This long after its pause.
    For(Duration),
}

impl std::str::FromStr for Retention {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        humantime::parse_duration(text).map(Self::For)
    }
}

impl TryFrom<String> for Retention {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// What a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data_dir: Option<PathBuf>,
    api_listen: Option<SocketAddr>,
    edge_listen: Option<SocketAddr>,
    domain: Option<String>,
    tls_listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_directory: Option<PathBuf>,
    tls_private_ca: bool,
    dns_listen: Option<SocketAddr>,
    dns_address: Vec<IpAddr>,
    runsc: Option<PathBuf>,
    guest: Option<PathBuf>,
    retention: Option<Retention>,
    #[serde(with = "humantime_serde")]
    max_runtime: Option<Duration>,
    max_running: Option<u64>,
    #[serde(with = "humantime_serde")]
    frozen_for: Option<Duration>,
    frozen_memory_mib: Option<u64>,
    admin_token: Option<String>,
    log_json: bool,
    remote: RemoteTable,
    templates: BTreeMap<String, TemplateSettings>,
}

/// What sandboxes of one template are given; what is left out stays as the template has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TemplateSettings {
    vcpu: Option<u32>,
    memory_mib: Option<u64>,
    disk_mib: Option<u64>,
}

impl TemplateSettings {
    pub(crate) fn apply(self, resources: Resources) -> Resources {
        Resources {
            vcpu: self.vcpu.unwrap_or(resources.vcpu),
            memory_mib: self.memory_mib.unwrap_or(resources.memory_mib),
            disk_mib: self.disk_mib.unwrap_or(resources.disk_mib),
        }
    }
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// A pair of files.
    Pair { certificate: PathBuf, key: PathBuf },
    /// A directory of pairs.
    Directory(PathBuf),
    /// Our own authority.
    PrivateCa,
}

/// TLS by host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) listen: SocketAddr,
    pub(crate) certificates: Certificates,
}

/// What the server works with.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) api_listen: SocketAddr,
    pub(crate) edge_listen: SocketAddr,
    pub(crate) domain: Option<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) dns_listen: Option<SocketAddr>,
    pub(crate) dns_address: Vec<IpAddr>,
    pub(crate) runsc: Option<PathBuf>,
    pub(crate) guest: Option<PathBuf>,
    pub(crate) retention: Option<Retention>,
    pub(crate) max_runtime: Option<Duration>,
    pub(crate) max_running: Option<u64>,
    pub(crate) frozen_for: Option<Duration>,
    pub(crate) frozen_memory_mib: Option<u64>,
    pub(crate) remote: Option<RemoteConfig>,
    pub(crate) admin_token: Option<String>,
    pub(crate) log_json: bool,
    pub(crate) templates: BTreeMap<String, TemplateSettings>,
}

impl Settings {
    /// Reads the file that the flags name, and lets the flags overrule it.
    pub(crate) fn resolve(flags: Box<Flags>) -> anyhow::Result<Self> {
        let file = flags.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let fixed = |text: &str| text.parse().expect("the default is an address");
        let names = &flags.names;
        let tls = tls(&flags, &file)?;
        let dns_address =
            if names.dns_address.is_empty() { file.dns_address } else { names.dns_address.clone() };
        let settings = Self {
            data_dir: absolute(flags.data_dir.or(file.data_dir))?,
            api_listen: flags.api_listen.or(file.api_listen).unwrap_or_else(|| fixed(API_LISTEN)),
            edge_listen: flags
                .edge_listen
                .or(file.edge_listen)
                .unwrap_or_else(|| fixed(EDGE_LISTEN)),
            domain: flags.domain.or(file.domain),
            tls,
            dns_listen: names.dns_listen.or(file.dns_listen),
            dns_address,
            runsc: flags.runsc.or(file.runsc),
            guest: flags.guest.or(file.guest),
            retention: flags.retention.or(file.retention),
            max_runtime: flags.max_runtime.or(file.max_runtime),
            max_running: flags.max_running.or(file.max_running),
            frozen_for: flags.frozen_for.or(file.frozen_for),
            frozen_memory_mib: flags.frozen_memory_mib.or(file.frozen_memory_mib),
            remote: remote::resolve(flags.remote, file.remote)?,
            admin_token: flags.admin_token.or(file.admin_token),
            log_json: flags.log_json || file.log_json,
            templates: file.templates,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.domain.is_none() && (self.tls.is_some() || self.dns_listen.is_some()) {
            bail!("--tls-listen and --dns-listen need --domain, the name that they answer for");
        }
        for (name, template) in &self.templates {
            let zero = template.vcpu == Some(0)
                || template.memory_mib == Some(0)
                || template.disk_mib == Some(0);
            if zero {
                bail!("the resources of template `{name}` must all be greater than zero");
            }
        }
        Ok(())
    }
}

fn tls(flags: &Flags, file: &File) -> anyhow::Result<Option<Tls>> {
    let names = &flags.names;
    let mut sources = Vec::new();
    let pair = names.tls_cert.clone().or_else(|| file.tls_cert.clone());
    let key = names.tls_key.clone().or_else(|| file.tls_key.clone());
    match (pair, key) {
        (Some(certificate), Some(key)) => sources.push(Certificates::Pair { certificate, key }),
        (None, None) => {}
        _ => bail!("a certificate needs its key: give both --tls-cert and --tls-key"),
    }
    let directory = names.tls_directory.clone().or_else(|| file.tls_directory.clone());
    sources.extend(directory.map(Certificates::Directory));
    if names.tls_private_ca || file.tls_private_ca {
        sources.push(Certificates::PrivateCa);
    }
    if sources.len() > 1 {
        bail!("give one of --tls-cert with --tls-key, --tls-directory and --tls-private-ca");
    }
    match (names.tls_listen.or(file.tls_listen), sources.pop()) {
        (Some(listen), Some(certificates)) => Ok(Some(Tls { listen, certificates })),
        (Some(listen), None) => {
            // The one that needs nothing else.
            Ok(Some(Tls { listen, certificates: Certificates::PrivateCa }))
        }
        (None, None) => Ok(None),
        (None, Some(_)) => bail!("certificates need --tls-listen, where they are used"),
    }
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read the configuration `{}`", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration `{}`", path.display()))
}

/// The data directory by its whole path: what is given to other programs must not depend on where
/// this one was started.
pub(crate) fn absolute(data_dir: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    std::path::absolute(&data_dir)
        .with_context(|| format!("the data directory `{}`", data_dir.display()))
}

/// The system's place for root, the user's for others.
#[allow(clippy::disallowed_methods, reason = "the binary is where the environment is read")]
pub(crate) fn default_data_dir() -> PathBuf {
    if nix::unistd::Uid::effective().is_root() {
        return PathBuf::from("/var/lib/overwinter");
    }
    let below_home = || {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        home.join(".local/share")
    };
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    data.unwrap_or_else(below_home).join("overwinter")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, flags: Flags) -> anyhow::Result<Settings> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Settings::resolve(Box::new(Flags { config: Some(file.path().to_owned()), ..flags }))
    }

    #[test]
    fn flags_overrule_the_file_and_the_file_the_defaults() {
        let flags = Flags { domain: Some("flag.example".to_owned()), ..Flags::default() };
        let text =
            "domain = \"file.example\"\napi_listen = \"127.0.0.1:9\"\nretention = \"forever\"";
        let settings = with_file(text, flags).unwrap();
        assert_eq!(settings.domain.as_deref(), Some("flag.example"));
        assert_eq!(settings.api_listen.port(), 9);
        assert_eq!(settings.edge_listen.to_string(), EDGE_LISTEN);
        assert_eq!(settings.retention, Some(Retention::Forever));
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let error = with_file("api_lisen = \"127.0.0.1:9\"", Flags::default()).unwrap_err();
        assert!(format!("{error:#}").contains("api_lisen"), "{error:#}");
    }

    #[test]
    fn resources_of_a_template_keep_what_is_not_named() {
        let text = "[templates.base]\nmemory_mib = 256";
        let settings = with_file(text, Flags::default()).unwrap();
        let resources = settings.templates["base"].apply(Resources::default());
        assert_eq!(resources, Resources { memory_mib: 256, ..Resources::default() });
    }

    #[test]
    fn a_template_without_memory_is_refused() {
        assert!(with_file("[templates.base]\nmemory_mib = 0", Flags::default()).is_err());
    }

    #[test]
    fn two_sources_of_certificates_are_refused() {
        let text = "domain = \"a.example\"\ntls_listen = \"127.0.0.1:9\"\ntls_private_ca = true\n\
             tls_directory = \"/certificates\"";
        assert!(with_file(text, Flags::default()).is_err());
    }

    #[test]
    fn tls_without_a_domain_is_refused() {
        assert!(with_file("tls_listen = \"127.0.0.1:9\"", Flags::default()).is_err());
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let text = "retention = \"7days\"\nmax_runtime = \"2h\"\nfrozen_for = \"0s\"";
        let settings = with_file(text, Flags::default()).unwrap();
        assert_eq!(settings.retention, Some(Retention::For(Duration::from_secs(7 * 86_400))));
        assert_eq!(settings.max_runtime, Some(Duration::from_secs(7_200)));
        assert_eq!(settings.frozen_for, Some(Duration::ZERO));
    }
}
