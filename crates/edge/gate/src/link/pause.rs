//! How long to leave a controller alone that did not answer, or said no.

use std::time::Duration;

use crate::random;

/// The first pause.
const FIRST: Duration = Duration::from_millis(500);

/// Longest pause where nobody answered.
const LONGEST: Duration = Duration::from_secs(30);

/// Longest pause where the answer was no.
const LONGEST_REFUSED: Duration = Duration::from_secs(300);

/// Twice as long after each failure, half of it by chance: a thousand gates that lost one controller do
/// not come back together.
#[derive(Debug, Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// It worked: the next failure is the first.
    pub(super) fn over(&mut self) {
        self.failures = 0;
    }

    /// Waits.
    pub(super) async fn wait(&mut self, is_refused: bool) {
        let random = random::bytes().map_or(0, u32::from_be_bytes);
        tokio::time::sleep(self.next(is_refused, random)).await;
    }

    fn next(&mut self, is_refused: bool, random: u32) -> Duration {
        let longest = if is_refused { LONGEST_REFUSED } else { LONGEST };
        let pause = FIRST.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let half = pause.min(longest) / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut pause = Pause::default();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            let next = pause.next(false, u32::MAX);
            assert!(next >= last && next <= LONGEST);
            last = next;
        }
        assert_eq!(last, LONGEST);
        assert_eq!(pause.next(true, 0), LONGEST_REFUSED / 2);
        pause.over();
        assert_eq!(pause.next(false, u32::MAX), FIRST);
    }
}
