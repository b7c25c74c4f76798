//! A reader of one tenant's events with a cursor of its own, which is told if events are gone before it has heard them.

use bobbinet_core::Json;
use bobbinet_engine::{EngineError, Follower};

use crate::{EventStream, Position, StreamEvent};

/// A reader of events.
#[derive(Debug)]
pub struct Listener {
    follower: Follower<EventStream>,
    cursor: Position,
    /// What came where something was missing, to be heard after that was told.
    held: Option<Heard>,
}

/// What a reader comes to.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Where it stands: the cursor of whoever has heard it.
    pub position: Position,
    /// CloudEvents 1.0 in JSON; nothing where the stream says something of itself.
    pub event: Option<Json>,
}

/// Why nothing more is heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Events were dropped that this reader has not heard.
    #[error("events were dropped before they were heard: those after {} and before {} are gone", .after.0, .first.0)]
    Trimmed {
        /// What it has heard.
        after: Position,
        /// The first that is there.
        first: Position,
    },
    /// They cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Listener {
    pub(crate) fn new(follower: Follower<EventStream>, cursor: Position) -> Self {
        Self { follower, cursor, held: None }
    }

    /// What it has heard so far.
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// What comes next. Safe to drop at any time: nothing is skipped.
    ///
    /// # Errors
    /// [`ListenError::Trimmed`] where something is missing; after that it goes on with what is there.
    pub async fn next(&mut self) -> Result<Heard, ListenError> {
        if let Some(held) = self.held.take() {
            self.cursor = held.position;
            return Ok(held);
        }
        let event = self.follower.next().await?.ok_or(EngineError::NotFound)?;
        let (after, position) = (self.cursor, Position(event.generation.0));
        let heard = heard(position, &event.event);
        if position.0 > after.0 + 1 {
            self.cursor = Position(position.0 - 1);
            self.held = Some(heard);
            return Err(ListenError::Trimmed { after, first: position });
        }
        self.cursor = position;
        Ok(heard)
    }
}

fn heard(position: Position, event: &StreamEvent) -> Heard {
    let event = match event {
        StreamEvent::Published { event, .. } => Some(event.clone()),
        StreamEvent::Opened { .. } | StreamEvent::Expired { .. } => None,
    };
    Heard { position, event }
}
