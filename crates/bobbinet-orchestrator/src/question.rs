//! Questions of a step's task, passed up to whoever asked for the flow, and the answers that go down.

use std::sync::Arc;

use bobbinet_core::{
    Fault, Json, Message, MessageId, Part, Question, QuestionKind, Refused, Role, State, Task, TaskId,
};
use bobbinet_engine::{ChildError, EngineError, Handle, Run};
use bobbinet_flow::run::Id;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tracing::debug;

use crate::{
    again::{LOOK_AGAIN, again},
    over::Over,
};

/// What a child asks, as a run records it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// The child.
    pub(crate) task: String,
    /// The message of the question.
    pub(crate) message_id: String,
    /// Which of the child's events it is: an agent may say all it asks under one message id.
    #[serde(default)]
    pub(crate) generation: u64,
    /// Whether the caller must authorise something elsewhere.
    pub(crate) is_authorization: bool,
    pub(crate) parts: Vec<Part>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<Value>,
}

impl Asked {
    /// What this task asks, if it does.
    pub(crate) fn by(task: &Task) -> Option<Self> {
        let question = task.question.as_ref()?;
        Some(Self {
            task: task.id.to_string(),
            message_id: question.message.id.as_str().to_owned(),
            generation: task.asked.0,
            is_authorization: task.state == State::AuthRequired,
            parts: question.message.parts.clone(),
            schema: question.schema.as_ref().map(Json::to_value),
        })
    }

    pub(crate) fn read(json: &Value) -> Option<Self> {
        serde_json::from_value(json.clone()).ok()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::to_value(self).expect("its maps have strings for keys")
    }

    /// The question of the flow's own task: the same, with where it comes from.
    pub(crate) fn question(&self, flow: &TaskId, call: Id, pointer: &str) -> Question {
        let mut message = Message::from_agent(self.question_id(flow, call), self.parts.clone());
        message.metadata = Some(Json::from(&json!({ "step": pointer, "task": self.task })));
        message.reference_tasks = vec![Arc::from(self.task.as_str())];
        let kind = if self.is_authorization { QuestionKind::Authorization } else { QuestionKind::Elicitation };
        Question { kind, message: Arc::new(message), schema: self.schema.as_ref().map(Json::from) }
    }

    /// The id of the message with which a flow asks what a child asks: the same for the run that goes on.
    pub(crate) fn question_id(&self, flow: &TaskId, call: Id) -> MessageId {
        self.id(flow, call, "ask")
    }

    /// The id of the message with which a child is answered: said twice, it counts once.
    pub(crate) fn answer_id(&self, flow: &TaskId, call: Id) -> MessageId {
        self.id(flow, call, "say")
    }

    fn id(&self, flow: &TaskId, call: Id, what: &str) -> MessageId {
        let hash = Sha256::digest(format!("{} {}", self.generation, self.message_id));
        let text = format!("{flow}-{what}-{}-{}", call.0, hex::encode(&hash[..8]));
        MessageId::parse(&text).expect("a UUID, a number and a hash are short and printable")
    }

    /// Whether this is the same question of the child.
    pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
        ["messageId", "generation"].iter().all(|member| one.get(member) == other.get(member))
    }
}

/// What came of giving a child its answer.
pub(crate) enum Said {
    /// It goes on.
    Heard(Handle),
    /// It has moved on by itself, or somebody else has answered it: what it comes to is waited for all the same.
    Moved,
    /// Policy does not let whoever asked for the flow answer so.
    Denied(Fault),
}

/// Asks the flow's caller what a child asks, unless that is asked already. With the id of the question.
pub(crate) async fn put(run: &Run, call: Id, pointer: &str, asked: &Asked) -> Result<MessageId, Over> {
    let flow = run.task().id;
    let id = asked.question_id(&flow, call);
    loop {
        let own = run.current().await?;
        let is_open = own.question.as_ref().is_some_and(|open| open.message.id == id);
        if is_open || own.answers.iter().any(|(asked, _)| asked.message.id == id) {
            return Ok(id);
        }
        if own.question.is_some() {
            // Of a call that asks something else by now.
            withdraw(run).await?;
        }
        match run.put_question(Arc::new(asked.question(&flow, call, pointer))).await {
            Ok(()) => return Ok(id),
            // Whoever is faster, or has ended the task, is seen with the next look.
            Err(EngineError::Refused(refused)) if !matches!(refused, Refused::Limit { .. }) => {
                run.unless_over(tokio::time::sleep(LOOK_AGAIN)).await?;
            }
            Err(error) => again(run, error).await?,
        }
    }
}

/// The flow's caller is not asked any more.
pub(crate) async fn withdraw(run: &Run) -> Result<(), Over> {
    loop {
        match run.withdraw_question().await {
            Ok(()) => return Ok(()),
            Err(EngineError::Refused(refused)) => {
                debug!(task = %run.task().id, %refused, "there is no question to withdraw");
                return Ok(());
            }
            Err(error) => again(run, error).await?,
        }
    }
}

/// Gives a child its answer.
pub(crate) async fn say(run: &Run, call: Id, child: &Handle, asked: &Asked, answer: &Value) -> Result<Said, Over> {
    let id = asked.answer_id(&run.task().id, call);
    loop {
        let message = answer_message(id.clone(), answer);
        match run.unless_over(run.answer_child(child, message)).await? {
            Ok(handle) => return Ok(Said::Heard(handle)),
            Err(ChildError::Engine(EngineError::Refused(refused))) => {
                debug!(child = %child.id(), %refused, "a child takes no answer");
                return Ok(Said::Moved);
            }
            Err(ChildError::Denied(fault)) => return Ok(Said::Denied(fault)),
            Err(ChildError::Engine(error)) => again(run, error).await?,
            Err(ChildError::Over) => return Err(Over::Lost),
        }
    }
}

/// An answer, as it is kept: the parts of the message.
pub(crate) fn answer(message: &Message) -> Json {
    Json::of(&message.parts)
}

/// The message that brings an answer to a child.
fn answer_message(id: MessageId, answer: &Value) -> Message {
    let parts = serde_json::from_value(answer.clone()).ok().filter(|parts: &Vec<Part>| !parts.is_empty());
    Message {
        id,
        role: Role::User,
        parts: parts.unwrap_or_else(|| vec![Part::data(Json::from(answer))]),
        metadata: None,
        extensions: Vec::new(),
        reference_tasks: Vec::new(),
    }
}
