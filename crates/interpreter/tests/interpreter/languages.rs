//! Kernels other than Python's, where they are installed.

use std::time::Duration;

use crate::support::{Running, printed, start, text_of};
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long an execution may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs code of a language; none, and a word why, if the language is not installed.
#[allow(clippy::print_stderr, reason = "tells what was skipped")]
pub(crate) async fn run(running: &Running, language: &str, code: &str) -> Option<Vec<Value>> {
    let answer = running.send(json!({ "code": code, "language": language })).await;
    if answer.status() == 400 {
        eprintln!("skipped: {}", answer.text().await.expect("a text"));
        return None;
    }
    let text = timeout(PATIENCE, answer.text()).await.expect("it ends").expect("it ends well");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

#[tokio::test]
async fn bash_code_that_reads_its_input_finds_the_end_of_it() {
    let Some(running) = start(None).await else { return };
    let code = "read line; echo \"read: $?\"\ncat; kept=1\necho 'after!'";
    let Some(lines) = run(&running, "bash", code).await else { return };
    assert_eq!(printed(&lines, "stdout"), "read: 1\nafter!\n");
    let lines = run(&running, "bash", "cd /tmp; echo $kept; pwd").await.expect("installed");
    assert_eq!(printed(&lines, "stdout"), "1\n/tmp\n");
    running.stop().await;
}

#[tokio::test]
async fn bash_runs_code_of_any_length_and_says_what_is_wrong_with_it() {
    let Some(running) = start(None).await else { return };
    let code = format!(
        "cat <<'EOT' | wc -c\n{}\nEOT\nx() {{\n  echo \"$1\"\n}}\nx 'a b'",
        "é".repeat(9000)
    );
    let Some(lines) = run(&running, "bash", &code).await else { return };
    assert_eq!(printed(&lines, "stdout"), "18001\na b\n");
    let lines = run(&running, "bash", "echo before\nif true").await.expect("installed");
    assert!(printed(&lines, "stdout").starts_with("before\n"), "{lines:?}");
    assert!(printed(&lines, "stdout").contains("syntax error"), "{lines:?}");
    assert!(lines.iter().any(|line| line["type"] == "error"), "{lines:?}");
    running.stop().await;
}

#[tokio::test]
async fn random_numbers_of_javascript_follow_the_seed_and_its_identifiers_are_valid() {
    let Some(running) = start(None).await else { return };
    let draw = "[Math.random(), crypto.randomUUID()].join()";
    let Some(lines) = run(&running, "js", draw).await else { return };
    let mut drawn = vec![text_of(&lines)];
    for seed in [1, 2, 1] {
        running.interpreter.reseed([seed; 32]).await;
        drawn.push(text_of(&run(&running, "js", draw).await.expect("installed")));
    }
    let parts: Vec<_> = drawn.iter().map(|text| text.split_once(',').expect("two")).collect();
    assert_eq!(parts[1].0, parts[3].0);
    assert_ne!(parts[1].0, parts[2].0);
    assert_ne!(parts[1].1, parts[3].1, "identifiers come from the system");
    for (_, id) in parts {
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{id}");
        assert!(id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]), "{id}");
    }
    running.stop().await;
}

#[tokio::test]
async fn javascript_prints_text_of_any_length_whole() {
    let Some(running) = start(None).await else { return };
    // An odd number before it puts a character of two halves across every limit.
    let code = "console.log('x' + '😀'.repeat(50000)); process.stdout.write('é'.repeat(70000))";
    let Some(lines) = run(&running, "js", code).await else { return };
    let wanted = format!("x{}\n{}", "😀".repeat(50000), "é".repeat(70000));
    assert!(printed(&lines, "stdout") == wanted, "characters were cut");
    running.stop().await;
}
