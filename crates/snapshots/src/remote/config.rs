//! Where the object store is, and how it is reached.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::RemoteError;

/// An object store for snapshots. One server at a time uses a bucket's prefix, or a directory.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// `s3://bucket/prefix`, or `file:///directory` of a file system that outlives this machine.
    pub url: String,
    /// Where an S3-compatible store answers, such as `https://minio.example:9000`; Amazon's own if
    /// none.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The region of the bucket; `us-east-1` if neither this nor a variable names one.
    #[serde(default)]
    pub region: Option<String>,
    /// Whether the endpoint may be spoken to without encryption. Memory of sandboxes is then sent in
    /// the clear: for a store on this machine only.
    #[serde(default)]
    pub allow_http: bool,
    /// How long one request may take, and for how long it is tried again after that.
    #[serde(default = "timeout", with = "humantime_serde")]
    pub timeout: Duration,
    /// Variables named `AWS_…` with their values, credentials among them; never shown or stored.
    #[serde(skip)]
    pub variables: BTreeMap<String, String>,
}

/// The default of `object_store` for a request. One moves at most a mebibyte or a manifest of a few.
const fn timeout() -> Duration {
    Duration::from_secs(30)
}

impl RemoteConfig {
    /// The defaults, for a store at this address.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            endpoint: None,
            region: None,
            allow_http: false,
            timeout: timeout(),
            variables: BTreeMap::new(),
        }
    }

    /// Reads the address; one that holds a password is refused, since addresses are logged.
    pub(super) fn address(&self) -> Result<Url, RemoteError> {
        let refuse = |reason: &str| RemoteError::Address { reason: reason.to_owned() };
        let url = Url::parse(&self.url).map_err(|error| refuse(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials belong into variables or a file, not into it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("it has more than a place and a path"));
        }
        Ok(url)
    }
}

/// Says nothing of the values of variables, nor of an address that is not one.
impl fmt::Debug for RemoteConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.address().map_or_else(|_| "invalid".to_owned(), String::from);
        formatter
            .debug_struct("RemoteConfig")
            .field("url", &url)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("allow_http", &self.allow_http)
            .field("timeout", &self.timeout)
            .field("variables", &self.variables.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        let mut config = RemoteConfig::new("s3://bucket/prefix");
        config.variables.insert("AWS_SECRET_ACCESS_KEY".into(), "hidden".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("s3://bucket/prefix") && shown.contains("AWS_SECRET_ACCESS_KEY"));
        assert!(!shown.contains("hidden"));
        let shown = format!("{:?}", RemoteConfig::new("s3://me:hidden@bucket"));
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn an_address_with_more_than_a_place_is_refused() {
        for url in ["", "bucket", "s3://me:key@bucket/", "s3://me@bucket/", "s3://bucket/?a=b"] {
            let refused = RemoteConfig::new(url).address().unwrap_err();
            assert!(!refused.is_retryable());
            assert!(!refused.to_string().contains("key"), "{refused}");
        }
    }
}
