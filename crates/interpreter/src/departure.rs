//! Why a connection ended: because its client left, or because the sandbox was paused.
//!
//! A pause breaks all connections, and code goes on across it. The node tells of a restore, but
//! the news may come later than the end of the connection. Until then only a wall clock that is
//! later than it should be hints at it, and so it is on a busy machine.

use std::time::Duration;

use ow_types::{Clock, SystemClock, Timestamp};
use tokio::sync::watch;

/// How often the clock is looked at, and a client hears of an execution that prints nothing.
/// Source: CONTRACT.md section 4.
pub(crate) const BEAT: Duration = Duration::from_secs(5);

/// How long after a connection ended the news of a restore is waited for, each time.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// A wall clock that is this much later than it should be was perhaps stopped meanwhile.
const CLOCK_JUMP: Duration = Duration::from_secs(3);

/// How many times the news is waited for. It comes within a second or two of a restore.
const MOST_WAITS: u32 = 10;

/// What is known of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The client left by its own will.
    Left,
    /// The sandbox was paused.
    Paused,
    /// To be asked again after [`GRACE`].
    Unknown,
}

/// Watches the clock during an execution.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Grows each time that the sandbox was restored.
    restores: watch::Receiver<u64>,
    restores_at_start: u64,
    last_beat: Timestamp,
    was_late: bool,
    waits: u32,
}

impl Departure {
    pub(crate) fn new(restores: watch::Receiver<u64>) -> Self {
        let restores_at_start = *restores.borrow();
        let last_beat = SystemClock.now();
        Self { restores, restores_at_start, last_beat, was_late: false, waits: 0 }
    }

    /// To be called every [`BEAT`].
    pub(crate) fn beat(&mut self) {
        self.look(SystemClock.now());
    }

    /// To be asked [`GRACE`] after the end of the connection.
    pub(crate) fn reason(&mut self) -> Reason {
        self.reason_at(SystemClock.now())
    }

    fn look(&mut self, now: Timestamp) {
        self.was_late |= now.since(self.last_beat) > BEAT + GRACE + CLOCK_JUMP;
        self.last_beat = now;
    }

    fn reason_at(&mut self, now: Timestamp) -> Reason {
        self.look(now);
        if *self.restores.borrow() != self.restores_at_start {
            return Reason::Paused;
        }
        if !self.was_late || self.waits == MOST_WAITS {
            return Reason::Left;
        }
        self.waits += 1;
        Reason::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(departure: &Departure, wait: Duration) -> Timestamp {
        let millis = u64::try_from(wait.as_millis()).unwrap();
        Timestamp::from_unix_millis(departure.last_beat.unix_millis() + millis)
    }

    #[test]
    fn a_client_that_leaves_while_the_clock_runs_has_left() {
        let mut departure = Departure::new(watch::channel(0).1);
        let now = after(&departure, BEAT);
        assert_eq!(departure.reason_at(now), Reason::Left);
    }

    #[test]
    fn a_restore_that_is_told_is_a_pause() {
        let restores = watch::Sender::new(7);
        let mut departure = Departure::new(restores.subscribe());
        restores.send_modify(|count| *count += 1);
        assert_eq!(departure.reason(), Reason::Paused);
    }

    #[test]
    fn the_news_of_a_restore_may_come_after_the_late_beat() {
        let restores = watch::Sender::new(0);
        let mut departure = Departure::new(restores.subscribe());
        let now = after(&departure, Duration::from_secs(3600));
        departure.look(now);
        assert_eq!(departure.reason_at(now), Reason::Unknown);
        restores.send_modify(|count| *count += 1);
        assert_eq!(departure.reason_at(now), Reason::Paused);
    }

    #[test]
    fn late_beats_of_a_busy_machine_put_the_end_off_but_not_for_ever() {
        let mut departure = Departure::new(watch::channel(0).1);
        let mut waits = 0;
        loop {
            let now = after(&departure, Duration::from_secs(20));
            departure.look(now);
            if departure.reason_at(now) == Reason::Left {
                break;
            }
            waits += 1;
        }
        assert_eq!(waits, MOST_WAITS);
    }
}
