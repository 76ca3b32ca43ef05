//! Moves of protected shares, and which of them go back on the last one.

use crate::metrics::State;

/// Within so many rounds a move back is a reversal.
const REVERSAL_ROUNDS: u64 = 10;

/// What is less than a span, or than this part of its tenant's entitlement, is no move.
const BAND_PART: u64 = 16;

/// The last move of a tenant's protected share.
#[derive(Clone, Copy, Debug)]
struct Move {
    to: u64,
    up: Option<bool>,
    at: u64,
}

/// The moves of a run.
#[derive(Debug)]
pub(crate) struct Moves {
    span: u64,
    round: u64,
    last: Vec<Option<Move>>,
    pub(crate) reversals: u64,
}

impl Moves {
    pub(crate) fn new(span: u64, tenants: usize) -> Self {
        Self {
            span,
            round: 0,
            last: vec![None; tenants],
            reversals: 0,
        }
    }

    /// Takes in the end of a round; the tenants in the same order each time. What a tenant begins with is no move.
    pub(crate) fn round(&mut self, states: &[State]) {
        self.round += 1;
        for (state, last) in states.iter().zip(&mut self.last) {
            if !state.is_there() {
                *last = None;
                continue;
            }
            let before = *last.get_or_insert(Move {
                to: state.protected,
                up: None,
                at: self.round,
            });
            let band = self.span.max(state.entitlement / BAND_PART);
            if state.protected.abs_diff(before.to) < band {
                continue;
            }
            let up = state.protected > before.to;
            if before.up == Some(!up) && self.round < before.at + REVERSAL_ROUNDS {
                self.reversals += 1;
            }
            *last = Some(Move {
                to: state.protected,
                up: Some(up),
                at: self.round,
            });
        }
    }
}

// Run by `tests/sharing_metrics.rs`.
#[cfg(test)]
#[allow(dead_code, reason = "without a harness there are no tests")]
mod tests {
    use super::*;

    fn protecting(protected: u64) -> [State; 1] {
        [State {
            protected,
            entitlement: 100,
            ..State::default()
        }]
    }

    #[test]
    fn a_move_back_within_ten_rounds_is_a_reversal() {
        let mut moves = Moves::new(16, 1);
        for protected in [100, 200, 195, 100, 100, 150] {
            moves.round(&protecting(protected));
        }
        for _ in 0..20 {
            moves.round(&protecting(150));
        }
        moves.round(&protecting(0));
        // Up, (5 is nothing), down at once, up at once, down after a long time.
        assert_eq!(moves.reversals, 2);
    }

    #[test]
    fn the_first_look_and_an_end_are_no_moves() {
        let mut moves = Moves::new(16, 1);
        moves.round(&protecting(100));
        moves.round(&protecting(0));
        assert_eq!(moves.reversals, 0);
        moves.round(&[State::default()]);
        moves.round(&protecting(100));
        assert_eq!(moves.reversals, 0);
    }
}
