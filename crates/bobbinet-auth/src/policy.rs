//! What a caller may do. Asked before anything is read (DESIGN section 3, invariant 7).

use std::fmt;

use bobbinet_core::{AgentName, Caller, Principal};

/// What somebody wants to do, and to which agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// To send a message: to begin a task, or to go on with one.
    Send(&'a AgentName),
    /// To read a task.
    Get(&'a AgentName),
    /// To list tasks.
    List(&'a AgentName),
    /// To cancel a task.
    Cancel(&'a AgentName),
    /// To follow a task.
    Subscribe(&'a AgentName),
}

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(agent) => write!(f, "send to {agent}"),
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
    "{principal} may not {operation}: by the rule {rule:?} only the node's owner may, with a token from `bobbinet token mint` \
     on the node's machine"
)]
pub struct Denied {
    /// The rule that decided.
    pub rule: &'static str,
    /// Who asked.
    pub principal: Principal,
    /// For what, in words.
    pub operation: String,
}

/// The rules of a node.
#[derive(Clone, Debug)]
pub struct Policy(Rule);

/// The rules there are. Lines of CEL over caller, agent, skill and arguments will be another.
#[derive(Clone, Debug)]
enum Rule {
    OwnerOnly,
}

impl Policy {
    /// The node's owner may do everything, anybody else nothing.
    pub fn owner_only() -> Self {
        Self(Rule::OwnerOnly)
    }

    /// The rule by which this caller may do nothing at all, if there is one.
    pub fn shuts_out(&self, caller: &Caller) -> Option<&'static str> {
        match self.0 {
            Rule::OwnerOnly => (!caller.is_owner).then_some("owner-only"),
        }
    }

    /// Whether this caller may do this.
    pub fn allows(&self, caller: &Caller, operation: Operation<'_>) -> Result<(), Denied> {
        match self.0 {
            Rule::OwnerOnly if caller.is_owner => Ok(()),
            Rule::OwnerOnly => Err(Denied {
                rule: "owner-only",
                principal: caller.principal.clone(),
                operation: operation.to_string(),
            }),
        }
    }
}
