//! What a caller may do. Asked before anything is read (DESIGN section 3, invariant 7).

mod cost;
mod facts;
mod line;
mod lines;
mod told;

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

pub use cost::{COST_MAX, LINE_LENGTH_MAX, NESTING_MAX, NODES_MAX};
pub use facts::{FACTS_BYTES_MAX, FACTS_DEPTH_MAX, FACTS_VALUES_MAX};
pub use line::{LineFault, PolicyLine};
pub use lines::{LINES_MAX, Lines};
use told::Told;

use bobbinet_core::{AgentName, Call, Caller, Json, Principal};

/// What somebody wants to do, and to which agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// To send a message: to begin a task, or to go on with one.
    Send(&'a AgentName),
    /// To have this called: asked once the message is planned, and before anything is kept.
    Call(&'a AgentName, &'a Call),
    /// To have this called later, with arguments that are not known yet, or not all of them: asked before the first step of a flow that
    /// came in a message. The call itself is asked about when it is made.
    Plan(&'a AgentName, &'a Call),
    /// To read a task.
    Get(&'a AgentName),
    /// To list tasks.
    List(&'a AgentName),
    /// To cancel a task.
    Cancel(&'a AgentName),
    /// To follow a task.
    Subscribe(&'a AgentName),
    /// To upload what a later message will name by its URL.
    Upload(&'a AgentName),
    /// To publish this event, in CloudEvents' JSON format, to all flows of the caller's tenant.
    Publish(&'a Json),
    /// To hear the events of the caller's tenant, in a flow.
    Listen,
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(agent) => write!(f, "send to {agent}"),
            Self::Call(agent, Call { skill: Some(skill), .. }) | Self::Plan(agent, Call { skill: Some(skill), .. }) => {
                write!(f, "call {skill} of {agent}")
            }
            Self::Call(agent, Call { skill: None, .. }) | Self::Plan(agent, Call { skill: None, .. }) => {
                write!(f, "call {agent}")
            }
            Self::Get(agent) => write!(f, "get a task of {agent}"),
            Self::List(agent) => write!(f, "list tasks of {agent}"),
            Self::Cancel(agent) => write!(f, "cancel a task of {agent}"),
            Self::Subscribe(agent) => write!(f, "subscribe to a task of {agent}"),
            Self::Upload(agent) => write!(f, "upload to {agent}"),
            Self::Publish(_) => f.write_str("publish this event"),
            Self::Listen => f.write_str("listen to events"),
        }
    }
}

impl<'a> Action<'a> {
    /// The agent that it is about, if it is about one.
    pub fn agent(&self) -> Option<&'a AgentName> {
        match self {
            Self::Send(agent)
            | Self::Call(agent, _)
            | Self::Plan(agent, _)
            | Self::Get(agent)
            | Self::List(agent)
            | Self::Cancel(agent)
            | Self::Subscribe(agent)
            | Self::Upload(agent) => Some(agent),
            Self::Publish(_) | Self::Listen => None,
        }
    }

    /// What a policy line knows it as.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Send(_) => "send",
            Self::Call(..) | Self::Plan(..) => "call",
            Self::Get(_) => "get",
            Self::List(_) => "list",
            Self::Cancel(_) => "cancel",
            Self::Subscribe(_) => "subscribe",
            Self::Upload(_) => "upload",
            Self::Publish(_) => "events.publish",
            Self::Listen => "events.listen",
        }
    }
}

/// A refusal. Its text is for the one who is refused: it names the rule, and never what the rule says. Why, and what would allow it, is
/// in the node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The rule that decided.
    pub rule: &'static str,
    /// The caller that it was said to.
    pub principal: Principal,
    /// What he wanted to do, in words.
    pub action: String,
    /// What only the node's owner may read: each line that could not be asked, and one that would allow it.
    pub(crate) why: String,
}

impl Denied {
    /// A refusal by this rule.
    pub fn new(rule: &'static str, caller: &Caller, action: Action<'_>) -> Self {
        Self { rule, principal: caller.principal.clone(), action: action.to_string(), why: String::new() }
    }

    /// For the node's owner alone: why, and a line that would allow it.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, principal, action, .. } = self;
        match *rule {
            Lines::NAME => write!(f, "{principal} may not {action}: no line of the node's policy allows it"),
            _ => write!(
                f,
                "{principal} may not {action}: by the rule {rule:?} only the node's owner may, with a token from `bobbinet token \
                 mint` on the node's machine"
            ),
        }
    }
}

impl std::error::Error for Denied {}

/// Decides what callers may do. Quick and pure: it is asked before anything is read, and again with a call's arguments.
pub trait Rules: fmt::Debug + Send + Sync + 'static {
    /// Whether this caller may do this.
    ///
    /// # Errors
    /// The rule that says no, and what would be allowed.
    fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied>;

    /// The rule by which this caller may do nothing at all, if there is one.
    fn shuts_out(&self, caller: &Caller) -> Option<&'static str>;

    /// Whether what one caller may do another may not.
    fn tells_callers_apart(&self) -> bool {
        true
    }

    /// What lets this caller do this, for people: the place of a line, where lines decide.
    ///
    /// # Errors
    /// As [`Self::allows`].
    fn reason(&self, caller: &Caller, action: Action<'_>) -> Result<String, Denied> {
        self.allows(caller, action).map(|()| "a rule".to_owned())
    }
}

/// The rules of a node, which can be exchanged while it runs: a clone is the same policy. What they deny goes into the node's log, at most
/// so many times in a while.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Arc<RwLock<Arc<dyn Rules>>>,
    told: Arc<Told>,
    /// How often the rules were replaced.
    replaced: Arc<AtomicU64>,
}

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
        let why = format!("a line that would allow it: {}", lines::suggestion(caller, action));
        Err(Denied { why, ..Denied::new(Self::NAME, caller, action) })
    }

    fn shuts_out(&self, caller: &Caller) -> Option<&'static str> {
        (!caller.is_node_owner).then_some(Self::NAME)
    }

    /// Where only one may call, there is nobody to tell apart.
    fn tells_callers_apart(&self) -> bool {
        false
    }

    fn reason(&self, caller: &Caller, action: Action<'_>) -> Result<String, Denied> {
        self.allows(caller, action).map(|()| Self::NAME.to_owned())
    }
}

impl Policy {
    /// A policy of these rules.
    pub fn new(rules: impl Rules) -> Self {
        Self { rules: Arc::new(RwLock::new(Arc::new(rules))), told: Arc::default(), replaced: Arc::default() }
    }

    /// From now on, here and wherever there is a clone of this policy, the rules of the other one are asked.
    pub fn replace(&self, other: &Self) {
        let rules = other.rules();
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        self.replaced.fetch_add(1, Ordering::Release);
    }

    /// How often the rules were replaced: as long as it is the same, everybody may do what he could.
    pub fn generation(&self) -> u64 {
        self.replaced.load(Ordering::Acquire)
    }

    fn rules(&self) -> Arc<dyn Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The node's owner may do everything, anybody else nothing.
    pub fn owner_only() -> Self {
        Self::new(OwnerOnly)
    }

    /// The rule by which this caller may do nothing at all, if there is one.
    pub fn shuts_out(&self, caller: &Caller) -> Option<&'static str> {
        self.rules().shuts_out(caller)
    }

    /// Whether this caller may do this.
    ///
    /// # Errors
    /// The rule that says no, and what would be allowed.
    pub fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied> {
        self.rules().allows(caller, action).inspect_err(|denied| self.told.tell(caller, denied))
    }

    /// Whether callers other than the node's owner may do anything, so that what one may do another may not.
    pub fn tells_callers_apart(&self) -> bool {
        self.rules().tells_callers_apart()
    }

    /// The same for whoever tries the policy out: what it is that allows it, and nothing goes into the log.
    ///
    /// # Errors
    /// As [`Self::allows`].
    pub fn reason(&self, caller: &Caller, action: Action<'_>) -> Result<String, Denied> {
        self.rules().reason(caller, action)
    }
}
