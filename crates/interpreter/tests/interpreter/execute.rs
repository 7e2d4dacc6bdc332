//! What an execution streams, and how it ends.

use std::path::Path;
use std::time::Duration;

use crate::support::{printed, start, text_of, types};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

#[tokio::test]
async fn lines_come_in_the_order_of_the_contract() {
    let Some(running) = start(None).await else { return };
    let lines = running.run(json!({ "code": "print('hi')\n'it'" })).await;
    assert_eq!(types(&lines), ["number_of_executions", "stdout", "result", "end_of_execution"]);
    assert_eq!(lines[0]["execution_count"], 1);
    assert_eq!(lines[1]["text"], "hi\n");
    assert_eq!(lines[2]["text"], "it");
    running.stop().await;
}

#[tokio::test]
async fn errors_and_refused_input_are_told() {
    let Some(running) = start(None).await else { return };
    let lines = running.run(json!({ "code": "1/0" })).await;
    let error = lines.iter().find(|line| line["type"] == "error").unwrap();
    assert_eq!(error["name"], "ZeroDivisionError");
    assert!(error["traceback"].as_str().unwrap().contains("Traceback"));
    assert!(running.text("input()").await.contains("does not support input requests"));
    assert_eq!(running.text("'next'").await, "next");
    running.stop().await;
}

#[tokio::test]
async fn a_kernel_that_dies_is_told_and_replaced() {
    let Some(running) = start(None).await else { return };
    let code = "import os, time; print('last'); time.sleep(0.5); os._exit(3)";
    let lines = running.run(json!({ "code": code })).await;
    assert_eq!(lines.iter().filter(|line| line["text"] == "last\n").count(), 1);
    let error = lines.iter().find(|line| line["type"] == "error").unwrap();
    assert_eq!(error["name"], "UnexpectedEndOfExecution");
    assert!(error["value"].as_str().unwrap().contains("exit code 3"));
    assert_eq!(running.text("1 + 1").await, "2");
    running.stop().await;
}

#[tokio::test]
async fn code_for_a_kernel_that_died_unnoticed_runs_in_another() {
    let Some(running) = start(None).await else { return };
    for _ in 0..3 {
        let pid: i32 = running.text("import os; os.getpid()").await.parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        // Until it is gone it may take the code, and nobody could tell how far it came.
        while Path::new(&format!("/proc/{pid}")).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let lines = running.run(json!({ "code": "1 + 1" })).await;
        assert_eq!(text_of(&lines), "2");
        assert!(printed(&lines, "stderr").contains("variables are lost"), "{lines:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_breaks_the_stream_instead_of_ending_it() {
    let Some(running) = start(None).await else { return };
    let code = "import time; print('on', flush=True); time.sleep(60)";
    let mut answer = running.send(json!({ "code": code })).await;
    let mut seen = String::new();
    while !seen.contains("on") {
        seen.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
    }
    let (rest, ()) = tokio::join!(answer.text(), running.stop());
    assert!(rest.is_err(), "a clean end would be taken for success");
}

#[tokio::test]
async fn output_is_complete_however_much_it_is() {
    let Some(running) = start(None).await else { return };
    for code in ["print('x' * 20_000_000)", "for _ in range(20_000): print('x' * 999)"] {
        let lines = running.run(json!({ "code": code })).await;
        let printed: usize =
            lines.iter().filter_map(|line| line["text"].as_str()).map(str::len).sum();
        assert!(printed >= 20_000_000, "{printed} characters");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_reader_that_stalls_stalls_the_program_and_loses_nothing() {
    let Some(running) = start(None).await else { return };
    let code = "for i in range(300): print(str(i) + 'x' * 100_000)";
    let answer = running.send(json!({ "code": code })).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let text = answer.text().await.unwrap();
    assert!(text.len() > 30_000_000, "{} bytes", text.len());
    assert!(text.trim_end().ends_with("{\"type\": \"end_of_execution\"}"));
    running.stop().await;
}

#[tokio::test]
async fn variables_of_an_execution_are_taken_back_and_those_of_the_sandbox_follow() {
    let Some(running) = start(None).await else { return };
    let code = "import os; os.getenv('FOO', 'none')";
    let lines = running.run(json!({ "code": code, "env_vars": { "FOO": "bar" } })).await;
    assert_eq!(text_of(&lines), "bar");
    assert_eq!(running.text(code).await, "none");
    running.envs.lock().unwrap().insert("FOO".into(), "all".into());
    assert_eq!(running.text(code).await, "all");
    let lines = running.run(json!({ "code": code, "env_vars": { "FOO": "bar" } })).await;
    assert_eq!(text_of(&lines), "bar");
    assert_eq!(running.text(code).await, "all");
    running.envs.lock().unwrap().clear();
    assert_eq!(running.text(code).await, "none");
    running.stop().await;
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "tells what was skipped")]
async fn javascript_and_bash_run_where_they_are_installed() {
    let Some(running) = start(None).await else { return };
    for (language, code, wanted) in [
        ("ts", "const x: number = 20; console.log('hi'); await Promise.resolve(x + 1)", "hi\n"),
        ("bash", "echo hi", "hi\n"),
    ] {
        let answer = running.send(json!({ "code": code, "language": language })).await;
        if answer.status() == 400 {
            eprintln!("skipped: {}", answer.text().await.unwrap());
            continue;
        }
        let text = answer.text().await.unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let printed = lines.iter().find(|line| line["type"] == "stdout").unwrap();
        assert_eq!(printed["text"], wanted);
        if language == "ts" {
            assert_eq!(text_of(&lines), "21");
        }
    }
    running.stop().await;
}
