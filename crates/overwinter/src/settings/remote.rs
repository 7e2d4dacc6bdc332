//! Where snapshots go that must survive the machine, and the keys to it.
//!
//! Keys come from a file or from the environment, as the variables named `AWS_…`: a command line is
//! seen by every user of the machine, and a configuration is copied around.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use ow_node::RemoteConfig;
use serde::Deserialize;

/// What a command line and the environment may say.
#[derive(Debug, Default, Args)]
pub(crate) struct RemoteFlags {
    /// The object store for snapshots: `s3://bucket/prefix` or `file:///directory` [default: none].
    #[arg(long, env = "OVERWINTER_REMOTE_URL", value_name = "URL")]
    remote_url: Option<String>,
    /// Where an S3-compatible store answers, if it is not Amazon's.
    #[arg(long, env = "OVERWINTER_REMOTE_ENDPOINT", value_name = "URL")]
    remote_endpoint: Option<String>,
    /// The bucket's region.
    #[arg(long, env = "OVERWINTER_REMOTE_REGION", value_name = "NAME")]
    remote_region: Option<String>,
    /// Speaks to the endpoint without encryption; for a store on this machine.
    #[arg(long, env = "OVERWINTER_REMOTE_ALLOW_HTTP")]
    remote_allow_http: bool,
    /// A file with `aws_access_key_id` and `aws_secret_access_key`, which only its owner may read
    /// [default: variables named `AWS_…`].
    #[arg(long, env = "OVERWINTER_REMOTE_CREDENTIALS", value_name = "FILE")]
    remote_credentials: Option<PathBuf>,
}

/// What a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RemoteTable {
    url: Option<String>,
    endpoint: Option<String>,
    region: Option<String>,
    allow_http: bool,
    credentials: Option<PathBuf>,
}

/// The store that the flags or the file name, if they do.
pub(super) fn resolve(
    flags: RemoteFlags,
    file: RemoteTable,
) -> anyhow::Result<Option<RemoteConfig>> {
    let endpoint = flags.remote_endpoint.or(file.endpoint);
    let region = flags.remote_region.or(file.region);
    let credentials = flags.remote_credentials.or(file.credentials);
    let Some(url) = flags.remote_url.or(file.url) else {
        if endpoint.is_some() || region.is_some() || credentials.is_some() {
            bail!("--remote-endpoint, --remote-region and --remote-credentials need --remote-url");
        }
        return Ok(None);
    };
    let mut variables = of_environment();
    if let Some(path) = credentials {
        let read = read(&path);
        variables.extend(read.with_context(|| format!("the credentials `{}`", path.display()))?);
    }
    let allow_http = flags.remote_allow_http || file.allow_http;
    Ok(Some(RemoteConfig { endpoint, region, allow_http, variables, ..RemoteConfig::new(url) }))
}

fn of_environment() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let ours = |(name, _): &(String, String)| name.starts_with("AWS_");
    std::env::vars_os().filter_map(text).filter(ours).collect()
}

/// Reads a file that nobody but its owner may read.
fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mode = fs::metadata(path)?.mode();
    if mode & 0o077 != 0 {
        bail!("others than its owner may read it: run `chmod 600 {}`", path.display());
    }
    parse(&fs::read_to_string(path)?)
}

/// Reads lines of `name = value`, as the AWS command line and files of an environment have them.
///
/// Of a file with sections only what is before them and in `[default]` counts.
fn parse(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    let mut counts = true;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            counts = section.trim_end_matches(']').trim() == "default";
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            // The line itself may be a secret.
            bail!("line {} is not `name = value`", number + 1);
        };
        if counts {
            variables.insert(name.trim().to_ascii_uppercase(), value.trim().to_owned());
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_the_default_section() {
        let text = "# keys\n[default]\naws_access_key_id = one\nAWS_SECRET_ACCESS_KEY=two=\n\
            [other]\naws_access_key_id = three\n";
        let expected = [("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "two=")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text).unwrap(), expected.into());
        let error = parse("secret").unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn credentials_that_others_may_read_are_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "aws_access_key_id = one").unwrap();
        let flags = || RemoteFlags {
            remote_url: Some("s3://bucket".to_owned()),
            remote_credentials: Some(file.path().to_owned()),
            ..RemoteFlags::default()
        };
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(resolve(flags(), RemoteTable::default()).is_err());
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let config = resolve(flags(), RemoteTable::default()).unwrap().unwrap();
        assert_eq!(config.variables["AWS_ACCESS_KEY_ID"], "one");
    }

    #[test]
    fn an_endpoint_without_a_bucket_is_refused() {
        let flags = RemoteFlags {
            remote_endpoint: Some("http://127.0.0.1:9000".to_owned()),
            ..RemoteFlags::default()
        };
        assert!(resolve(flags, RemoteTable::default()).is_err());
        let nothing = resolve(RemoteFlags::default(), RemoteTable::default()).unwrap();
        assert!(nothing.is_none());
    }
}
