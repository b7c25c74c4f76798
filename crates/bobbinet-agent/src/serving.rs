//! An agent while it is served.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bobbinet_auth::owner_token;
use bobbinet_core::AgentName;
use bobbinet_engine::{Engine, Env, SystemEnv};
use bobbinet_http::{Server, serve};
use bobbinet_push::Webhooks;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::NodeError;

/// How long tasks at work may take once the process is told to stop. What does not end in time goes on at the next start.
const GRACE: Duration = Duration::from_secs(25);

/// An agent while it is served. Dropped, it is served on; stop it with [`Serving::stop`].
#[derive(Debug)]
pub struct Serving {
    engine: Engine,
    webhooks: Arc<Webhooks>,
    server: Arc<Server>,
    stop: CancellationToken,
    connections: TaskTracker,
    url: String,
    data_dir: PathBuf,
}

impl Serving {
    pub(crate) fn begin(
        (engine, webhooks): (Engine, Arc<Webhooks>),
        (listener, server): (TcpListener, Arc<Server>),
        name: &AgentName,
        (data_dir, stop): (PathBuf, CancellationToken),
    ) -> Self {
        let url = server.audiences(name).first().cloned().unwrap_or_default();
        let connections = TaskTracker::new();
        connections.spawn(serve(listener, server.clone()));
        connections.close();
        Self { engine, webhooks, server, stop, connections, url, data_dir }
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token of the agent's owner, good for five minutes.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub fn token(&self) -> Result<String, NodeError> {
        owner_token(&self.data_dir, &self.url, SystemEnv.now()).map_err(NodeError::Token)
    }

    /// Serves until the process is told to stop (`SIGTERM`, or `SIGINT`), and then stops.
    ///
    /// # Errors
    /// If the process cannot be told.
    pub async fn until_told(self) -> Result<(), NodeError> {
        let mut terminated = signal(SignalKind::terminate()).map_err(NodeError::Process)?;
        let told = tokio::select! {
            biased;
            _ = terminated.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(NodeError::Process),
        };
        self.stop().await;
        told
    }

    /// Takes no more work, lets tasks come to their end for some seconds, and returns when all has ended. What has not goes on at the next
    /// start.
    pub async fn stop(self) {
        self.server.retire();
        self.engine.shutdown(GRACE).await;
        // What a receiver has not taken by now, the next start tells it.
        self.webhooks.stop().await;
        self.stop.cancel();
        self.connections.wait().await;
    }
}
