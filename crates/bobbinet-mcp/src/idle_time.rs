//! When a server that runs on demand has had nothing to do for long enough.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    config::{McpConfig, StartPolicy},
    exclusive_tools::ExclusiveTools,
    session::Client,
};

/// For how long nobody has called a server that runs on demand.
pub(crate) struct IdleTime {
    /// `None`: it never ends for that.
    max: Option<Duration>,
    since: Instant,
    /// How many calls there had been by then.
    calls: u64,
}

impl IdleTime {
    pub(crate) fn new(config: &McpConfig) -> Self {
        let max = match config.start {
            StartPolicy::WithNode => None,
            StartPolicy::OnDemand => Some(Duration::from_millis(config.limits.session_idle_ms)),
        };
        Self { max, since: Instant::now(), calls: 0 }
    }

    /// Returns when it is long enough: no call runs or waits, and no resource is followed. Safe to drop.
    pub(crate) async fn passed(&mut self, exclusive_tools: &ExclusiveTools, client: &Client) {
        let Some(max) = self.max else { return std::future::pending().await };
        let look = (max / 4).clamp(Duration::from_millis(20), Duration::from_secs(60));
        loop {
            let calls = exclusive_tools.admitted();
            if calls != self.calls || !exclusive_tools.is_empty() || !client.in_flight.resources.uris().is_empty() {
                (self.calls, self.since) = (calls, Instant::now());
            }
            if self.since.elapsed() >= max {
                return;
            }
            tokio::time::sleep(look).await;
        }
    }
}
