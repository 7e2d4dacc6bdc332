//! R's kernel, where it is installed.

use std::time::Duration;

use crate::languages::run;
use crate::support::{printed, start, text_of, types};
use serde_json::json;
use tokio::time::timeout;

#[tokio::test]
async fn r_prints_as_it_happens_and_whole() {
    let Some(running) = start(None).await else { return };
    let code = "cat('x', strrep('😀', 50000), sep = ''); message('é'); system('echo program')";
    let Some(lines) = run(&running, "r", code).await else { return };
    let wanted = format!("x{}program\n", "😀".repeat(50000));
    assert!(printed(&lines, "stdout") == wanted, "characters were cut");
    assert_eq!(printed(&lines, "stderr"), "é\n");

    let code = "for (i in 1:100000) cat(i, '\\n')";
    let lines = run(&running, "r", code).await.expect("installed");
    let numbers = printed(&lines, "stdout");
    assert!(numbers.lines().map(|line| line.trim().parse::<u32>().unwrap()).eq(1..=100_000));

    let body = json!({ "code": "cat('on\\n'); Sys.sleep(60)", "language": "r" });
    let mut answer = running.send(body).await;
    let mut seen = String::new();
    let printed = async {
        while !seen.contains("on") {
            seen.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
        }
    };
    timeout(Duration::from_secs(20), printed).await.expect("before the end of the expression");
    running.stop().await;
}

#[tokio::test]
async fn r_results_come_between_what_is_printed_and_the_last_is_the_main_one() {
    let Some(running) = start(None).await else { return };
    if run(&running, "r", "1").await.is_none() {
        return;
    }
    // Often enough to find a race.
    for _ in 0..20 {
        let lines = run(&running, "r", "1 + 1\ncat('after')").await.expect("installed");
        let kinds = ["number_of_executions", "result", "stdout", "end_of_execution"];
        assert_eq!(types(&lines), kinds);
        assert_eq!(lines[1]["is_main_result"], false);
    }
    let code = "cat('before'); data.frame(a = 1:2)\nplot(1:3)\n20 + 22";
    let lines = run(&running, "r", code).await.expect("installed");
    let results: Vec<_> = lines.iter().filter(|line| line["type"] == "result").collect();
    assert_eq!(results.len(), 3, "{lines:?}");
    assert!(results[0]["html"].as_str().unwrap().contains("<table"));
    assert_eq!(results[0]["text"], "  a\n1 1\n2 2");
    assert!(results[1]["png"].as_str().unwrap().starts_with("iVBORw0KGgo"));
    assert_eq!(text_of(&lines), "[1] 42");
    let lines = run(&running, "r", "for (i in 1:3000) IRdisplay::display_html('<b>')").await;
    let shown = lines.expect("installed");
    assert_eq!(shown.iter().filter(|line| line["type"] == "result").count(), 3000);
    running.stop().await;
}

#[tokio::test]
async fn r_errors_have_a_traceback_and_input_is_refused() {
    let Some(running) = start(None).await else { return };
    let code = "f <- function(x) stop('bad ', x)\ncat('before')\nf(3)";
    let Some(lines) = run(&running, "r", code).await else { return };
    assert_eq!(types(&lines), ["number_of_executions", "stdout", "error", "end_of_execution"]);
    assert!(lines[2]["value"].as_str().unwrap().contains("bad 3"), "{lines:?}");
    assert!(lines[2]["traceback"].as_str().unwrap().contains("1. f(3)"), "{lines:?}");
    let lines = run(&running, "r", "readline('name? ')").await.expect("installed");
    assert!(text_of(&lines).contains("does not support input requests"), "{lines:?}");
    let lines = run(&running, "r", "readLines('stdin', n = 1)").await.expect("installed");
    assert_eq!(text_of(&lines), "character(0)");
    running.stop().await;
}

#[tokio::test]
async fn r_is_interrupted_when_its_client_leaves_and_keeps_its_variables() {
    let Some(running) = start(None).await else { return };
    if run(&running, "r", "kept <- 5").await.is_none() {
        return;
    }
    for code in ["while (TRUE) {}", "while (TRUE) cat('flood\\n')", "Sys.sleep(60)"] {
        let body = json!({ "code": code, "language": "r" });
        assert!(timeout(Duration::from_secs(1), running.run(body)).await.is_err());
        let lines = run(&running, "r", "kept").await.expect("installed");
        assert_eq!(text_of(&lines), "[1] 5", "after {code}");
    }
    let lines = run(&running, "r", "tools::pskill(Sys.getpid(), 9)").await.expect("installed");
    assert!(text_of(&lines).contains("signal 9"), "{lines:?}");
    let lines = run(&running, "r", "1 + 1").await.expect("installed");
    assert_eq!(text_of(&lines), "[1] 2");
    running.stop().await;
}

#[tokio::test]
async fn random_numbers_of_r_follow_the_seed_and_variables_the_execution() {
    let Some(running) = start(None).await else { return };
    if run(&running, "r", "runif(1)").await.is_none() {
        return;
    }
    let mut drawn = Vec::new();
    for seed in [1, 2, 1] {
        running.interpreter.reseed([seed; 32]).await;
        let code = "cat(runif(3), sample(1000, 3))";
        drawn.push(printed(&run(&running, "r", code).await.expect("installed"), "stdout"));
    }
    assert_eq!(drawn[0], drawn[2]);
    assert_ne!(drawn[0], drawn[1]);

    let code = "Sys.getenv('ONCE', NA)";
    let body = json!({ "code": code, "language": "r", "env_vars": { "ONCE": "o'\\é" } });
    assert_eq!(text_of(&running.run(body).await), "[1] \"o'\\\\é\"");
    let lines = run(&running, "r", code).await.expect("installed");
    assert_eq!(text_of(&lines), "[1] NA");
    running.stop().await;
}
