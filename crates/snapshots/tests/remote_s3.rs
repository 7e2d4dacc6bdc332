//! The object store over S3's protocol, as moto speaks it in a process of its own.

#[allow(dead_code, reason = "not every test file uses every helper")]
mod common;
#[allow(dead_code, reason = "not every test file uses every helper")]
#[path = "common/remote.rs"]
mod remote;

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ow_snapshots::{RemoteConfig, RemoteError};
use remote::Machine;
use tempfile::TempDir;

/// A server of S3 on a port of its own, ended when this is.
struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    /// None where no Python with moto is named, which is printed.
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment")]
    #[allow(clippy::print_stderr, reason = "a skipped test says why")]
    fn start() -> Option<Self> {
        let Some(python) = env::var_os("OVERWINTER_TEST_MOTO") else {
            eprintln!("skipped: OVERWINTER_TEST_MOTO does not name a Python that has moto");
            return None;
        };
        let mut command = Command::new(python);
        command.args(["-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        let mut process =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be run");
        let mut said = BufReader::new(process.stderr.take().expect("it is piped"));
        let address = address_of(&mut said);
        // It goes on to log each request, which somebody must read.
        thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let moto = Self { process, address: address.expect("it says where it listens") };
        assert!(moto.put("/bucket").starts_with("HTTP/1.1 200"));
        Some(moto)
    }

    fn put(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
        let head = "Host: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close";
        write!(stream, "PUT {path} HTTP/1.1\r\n{head}\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn config(&self, url: &str) -> RemoteConfig {
        let keys = [("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")];
        RemoteConfig {
            endpoint: Some(format!("http://{}", self.address)),
            allow_http: true,
            variables: keys.map(|(name, value)| (name.into(), value.into())).into(),
            ..RemoteConfig::new(url)
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in the line ` * Running on http://127.0.0.1:40511`.
fn address_of(said: &mut impl std::io::BufRead) -> Option<SocketAddr> {
    let lines = said.by_ref().lines().map_while(Result::ok);
    let address = |line: String| line.split_once("http://")?.1.trim().parse().ok();
    lines.filter_map(address).next()
}

#[tokio::test]
async fn snapshots_and_files_come_back() {
    let Some(moto) = Moto::start() else { return };
    remote::comes_back(&Machine::new(&moto.config("s3://bucket"))).await;
    let machine = Machine::new(&moto.config("s3://bucket/a/prefix/"));
    assert_eq!(machine.remote.list().await.unwrap(), [], "prefixes are apart");
    remote::generations_share(&machine).await;
    let directory = TempDir::new().unwrap();
    remote::files_come_back(&machine, directory.path()).await;
}

#[tokio::test]
async fn many_chunks_are_listed_and_removed() {
    let Some(moto) = Moto::start() else { return };
    let machine = Machine::new(&moto.config("s3://bucket/many"));
    let chunks: Vec<_> = (0..40).map(Some).collect();
    let (one, _) = machine.uploaded(1, &chunks).await;
    let (two, uploaded) = machine.uploaded(2, &chunks).await;
    assert_eq!(uploaded.stored, 0);
    machine.delete(&one).await;
    machine.local.remove(&two).unwrap();
    machine.fetch(&two).await.unwrap();
    machine.delete(&two).await;
    assert_eq!(machine.remote.sandboxes().await.unwrap(), []);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told_from_a_snapshot_that_is_not() {
    let Some(moto) = Moto::start() else { return };
    let machine = Machine::new(&moto.config("s3://no-such-bucket/prefix"));
    let snapshot = common::generation(&machine.local, &machine.sandbox, 1, &[Some(1)]);
    for failed in [machine.upload(&snapshot).await.map(drop), machine.fetch(&snapshot).await] {
        let failed = failed.unwrap_err();
        assert!(matches!(failed, RemoteError::Refused { .. }), "{failed:?}");
        assert!(!failed.is_retryable());
    }
}
