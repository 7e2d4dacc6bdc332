//! Why a connection ended: because its client left, or because the sandbox was paused.
//!
//! A pause breaks all connections, some of them a moment before the sandbox stands still, and code
//! goes on across it. The node tells of a restore, but the news may come later than the end of the
//! connection. So the end is believed only after a while in which the sandbox ran. A wall clock that
//! is later than it should be hints at a pause, and is given longer; so it is on a busy machine.

use std::time::Duration;

use ow_types::{Clock, SystemClock, Timestamp};
use tokio::sync::watch;

/// How often the clock is looked at, and a client hears of an execution that prints nothing.
/// Source: CONTRACT.md section 4.
pub(crate) const BEAT: Duration = Duration::from_secs(5);

/// How often it is asked, after the end of a connection, whether the client has left.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// How many ticks the news of a restore is waited for. Must be longer than a pause takes from the
/// end of connections until the sandbox stands still.
const TICKS: u32 = 30;

/// The same if the clock hints at a pause. The news comes within a second or two of a restore.
const MOST_TICKS: u32 = 100;

/// A clock that is this much later than it should be was perhaps stopped meanwhile.
const CLOCK_JUMP: Duration = Duration::from_secs(1);

/// What is known of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The client left by its own will.
    Left,
    /// The sandbox was paused.
    Paused,
    /// To be asked again after a [`TICK`].
    Unknown,
}

/// Watches the clock during an execution.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Grows each time that the sandbox was restored.
    restores: watch::Receiver<u64>,
    restores_at_start: u64,
    last_look: Timestamp,
    was_late: bool,
    ticks: u32,
}

impl Departure {
    pub(crate) fn new(restores: watch::Receiver<u64>) -> Self {
        let restores_at_start = *restores.borrow();
        let last_look = SystemClock.now();
        Self { restores, restores_at_start, last_look, was_late: false, ticks: 0 }
    }

    /// To be called every [`BEAT`], and at the end of the connection.
    pub(crate) fn beat(&mut self) {
        self.look(SystemClock.now(), BEAT);
    }

    /// To be asked every [`TICK`] after the end of the connection.
    pub(crate) fn reason(&mut self) -> Reason {
        self.reason_at(SystemClock.now())
    }

    fn look(&mut self, now: Timestamp, expected: Duration) {
        self.was_late |= now.since(self.last_look) > expected + CLOCK_JUMP;
        self.last_look = now;
    }

    fn reason_at(&mut self, now: Timestamp) -> Reason {
        self.look(now, TICK);
        if *self.restores.borrow() != self.restores_at_start {
            return Reason::Paused;
        }
        self.ticks += 1;
        if self.ticks >= if self.was_late { MOST_TICKS } else { TICKS } {
            return Reason::Left;
        }
        Reason::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(departure: &Departure, wait: Duration) -> Timestamp {
        let millis = u64::try_from(wait.as_millis()).unwrap();
        Timestamp::from_unix_millis(departure.last_look.unix_millis() + millis)
    }

    /// How often the answer is not known, with looks this far apart.
    fn unknown(departure: &mut Departure, apart: Duration) -> u32 {
        let mut count = 0;
        while departure.reason_at(after(departure, apart)) == Reason::Unknown {
            count += 1;
        }
        count
    }

    #[test]
    fn a_client_that_leaves_while_the_clock_runs_has_left() {
        let mut departure = Departure::new(watch::channel(0).1);
        departure.look(after(&departure, BEAT), BEAT);
        assert_eq!(unknown(&mut departure, TICK), TICKS - 1);
        assert_eq!(departure.reason(), Reason::Left);
    }

    #[test]
    fn the_news_of_a_restore_may_come_after_the_end_of_the_connection() {
        for pause in [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(3600)] {
            let restores = watch::Sender::new(7);
            let mut departure = Departure::new(restores.subscribe());
            assert_eq!(departure.reason_at(after(&departure, TICK)), Reason::Unknown);
            assert_eq!(departure.reason_at(after(&departure, TICK + pause)), Reason::Unknown);
            restores.send_modify(|count| *count += 1);
            assert_eq!(departure.reason_at(after(&departure, TICK)), Reason::Paused);
        }
    }

    #[test]
    fn a_late_clock_puts_the_end_off_but_not_for_ever() {
        let mut departure = Departure::new(watch::channel(0).1);
        departure.look(after(&departure, Duration::from_secs(60)), BEAT);
        assert_eq!(unknown(&mut departure, Duration::from_secs(20)), MOST_TICKS - 1);
    }
}
