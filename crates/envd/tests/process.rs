//! `process.Process` as clients use it.

mod common;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{PATIENCE, TestGuest, envelope, eventually, is_alive};
use serde_json::{Value, json};

fn stdin(pid: u32, text: &str) -> Value {
    json!({ "process": { "pid": pid }, "input": { "stdin": STANDARD.encode(text) } })
}

#[tokio::test]
async fn a_command_sees_its_environment_and_tells_its_exit_code() {
    let guest =
        TestGuest::start_with(json!({ "envVars": { "A": "sandbox", "B": "sandbox" } })).await;
    let request = json!({ "process": {
        "cmd": "bash", "args": ["-c", "echo $A $B $USER $PWD; echo oops >&2; exit 3"],
        "envs": { "B": "request" }, "cwd": "/tmp",
    }});
    let mut stream = guest.open("process.Process/Start", &request, &[]).await;
    stream.pid().await;
    let (stdout, stderr, end) = stream.rest().await;
    assert_eq!(stdout, format!("sandbox request {} /tmp\n", common::user()));
    assert_eq!(stderr, "oops\n");
    let expected = json!({ "exitCode": 3, "exited": true, "status": "exit status 3", "error": "exit status 3" });
    assert_eq!(end, expected);
    assert_eq!(stream.next().await, json!({ "endOfStream": {} }));
}

#[tokio::test]
async fn mistakes_are_told_by_their_codes() {
    let guest = TestGuest::start().await;
    for (request, headers, code, words) in [
        (
            json!({ "process": { "cmd": "true", "cwd": "/no/where" } }),
            None,
            "invalid_argument",
            "cwd '/no/where' does not exist",
        ),
        (
            json!({ "process": { "cmd": "true" } }),
            Some("nobody-at-all:"),
            "unauthenticated",
            "invalid username: 'nobody-at-all'",
        ),
        (json!({ "process": { "cmd": "/no/program" } }), None, "invalid_argument", "/no/program"),
        (json!({ "process": [] }), None, "invalid_argument", "object"),
        (json!([]), None, "invalid_argument", "object"),
    ] {
        let encoded = headers.map(|name| format!("Basic {}", STANDARD.encode(name)));
        let headers: Vec<_> =
            encoded.iter().map(|value| ("authorization", value.as_str())).collect();
        let mut stream = guest.open("process.Process/Start", &request, &headers).await;
        let message = stream.next().await;
        let error = &message["endOfStream"]["error"];
        assert_eq!(error["code"], code, "{message}");
        assert!(error["message"].as_str().unwrap().contains(words), "{message}");
    }
    for method in ["List", "SendInput", "SendSignal", "Update", "CloseStdin"] {
        let (status, error) =
            guest.call_raw(&format!("process.Process/{method}"), "[]".into()).await;
        assert_eq!((status, error["code"].as_str()), (400, Some("invalid_argument")), "{method}");
    }
    let unknown = json!({ "process": { "pid": 999_999_999 }, "signal": "SIGNAL_SIGKILL" });
    let (status, error) = guest.call("process.Process/SendSignal", &unknown).await;
    assert_eq!((status, error["code"].as_str()), (404, Some("not_found")));
    let mut stream = guest.open("process.Process/Connect", &unknown, &[]).await;
    assert_eq!(stream.next().await["endOfStream"]["error"]["code"], "not_found");
}

#[tokio::test]
async fn an_ended_process_keeps_no_input_open() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let told = dir.path().join("told");
    // A program left behind reads the end of the input that nobody can write to any more.
    let left = format!("exec 3<&0; (cat <&3; touch {}) 3<&3 >/dev/null 2>&1 &", told.display());
    let (_, end) = guest.run(&left).await;
    assert_eq!(end["exitCode"], 0);
    eventually("the input ends", async || told.exists()).await;
}

#[tokio::test]
async fn a_process_outlives_its_client_and_can_be_found_again() {
    let guest = TestGuest::start().await;
    let fields = json!({ "tag": "mine" });
    let mut stream = guest.shell_with("echo one; read line; echo $line; exit 7", fields, &[]).await;
    let pid = stream.pid().await;
    stream.until("one").await;
    drop(stream);
    let (_, list) = guest.call("process.Process/List", &json!({})).await;
    assert_eq!(list["processes"][0]["pid"], pid);
    assert_eq!(list["processes"][0]["tag"], "mine");

    assert_eq!(guest.call("process.Process/SendInput", &stdin(pid, "two\n")).await.0, 200);
    eventually("the process ends", async || {
        guest.call("process.Process/List", &json!({})).await.1["processes"] == json!([])
    })
    .await;
    let by_tag = json!({ "process": { "tag": "mine" } });
    let mut late = guest.open("process.Process/Connect", &by_tag, &[]).await;
    assert_eq!(late.pid().await, pid);
    let (stdout, _, end) = late.rest().await;
    assert_eq!((stdout.as_str(), &end["exitCode"]), ("two\n", &json!(7)));
    let (status, _) = guest.call("process.Process/SendInput", &stdin(pid, "three\n")).await;
    assert_eq!(status, 404, "an ended process takes no input");
}

#[tokio::test]
async fn a_command_is_killed_when_its_time_is_over_even_if_its_client_left() {
    let guest = TestGuest::start().await;
    let headers = [("connect-timeout-ms", "400")];
    let before = Instant::now();
    let mut stream = guest.shell_with("sleep 60 & wait", json!({}), &headers).await;
    stream.pid().await;
    let (_, _, end) = stream.rest().await;
    assert_eq!(end["endOfStream"]["error"]["code"], "deadline_exceeded", "{end}");
    assert!(before.elapsed() < Duration::from_secs(5));

    let mut stream = guest.shell_with("exec sleep 60", json!({}), &headers).await;
    let pid = stream.pid().await;
    drop(stream);
    eventually("the process is killed", async || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_connection_whose_time_is_over_does_not_end_the_process() {
    let guest = TestGuest::start().await;
    let mut stream = guest.shell("read line; echo got $line").await;
    let pid = stream.pid().await;
    let selector = json!({ "process": { "pid": pid } });
    let headers = [("connect-timeout-ms", "200")];
    let mut short = guest.open("process.Process/Connect", &selector, &headers).await;
    short.pid().await;
    let (_, _, end) = short.rest().await;
    assert_eq!(end["endOfStream"]["error"]["code"], "deadline_exceeded");
    guest.call("process.Process/SendInput", &stdin(pid, "it\n")).await;
    assert_eq!(stream.rest().await.0, "got it\n");
}

#[tokio::test]
async fn a_kill_ends_what_the_command_started_too() {
    let guest = TestGuest::start().await;
    let mut stream = guest.shell("sleep 61 & echo $!; wait").await;
    let pid = stream.pid().await;
    let child: u32 = stream.until("\n").await.trim().parse().unwrap();
    assert!(is_alive(child));
    let request = json!({ "process": { "pid": pid }, "signal": "SIGNAL_SIGKILL" });
    assert_eq!(guest.call("process.Process/SendSignal", &request).await.0, 200);
    let (_, _, end) = stream.rest().await;
    assert_eq!((&end["exitCode"], end["status"].as_str()), (&json!(-1), Some("signal: killed")));
    eventually("the child is gone", async || !is_alive(child)).await;
    assert_eq!(guest.call("process.Process/SendSignal", &request).await.0, 404);
}

#[tokio::test]
async fn input_arrives_in_order_and_ends_when_it_is_closed() {
    let guest = TestGuest::start().await;
    let mut stream = guest.shell("cat; echo end").await;
    let pid = stream.pid().await;
    let mut body = envelope(&json!({ "start": { "process": { "pid": pid } } }).to_string());
    let mut expected = String::new();
    for number in 0..500 {
        let line = format!("line {number}\n");
        expected.push_str(&line);
        let data = json!({ "data": { "input": { "stdin": STANDARD.encode(line) } } });
        body.extend(envelope(&data.to_string()));
        body.extend(envelope(&json!({ "keepalive": {} }).to_string()));
    }
    let answer = guest
        .http
        .post(format!("{}/process.Process/StreamInput", guest.envd))
        .header("content-type", "application/connect+json")
        .body(body)
        .send()
        .await
        .unwrap();
    let bytes = answer.bytes().await.unwrap();
    assert_eq!(&bytes[..], [&envelope("{}")[..], &[2, 0, 0, 0, 2, b'{', b'}']].concat());
    let closed =
        guest.call("process.Process/CloseStdin", &json!({ "process": { "pid": pid } })).await;
    assert_eq!(closed.0, 200);
    assert_eq!(stream.rest().await.0, expected + "end\n");
}

#[tokio::test]
async fn without_stdin_a_process_reads_nothing() {
    let guest = TestGuest::start().await;
    let mut stream = guest.shell_with("cat; echo end", json!({ "stdin": false }), &[]).await;
    let pid = stream.pid().await;
    assert_eq!(stream.rest().await.0, "end\n");
    let mut stream = guest.shell_with("sleep 60", json!({ "stdin": false }), &[]).await;
    let other = stream.pid().await;
    assert_ne!(pid, other);
    let (status, error) = guest.call("process.Process/SendInput", &stdin(other, "x")).await;
    assert_eq!((status, error["code"].as_str()), (400, Some("failed_precondition")));
    let kill = json!({ "process": { "pid": other }, "signal": "SIGNAL_SIGKILL" });
    assert_eq!(guest.call("process.Process/SendSignal", &kill).await.0, 200);
}

#[tokio::test]
async fn a_terminal_has_a_size_that_changes() {
    let guest = TestGuest::start().await;
    let request = json!({
        "process": { "cmd": "/bin/bash", "args": ["-i"], "envs": { "TERM": "xterm", "PS1": "$ " } },
        "pty": { "size": { "cols": 100, "rows": 30 } },
    });
    let mut stream = guest.open("process.Process/Start", &request, &[]).await;
    let pid = stream.pid().await;
    let typed = |text: &str| json!({ "process": { "pid": pid }, "input": { "pty": STANDARD.encode(text) } });
    guest.call("process.Process/SendInput", &typed("stty size; tty\n")).await;
    stream.until("30 100").await;
    let size = json!({ "process": { "pid": pid }, "pty": { "size": { "cols": 132, "rows": 50 } } });
    assert_eq!(guest.call("process.Process/Update", &size).await.0, 200);
    guest.call("process.Process/SendInput", &typed("stty size\n")).await;
    stream.until("50 132").await;
    let (status, _) = guest.call("process.Process/SendInput", &stdin(pid, "x")).await;
    assert_eq!(status, 400, "a terminal is not written to by stdin");
    guest.call("process.Process/SendInput", &typed("exit 4\n")).await;
    assert_eq!(stream.rest().await.2["exitCode"], 4);
}

#[tokio::test]
async fn tens_of_mebibytes_arrive_complete_at_a_slow_reader() {
    const BYTES: usize = 24 << 20;
    let guest = TestGuest::start().await;
    let mut stream =
        guest.shell(&format!("head -c {BYTES} /dev/zero | tr '\\0' x; echo; exit 5")).await;
    stream.pid().await;
    // The process must wait meanwhile: nobody keeps this much for a reader.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (stdout, _, end) = stream.rest().await;
    assert_eq!((stdout.len(), &end["exitCode"]), (BYTES + 1, &json!(5)));
}

#[tokio::test]
async fn a_reader_that_left_holds_nothing_up() {
    let guest = TestGuest::start().await;
    let mut stream = guest.shell("head -c 20000000 /dev/zero; sleep 0.1").await;
    let pid = stream.pid().await;
    drop(stream);
    eventually("the process ends", async || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_silent_process_sends_keepalives() {
    let guest = TestGuest::start().await;
    let headers = [("keepalive-ping-interval", "1")];
    let mut stream = guest.shell_with("sleep 1.5", json!({}), &headers).await;
    stream.pid().await;
    assert_eq!(stream.next().await, json!({ "event": { "keepalive": {} } }));
    assert_eq!(stream.rest().await.2["exitCode"], 0);
}

#[tokio::test]
async fn many_short_commands_end_well() {
    let guest = TestGuest::start().await;
    let runs = (0..40).map(|number| guest.run_owned(format!("echo {number}; exit {number}")));
    let results = tokio::time::timeout(PATIENCE, futures::future::join_all(runs)).await.unwrap();
    for (number, (stdout, end)) in results.into_iter().enumerate() {
        assert_eq!((stdout, &end["exitCode"]), (format!("{number}\n"), &json!(number)));
    }
}

impl TestGuest {
    async fn run_owned(&self, command: String) -> (String, Value) {
        self.run(&command).await
    }
}
