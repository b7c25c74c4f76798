//! How far a call has come, for the run that goes on with it.

use std::net::IpAddr;

use bobbinet_core::{Effect, Json};
use bobbinet_engine::Run;
use bobbinet_http::client::Way;
use serde::{Deserialize, Serialize};

/// What is kept with our task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Checkpoint {
    /// The task over there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
    /// The context over there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<String>,
    /// The replica that has it, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replica: Option<IpAddr>,
    /// Which way the message went, if it may be sent again that way alone. Where nothing is kept for anything else, the way that the
    /// card prefers is not kept either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) way: Option<Way>,
    /// The question over there that our caller is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asking: Option<String>,
    /// Which way the answer to it goes, as that of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) answer_way: Option<Way>,
    /// How many answers of our caller have been handed on.
    pub(crate) answered: usize,
    /// How many answers our task had been given when the message was sent, or last found to be lost, if it may be sent only once. If it
    /// still has no more, nobody has said since that it may be sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent_at: Option<usize>,
    /// Whether the peer drops repeats, where that was not known yet when the call was planned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_keyed: bool,
    /// Whether another agent of ours does the work.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_fallback: bool,
}

impl Checkpoint {
    /// One that an earlier run has kept.
    pub(crate) fn read(json: &Json) -> Option<Self> {
        json.read().ok()
    }

    /// Whether the message may be sent again: the peer drops the repeat, or there is no harm in it.
    pub(crate) fn may_repeat(&self, run: &Run) -> bool {
        self.is_keyed || run.call().effect.may_run_again()
    }

    /// Whether it may only because the peer drops the repeat.
    pub(crate) fn rests_on_key(&self, run: &Run) -> bool {
        self.is_keyed || run.call().effect == Effect::Keyed
    }

    pub(crate) fn to_json(&self) -> Json {
        Json::of(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_an_older_process_kept_is_read() {
        let older = r#"{"task":"t","replica":"10.0.0.1","asking":"q@1","answered":1,"sentAt":0,"isKeyed":true}"#;
        let read = Checkpoint::read(&Json::parse(older).unwrap()).unwrap();
        assert_eq!((read.way.as_ref(), read.answer_way.as_ref()), (None, None));
        assert_eq!((read.task.as_deref(), read.answered, read.is_keyed), (Some("t"), 1, true));
        assert_eq!(read.to_json().as_str(), older);
        let newer = r#"{"way":"JSONRPC 1.0 http://a.example/","answered":0}"#;
        let read = Checkpoint::read(&Json::parse(newer).unwrap()).unwrap();
        assert_eq!(read.way.as_ref().map(Way::url), Some("http://a.example/"));
        assert_eq!(read.to_json().as_str(), newer);
    }
}
