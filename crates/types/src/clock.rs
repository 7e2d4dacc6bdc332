//! Wall-clock time as the records hold it, and where it comes from.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment of wall-clock time, to the millisecond.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many milliseconds after 1970 began.
    #[must_use]
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// The moment `duration` later, or the last that can be expressed.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(0).after(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

/// RFC 3339 in UTC with milliseconds and a `Z`, as E2B's clients parse it.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        let moment = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| fmt::Error)?;
        let (date, time) = (moment.date(), moment.time());
        let (hour, minute, second) = time.as_hms();
        write!(formatter, "{date}T{hour:02}:{minute:02}:{second:02}.{:03}Z", self.0 % 1000)
    }
}

/// Where time comes from, so that tests can move it.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present.
    fn now(&self) -> Timestamp;

    /// Returns once `deadline` is past by this clock, also when the clock jumps over it.
    ///
    /// Also as soon as the clock is set back: what is due has to be looked at anew by then, as the
    /// deadline may be years away. So whoever sleeps must bear to be woken early.
    async fn sleep_until(&self, deadline: Timestamp);
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The longest sleep without a look at the wall clock, so that a clock that is set is followed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the clock that others take time from")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut before = self.now();
        loop {
            let now = self.now();
            if now >= deadline || now < before {
                return;
            }
            before = now;
            tokio::time::sleep(deadline.since(now).min(LOOK_AGAIN)).await;
        }
    }
}

/// A clock that moves when it is told to.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
    moved: tokio::sync::Notify,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), moved: tokio::sync::Notify::new() }
    }

    /// Sets the clock, forwards or backwards, and wakes who waits for the moment.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the clock.
    pub fn set(&self, now: Timestamp) {
        *self.now.lock().expect("nothing panics while it holds the clock") = now;
        self.moved.notify_waiters();
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().expect("nothing panics while it holds the clock")
    }

    async fn sleep_until(&self, deadline: Timestamp) {
        let mut before = self.now();
        loop {
            let moved = self.moved.notified();
            let now = self.now();
            if now >= deadline || now < before {
                return;
            }
            before = now;
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_rfc_3339_and_read_back() {
        let moment = Timestamp::from_unix_millis(1_742_830_678_076);
        assert_eq!(moment.to_string(), "2025-03-24T15:37:58.076Z");
        assert_eq!(Timestamp::parse("2025-03-24T15:37:58.076Z"), Some(moment));
        assert_eq!(Timestamp::parse("2025-03-24T16:37:58.076+01:00"), Some(moment));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_only_when_their_moment_has_come() {
        let clock = ManualClock::at(Timestamp::from_unix_millis(0));
        let sleep = clock.sleep_until(Timestamp::from_unix_millis(1000));
        tokio::pin!(sleep);
        let early = tokio::time::timeout(Duration::from_millis(10), &mut sleep);
        assert!(early.await.is_err());
        clock.advance(Duration::from_secs(1));
        sleep.await;
    }

    #[tokio::test]
    async fn sleepers_look_again_when_the_clock_is_set_back() {
        let clock = ManualClock::at(Timestamp::from_unix_millis(1000));
        let sleep = clock.sleep_until(Timestamp::from_unix_millis(5000));
        tokio::pin!(sleep);
        let early = tokio::time::timeout(Duration::from_millis(10), &mut sleep);
        assert!(early.await.is_err());
        clock.set(Timestamp::from_unix_millis(0));
        sleep.await;
    }
}
