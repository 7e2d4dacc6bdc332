//! The commands and their flags.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::Flags;

/// A self-hosted sandbox cloud: gVisor sandboxes that can be paused with their memory.
///
/// Run `overwinter setup` once, then `overwinter serve`.
#[derive(Debug, Parser)]
#[command(name = "overwinter", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Installs what is missing on this machine and builds the templates; can be run again.
    Setup(SetupArguments),
    /// Says whether this machine can run sandboxes, and how to mend it if not.
    Doctor(DoctorArguments),
    /// Runs the server.
    Serve(Box<Flags>),
    /// Takes over the paused sandboxes of a lost machine from the object store; no server may run.
    Import(Box<Flags>),
    /// Makes, lists and removes API keys, whether a server runs or not.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Makes, uses, pauses and ends sandboxes of a running server.
    Sandbox(crate::sandbox::SandboxArguments),
    /// Builds and lists what sandboxes are made of.
    #[command(subcommand)]
    Template(TemplateCommand),
    /// Prints the version.
    Version,
}

/// Where everything is kept.
#[derive(Debug, Args)]
pub(crate) struct DataDir {
    /// Where everything is kept [default: /var/lib/overwinter, or below the home for other users].
    #[arg(long, env = "OVERWINTER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        crate::settings::absolute(self.data_dir.clone())
    }
}

#[derive(Debug, Args)]
pub(crate) struct SetupArguments {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// The `runsc` to use instead of the one on PATH or our own build.
    #[arg(long, env = "OVERWINTER_RUNSC", value_name = "FILE")]
    pub(crate) runsc: Option<PathBuf>,
    /// A template to build; may be given again [default: base and code-interpreter-v1].
    #[arg(long = "template", value_name = "NAME")]
    pub(crate) templates: Vec<String>,
    /// Leaves system packages alone and fails if one is missing.
    #[arg(long)]
    pub(crate) no_packages: bool,
    /// Builds no template.
    #[arg(long, conflicts_with = "templates")]
    pub(crate) no_templates: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
    /// The `runsc` that the server is told to use, if it is.
    #[arg(long, env = "OVERWINTER_RUNSC", value_name = "FILE")]
    pub(crate) runsc: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key and prints it, and nothing else, on standard output.
    Create {
        /// What to call it.
        #[arg(long)]
        name: String,
        /// The team whose sandboxes it opens.
        #[arg(long, default_value = "default")]
        team: String,
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Lists the keys' names, teams and ages; the keys themselves are not kept.
    List {
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Removes every key of a name; requests with it are refused from then on.
    Remove {
        /// The name.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        data_dir: DataDir,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateCommand {
    /// Lists the templates that are built.
    List {
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Builds a template; one that is up to date is left as it is.
    ///
    /// A running server offers it after its next start.
    Build {
        /// One that comes with Overwinter: base, code-interpreter-v1 or code-interpreter-full.
        #[arg(required_unless_present = "from", conflicts_with = "from")]
        name: Option<String>,
        /// A definition of your own, in TOML; see docs/OPERATIONS.md.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        data_dir: DataDir,
    },
}

/// The flags of TLS and DNS, which are for clients that find sandboxes by their host names.
#[derive(Debug, Default, Args)]
pub(crate) struct DomainFlags {
    /// Where the API and sandboxes answer with TLS, by host name.
    #[arg(long, env = "OVERWINTER_TLS_LISTEN", value_name = "ADDR")]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// The certificate, PEM, for the domain and everything directly below it.
    #[arg(long, env = "OVERWINTER_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM.
    #[arg(long, env = "OVERWINTER_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// A directory of certificates, NAME.crt or NAME.pem beside NAME.key, read again as it changes.
    #[arg(long, env = "OVERWINTER_TLS_DIRECTORY", value_name = "DIR")]
    pub(crate) tls_directory: Option<PathBuf>,
    /// Makes a certificate authority of our own and says how clients trust it.
    #[arg(long, env = "OVERWINTER_TLS_PRIVATE_CA")]
    pub(crate) tls_private_ca: bool,
    /// Where to answer DNS questions about the domain [default: nowhere].
    #[arg(long, env = "OVERWINTER_DNS_LISTEN", value_name = "ADDR")]
    pub(crate) dns_listen: Option<SocketAddr>,
    /// The address that DNS answers name; may be given again [default: that of --tls-listen].
    #[arg(long, env = "OVERWINTER_DNS_ADDRESS", value_name = "IP", value_delimiter = ',')]
    pub(crate) dns_address: Vec<IpAddr>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let arguments = ["overwinter", "serve", "--tls-cert", "a.pem"];
        assert!(Cli::try_parse_from(arguments).is_err());
    }
}
