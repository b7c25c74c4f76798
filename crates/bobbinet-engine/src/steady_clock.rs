//! What time it is for whatever ends by itself.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bobbinet_core::Timestamp;
use tracing::warn;

use crate::Env;

/// How far the clock may run ahead of the time that passes before that is worth a word.
const STEP_MAX: Duration = Duration::from_secs(60);

/// The clock, which may be set, held to the time that has passed since the engine was opened.
#[derive(Debug)]
pub(crate) struct SteadyClock {
    /// When the engine was opened: by the clock, and by the time that only passes.
    opened: Timestamp,
    opened_at: Duration,
    /// Whether it was said that the clock went forward by itself.
    has_stepped: AtomicBool,
}

impl SteadyClock {
    pub(crate) fn begin(env: &dyn Env) -> Self {
        Self { opened: env.now(), opened_at: env.monotonic(), has_stepped: AtomicBool::new(false) }
    }

    /// The time by the clock, but never later than the time that has passed allows. A clock that is set forward, by mistake perhaps,
    /// makes nothing old at one blow.
    pub(crate) fn now(&self, env: &dyn Env) -> Timestamp {
        let now = env.now();
        let lasting = self.opened.after(self.up_for(env));
        if now.since(lasting) > STEP_MAX && !self.has_stepped.swap(true, Ordering::Relaxed) {
            let ahead = now.since(lasting);
            warn!(
                ?ahead,
                "the clock went forward further than time has passed; until the next start nothing is dropped for it"
            );
        }
        now.min(lasting)
    }

    /// How long the engine has been open.
    pub(crate) fn up_for(&self, env: &dyn Env) -> Duration {
        env.monotonic().saturating_sub(self.opened_at)
    }
}
