//! How much may be sent again: a part of what is sent, so that retries do not make of a peer that is slow one that is down.

/// What each call adds, in hundredths of a retry.
const PER_CALL: u32 = 20;

/// What can be saved up, in the same: a few calls may well be all tried again.
const SAVED_MAX: u32 = 1_000;

/// What may still be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryBudget(u32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(SAVED_MAX)
    }
}

impl RetryBudget {
    /// A call is made for the first time.
    pub(crate) fn earn(&mut self) {
        self.0 = (self.0 + PER_CALL).min(SAVED_MAX);
    }

    /// Takes one retry, if there is one.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.0.checked_sub(100);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_the_calls() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 10);
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.earn();
            retries += u32::from(budget.spend());
        }
        assert_eq!(retries, 200);
    }
}
