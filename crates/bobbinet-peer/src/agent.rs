//! The agent: a peer as the engine sees it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{Description, Fault, Outcome, Plan};
use bobbinet_engine::{Agent, Request, Run};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{call, config::PeerConfig, fault, peer::Peer, plan};

/// An A2A agent that is somewhere else, as an agent of this node.
#[derive(Debug)]
pub struct PeerAgent {
    peer: Arc<Peer>,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl PeerAgent {
    /// Begins to look for the peer's card; this does not wait for it. Must be called within a runtime.
    pub fn start(config: PeerConfig) -> Arc<Self> {
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let peer = Arc::new(Peer::new(config));
        tracker.spawn(peer.clone().watch(stop.clone()));
        tracker.close();
        Arc::new(Self { peer, stop, tracker })
    }

    /// Whether nobody waits for the card any more: it was looked for, and another agent stands in.
    fn is_given_up(&self) -> bool {
        let Peer { config, cards, .. } = &*self.peer;
        config.fallback.is_some() && cards.failed().is_some()
    }
}

#[async_trait]
impl Agent for PeerAgent {
    fn describe(&self) -> Arc<Description> {
        self.peer.cards.description()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        plan::plan(&self.peer.config, self.peer.cards.current().as_deref(), self.is_given_up(), request)
    }

    async fn ready_to_plan(&self) -> Result<(), Fault> {
        let Peer { config, cards, .. } = &*self.peer;
        let known = cards.wait_until(|cards| cards.current().is_some() || self.is_given_up());
        timeout(config.limits.start_max, known).await.map_err(|_| {
            let why = cards.failed().unwrap_or_else(|| "its card did not come in time".to_owned());
            let text = format!("nothing was sent: {why}. See whether it runs: bobbinet peers test {}", config.name);
            fault::of_peer(config, "peer-unreachable", &text)
        })
    }

    fn max_concurrency(&self) -> usize {
        self.peer.config.limits.calls_max.max(1)
    }

    fn ready(&self) -> Result<(), String> {
        self.peer.ready()
    }

    fn has_started(&self) -> bool {
        self.peer.cards.last().is_some()
    }

    fn is_starting(&self) -> bool {
        self.peer.cards.is_starting()
    }

    async fn started(&self, patience: Duration) {
        // What is wrong is said by `ready`, and by every call.
        let _ = timeout(patience, self.peer.cards.wait_until(|cards| !cards.is_starting())).await;
    }

    fn begins_tasks(&self) -> bool {
        self.peer.config.fallback.is_some()
    }

    async fn run(&self, run: Run) -> Outcome {
        call::carry_out(&self.peer, &run).await
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.wait().await;
    }
}

/// An agent that is dropped looks no longer, though nobody waits for that.
impl Drop for PeerAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
