//! One tenant's events as an aggregate. Its log may be trimmed: each record says where it stands, and what is kept before it.

use std::fmt;

use bobbinet_core::{CloudEvent, Generation, Json, Limits, Refused, StreamId, Tenant, Timestamp};
use bobbinet_engine::{Aggregate, EngineError};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::kept::{Kept, KeptEvents};

/// The first byte of their streams.
const KIND: u8 = b'e';

/// A number for their only state: none of a task's.
const CODE: u8 = 102;

/// Which tenant's events: SHA-256 of the tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey([u8; 32]);

impl StreamKey {
    /// Of this tenant.
    pub fn of(tenant: &Tenant) -> Self {
        Self(Sha256::digest(tenant.as_str().as_bytes()).into())
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events of {}", hex::encode(&self.0[..8]))
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a tenant's events. What follows it was not heard yet by whoever has this cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// The events of a tenant, without what they say: that is in the log.
#[derive(Clone, Debug)]
pub struct EventStream {
    version: u64,
    /// The first version that is kept.
    from: u64,
    at: Timestamp,
    kept: KeptEvents,
}

/// What can be asked of a stream.
#[derive(Clone, Debug)]
pub enum StreamCommand {
    /// Begin, if it has not.
    Open,
    /// Keep this event.
    Publish {
        /// The event.
        event: CloudEvent,
    },
    /// Some are too old.
    Expire {
        /// When it is, at least.
        now: Timestamp,
    },
}

/// What can happen to a stream. On disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamEvent {
    /// Somebody follows it, and there were no events yet.
    Opened {
        /// Which record it is.
        version: u64,
        /// The first version that is kept.
        from: u64,
    },
    /// An event came.
    Published {
        /// Which record it is.
        version: u64,
        /// The first version that is kept.
        from: u64,
        /// CloudEvents 1.0 in JSON.
        event: Json,
    },
    /// Old ones were dropped.
    Expired {
        /// Which record it is.
        version: u64,
        /// The first version that is kept.
        from: u64,
    },
}

impl StreamEvent {
    /// Which record it is, and the first one that is kept from then on.
    fn place(&self) -> (u64, u64) {
        match self {
            Self::Opened { version, from }
            | Self::Published { version, from, .. }
            | Self::Expired { version, from } => (*version, *from),
        }
    }
}

/// What tells an event apart from others: its source and its id.
pub(crate) fn key(source: &str, id: &str) -> u128 {
    let mut hash = Sha256::new();
    hash.update(source.as_bytes());
    hash.update([0]);
    hash.update(id.as_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    hash[..16].iter().fold(0, |key, byte| key << 8 | u128::from(*byte))
}

fn key_in(event: &Json) -> u128 {
    #[derive(Deserialize)]
    struct Named<'e> {
        #[serde(borrow)]
        source: std::borrow::Cow<'e, str>,
        #[serde(borrow)]
        id: std::borrow::Cow<'e, str>,
    }
    // What was kept was checked.
    serde_json::from_str(event.as_str()).map_or(0, |Named { source, id }: Named<'_>| key(&source, &id))
}

impl EventStream {
    /// Where it ends.
    pub fn end(&self) -> Position {
        Position(self.version)
    }

    /// Where the event of this source and id stands, if it is kept.
    pub fn find(&self, source: &str, id: &str) -> Option<Position> {
        self.kept.find(key(source, id)).map(Position)
    }

    fn publish(state: Option<&Self>, event: &CloudEvent, limits: &Limits) -> Result<StreamEvent, EngineError> {
        let bytes = event.json().as_str().len();
        if bytes > limits.event_bytes_max {
            let max = limits.event_bytes_max as u64;
            return Err(EngineError::Limit { what: "event_bytes_max", max });
        }
        let Some(state) = state else {
            return Ok(StreamEvent::Published { version: 1, from: 1, event: event.json().clone() });
        };
        if state.find(event.source(), event.id()).is_some() {
            return Err(Refused::Present.into());
        }
        // What is old is dropped by time that has passed, and never by a clock that was set forward.
        let from = state.kept.room_for(bytes, limits).unwrap_or_default().max(state.from);
        Ok(StreamEvent::Published { version: state.version + 1, from, event: event.json().clone() })
    }
}

impl Aggregate for EventStream {
    type Id = StreamKey;
    type Command = StreamCommand;
    type Event = StreamEvent;
    type Held = ();
    type Local = ();

    const CAN_BE_TRIMMED: bool = true;
    const IS_ALL_PUBLIC: bool = true;

    fn stream(id: &StreamKey) -> StreamId {
        let mut bytes = [KIND; 33];
        bytes[1..].copy_from_slice(&id.0);
        StreamId::from_bytes(&bytes)
    }

    fn id_of(stream: &StreamId) -> Option<StreamKey> {
        let hash = stream.as_bytes().strip_prefix(&[KIND])?;
        Some(StreamKey(hash.try_into().ok()?))
    }

    fn when_due(summary: &Summary) -> Option<StreamCommand> {
        summary.due.map(|now| StreamCommand::Expire { now })
    }

    fn decide(
        _: &StreamKey,
        state: Option<&Self>,
        command: StreamCommand,
        limits: &Limits,
    ) -> Result<Vec<StreamEvent>, EngineError> {
        let event = match (state, command) {
            (None, StreamCommand::Open) => StreamEvent::Opened { version: 1, from: 1 },
            (Some(_), StreamCommand::Open) => return Err(Refused::Present.into()),
            (state, StreamCommand::Publish { event }) => Self::publish(state, &event, limits)?,
            (Some(state), StreamCommand::Expire { now }) => {
                let from = state.kept.aged(now, limits).ok_or(Refused::NothingToDo)?;
                StreamEvent::Expired { version: state.version + 1, from }
            }
            (None, StreamCommand::Expire { .. }) => return Err(Refused::Absent.into()),
        };
        Ok(vec![event])
    }

    fn begin(_: &StreamKey, at: Timestamp, event: &StreamEvent) -> Option<Self> {
        let (version, from) = event.place();
        let mut stream = Self { version: version.checked_sub(1)?, from, at, kept: KeptEvents::default() };
        stream.apply(at, event);
        Some(stream)
    }

    fn apply(&mut self, at: Timestamp, event: &StreamEvent) {
        let (version, from) = event.place();
        self.version += 1;
        self.at = at;
        self.from = from;
        self.kept.drop_before(from);
        if let StreamEvent::Published { event, .. } = event {
            self.kept.push(Kept { version, key: key_in(event), bytes: event.as_str().len(), at });
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        Generation(self.version)
    }

    fn dispensable(&self) -> u64 {
        self.from.saturating_sub(1)
    }

    fn is_public(_: &StreamEvent) -> bool {
        true
    }

    fn bytes(&self) -> usize {
        self.kept.weight()
    }

    fn summary(&self, limits: &Limits) -> Summary {
        Summary::unlisted(CODE, self.at, self.kept.due(limits))
    }
}
