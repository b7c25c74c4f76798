//! What the engine cannot decide for itself: what time it is, and which id is free.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant, UNIX_EPOCH},
};

use bobbinet_core::Timestamp;
use uuid::Uuid;

/// The clock and the source of ids.
pub trait Env: fmt::Debug + Send + Sync + 'static {
    /// What time it is.
    fn now(&self) -> Timestamp;
    /// How much time has passed since some moment: it only passes, whatever the clock is set to.
    fn monotonic(&self) -> Duration;
    /// An id that nobody has, ordered by time: a UUIDv7 (RFC 9562).
    fn uuid(&self) -> Uuid;
}

/// The machine's clock and randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEnv;

impl Env for SystemEnv {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that all others ask")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        BEGINNING.get_or_init(Instant::now).elapsed()
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}
