//! An agent made with the official Rust SDK (`a2a-server-lf`): joins words to a text.
//!
//!     joiner PORT

use std::sync::Arc;

use a2a::{
    A2AError, AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Artifact, Message, Part, PartContent, StreamResponse, Task,
    TaskArtifactUpdateEvent, TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use a2a_server::{
    AgentExecutor, DefaultRequestHandler, ExecutorContext, InMemoryTaskStore, StaticAgentCard,
    agent_card::agent_card_router, jsonrpc::jsonrpc_router,
};
use futures::stream::{self, BoxStream, StreamExt};

struct Joiner;

impl AgentExecutor for Joiner {
    fn execute(&self, ctx: ExecutorContext) -> BoxStream<'static, Result<StreamResponse, A2AError>> {
        let (task_id, context_id) = ctx.task_info();
        let text = ctx.message.as_ref().map(joined).unwrap_or_default();
        let status = |state| TaskStatus { state, message: None, timestamp: Some(chrono::Utc::now()) };
        let update = |state| {
            StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
                task_id: task_id.clone(),
                context_id: context_id.clone(),
                status: status(state),
                metadata: None,
            })
        };
        let submitted = StreamResponse::Task(Task {
            id: task_id.clone(),
            context_id: context_id.clone(),
            status: status(TaskState::Submitted),
            artifacts: None,
            history: ctx.message.map(|message| vec![message]),
            metadata: None,
        });
        let artifact = StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: task_id.clone(),
            context_id: context_id.clone(),
            artifact: Artifact {
                artifact_id: "joined".into(),
                name: None,
                description: None,
                parts: vec![Part::text(text)],
                metadata: None,
                extensions: None,
            },
            append: None,
            last_chunk: Some(true),
            metadata: None,
        });
        let events = [submitted, update(TaskState::Working), artifact, update(TaskState::Completed)];
        stream::iter(events.map(Ok)).boxed()
    }

    fn cancel(&self, _: ExecutorContext) -> BoxStream<'static, Result<StreamResponse, A2AError>> {
        stream::empty().boxed()
    }
}

/// The words of the message's data, with commas and an "and".
fn joined(message: &Message) -> String {
    let words = message.parts.iter().find_map(|part| match &part.content {
        PartContent::Data(data) => data["words"].as_array(),
        PartContent::Text(_) | PartContent::Raw(_) | PartContent::Url(_) => None,
    });
    let words: Vec<&str> = words.into_iter().flatten().filter_map(|word| word.as_str()).collect();
    match words.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        words => words.concat(),
    }
}

fn card(url: String) -> AgentCard {
    AgentCard {
        name: "joiner".into(),
        description: "Joins words to a text.".into(),
        version: "1.0.0".into(),
        supported_interfaces: vec![AgentInterface::new(url, "JSONRPC")],
        capabilities: AgentCapabilities { streaming: Some(true), ..AgentCapabilities::default() },
        default_input_modes: vec!["application/json".into()],
        default_output_modes: vec!["text/plain".into()],
        skills: vec![AgentSkill {
            id: "join".into(),
            name: "join".into(),
            description: "Joins words to a text.".into(),
            tags: vec!["text".into()],
            examples: None,
            input_modes: None,
            output_modes: None,
            security_requirements: None,
        }],
        provider: None,
        documentation_url: None,
        icon_url: None,
        security_schemes: None,
        security_requirements: None,
        signatures: None,
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let card = card(url.clone());
    let handler =
        DefaultRequestHandler::new(Joiner, InMemoryTaskStore::new()).with_capabilities(card.capabilities.clone());
    let app = jsonrpc_router(Arc::new(handler)).merge(agent_card_router(Arc::new(StaticAgentCard::new(card))));
    axum::serve(listener, app).await
}
