//! Another agent of this node does the work, as the peer could not be reached and nothing was sent.

use std::sync::Arc;

use bobbinet_core::{AgentName, Artifact, Message, MessageId, Outcome, State};
use bobbinet_engine::{ChildError, NewChild, Run};
use tracing::info;

use crate::{causes, checkpoint::Checkpoint, config::PeerConfig, fault, message};

/// What the run calls the task of the other agent.
const CHILD: &str = "fallback";

/// Has another agent do the work. Durable: a run that is taken up goes on with it, and not with the peer.
pub(crate) async fn carry_out(config: &PeerConfig, run: &Run, agent: &AgentName) -> Outcome {
    let checkpoint = Checkpoint { is_fallback: true, ..Checkpoint::default() };
    if let Err(error) = run.checkpoint(checkpoint.to_json()).await {
        let why = format!("nothing was sent, and {agent} could not be asked: {}", causes::in_full(&error));
        return Outcome::Failed(fault::of_peer(config, "peer-unreachable", &why));
    }
    info!(task = %run.task().id, peer = %config.name, %agent, "another agent stands in");
    let new = NewChild {
        name: CHILD.into(),
        agent: agent.clone(),
        message: Message {
            id: MessageId::parse(&format!("{}-via", run.key().replace('/', "-"))).expect("a UUID, a number, a word"),
            ..run.message().clone()
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
    let task = match run.wait_for(&child).await {
        Ok(task) => task,
        Err(error) => return failed(&format!("{agent}, which stands in, was lost: {error}")),
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
            failed(&format!("{agent}, which stands in, asks something (task {}); call it yourself", task.id))
        }
    }
}
