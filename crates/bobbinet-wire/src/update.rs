//! What an event of a task's log tells the world, whichever dialect it is told in.

use bobbinet_core::{Artifact, Event, Json, Message, State};

/// What a public event says: each dialect has its own words for these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update<'a> {
    /// The task came to stand elsewhere, or said something where it stands.
    Status {
        /// Where it stands now.
        state: State,
        /// What was said with it.
        message: Option<&'a Message>,
        /// What else was said with it: a JSON object.
        metadata: Option<&'a Json>,
    },
    /// The task made something, or more of it.
    Artifact {
        /// The artifact, or the parts to append to the one of its id.
        artifact: &'a Artifact,
        /// Whether its parts go to the end of that one.
        append: bool,
        /// Whether this artifact is whole now.
        last_chunk: bool,
    },
}

impl<'a> Update<'a> {
    /// What this event says. `None` for what the world is not told, and for a submission: there the whole task is sent.
    pub fn of(event: &'a Event) -> Option<Self> {
        let status = |state, message, metadata| Some(Self::Status { state, message, metadata });
        match event {
            Event::Started { .. } | Event::Replied { resumed: true, .. } | Event::Withdrawn => {
                status(State::Working, None, None)
            }
            Event::Progressed { message, metadata } => status(State::Working, message.as_deref(), metadata.as_ref()),
            Event::Asked { question } => status(question.kind.state(), Some(&*question.message), None),
            Event::Replied { resumed: false, .. } | Event::Requeued => status(State::Submitted, None, None),
            Event::Unserved { message } => status(State::Submitted, Some(&**message), None),
            Event::Ended { state, message, metadata } => status(*state, message.as_deref(), metadata.as_ref()),
            Event::ArtifactAdded { artifact, append, last_chunk } => {
                Some(Self::Artifact { artifact, append: *append, last_chunk: *last_chunk })
            }
            Event::Submitted(_)
            | Event::Intended { .. }
            | Event::Deferred(_)
            | Event::Planned { .. }
            | Event::Settled { .. }
            | Event::Reclaimed { .. }
            | Event::Stopped
            | Event::Spawned(_)
            | Event::Recorded { .. }
            | Event::Checkpointed { .. } => None,
        }
    }

    /// Whether the task waits for another message of its caller from here on, or has ended.
    pub fn ends_a_turn(&self) -> bool {
        match self {
            Self::Status { state, .. } => state.is_terminal() || *state == State::InputRequired,
            Self::Artifact { .. } => false,
        }
    }
}
