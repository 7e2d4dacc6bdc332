//! Nothing that `runsc` does keeps a verb from ending, or a run from being killed.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ow_engine::conformance::Host as _;
use ow_engine::{Engine as _, EngineError, Place};
use ow_engine_gvisor::{Config, GvisorEngine, Timeouts};
use ow_types::{PauseMode, Resources};

/// How long verbs may take here.
const LIMIT: Duration = Duration::from_millis(600);

/// An engine whose `runsc` hangs at `verb`, and else does its work.
async fn engine_that_hangs(host: &support::TestHost, verb: &str) -> GvisorEngine {
    engine_that(host, verb, "exec sleep 600").await
}

/// An engine whose `runsc` first runs a line of shell at `verb`.
async fn engine_that(host: &support::TestHost, verb: &str, line: &str) -> GvisorEngine {
    let program: PathBuf = host.image().join("runsc");
    let runsc = host.runsc().display();
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = {verb} ] && {line}; done\nexec {runsc} \"$@\"\n"
    );
    fs::write(&program, script).expect("there is room");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let timeouts = Timeouts { start: LIMIT, freeze: LIMIT, capture: LIMIT, restore: LIMIT };
    let state_directory = host.state_directory();
    let config = Config { runsc: program, older: Vec::new(), state_directory, timeouts };
    GvisorEngine::new(config).await.expect("it tells its version")
}

async fn started(host: &support::TestHost) -> Place {
    let place = host.place(Resources::default());
    host.gvisor().await.start(&place).await.expect("it starts");
    place
}

fn assert_timed_out<T: std::fmt::Debug>(result: Result<T, EngineError>, began: Instant) {
    assert!(matches!(result, Err(EngineError::TimedOut { .. })), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_start_that_hangs_is_given_up_and_leaves_nothing() {
    let Some(host) = support::host().await else { return };
    let engine = engine_that_hangs(&host, "run").await;
    let place = host.place(Resources::default());
    let began = Instant::now();
    assert_timed_out(engine.start(&place).await, began);
    assert_eq!(host.leftovers(&place), Vec::<String>::new());
}

#[tokio::test]
async fn a_freeze_and_a_capture_that_hang_leave_the_run() {
    let Some(host) = support::host().await else { return };
    let place = started(&host).await;
    let engine = engine_that_hangs(&host, "pause").await;
    let began = Instant::now();
    assert_timed_out(engine.freeze(&place.execution).await, began);
    let engine = engine_that_hangs(&host, "checkpoint").await;
    engine.freeze(&place.execution).await.unwrap();
    let began = Instant::now();
    let image = host.image();
    assert_timed_out(engine.capture(&place.execution, &image, PauseMode::Full).await, began);
    engine.thaw(&place.execution).await.unwrap();
    host.ask_within(&place, "ticks", Duration::from_secs(20)).unwrap();
    engine.kill(&place.execution).await.unwrap();
    assert_eq!(host.leftovers(&place), Vec::<String>::new());
}

#[tokio::test]
async fn a_freeze_that_comes_after_it_was_given_up_does_not_stay() {
    let Some(host) = support::host().await else { return };
    let place = started(&host).await;
    let engine = engine_that(&host, "pause", "sleep 2").await;
    let began = Instant::now();
    assert_timed_out(engine.freeze(&place.execution).await, began);
    engine.thaw(&place.execution).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(2), "it did not wait for the freeze");
    host.ask_within(&place, "ticks", Duration::from_secs(20)).unwrap();
    engine.kill(&place.execution).await.unwrap();
    assert_eq!(host.leftovers(&place), Vec::<String>::new());
}

#[tokio::test]
async fn a_restore_that_hangs_does_not_blame_the_image() {
    let Some(host) = support::host().await else { return };
    let place = started(&host).await;
    let engine = engine_that_hangs(&host, "restore").await;
    let image = host.image();
    engine.freeze(&place.execution).await.unwrap();
    engine.capture(&place.execution, &image, PauseMode::Full).await.unwrap();
    engine.kill(&place.execution).await.unwrap();
    let place = host.place(Resources::default());
    let began = Instant::now();
    assert_timed_out(engine.restore(&place, &image, PauseMode::Full).await, began);
    assert_eq!(host.leftovers(&place), Vec::<String>::new());
}

#[tokio::test]
async fn kill_needs_no_runsc() {
    let Some(host) = support::host().await else { return };
    let place = started(&host).await;
    for verb in ["delete", "kill", "state", "list"] {
        let engine = engine_that_hangs(&host, verb).await;
        let began = Instant::now();
        engine.kill(&place.execution).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{verb}: {:?}", began.elapsed());
        assert_eq!(host.leftovers(&place), Vec::<String>::new());
    }
}

/// Memory that runs out while an image is loaded is the place's fault.
#[tokio::test]
async fn an_image_too_large_for_the_place_is_not_blamed() {
    let Some(host) = support::host().await else { return };
    let engine = host.gvisor().await;
    let place = started(&host).await;
    assert_eq!(host.ask_within(&place, "eat 300", Duration::from_secs(20)).unwrap(), "ok");
    let image = host.image();
    engine.freeze(&place.execution).await.unwrap();
    engine.capture(&place.execution, &image, PauseMode::Full).await.unwrap();
    engine.kill(&place.execution).await.unwrap();
    let small = Resources { memory_mib: 64, ..Resources::default() };
    let refused = engine.restore(&host.place(small), &image, PauseMode::Full).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    let place = host.place(Resources::default());
    engine.restore(&place, &image, PauseMode::Full).await.unwrap();
    host.ask_within(&place, "ticks", Duration::from_secs(20)).unwrap();
    engine.kill(&place.execution).await.unwrap();
}
