//! How a call has come here, from agent to agent: what it may still cost, and by whom it has passed.
//!
//! It goes with a message, in its metadata, so that it is kept with the task and handed down to whatever is called for it. Whoever leaves
//! it out begins a chain of his own: it bounds accidents, such as two agents that call each other, and is no proof of anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Json, Message, Timestamp};

/// The key of a chain in a message's metadata. A breaking change is another name.
pub const CHAIN_KEY: &str = "urn:bobbinet:chain:v1";

/// From one agent to the next so often, if nobody says less.
pub const HOPS_MAX: u32 = 8;

/// Bytes of one name in a path.
const NAME_LENGTH_MAX: usize = 512;

/// How a message has come here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// How often it may still be passed on.
    pub hops: u32,
    /// Who has passed it on, the first one first: `NODE/AGENT`.
    pub path: Vec<String>,
    /// By when the first of them needs it done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Timestamp>,
}

impl Default for Chain {
    fn default() -> Self {
        Self { hops: HOPS_MAX, path: Vec::new(), by: None }
    }
}

/// Why a message is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// It has been here.
    #[error("the call goes in a circle: {}", .0.join(" -> "))]
    Circle(Vec<String>),
    /// It was passed on as often as it may be.
    #[error("the call was passed on from agent to agent as often as it may be: {}", .0.join(" -> "))]
    TooFar(Vec<String>),
}

impl Chain {
    /// That of a message; a new one if it has none that can be read.
    pub fn of(message: &Message) -> Self {
        let found = message.metadata.as_ref().and_then(chain_in).and_then(|json| json.read::<Self>().ok());
        let is_fit = |chain: &Self| {
            chain.path.len() <= HOPS_MAX as usize && chain.path.iter().all(|name| name.len() <= NAME_LENGTH_MAX)
        };
        let chain = found.filter(is_fit).unwrap_or_default();
        Self { hops: chain.hops.min(HOPS_MAX), ..chain }
    }

    /// The same, one further: passed on by this agent.
    ///
    /// # Errors
    /// If it has passed there before, or may not be passed on any more.
    pub fn passed_on_by(mut self, name: &str) -> Result<Self, ChainFault> {
        let has_been_here = self.path.iter().any(|known| known == name);
        self.path.push(name.to_owned());
        if has_been_here {
            return Err(ChainFault::Circle(self.path));
        }
        self.hops = match self.hops.checked_sub(1) {
            Some(hops) if self.path.len() <= HOPS_MAX as usize => hops,
            Some(_) | None => return Err(ChainFault::TooFar(self.path)),
        };
        Ok(self)
    }

    /// A message's metadata with this chain in it.
    pub fn put(&self, metadata: Option<&Json>) -> Json {
        let mut fields = fields(metadata);
        fields.insert(CHAIN_KEY.to_owned(), Json::of(self));
        Json::of(&fields)
    }
}

/// Hands the chain of a task's message down to one that is said for its sake, unless that has one.
pub fn hand_down(from: &Message, to: &mut Message) {
    let Some(chain) = from.metadata.as_ref().and_then(chain_in) else { return };
    if to.metadata.as_ref().and_then(chain_in).is_none() {
        let mut fields = fields(to.metadata.as_ref());
        fields.insert(CHAIN_KEY.to_owned(), chain);
        to.metadata = Some(Json::of(&fields));
    }
}

fn fields(metadata: Option<&Json>) -> BTreeMap<String, Json> {
    metadata.and_then(|json| json.read().ok()).unwrap_or_default()
}

fn chain_in(metadata: &Json) -> Option<Json> {
    // Most have none, and need not be read for that.
    metadata.as_str().contains(CHAIN_KEY).then(|| fields(Some(metadata)).remove(CHAIN_KEY)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageId, Part};

    fn message(metadata: Option<Json>) -> Message {
        Message { metadata, ..Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text("go")]) }
    }

    #[test]
    fn a_chain_ends_where_it_began_or_after_so_many_hops() {
        let mut said = message(Some(Json::parse(r#"{"other":1.0}"#).unwrap()));
        for hop in 0..HOPS_MAX {
            let chain = Chain::of(&said).passed_on_by(&format!("n{hop}/a")).unwrap();
            assert_eq!(chain.hops, HOPS_MAX - hop - 1);
            said.metadata = Some(chain.put(said.metadata.as_ref()));
            assert!(said.metadata.as_ref().unwrap().as_str().contains(r#""other":1.0"#));
        }
        let fault = Chain::of(&said).passed_on_by("n9/a").unwrap_err();
        assert!(matches!(fault, ChainFault::TooFar(_)), "{fault}");
        let fault = Chain::of(&said).passed_on_by("n3/a").unwrap_err();
        assert!(fault.to_string().starts_with("the call goes in a circle: n0/a -> n1/a"), "{fault}");
        assert!(fault.to_string().ends_with("n7/a -> n3/a"), "{fault}");
    }

    #[test]
    fn what_is_no_chain_is_none() {
        for text in ["{}", r#"{"urn:bobbinet:chain:v1":7}"#, r#"{"urn:bobbinet:chain:v1":{"hops":-1,"path":[]}}"#] {
            assert_eq!(Chain::of(&message(Some(Json::parse(text).unwrap()))), Chain::default(), "{text}");
        }
        // Nobody gives himself more.
        let more = Json::parse(r#"{"urn:bobbinet:chain:v1":{"hops":4000000000,"path":[]}}"#).unwrap();
        assert_eq!(Chain::of(&message(Some(more))).hops, HOPS_MAX);
    }

    #[test]
    fn a_chain_is_handed_down_once() {
        let from = message(Some(Chain::default().passed_on_by("a/b").unwrap().put(None)));
        let mut to = message(None);
        hand_down(&from, &mut to);
        assert_eq!(Chain::of(&to).path, ["a/b"]);
        let own = Chain::default().passed_on_by("c/d").unwrap();
        to.metadata = Some(own.put(None));
        hand_down(&from, &mut to);
        assert_eq!(Chain::of(&to), own);
        let mut to = message(None);
        hand_down(&message(None), &mut to);
        assert_eq!(to.metadata, None);
    }
}
