//! Publishing events, and following them.

use std::sync::Arc;

use bobbinet_core::{CloudEvent, Generation, Refused, Tenant};
use bobbinet_engine::{Aggregates, EngineError};

use crate::{EventStream, ListenError, Listener, Position, StreamCommand, StreamKey};

/// The events of all tenants of a node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    streams: Aggregates<EventStream>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands.
    pub position: Position,
    /// Whether it was not there before.
    pub is_new: bool,
}

impl Events {
    /// Those that an engine keeps.
    pub fn new(streams: Aggregates<EventStream>) -> Self {
        Self { streams }
    }

    /// Keeps an event for all who listen. Durable when this returns `Ok`, and there once, however often it is published.
    ///
    /// # Errors
    /// If it is too large, or could not be kept.
    pub async fn publish(&self, tenant: &Tenant, event: &CloudEvent) -> Result<Published, EngineError> {
        let key = StreamKey::of(tenant);
        let (stream, is_new) = match self.streams.command(&key, StreamCommand::Publish { event: event.clone() }).await {
            Ok(stream) => (stream, true),
            Err(EngineError::Refused(Refused::Present)) => (self.stream(&key).await?, false),
            Err(error) => return Err(error),
        };
        // One that has made room already stood before the end.
        let position = stream.find(event.source(), event.id()).unwrap_or(stream.end());
        Ok(Published { position, is_new })
    }

    /// Where the events of a tenant end: who listens from there hears what is published from now on.
    ///
    /// # Errors
    /// If that cannot be read or kept.
    pub async fn end(&self, tenant: &Tenant) -> Result<Position, EngineError> {
        let key = StreamKey::of(tenant);
        if let Some(stream) = self.streams.get(&key).await? {
            return Ok(stream.end());
        }
        match self.streams.command(&key, StreamCommand::Open).await {
            Ok(stream) => Ok(stream.end()),
            Err(EngineError::Refused(Refused::Present)) => Ok(self.stream(&key).await?.end()),
            Err(error) => Err(error),
        }
    }

    /// Follows the events of a tenant after this place.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn listen(&self, tenant: &Tenant, after: Position) -> Result<Listener, ListenError> {
        let key = StreamKey::of(tenant);
        // One that begins here has heard nothing yet.
        let end = self.end(tenant).await?;
        let after = after.min(end);
        Ok(Listener::new(self.streams.follow(&key, Generation(after.0)).await?, after))
    }

    async fn stream(&self, key: &StreamKey) -> Result<Arc<EventStream>, EngineError> {
        self.streams.get(key).await?.ok_or(EngineError::NotFound)
    }
}
