//! Taking a node down without losing anything: not ready, no new work, runs to their end, then the connections.

use std::{pin::Pin, sync::Arc, time::Duration};

use bobbinet_engine::Engine;
use bobbinet_http::Server;
use bobbinet_push::Webhooks;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What is to be stopped, and how long each step may take.
#[derive(Debug)]
pub(super) struct Stopping {
    pub(super) engine: Engine,
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) server: Arc<Server>,
    pub(super) stop: CancellationToken,
    /// Not ready, but at work: those who route to the node need a moment to turn away.
    pub(super) pre_stop_delay: Duration,
    /// For runs to come to their end.
    pub(super) grace: Duration,
}

/// Returns when nothing of the node is running any more.
pub(super) async fn stop<S: Future<Output = ()>>(stopping: Stopping, mut serving: Pin<Box<S>>) {
    let Stopping { engine, webhooks, server, stop, pre_stop_delay, grace } = stopping;
    tracing::info!(?pre_stop_delay, ?grace, "stopping; a second signal ends it at once");
    server.retire();
    let is_served = tokio::select! {
        biased;
        () = &mut serving => false,
        () = sleep(pre_stop_delay) => true,
    };
    let work = async {
        // From here on a new task is answered with 503, and what runs comes to its end or is taken up by the next start.
        engine.shutdown(grace).await;
        // What a receiver has not taken by now, the next start tells it.
        webhooks.stop().await;
        stop.cancel();
    };
    if is_served {
        tokio::join!(work, serving);
    } else {
        work.await;
    }
}
