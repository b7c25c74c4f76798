//! What all webhooks of a node that are told share.

use std::sync::Arc;

use bobbinet_auth::SealingKey;
use bobbinet_core::Limits;
use bobbinet_engine::{Aggregates, Engine};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Courier, TaskHooks, lanes::Lanes, running::Running, unsure::Unsure};

/// What all that are told share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) hooks: Aggregates<TaskHooks>,
    pub(crate) seal: SealingKey,
    pub(crate) courier: Arc<dyn Courier>,
    pub(crate) limits: Limits,
    pub(crate) lanes: Lanes,
    pub(crate) running: Arc<Running>,
    pub(crate) unsure: Unsure,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: CancellationToken,
}
