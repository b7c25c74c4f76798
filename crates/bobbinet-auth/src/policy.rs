//! What a caller may do. Asked before anything is read (DESIGN section 3, invariant 7).

use std::{fmt, sync::Arc};

use bobbinet_core::{AgentName, Call, Caller, Principal};

/// What somebody wants to do, and to which agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// To send a message: to begin a task, or to go on with one.
    Send(&'a AgentName),
    /// To have this called: asked once the message is planned, and before anything is kept.
    Call(&'a AgentName, &'a Call),
    /// To read a task.
    Get(&'a AgentName),
    /// To list tasks.
    List(&'a AgentName),
    /// To cancel a task.
    Cancel(&'a AgentName),
    /// To follow a task.
    Subscribe(&'a AgentName),
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(agent) => write!(f, "send to {agent}"),
            Self::Call(agent, Call { skill: Some(skill), .. }) => write!(f, "call {skill} of {agent}"),
            Self::Call(agent, Call { skill: None, .. }) => write!(f, "call {agent}"),
            Self::Get(agent) => write!(f, "get a task of {agent}"),
            Self::List(agent) => write!(f, "list tasks of {agent}"),
            Self::Cancel(agent) => write!(f, "cancel a task of {agent}"),
            Self::Subscribe(agent) => write!(f, "subscribe to a task of {agent}"),
        }
    }
}

/// A refusal: it names the rule, and what would be allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{principal} may not {action}: by the rule {rule:?} only the node's owner may, with a token from `bobbinet token mint` \
     on the node's machine"
)]
pub struct Denied {
    /// The rule that decided.
    pub rule: &'static str,
    /// The caller that it was said to.
    pub principal: Principal,
    /// What he wanted to do, in words.
    pub action: String,
}

/// Decides what callers may do. Quick and pure: it is asked before anything is read, and again with a call's arguments.
pub trait Rules: fmt::Debug + Send + Sync + 'static {
    /// Whether this caller may do this.
    ///
    /// # Errors
    /// The rule that says no, and what would be allowed.
    fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied>;

    /// The rule by which this caller may do nothing at all, if there is one.
    fn shuts_out(&self, caller: &Caller) -> Option<&'static str>;
}

/// The rules of a node.
#[derive(Clone, Debug)]
pub struct Policy(Arc<dyn Rules>);

#[derive(Debug)]
struct OwnerOnly;

impl OwnerOnly {
    const NAME: &'static str = "owner-only";
}

impl Rules for OwnerOnly {
    fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied> {
        if caller.is_node_owner {
            return Ok(());
        }
        Err(Denied { rule: Self::NAME, principal: caller.principal.clone(), action: action.to_string() })
    }

    fn shuts_out(&self, caller: &Caller) -> Option<&'static str> {
        (!caller.is_node_owner).then_some(Self::NAME)
    }
}

impl Policy {
    /// A policy of these rules.
    pub fn new(rules: impl Rules) -> Self {
        Self(Arc::new(rules))
    }

    /// The node's owner may do everything, anybody else nothing.
    pub fn owner_only() -> Self {
        Self::new(OwnerOnly)
    }

    /// The rule by which this caller may do nothing at all, if there is one.
    pub fn shuts_out(&self, caller: &Caller) -> Option<&'static str> {
        self.0.shuts_out(caller)
    }

    /// Whether this caller may do this.
    ///
    /// # Errors
    /// The rule that says no, and what would be allowed.
    pub fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied> {
        self.0.allows(caller, action)
    }
}
