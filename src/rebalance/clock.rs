//! What time it is, whoever's clock the rounds go by.
//!
//! Above: `control.rs`. Below: nothing.

use core::time::Duration;

/// The clock of a driver of rounds, set by the time that it was when it was first read. Its own zero may be anywhere, and
/// others may have driven meanwhile: one that is behind the time is set anew. By each of them time goes on as fast as it does,
/// and never back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// What it said then, and the time that it was.
    set: Option<(Duration, Duration)>,
}

impl Clock {
    /// The time, where the clock says `now` and it was `time` in the last round.
    pub(super) fn read(&mut self, now: Duration, time: Duration) -> Duration {
        let by_it = |(began, at): (Duration, Duration)| at.saturating_add(now.saturating_sub(began));
        match self.set.map(by_it).filter(|by_it| *by_it >= time) {
            Some(by_it) => by_it,
            None => {
                self.set = Some((now, time));
                time
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_goes_on_by_each_of_two_clocks() {
        let (mut one, mut other) = (Clock::default(), Clock::default());
        let mut time = Duration::ZERO;
        for seconds in 0..100 {
            time = one.read(SECOND * seconds, time);
            time = other.read(SECOND * (5000 + seconds), time);
        }
        assert_eq!(time, SECOND * 99);
    }

    #[test]
    fn time_goes_on_by_a_clock_that_was_overtaken() {
        let (mut slow, mut fast) = (Clock::default(), Clock::default());
        let time = slow.read(SECOND, Duration::ZERO);
        fast.read(SECOND, time);
        let time = fast.read(SECOND * 3601, time);
        assert_eq!(slow.read(SECOND * 2, time), SECOND * 3600);
        assert_eq!(slow.read(SECOND * 3, time), SECOND * 3601);
    }

    #[test]
    fn time_never_goes_back_nor_beyond_what_there_is() {
        let mut clock = Clock::default();
        let time = clock.read(SECOND * 7, SECOND);
        assert_eq!(time, SECOND, "where it begins says nothing");
        assert_eq!(clock.read(SECOND * 3, time), SECOND);
        assert_eq!(clock.read(Duration::MAX, time), Duration::MAX - SECOND * 6);
        assert_eq!(clock.read(SECOND * 9, Duration::MAX), Duration::MAX);
        assert_eq!(clock.read(SECOND * 10, Duration::MAX), Duration::MAX);
    }
}
