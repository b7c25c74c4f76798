//! How many of each kind are at work: requests, waits and streams are counted apart, so that a thousand waits leave room to ask.

use std::sync::Arc;

use bobbinet_core::Caller;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    CallerLimits, Full, GatewayLimits, NamedCallerLimits,
    callers::{CallerPermit, Callers},
    shares::{Share, Shares},
};

/// How much more a node takes on: a permit for each piece of work that is under way.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    requests_of: Arc<Callers>,
    waits: Arc<Semaphore>,
    waits_of: Arc<Shares>,
    streams: Arc<Semaphore>,
    streams_of: Arc<Shares>,
}

/// Leave for one request to be at work, of what the node has and of its caller's share; given back when dropped.
#[derive(Debug)]
pub struct AdmissionPermit {
    _permit: OwnedSemaphorePermit,
    _of: Option<CallerPermit>,
}

/// Leave to wait for a task, given back when dropped.
#[derive(Debug)]
pub(crate) struct WaitPermit {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

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
            requests_of: Callers::new(CallerLimits::of(limits)),
            waits: permits(limits.waits_max),
            waits_of: Shares::new(limits.waits_per_caller_max, "waits_per_caller_max"),
            streams: permits(limits.streams_max),
            streams_of: Shares::new(limits.streams_per_caller_max, "streams_per_caller_max"),
        }
    }

    /// From now on these callers have their own limits.
    pub(crate) fn name(&self, named: NamedCallerLimits) {
        self.requests_of.name(named);
    }

    /// A permit for work of this caller that ends by itself.
    pub(crate) fn request(&self, caller: &Caller) -> Result<AdmissionPermit, Full> {
        let of = self.requests_of.enter(caller)?;
        let permit = self.requests.clone().try_acquire_owned().map_err(|_| Full::Node("requests_max"))?;
        Ok(AdmissionPermit { _permit: permit, _of: of })
    }

    /// A permit for this caller to wait for a task.
    pub(crate) fn wait(&self, caller: &Caller) -> Result<WaitPermit, Full> {
        let permit = self.waits.clone().try_acquire_owned().map_err(|_| Full::Node("waits_max"))?;
        Ok(WaitPermit { _permit: permit, _share: self.waits_of.take(caller, 1)? })
    }

    /// A permit for one stream of this caller.
    pub(crate) fn stream(&self, caller: &Caller) -> Result<StreamPermit, Full> {
        let permit = self.streams.clone().try_acquire_owned().map_err(|_| Full::Node("streams_max"))?;
        Ok(StreamPermit { _permit: permit, _share: self.streams_of.take(caller, 1)? })
    }
}
