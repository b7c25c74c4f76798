//! A node's policy: lines that allow, in CEL. What no line allows is denied, and the node's owner may do everything.
//!
//! A line is asked for each operation:
//!
//! | variable | is |
//! |---|---|
//! | `caller.principal`, `.issuer`, `.tenant` | texts; `issuer` is the `iss` of the token |
//! | `caller.claims` | all that the token says |
//! | `caller.scopes`, `.chain` | lists of texts |
//! | `agent` | the agent's name; an event has none, and it is not known then |
//! | `operation` | `send`, `call`, `get`, `list`, `cancel`, `subscribe` or `upload`; of events `events.publish` and `events.listen` |
//! | `skill` | what is to be called; `null` if the agent has no skills; not known but of a call |
//! | `arguments` | of the call; the attributes and data of an event |
//!
//! **A call decides about itself.** Only a call has a skill and arguments, and they are known once the message is planned. A message is
//! therefore asked about twice: as `send` when it comes, and as `call` when it is known what it calls, before anything is kept. The
//! first question may not deny what the second would allow, and the second decides. So:
//!
//! - For a `call`, a line allows it if it is true, and then only.
//! - For all else, `skill` and `arguments` are not known. A line that is true without them allows; one that turns on them says
//!   *perhaps*, and perhaps is enough: what a caller may call, he may send, and follow, read and cancel what came of it, which
//!   is his own. To say otherwise, name the operation: `operation == 'call' && skill == 'sign'` allows the call and no look at it.
//! - For a `send` a line is also asked as it will be for the `call`, so that `operation == 'call'` need not be said in two ways. A line
//!   that is true for `send` alone lets messages in that come to a question or a rejection, and no call.
//!
//! - A flow that came in a message says beforehand what its steps will call. Of those calls the skill is known, and of the arguments an
//!   address at the most: a line that turns on the rest says *perhaps*, and the call is asked about when it is made.
//!
//! **An event decides about itself, too**: `operation == 'events.publish' && arguments.type.startsWith('com.acme.')`. It is known whole
//! when it comes, and has no agent and no skill: a line that turns on either allows nothing of it, and neither does one with `on`. A flow sends events, and hears those
//! of its tenant (`events.listen`, which has no arguments), by the rights of whoever it runs for, as it calls by them.
//!
//! **An error allows nothing.** A line that fails (a claim that is not there, arguments that are too large) is as if it were false, and
//! the log has it; the other lines are asked all the same, since each of them only allows. What CEL itself makes of errors stands:
//! `a || b` is true if either is.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bobbinet_core::Caller;
use cel::Env;

use super::{
    Action, COST_MAX, Denied, PolicyLine, Rules,
    facts::{Facts, FactsOf, Wanted},
    line::Answer,
};

/// Lines of a policy.
pub const LINES_MAX: usize = 500;

/// Steps that all lines may take together.
const COST_OF_ALL_MAX: u64 = 5 * COST_MAX;

/// Lines whose faults are told in one denial.
const FAULTS_MAX: usize = 4;

/// The lines of a node's policy.
pub struct Lines {
    env: Arc<Env>,
    lines: Vec<PolicyLine>,
    wanted: Wanted,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.lines).finish()
    }
}

/// What one line says of an operation.
enum Word {
    Allows,
    Silent,
    Fault(String),
}

impl Lines {
    /// What callers are told decided, if no line allows what they want.
    pub(super) const NAME: &'static str = "policy";

    /// A policy of these lines.
    ///
    /// # Errors
    /// If there are too many of them, or all of them together could take too long.
    pub fn new(lines: Vec<PolicyLine>) -> Result<Self, String> {
        if lines.len() > LINES_MAX {
            return Err(format!("a policy has {LINES_MAX} lines at most, and here are {}", lines.len()));
        }
        let cost: u64 = lines.iter().map(PolicyLine::cost).sum();
        if cost > COST_OF_ALL_MAX {
            return Err(format!("all lines together could take {cost} steps, and {COST_OF_ALL_MAX} are allowed"));
        }
        let mut wanted = Wanted::Members(BTreeSet::new());
        lines.iter().for_each(|line| wanted.also(line.wanted()));
        Ok(Self { env: Arc::new(Env::stdlib()), lines, wanted })
    }

    fn ask(&self, line: &PolicyLine, facts: &Facts<'_>, action: Action<'_>) -> Word {
        let ask = |operation| line.ask(&self.env, &FactsOf { facts, operation });
        // Of these all is known.
        let is_whole = matches!(action, Action::Call(..) | Action::Publish(_) | Action::Listen);
        let word = |answer| match answer {
            Answer::Yes => Word::Allows,
            Answer::No => Word::Silent,
            // It turns on what is not known yet, or fails for a reason of its own; which of the two, the call will say.
            Answer::Fault(_) if line.found.is_about_call && !is_whole => Word::Allows,
            Answer::Fault(why) => Word::Fault(why),
        };
        match (word(ask(action.operation())), action) {
            (Word::Silent | Word::Fault(_), Action::Send(_)) if line.found.is_about_operation => word(ask("call")),
            (word, _) => word,
        }
    }
}

impl Lines {
    /// The line that allows it; none is needed for the node's owner.
    fn line(&self, caller: &Caller, action: Action<'_>) -> Result<Option<&PolicyLine>, Denied> {
        if caller.is_node_owner {
            return Ok(None);
        }
        let facts = Facts::new(caller, action, &self.wanted);
        let mut faults = Vec::new();
        for line in self.lines.iter().filter(|line| line.is_on(action.agent())) {
            match self.ask(line, &facts, action) {
                Word::Allows => {
                    tracing::debug!(principal = %caller.principal, %action, line = line.place(), "allowed");
                    return Ok(Some(line));
                }
                Word::Silent => {}
                Word::Fault(why) if faults.len() < FAULTS_MAX => faults.push(format!("{}: {why}", line.place())),
                Word::Fault(_) => {}
            }
        }
        let failed = match faults.is_empty() {
            true => String::new(),
            false => format!(" (failed: {})", faults.join("; ")),
        };
        let why = format!("no line allows it{failed}; this one would: {}", suggestion(caller, action));
        Err(Denied { why, ..Denied::new(Self::NAME, caller, action) })
    }
}

impl Rules for Lines {
    fn allows(&self, caller: &Caller, action: Action<'_>) -> Result<(), Denied> {
        self.line(caller, action).map(drop)
    }

    fn reason(&self, caller: &Caller, action: Action<'_>) -> Result<String, Denied> {
        Ok(self.line(caller, action)?.map_or_else(|| "the node's owner".to_owned(), |line| line.place().to_owned()))
    }

    fn shuts_out(&self, caller: &Caller) -> Option<&'static str> {
        (self.lines.is_empty() && !caller.is_node_owner).then_some(Self::NAME)
    }
}

/// A line that would allow this, as it would stand in a `bobbinet.yaml`.
pub(super) fn suggestion(caller: &Caller, action: Action<'_>) -> String {
    let principal = format!("caller.principal == {}", literal(caller.principal.as_str()));
    let allow = match action {
        Action::Send(_) => principal,
        Action::Call(_, call) | Action::Plan(_, call) => match &call.skill {
            Some(skill) => format!("{principal} && skill == {}", literal(skill.as_str())),
            None => principal,
        },
        Action::Get(_) | Action::List(_) | Action::Cancel(_) | Action::Subscribe(_) | Action::Upload(_) => {
            format!("{principal} && operation == '{}'", action.operation())
        }
        Action::Listen => format!("{principal} && operation == '{}'", action.operation()),
        Action::Publish(event) => {
            let kind = event.to_value().get("type").and_then(serde_json::Value::as_str).map(literal);
            let kind = kind.map(|kind| format!(" && arguments.type == {kind}")).unwrap_or_default();
            format!("{principal} && operation == '{}'{kind}", action.operation())
        }
    };
    let quoted = allow.replace('\\', r"\\").replace('"', "\\\"");
    match action.agent() {
        Some(agent) => format!("- {{ allow: \"{quoted}\", on: {agent} }}"),
        None => format!("- {{ allow: \"{quoted}\" }}"),
    }
}

/// A text as CEL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}
