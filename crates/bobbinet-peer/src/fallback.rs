//! Another agent of this node does the work, as the peer could not be reached and nothing was sent.

use std::sync::Arc;

use bobbinet_core::{AgentName, Artifact, Json, Message, MessageId, Outcome, Question, QuestionKind, State, Task};
use bobbinet_engine::{ChildError, EngineError, NewChild, Run, Unanswered};
use tracing::info;

use crate::{causes, checkpoint::Checkpoint, config::PeerConfig, fault, message};

/// What the run calls the task of the other agent.
const CHILD: &str = "fallback";

/// Has another agent do the work. Durable: a run that is taken up goes on with it, and not with the peer.
pub(crate) async fn carry_out(config: &PeerConfig, run: &Run, agent: &AgentName) -> Outcome {
    let earlier = run.checkpointed().and_then(Checkpoint::read).filter(|checkpoint| checkpoint.is_fallback);
    let is_new = earlier.is_none();
    let mut checkpoint = earlier.unwrap_or_else(|| Checkpoint { is_fallback: true, ..Checkpoint::default() });
    if is_new && let Err(error) = run.checkpoint(checkpoint.to_json()).await {
        let why = format!("nothing was sent, and {agent} could not be asked: {}", causes::in_full(&error));
        return Outcome::Failed(fault::of_peer(config, "peer-unreachable", &why));
    }
    info!(task = %run.task().id, peer = %config.name, %agent, "another agent stands in");
    let new = NewChild {
        name: CHILD.into(),
        agent: agent.clone(),
        message: Message {
            id: MessageId::parse(&format!("{}-via", run.key().replace('/', "-"))).expect("a UUID, a number, a word"),
            ..run.first_message().clone()
        },
        skill: run.call().skill.clone(),
        time: None,
        budget: None,
    };
    let failed = |why: &str| Outcome::Failed(fault::of_peer(config, "fallback-failed", why));
    let child = match run.begin_child(new).await {
        Ok(child) => child,
        Err(ChildError::Denied(denied)) => {
            return failed(&format!(
                "nothing was sent, and {agent}, which stands in, may not be asked: {}",
                denied.text
            ));
        }
        Err(error) => return failed(&format!("nothing was sent, and {agent}, which stands in, cannot: {error}")),
    };
    let task = loop {
        let task = match run.wait_for(&child).await {
            Ok(task) => task,
            Err(error) => return failed(&format!("{agent}, which stands in, was lost: {error}")),
        };
        let Some(asked) = task.question.as_deref().filter(|_| task.state.is_interrupted()) else { break task };
        let answer = match ask(config, run, agent, &mut checkpoint, (&task, asked)).await {
            Ok(answer) => message::handed_on(&answer),
            Err(outcome) => return outcome,
        };
        if let Err(error) = run.answer_child(&child, answer).await {
            return failed(&format!("{agent}, which stands in, does not take the answer: {error}"));
        }
        checkpoint.answered += 1;
    };
    let via = |message: &Arc<Message>| {
        Arc::new(Message {
            metadata: Some(message::with_via(message.metadata.as_ref(), agent.as_str())),
            ..(**message).clone()
        })
    };
    let artifacts = task.artifacts.iter().map(|artifact| {
        let metadata = Some(message::with_via(artifact.metadata.as_ref(), agent.as_str()));
        Arc::new(Artifact { metadata, ..(**artifact).clone() })
    });
    let message = task.status_message.as_ref().map(via);
    match task.state {
        State::Completed => Outcome::Completed { artifacts: artifacts.collect(), message },
        State::Failed | State::Canceled | State::Rejected => match message {
            Some(message) => Outcome::ToolError { artifacts: artifacts.collect(), message },
            None => failed(&format!("{agent}, which stands in, failed without a word")),
        },
        State::Submitted | State::Working | State::InputRequired | State::AuthRequired => {
            failed(&format!("{agent}, which stands in, asks something (task {}), and does not say what", task.id))
        }
    }
}

/// Asks our caller what the agent asks that stands in. An answer that was given while no run was there counts.
async fn ask(
    config: &PeerConfig,
    run: &Run,
    agent: &AgentName,
    checkpoint: &mut Checkpoint,
    (task, asked): (&Task, &Question),
) -> Result<Json, Outcome> {
    let name = asked.message.id.as_str();
    let kind = match task.state {
        State::AuthRequired => QuestionKind::Authorization,
        State::InputRequired
        | State::Submitted
        | State::Working
        | State::Completed
        | State::Failed
        | State::Canceled
        | State::Rejected => QuestionKind::Elicitation,
    };
    let message = message::with_origin((*asked.message).clone(), agent.as_str(), &task.id.to_string());
    let question = Question { kind, message: Arc::new(message), schema: asked.schema.clone() };
    if checkpoint.asking.as_deref() == Some(name)
        && run.task().answers.len() > checkpoint.answered
        && let Some(answer) = run.answer_to(&question.message.text(), question.schema.as_ref())
    {
        return Ok(answer);
    }
    checkpoint.asking = Some(name.to_owned());
    checkpoint.answered = checkpoint.answered.max(run.task().answers.len());
    let not_asked = |error: &EngineError| {
        let why = format!("what {agent} asks, which stands in, could not be asked: {}", causes::in_full(error));
        Outcome::Failed(fault::of_peer(config, "question-not-asked", &why))
    };
    run.checkpoint(checkpoint.to_json()).await.map_err(|error| not_asked(&error))?;
    run.ask(Arc::new(question)).await.map_err(|unanswered| match unanswered {
        // The question stays with our task, and with the one of the other agent; or ours is over, and that one is canceled with it.
        Unanswered::Expired | Unanswered::Over => Outcome::Declined,
        Unanswered::NotAsked(error) => not_asked(&error),
    })
}
