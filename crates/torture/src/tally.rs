//! What was done, what was broken on purpose, and what went wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts of a run, shared by all its tasks.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cycles: AtomicU64,
    pub(crate) by_timeout: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) killed: AtomicU64,
    pub(crate) server_kills: AtomicU64,
    pub(crate) sandbox_kills: AtomicU64,
    pub(crate) unanswered: AtomicU64,
    pub(crate) fell_back: AtomicU64,
    pub(crate) gone_unpaused: AtomicU64,
    problems: Mutex<Problems>,
    times: Mutex<Times>,
    last_sandbox_kill: Mutex<Option<Instant>>,
}

/// How long a process that was killed may still seem to live, on a busy machine.
const DYING: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
struct Problems {
    lost: u64,
    stuck: u64,
    other: u64,
}

#[derive(Debug, Default)]
struct Times {
    recovery: Vec<Duration>,
    pause: Vec<Duration>,
    resume: Vec<Duration>,
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Tally {
    fn problems(&self) -> std::sync::MutexGuard<'_, Problems> {
        self.problems.lock().expect("nothing panics while it holds the counts")
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().expect("nothing panics while it holds the times")
    }

    /// An acknowledged pause is not there any more, or holds something else.
    pub(crate) fn lost(&self, what: String) {
        println!("LOST: {what}");
        self.problems().lost += 1;
    }

    /// A sandbox answers nothing, and cannot be ended.
    pub(crate) fn stuck(&self, what: String) {
        println!("STUCK: {what}");
        self.problems().stuck += 1;
    }

    /// Anything else that should not be.
    pub(crate) fn problem(&self, what: String) {
        println!("PROBLEM: {what}");
        self.problems().other += 1;
    }

    /// A process of some sandbox is about to be killed.
    pub(crate) fn sandbox_killed(&self) {
        add(&self.sandbox_kills);
        *self.last_kill() = Some(Instant::now());
    }

    /// Whether a sandbox that was well at `moment` may have been hit.
    pub(crate) fn may_have_hit_since(&self, moment: Instant) -> bool {
        self.last_kill().is_some_and(|kill| kill + DYING >= moment)
    }

    fn last_kill(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_sandbox_kill.lock().expect("nothing panics while it holds the moment")
    }

    pub(crate) fn recovered_in(&self, took: Duration) {
        self.times().recovery.push(took);
    }

    pub(crate) fn paused_in(&self, took: Duration) {
        self.times().pause.push(took);
    }

    pub(crate) fn resumed_in(&self, took: Duration) {
        self.times().resume.push(took);
    }

    pub(crate) fn is_clean(&self) -> bool {
        let problems = self.problems();
        problems.lost + problems.stuck + problems.other == 0 && get(&self.cycles) > 0
    }

    /// One line of counts.
    pub(crate) fn line(&self) -> String {
        let problems = self.problems();
        format!(
            "{} cycles ({} by timeout), {} created, {} killed; faults: {} server kills, {} sandbox \
             kills, {} operations unanswered; {} fell back to their last pause, {} gone that had \
             none; {} lost, {} stuck, {} other problems",
            get(&self.cycles),
            get(&self.by_timeout),
            get(&self.created),
            get(&self.killed),
            get(&self.server_kills),
            get(&self.sandbox_kills),
            get(&self.unanswered),
            get(&self.fell_back),
            get(&self.gone_unpaused),
            problems.lost,
            problems.stuck,
            problems.other,
        )
    }

    /// The counts and the times of the whole run.
    pub(crate) fn summary(&self) -> String {
        let mut times = self.times();
        let Times { recovery, pause, resume } = &mut *times;
        format!(
            "{}\nrecovery {}; pause {}; resume to first answer {}",
            self.line(),
            spread(recovery),
            spread(pause),
            spread(resume),
        )
    }
}

/// The median and the longest of some times.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => {
            format!("median {} ms, longest {} ms", median.as_millis(), longest.as_millis())
        }
        _ => "never measured".to_owned(),
    }
}
