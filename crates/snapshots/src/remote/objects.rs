//! Requests to the object store that end in bounded time, with errors that say what was tried.

use std::fs::{DirBuilder, File};
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, RetryConfig,
};
use url::Url;

use super::error::NO_BUCKET;
use super::layout::{FILES, SANDBOXES};
use super::{RemoteConfig, RemoteError, blocking};
use crate::SnapshotError;

type Result<T> = std::result::Result<T, RemoteError>;

/// How long a connection may take to come about; the default of `object_store`.
const CONNECT: Duration = Duration::from_secs(5);

/// An object as it was found.
pub(super) enum Object {
    /// It is not there.
    Missing,
    /// It has more bytes than it may have.
    TooLong(u64),
    /// All of it.
    Whole(Bytes),
}

/// The store and how long it may take.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    limit: Duration,
    /// The directory, if the store is one.
    disk: Option<Arc<Disk>>,
}

#[derive(Debug)]
struct Disk {
    files: LocalFileSystem,
    /// Open since before the first write, so that a failure to write back any is reported.
    root: File,
}

impl Objects {
    pub(super) fn open(config: &RemoteConfig) -> Result<Self> {
        let url = config.address()?;
        // A request may begin again just before the time for retries is over.
        let limit = config.timeout * 2 + CONNECT;
        match url.scheme() {
            "file" => {
                let disk = Arc::new(open_disk(&url)?);
                let store = Arc::new(disk.files.clone());
                Ok(Self { store, limit, disk: Some(disk) })
            }
            "s3" => Ok(Self { store: open_s3(config, &url)?, limit, disk: None }),
            other => Err(refuse(format!("`{other}` is neither `s3` nor `file`"))),
        }
    }

    /// Whether an object that is there is whole, whatever happened while it was written.
    ///
    /// A directory's files are on the disk only after [`Objects::settle`].
    pub(super) const fn writes_are_durable(&self) -> bool {
        self.disk.is_none()
    }

    /// Returns when all that was written and removed so far survives a loss of power.
    pub(super) async fn settle(&self) -> Result<()> {
        let Some(disk) = self.disk.clone() else { return Ok(()) };
        let synced = blocking(move || {
            let synced = nix::unistd::syncfs(&disk.root);
            synced.map_err(|error| SnapshotError::io("sync the object store", error.into()).into())
        });
        let late = |_| Err(self.late("sync its directory".into()));
        tokio::time::timeout(self.limit, synced).await.unwrap_or_else(late)
    }

    fn late(&self, doing: String) -> RemoteError {
        RemoteError::TimedOut { doing, limit: self.limit }
    }

    async fn bounded<T>(
        &self,
        doing: impl Into<String>,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let doing = doing.into();
        match tokio::time::timeout(self.limit, request).await {
            Err(_) => Err(self.late(doing)),
            Ok(done) => done.map_err(|error| RemoteError::of_store(doing, error)),
        }
    }

    /// The object, if it has at most this many bytes.
    pub(super) async fn get(&self, path: &Path, most: u64) -> Result<Object> {
        let request = async {
            let found = self.store.get(path).await?;
            match found.meta.size {
                size if size > most => Ok(Object::TooLong(size)),
                _ => Ok(Object::Whole(found.bytes().await?)),
            }
        };
        let found = if_there(self.bounded(format!("read `{path}`"), request).await)?;
        Ok(found.unwrap_or(Object::Missing))
    }

    pub(super) async fn contains(&self, path: &Path) -> Result<bool> {
        let found = self.bounded(format!("look for `{path}`"), self.store.head(path)).await;
        Ok(if_there(found)?.is_some())
    }

    /// Writes an object, all of it or nothing, in place of one of its name.
    pub(super) async fn put(&self, path: &Path, content: impl Into<Bytes>) -> Result<()> {
        let request = self.store.put(path, content.into().into());
        self.bounded(format!("write `{path}`"), request).await.map(drop)
    }

    /// Removes an object; no error if it is not there.
    pub(super) async fn delete(&self, path: &Path) -> Result<()> {
        let deleted = self.bounded(format!("remove `{path}`"), self.store.delete(path)).await;
        if_there(deleted).map(drop)
    }

    /// The directories in a directory; none if it is not there.
    pub(super) async fn directories(&self, path: &Path) -> Result<Vec<Path>> {
        let request = self.store.list_with_delimiter(Some(path));
        let listed = if_there(self.bounded(format!("list `{path}`"), request).await)?;
        Ok(listed.map(|listed| listed.common_prefixes).unwrap_or_default())
    }

    /// Every object in a directory and in those below.
    pub(super) async fn list(&self, path: &Path) -> Result<Vec<ObjectMeta>> {
        let (mut listed, mut found) = (self.store.list(Some(path)), Vec::new());
        // A limit for each page, of which a listing may have many.
        let mut next = async || self.bounded(format!("list `{path}`"), listed.try_next()).await;
        while let Some(meta) = if_there(next().await)?.flatten() {
            found.push(meta);
        }
        Ok(found)
    }

    /// Removes objects, many in one request where the store can; no error for those not there.
    pub(super) async fn delete_all(&self, paths: Vec<Path>) -> Result<()> {
        let mut removed = self.store.delete_stream(stream::iter(paths).map(Ok).boxed());
        let mut next = async || self.bounded("remove objects", removed.try_next()).await;
        // One that is not there does not end the stream.
        while !matches!(if_there(next().await)?, Some(None)) {}
        Ok(())
    }

    /// Removes a directory with all that is in it.
    pub(super) async fn delete_tree(&self, path: &Path) -> Result<()> {
        let found = self.list(path).await?.into_iter().map(|meta| meta.location);
        self.delete_all(found.collect()).await?;
        let Some(disk) = self.disk.clone() else { return Ok(()) };
        let path = path.clone();
        // Directories, and what a put that was cut off left in them.
        blocking(move || {
            let directory = disk.files.path_to_filesystem(&path);
            let directory =
                directory.map_err(|error| RemoteError::of_store("name a path".into(), error))?;
            Ok(crate::disk::remove_tree(&directory)?)
        })
        .await
    }
}

/// Tells an object that is not there from all else that goes wrong, a missing bucket included.
fn if_there<T>(done: Result<T>) -> Result<Option<T>> {
    match done {
        Err(RemoteError::Refused {
            source: object_store::Error::NotFound { source, .. }, ..
        }) if !source.to_string().contains(NO_BUCKET) => Ok(None),
        done => done.map(Some),
    }
}

fn refuse(reason: impl Into<String>) -> RemoteError {
    RemoteError::Address { reason: reason.into() }
}

/// Opens a directory, in which only the server's user can read: memory of guests is in it.
fn open_disk(url: &Url) -> Result<Disk> {
    let root = url.to_file_path().map_err(|()| refuse("it is no path of this machine"))?;
    let doing = || format!("open the object store `{}`", root.display());
    for directory in [root.clone(), root.join(SANDBOXES), root.join(FILES)] {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| SnapshotError::io(doing(), error))?;
    }
    let opened = File::open(&root).map_err(|error| SnapshotError::io(doing(), error))?;
    let files = LocalFileSystem::new_with_prefix(&root);
    let files = files.map_err(|error| RemoteError::of_store(doing(), error))?;
    Ok(Disk { files, root: opened })
}

fn open_s3(config: &RemoteConfig, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let bucket = url.host_str().filter(|host| !host.is_empty());
    let bucket = bucket.ok_or_else(|| refuse("it names no bucket"))?;
    let client = ClientOptions::new().with_timeout(config.timeout).with_connect_timeout(CONNECT);
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        retry_timeout: config.timeout,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
    for (name, value) in &config.variables {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &config.endpoint {
        // This key goes before `AWS_ENDPOINT_URL`.
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if config.allow_http {
        builder = builder.with_allow_http(true);
    }
    let built = builder.with_bucket_name(bucket).build();
    let built = built.map_err(|error| refuse(error.to_string()))?;
    let prefix = Path::from_url_path(url.path()).map_err(|error| refuse(error.to_string()))?;
    Ok(Arc::new(PrefixStore::new(built, prefix)))
}
