//! What waits with a message until it is known what can be called.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Question;
use crate::{Caller, SkillId};

/// What the plan of a message is made of beside the message, kept until it can be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// Who said it, for policy to see once it is known what is to be called.
    pub caller: Caller,
    /// The skill that the caller's URL named, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<SkillId>,
    /// The question that it answers, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Arc<Question>>,
}
