//! One agent calls another, whose MCP server is a task at the other end of a pipe in memory: no process, no network, no disk.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Caller, Description, Effect, Fault, Json, Limits, Message, MessageId,
    Outcome, Part, Plan, Principal, Role, State, Task, Tenant,
};
use bobbinet_engine::{Agent, AllowAll, Engine, NewChild, NewTask, Request, Run, Setup, SystemEnv};
use bobbinet_store::MemoryStore;
use tokio_util::task::TaskTracker;

use crate::{McpAgent, config::McpConfig, transport::memory::MemoryTransport};

fn name(text: &str) -> AgentName {
    AgentName::parse(text).unwrap()
}

fn text_of(task: &Task) -> &str {
    task.artifacts[0].parts[0].as_text().unwrap()
}

/// Has `echo` say it, and says it with more words.
#[derive(Debug)]
struct Enhancer;

impl Enhancer {
    async fn enhance(run: &Run) -> Option<String> {
        let call = Json::from(&serde_json::json!({"skill": "echo", "arguments": {"text": run.message().text()}}));
        let message =
            Message { role: Role::User, ..Message::from_agent(run.message_id("ask"), vec![Part::data(call)]) };
        let child =
            NewChild { name: "ask".into(), agent: name("echo"), message, skill: None, time: None, budget: None };
        let child = run.begin_child(child).await.ok()?;
        let task = run.wait_for(&child).await.ok()?;
        (task.state == State::Completed).then(|| format!("[Enhanced] {}", text_of(&task)))
    }
}

#[async_trait]
impl Agent for Enhancer {
    fn describe(&self) -> Arc<Description> {
        Arc::default()
    }

    fn prepare(&self, _: &Request<'_>) -> Plan {
        Plan::Call(Arc::new(Call::of_message(Effect::Idempotent)))
    }

    fn begins_tasks(&self) -> bool {
        true
    }

    fn max_concurrency(&self) -> usize {
        1
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        match Self::enhance(&run).await {
            Some(text) => {
                let id = ArtifactId::parse("enhanced").unwrap();
                Outcome::Completed {
                    artifacts: vec![Arc::new(Artifact::new(id, vec![Part::text(text)]))],
                    message: None,
                }
            }
            None => Outcome::Failed(Fault::new("no-echo", "there is no echo")),
        }
    }

    async fn shutdown(&self) {}
}

#[tokio::test]
async fn chain_echo() {
    let folder = tempfile::tempdir().unwrap();
    let config = Arc::new(McpConfig::new("echo", "", &[]));
    let transport = Arc::new(MemoryTransport::default());
    let echo = McpAgent::over(config, vec![transport], folder.path().to_owned(), TaskTracker::new());
    echo.wait_ready(Duration::from_secs(10)).await.unwrap();
    let agents: BTreeMap<AgentName, Arc<dyn Agent>> =
        [(name("echo"), echo.clone() as Arc<dyn Agent>), (name("enhancer"), Arc::new(Enhancer))].into();
    let (store, env) = (Arc::new(MemoryStore::new()), Arc::new(SystemEnv));
    let setup = Setup { store, agents, env, limits: Limits::default(), authorizer: Arc::new(AllowAll) };
    let engine = Engine::open(setup).await.unwrap();
    let caller = Caller::new(Principal::parse("ann").unwrap(), Tenant::parse("main").unwrap());
    let parts = vec![Part::text("Hello MCP!")];
    let message = Message { role: Role::User, ..Message::from_agent(MessageId::parse("m").unwrap(), parts) };
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
    let task = engine.submit(&caller, &name("enhancer"), new).unwrap().settled().await.unwrap();
    assert_eq!((task.state, text_of(&task)), (State::Completed, "[Enhanced] Echo: Hello MCP!"));
    engine.shutdown(Duration::ZERO).await;
    echo.shutdown().await;
}
