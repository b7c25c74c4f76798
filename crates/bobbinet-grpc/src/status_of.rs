//! Which status an event leaves its task in, where it is told as one.

use bobbinet_core::{Event, Json, Message, State};

/// A status that is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusOf<'a> {
    pub(crate) state: State,
    pub(crate) message: Option<&'a Message>,
    pub(crate) metadata: Option<&'a Json>,
}

/// The status, unless the event is told as something else, or not at all.
pub(crate) fn status_of(event: &Event) -> Option<StatusOf<'_>> {
    let of = |state| StatusOf { state, message: None, metadata: None };
    Some(match event {
        Event::Started { .. } | Event::Replied { resumed: true, .. } | Event::Withdrawn => of(State::Working),
        Event::Progressed { message, metadata } => {
            StatusOf { state: State::Working, message: message.as_deref(), metadata: metadata.as_ref() }
        }
        Event::Asked { question } => StatusOf { message: Some(&question.message), ..of(question.kind.state()) },
        Event::Replied { resumed: false, .. } | Event::Requeued => of(State::Submitted),
        Event::Unserved { message } => StatusOf { message: Some(message), ..of(State::Submitted) },
        Event::Ended { state, message, metadata } => {
            StatusOf { state: *state, message: message.as_deref(), metadata: metadata.as_ref() }
        }
        Event::Submitted(_)
        | Event::ArtifactAdded { .. }
        | Event::Intended { .. }
        | Event::Deferred(_)
        | Event::Planned { .. }
        | Event::Settled { .. }
        | Event::Reclaimed { .. }
        | Event::Stopped
        | Event::Spawned(_)
        | Event::Recorded { .. }
        | Event::Checkpointed { .. } => return None,
    })
}
