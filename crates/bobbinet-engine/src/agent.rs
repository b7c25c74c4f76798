//! What the engine runs: anything that can plan a message and carry out a call.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{Call, Description, Fault, Json, Message, MessageId, Outcome, Plan, Question, SkillId, Task};

use crate::{call_log::CallLog, lanes::Lane, offers::Offers, run::Run};

/// An agent: a wrapped MCP server, a flow, a handler.
#[async_trait]
pub trait Agent: fmt::Debug + Send + Sync + 'static {
    /// What its card says, as of now.
    fn describe(&self) -> Arc<Description>;

    /// What it offers beside: resources and prompts.
    fn offers(&self) -> Arc<Offers> {
        Arc::default()
    }

    /// Proposes values for an argument of a prompt or of a template that it offers, as MCP has it: the parameters of `completion/complete`
    /// come in, its `completion` goes out. Safe to drop.
    ///
    /// # Errors
    /// What went wrong, for whoever is typing.
    async fn complete(&self, params: &Json) -> Result<Json, Fault> {
        let _ = params;
        Ok(Json::from(&serde_json::json!({"values": []})))
    }

    /// What to make of a message. Pure and quick: no I/O, no waiting; it reads only what the agent has cached. An agent that does
    /// not know yet what can be called says [`Plan::Defer`]: it is asked again when it is [`ready_to_plan`](Agent::ready_to_plan).
    fn prepare(&self, request: &Request<'_>) -> Plan;

    /// Returns when a message can be planned. Safe to drop.
    ///
    /// # Errors
    /// Why not, once a call would not have been waited for any longer: tasks whose plan was deferred fail with that.
    async fn ready_to_plan(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// How many calls it takes at a time. A task beyond that waits, submitted.
    fn max_concurrency(&self) -> usize;

    /// What this call keeps for itself while it runs. `None`: it runs beside all others. Pure and quick.
    fn lane(&self, call: &Call) -> Option<Lane> {
        let _ = call;
        None
    }

    /// How many calls may wait for their lanes. One more is refused.
    fn lane_queue_max(&self) -> usize {
        usize::MAX
    }

    /// Whether it can take calls now, and why not if it cannot. For `/readyz`; tasks are accepted all the same.
    fn ready(&self) -> Result<(), String>;

    /// Whether a call could begin now. While it could not, tasks wait as submitted.
    fn takes_calls(&self) -> bool {
        true
    }

    /// Whether it could take calls at any time since the node was started. One that never could may be set up wrongly, and a
    /// node that has no other agent is of no use yet.
    fn has_started(&self) -> bool {
        true
    }

    /// Whether it is on its way for the first time: what it can do is not known yet, and may be in a moment.
    fn is_starting(&self) -> bool {
        false
    }

    /// Returns when it is not starting any more, after `patience` at the latest. Safe to drop.
    async fn started(&self, patience: Duration) {
        let _ = patience;
    }

    /// Whether its runs begin tasks of other agents ([`Run::begin_child`]): then who asks is kept with its tasks, as policy is asked
    /// about each of those.
    fn begins_tasks(&self) -> bool {
        false
    }

    /// Where those listen who wait for one of its calls and want to hear what its server says for a log meanwhile, if there is such a server.
    fn call_log(&self) -> Option<&Arc<CallLog>> {
        None
    }

    /// Whether it is an MCP server, whose requests its questions have in the words of MCP: no other agent borrows a host's model by a
    /// question that looks like that.
    fn asks_in_mcp(&self) -> bool {
        false
    }

    /// Whether only runs can call it: it stands on no card and at no URL. Its tasks are found at every agent's.
    fn is_internal(&self) -> bool {
        false
    }

    /// Carries out one call. Its intent is durable; what this returns becomes the task's outcome in one commit.
    ///
    /// The future is dropped when the run's time is up, when the node stops, or [`Run::canceled`] and its grace have
    /// passed: the agent must then tell the other side to stop.
    async fn run(&self, run: Run) -> Outcome;

    /// Ends everything the agent has started. Returns when it has ended.
    async fn shutdown(&self);
}

/// A message to be planned.
#[derive(Debug)]
pub struct Request<'a> {
    /// The message that is to be planned.
    pub message: &'a Message,
    /// The skill that the caller's URL named, if it did.
    pub skill: Option<&'a SkillId>,
    /// The task it belongs to, if it is an answer: with its history and its open question.
    pub task: Option<&'a Task>,
    /// An id for the message of a question, if the plan is to ask one.
    pub question_id: MessageId,
}

impl Request<'_> {
    /// The question that the message answers, if it does.
    pub fn question(&self) -> Option<&Question> {
        self.task.and_then(|task| task.question.as_deref())
    }
}
