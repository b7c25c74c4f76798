//! How many of each kind are at work: requests, waits and streams are counted apart, so that a thousand waits leave room to ask.

use std::sync::Arc;

use bobbinet_core::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    GatewayLimits,
    shares::{Share, Shares},
};

/// All places of a node.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    streams_of: Arc<Shares>,
}

/// One of the places, given back when dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A stream's two places: the node's and its caller's.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    _place: OwnedSemaphorePermit,
    _share: Share,
}

/// Why there is no place, with the name of the limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The whole node is at its limit.
    Node(&'static str),
    /// This caller is.
    Caller(&'static str),
}

impl Admission {
    pub(crate) fn new(limits: &GatewayLimits) -> Self {
        let places = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: places(limits.requests_max),
            waits: places(limits.waits_max),
            streams: places(limits.streams_max),
            streams_of: Shares::new(limits.streams_per_caller_max, "streams_per_caller_max"),
        }
    }

    /// A place for work that ends by itself.
    pub(crate) fn request(&self) -> Result<Place, Full> {
        self.requests.clone().try_acquire_owned().map(Place).map_err(|_| Full::Node("requests_max"))
    }

    /// A place to wait in for a task.
    pub(crate) fn wait(&self) -> Result<Place, Full> {
        self.waits.clone().try_acquire_owned().map(Place).map_err(|_| Full::Node("waits_max"))
    }

    /// A place for one stream of this caller.
    pub(crate) fn stream(&self, caller: &Caller) -> Result<StreamPlace, Full> {
        let place = self.streams.clone().try_acquire_owned().map_err(|_| Full::Node("streams_max"))?;
        Ok(StreamPlace { _place: place, _share: self.streams_of.take(caller, 1)? })
    }
}
