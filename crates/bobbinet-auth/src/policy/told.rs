//! What is denied, in the node's log: each time, until somebody asks so often that the log would be his.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bobbinet_core::Caller;

use super::Denied;

/// Denials that are told in one [`WINDOW`]; how many more there were is told with the next that is.
const TOLD_MAX: u32 = 20;

/// How long those who are told are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts what is told.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Told {
    /// Writes a denial into the log.
    pub(super) fn tell(&self, caller: &Caller, denied: &Denied) {
        let Denied { rule, principal, action, why } = denied;
        let issuer = caller.issuer.as_deref().unwrap_or_default();
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).turn(Instant::now()) {
            Some(left_out) => tracing::info!(%principal, issuer, rule, action, why, left_out, "denied"),
            None => tracing::debug!(%principal, issuer, rule, action, why, "denied"),
        }
    }
}

impl Window {
    /// How many were left out since the last one that was told, if this one is to be told.
    fn turn(&mut self, now: Instant) -> Option<u64> {
        if self.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            (self.began, self.told) = (Some(now), 0);
        }
        if self.told >= TOLD_MAX {
            self.left_out += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_told_in_a_while_and_the_rest_is_counted() {
        let (mut window, start) = (Window::default(), Instant::now());
        let told = (0..TOLD_MAX + 5).filter(|_| window.turn(start) == Some(0)).count();
        assert_eq!(told, TOLD_MAX as usize);
        assert_eq!(window.turn(start + WINDOW), Some(5));
        assert_eq!(window.turn(start + WINDOW), Some(0));
    }
}
