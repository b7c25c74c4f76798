//! A process's lease: as long as it is renewed, nobody takes over what its process runs.
//!
//! Only where processes share a store. No clock is compared: whoever watches a lease goes by how long it has seen no renewal, and its
//! process by how long ago it began its last one, so the process gives up before anybody else can.

use std::time::Duration;

use bobbinet_core::{Generation, Limits, Refused, RunnerId, StreamId, Timestamp};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};

use crate::{Aggregate, EngineError};

/// How long a lease lasts after a renewal. Three renewals may be missed.
pub(crate) const LEASE_LIFE: Duration = Duration::from_secs(10);

/// How often a lease is renewed.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(3);

/// After so long without a renewal a lease is looked at, though no task names its process.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// How long an ended lease is kept, for those who want to know what became of a process.
const ENDED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a lease's summary has in the place of a task's state.
const CODE: u8 = 100;

/// One process's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    version: u64,
    at: Timestamp,
    pub(crate) has_ended: bool,
}

/// What can be asked of a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LeaseCommand {
    /// Its process: it begins.
    Begin,
    /// Its process: it lives.
    Renew,
    /// Its process: it stops. Or another one, which has seen no renewal after this version for [`LEASE_LIFE`].
    End {
        /// What was seen; `None` for its own process.
        seen: Option<u64>,
    },
}

/// What has happened to a lease. Its names are on disk.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum LeaseEvent {
    Renewed {
        /// The version that it leads to, so that what was before can be trimmed away.
        version: u64,
    },
    Ended,
}

impl Lease {
    /// Whether it has ended, and not so long ago that it may be forgotten: whoever it is of may still come back, and must find it ended.
    pub(crate) fn is_kept_at(&self, now: Timestamp) -> bool {
        self.has_ended && now < self.at.after(ENDED_KEPT)
    }
}

impl Aggregate for Lease {
    type Id = RunnerId;
    type Command = LeaseCommand;
    type Event = LeaseEvent;
    type Held = ();
    type Local = ();

    const CAN_BE_TRIMMED: bool = true;

    fn stream(id: &RunnerId) -> StreamId {
        id.stream()
    }

    fn id_of(stream: &StreamId) -> Option<RunnerId> {
        stream.as_runner()
    }

    fn decide(
        _: &RunnerId,
        state: Option<&Self>,
        command: LeaseCommand,
        _: &Limits,
    ) -> Result<Vec<LeaseEvent>, EngineError> {
        let event = match (state, command) {
            (Some(lease), _) if lease.has_ended => return Err(Refused::Ended.into()),
            (None, LeaseCommand::Begin) => LeaseEvent::Renewed { version: 1 },
            (Some(_), LeaseCommand::Begin) => return Err(Refused::Present.into()),
            (Some(lease), LeaseCommand::Renew) => LeaseEvent::Renewed { version: lease.version + 1 },
            // It was ended, and is forgotten by now.
            (None, LeaseCommand::Renew | LeaseCommand::End { .. }) => return Err(Refused::Absent.into()),
            (Some(lease), LeaseCommand::End { seen: Some(seen) }) if seen != lease.version => {
                return Err(Refused::NothingToDo.into());
            }
            (Some(_), LeaseCommand::End { .. }) => LeaseEvent::Ended,
        };
        Ok(vec![event])
    }

    fn begin(_: &RunnerId, at: Timestamp, event: &LeaseEvent) -> Option<Self> {
        match event {
            LeaseEvent::Renewed { version } => Some(Self { version: *version, at, has_ended: false }),
            LeaseEvent::Ended => None,
        }
    }

    fn apply(&mut self, at: Timestamp, event: &LeaseEvent) {
        self.version += 1;
        self.at = at;
        self.has_ended = matches!(event, LeaseEvent::Ended);
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        Generation(0)
    }

    fn is_public(_: &LeaseEvent) -> bool {
        false
    }

    fn is_over(&self) -> bool {
        self.has_ended
    }

    fn is_settled(&self) -> bool {
        self.has_ended
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn summary(&self, _: &Limits) -> Summary {
        let life = if self.has_ended { ENDED_KEPT } else { ABANDONED_AFTER };
        Summary {
            tenant: "".into(),
            owner: "".into(),
            agent: "".into(),
            context: "".into(),
            state: CODE,
            status_at: self.at,
            due: Some(self.at.after(life)),
        }
    }
}
