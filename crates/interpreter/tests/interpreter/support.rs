//! An interpreter on a free port, with kernels of the environment that `OVERWINTER_TEST_PYTHON`
//! names.

#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ow_interpreter::{Config, Interpreter, LocalSpawner};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A running interpreter; all of its processes end with [`Running::stop`], or with the test.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) interpreter: Interpreter,
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) envs: Arc<Mutex<BTreeMap<String, String>>>,
    pub(crate) shutdown: CancellationToken,
    server: TaskTracker,
    _dir: tempfile::TempDir,
}

/// Starts an interpreter whose default kernel is up, or says why the test is skipped.
#[allow(clippy::print_stderr, reason = "tells why a test was skipped")]
#[allow(clippy::disallowed_methods, reason = "the way to configure a test")]
pub(crate) async fn start(token: Option<&str>) -> Option<Running> {
    let Ok(python) = std::env::var("OVERWINTER_TEST_PYTHON") else {
        eprintln!("skipped: OVERWINTER_TEST_PYTHON names no Python with ipykernel");
        return None;
    };
    let venv = PathBuf::from(python).parent()?.parent()?.to_path_buf();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let envs: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    let token = token.map(String::from);
    let given = Arc::clone(&envs);
    let interpreter = Interpreter::start(Config {
        user: "nobody-in-particular".into(),
        home: dir.path().to_path_buf(),
        runtime_dir: dir.path().join("run"),
        venv,
        envs: Arc::new(move || given.lock().expect("not poisoned").clone()),
        token: Arc::new(move || token.clone()),
        spawner: Arc::new(LocalSpawner::default()),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (shutdown, server) = (CancellationToken::new(), TaskTracker::new());
    let (serving, stop) = (interpreter.clone(), shutdown.clone());
    server.spawn(async move { serving.serve(listener, stop).await });
    let ready = tokio::time::timeout(Duration::from_secs(60), interpreter.ready()).await;
    ready.expect("the default kernel starts within a minute");
    let client = reqwest::Client::new();
    Some(Running { interpreter, address, client, envs, shutdown, server, _dir: dir })
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends an execution; the answer streams.
    pub(crate) async fn send(&self, body: Value) -> reqwest::Response {
        self.client.post(self.url("/execute")).json(&body).send().await.expect("it answers")
    }

    /// Runs code and returns its lines.
    pub(crate) async fn run(&self, body: Value) -> Vec<Value> {
        let text = self.send(body).await.text().await.expect("the stream ends well");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Runs Python and returns the text of its result, or its error's value.
    pub(crate) async fn text(&self, code: &str) -> String {
        text_of(&self.run(json!({ "code": code })).await)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.server.close();
        self.server.wait().await;
    }
}

/// The text of the result among lines, or the value of the error.
pub(crate) fn text_of(lines: &[Value]) -> String {
    let result = lines.iter().find(|line| line["is_main_result"] == true);
    let error = lines.iter().find(|line| line["type"] == "error");
    let value = result.map_or_else(|| error.map(|line| &line["value"]), |line| Some(&line["text"]));
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The types of lines, in order.
pub(crate) fn types(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["type"].as_str()).collect()
}

/// All that was printed to `stdout` or `stderr`.
pub(crate) fn printed(lines: &[Value], stream: &str) -> String {
    let printed = lines.iter().filter(|line| line["type"] == stream);
    printed.filter_map(|line| line["text"].as_str()).collect()
}
