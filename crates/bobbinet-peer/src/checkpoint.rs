//! How far a call has come, for the run that goes on with it.

use std::net::IpAddr;

use bobbinet_core::{Effect, Json};
use bobbinet_engine::Run;
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
    /// The question over there that our caller is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asking: Option<String>,
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
