//! A kind of aggregate that is dropped when it is due.

use std::{fmt, time::Duration};

use bobbinet_core::{Generation, Limits, StreamId, Timestamp};
use bobbinet_engine::{Aggregate, EngineError};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};

use crate::lab::Lab;

/// How long one is kept after its last word.
const KEPT_FOR: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NoteId(u8);

impl fmt::Display for NoteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "note {}", self.0)
    }
}

/// A word, which is all that happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Said(String);

#[derive(Clone, Debug)]
struct Note {
    words: Vec<String>,
    at: Timestamp,
}

impl Aggregate for Note {
    type Id = NoteId;
    type Command = Said;
    type Event = Said;
    type Held = ();
    type Local = ();

    const IS_DROPPED_WHEN_DUE: bool = true;

    fn stream(id: &NoteId) -> StreamId {
        StreamId::from_bytes(&[b'z', id.0])
    }

    fn id_of(stream: &StreamId) -> Option<NoteId> {
        match stream.as_bytes() {
            [b'z', id] => Some(NoteId(*id)),
            _ => None,
        }
    }

    fn decide(_: &NoteId, _: Option<&Self>, said: Said, _: &Limits) -> Result<Vec<Said>, EngineError> {
        Ok(vec![said])
    }

    fn begin(_: &NoteId, at: Timestamp, said: &Said) -> Option<Self> {
        Some(Self { words: vec![said.0.clone()], at })
    }

    fn apply(&mut self, at: Timestamp, said: &Said) {
        self.words.push(said.0.clone());
        self.at = at;
    }

    fn version(&self) -> u64 {
        self.words.len() as u64
    }

    fn generation(&self) -> Generation {
        Generation(0)
    }

    fn is_public(_: &Said) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
    }

    fn summary(&self, _: &Limits) -> Summary {
        Summary::unlisted(201, self.at, Some(self.at.after(KEPT_FOR)))
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_due_is_gone_and_begins_anew_and_one_that_moves_on_stays() {
    let lab = Lab::new(Limits::default());
    let engine = lab.open(&["tool"]).await;
    let notes = engine.aggregates::<Note>();
    let say = async |id: u8, word: &str| {
        let words = notes.command(&NoteId(id), Said(word.to_owned())).await.unwrap().words.clone();
        words.join(" ")
    };
    for id in [1, 2] {
        assert_eq!(say(id, "a").await, "a");
    }
    lab.clock.forward(KEPT_FOR - Duration::from_secs(2));
    assert_eq!(say(2, "b").await, "a b");
    lab.clock.forward(Duration::from_secs(3));
    while notes.get(&NoteId(1)).await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(say(2, "c").await, "a b c", "it has moved on");
    assert_eq!(say(1, "d").await, "d");
    engine.shutdown(Duration::ZERO).await;
}
