//! Where the time of a verb goes.

use std::time::Instant;

use ow_types::Phases;

/// Measures the parts of a verb.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    pub(crate) phases: Phases,
    since: Instant,
}

impl Stopwatch {
    pub(crate) fn begin() -> Self {
        Self { phases: Phases::default(), since: Instant::now() }
    }

    /// Ends a part and begins the next.
    pub(crate) fn lap(&mut self, name: &str) {
        self.phases.push(name, self.since.elapsed());
        self.since = Instant::now();
    }

    /// Ends a part that says itself where its time went.
    pub(crate) fn lap_with(&mut self, phases: Phases) {
        self.phases.append(phases);
        self.since = Instant::now();
    }
}
