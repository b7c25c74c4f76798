//! How many of each kind are at work: requests, waits and streams are counted apart, so that a thousand waits leave room to ask.

use std::sync::Arc;

use bobbinet_core::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Full, GatewayLimits,
    shares::{Share, Shares},
};

/// How much more a node takes on: a permit for each piece of work that is under way.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    streams_of: Arc<Shares>,
}

/// Leave for one request or wait to be at work, given back when dropped.
#[derive(Debug)]
pub struct AdmissionPermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Leave for a stream to be open, of what the node has and of its caller's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

impl Admission {
    pub(crate) fn new(limits: &GatewayLimits) -> Self {
        let permits = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: permits(limits.requests_max),
            waits: permits(limits.waits_max),
            streams: permits(limits.streams_max),
            streams_of: Shares::new(limits.streams_per_caller_max, "streams_per_caller_max"),
        }
    }

    /// A permit for work that ends by itself.
    pub(crate) fn request(&self) -> Result<AdmissionPermit, Full> {
        self.requests.clone().try_acquire_owned().map(AdmissionPermit).map_err(|_| Full::Node("requests_max"))
    }

    /// A permit to wait for a task.
    pub(crate) fn wait(&self) -> Result<AdmissionPermit, Full> {
        self.waits.clone().try_acquire_owned().map(AdmissionPermit).map_err(|_| Full::Node("waits_max"))
    }

    /// A permit for one stream of this caller.
    pub(crate) fn stream(&self, caller: &Caller) -> Result<StreamPermit, Full> {
        let permit = self.streams.clone().try_acquire_owned().map_err(|_| Full::Node("streams_max"))?;
        Ok(StreamPermit { _permit: permit, _share: self.streams_of.take(caller, 1)? })
    }
}
