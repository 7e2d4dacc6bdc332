//! Clients that leave, sandboxes that are restored, and random states.

use std::time::Duration;

use crate::support::{start, text_of};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

/// Code that would run much longer than a test, and tells in `done` if it was let.
const LONG: &str = "import time\ndone = False\ntime.sleep(20)\ndone = True";

#[tokio::test]
async fn a_client_that_leaves_stops_its_code() {
    let Some(running) = start(None).await else { return };
    let left = timeout(Duration::from_millis(500), running.run(json!({ "code": LONG }))).await;
    assert!(left.is_err());
    assert_eq!(running.text("done").await, "False");
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_flood_stops_it() {
    let Some(running) = start(None).await else { return };
    let mut answer = running.send(json!({ "code": "while True: print('x' * 1000)" })).await;
    // Long enough for the clock to seem to have stood still, had nobody looked at it meanwhile.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(12) {
        assert!(answer.chunk().await.unwrap().is_some(), "it floods for ever");
    }
    drop(answer);
    let next = timeout(Duration::from_secs(90), running.text("'next'")).await;
    assert_eq!(next.expect("the flood was interrupted"), "next");
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_was_lost_in_a_pause_does_not_stop_its_code() {
    let Some(running) = start(None).await else { return };
    let lost = timeout(Duration::from_millis(500), running.run(json!({ "code": LONG }))).await;
    assert!(lost.is_err());
    running.interpreter.restored();
    assert_eq!(running.text("done").await, "True");
    running.stop().await;
}

#[tokio::test]
async fn a_stubborn_kernel_is_replaced_and_the_next_client_told() {
    let Some(running) = start(None).await else { return };
    let code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n  \
                try: time.sleep(60)\n  except KeyboardInterrupt: pass";
    let left = timeout(Duration::from_millis(500), running.run(json!({ "code": code }))).await;
    assert!(left.is_err());
    let lines = timeout(Duration::from_secs(40), running.run(json!({ "code": "1 + 1" }))).await;
    let lines = lines.expect("the kernel was replaced");
    assert_eq!(text_of(&lines), "2");
    assert!(lines.iter().any(|line| line["type"] == "stderr"
        && line["text"].as_str().unwrap().contains("variables are lost")));
    running.stop().await;
}

#[tokio::test]
async fn random_states_follow_the_seed_and_silently() {
    let Some(running) = start(None).await else { return };
    let draw = "import random, tempfile; random.random(), next(tempfile._get_candidate_names())";
    running.text(draw).await;
    running.interpreter.reseed([1; 32]).await;
    let first = running.text(draw).await;
    running.interpreter.reseed([2; 32]).await;
    let second = running.text(draw).await;
    running.interpreter.reseed([1; 32]).await;
    let again = running.text(draw).await;
    let number = |text: &str| text.split(',').next().unwrap().to_owned();
    assert_ne!(number(&first), number(&second));
    assert_eq!(number(&first), number(&again));
    let lines = running.run(json!({ "code": "1" })).await;
    assert_eq!(lines[0]["execution_count"], 5, "reseeding is not an execution");
    running.stop().await;
}

#[tokio::test]
async fn a_kernel_that_runs_code_is_reseeded_meanwhile() {
    let Some(running) = start(None).await else { return };
    let code = "import random, time\nrandom.seed(0); a = random.random()\nrandom.seed(0)\n\
                time.sleep(1.5)\nrandom.random() == a";
    let (lines, waited) = tokio::join!(running.run(json!({ "code": code })), async {
        sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        running.interpreter.reseed([7; 32]).await;
        began.elapsed()
    });
    assert_eq!(text_of(&lines), "False");
    assert!(waited < Duration::from_millis(900), "it waited {waited:?} for the execution");
    running.stop().await;
}
