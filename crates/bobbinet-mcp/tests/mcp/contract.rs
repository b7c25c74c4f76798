//! Results that break the schema which their tool declares.

use std::{collections::BTreeMap, sync::Arc};

use bobbinet_core::{AgentName, Caller, Effect, Message, Part, State, Task, TaskId};
use bobbinet_engine::{
    Agent, AllowAll, BlobFault, BlobHash, BlobPlace, BlobUrls, Engine, EngineError, NewTask, Setup, SystemEnv,
    TaskBlobs,
};
use bobbinet_mcp::McpAgent;
use bobbinet_store::{
    MemoryStore,
    blobs::{BlobLimits, Blobs},
};
use serde_json::{Value, json};

use crate::lab::{Lab, PATIENCE, caller, caller_named, config, guard, launcher, limits, name_of, say, settled, view};

const ORIGIN: &str = "http://node.example/";

#[derive(Debug)]
struct Urls;

impl BlobUrls for Urls {
    fn url(&self, _: &AgentName, place: &BlobPlace) -> String {
        match place {
            BlobPlace::Task(task, hash) => format!("{ORIGIN}tasks/{task}/blobs/{hash}"),
            BlobPlace::Upload(_, id) => format!("{ORIGIN}blobs/{id}"),
        }
    }

    fn place(&self, url: &str) -> Option<BlobPlace> {
        let (task, hash) = url.strip_prefix(ORIGIN)?.strip_prefix("tasks/")?.split_once("/blobs/")?;
        Some(BlobPlace::Task(TaskId::parse(task)?, BlobHash::parse(hash)?))
    }

    fn is_here(&self, url: &str) -> bool {
        url.starts_with(ORIGIN)
    }

    fn moved(&self, url: &str) -> Option<String> {
        Some(url.to_owned())
    }
}

/// A node that keeps blobs, with the server whose `do` says of `n` what it is told, and promises a number.
async fn node(effect: Effect) -> (Engine, Arc<McpAgent>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("liar", folder.path());
    config.effects.insert("do".to_owned(), effect);
    let agent = McpAgent::start(config, launcher(), &guard(), folder.path().join("agent"));
    agent.wait_ready(PATIENCE).await.unwrap();
    let setup = Setup {
        store: Arc::new(MemoryStore::new()),
        agents: BTreeMap::from([(name_of("liar"), agent.clone() as Arc<dyn Agent>)]),
        env: Arc::new(SystemEnv),
        limits: limits(),
        authorizer: Arc::new(AllowAll),
    };
    let blobs = TaskBlobs::new(Blobs::in_memory(BlobLimits::default()), Arc::new(Urls));
    (Engine::open_with_blobs(setup, blobs).await.unwrap(), agent, folder)
}

async fn send(engine: &Engine, message: Message) -> Arc<Task> {
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
    settled(&engine.submit(&caller(), &name_of("liar"), new).unwrap()).await
}

fn told(task: &Task) -> (String, Value) {
    let said = task.status_message.as_ref().unwrap();
    (said.text(), said.data().unwrap().to_value())
}

#[tokio::test]
async fn a_result_that_breaks_its_schema_fails_its_task_and_is_kept_for_its_owner() {
    for effect in [Effect::ReadOnly, Effect::AtMostOnce] {
        let (engine, agent, _folder) = node(effect).await;
        let good = send(&engine, say(r#"data:{"skill":"do","arguments":{"n":1.5}}"#)).await;
        assert_eq!(view(&good), r#"completed: {"n": 1.5} ignore the schema"#);
        let task = send(&engine, say(r#"data:{"skill":"do","arguments":{"n":"one"}}"#)).await;
        assert_eq!((view(&task).as_str(), task.artifacts.len()), ("failed: contract", 0), "{effect:?}");
        let (words, data) = told(&task);
        let details = &data["details"];
        assert_eq!(details["errors"][0]["path"], "/n", "{data}");
        let (url, hash) = (details["result"]["url"].as_str().unwrap(), details["result"]["sha256"].as_str().unwrap());
        assert!(words.contains("`do`") && words.contains("/n: ") && words.contains(url), "{words}");
        assert!(!format!("{task:?}").contains("ignore the schema"), "nothing of it is in the task");

        // Its owner has it as it came, and nobody else has anything.
        let hash = BlobHash::parse(hash).unwrap();
        let blob = engine.blob(&caller(), &name_of("liar"), &task.id, hash).await.unwrap();
        assert!(blob.is_quarantined);
        let raw: Value = serde_json::from_slice(&blob.reader.read_whole(u64::MAX).await.unwrap()).unwrap();
        let content = json!([{"type": "text", "text": "ignore the schema"}]);
        assert_eq!(raw, json!({"content": content, "structuredContent": {"n": "one"}}));
        let bob = Caller { is_node_owner: false, ..caller_named("bob") };
        let stranger = engine.blob(&bob, &name_of("liar"), &task.id, hash).await;
        assert_eq!(stranger.unwrap_err(), BlobFault::Task(EngineError::NotFound));

        // Nor is it what another call is given.
        let mut message = say(r#"data:{"skill":"echo","arguments":{}}"#);
        message.parts.push(Part::url(url));
        assert_eq!(view(&send(&engine, message).await), "rejected: quarantined");
        agent.shutdown().await;
    }
}

#[tokio::test]
async fn where_nothing_is_kept_beside_tasks_the_failure_says_so() {
    let lab = Lab::new(&["liar"]).await.ready().await;
    let task = lab.send("liar", say(r#"data:{"skill":"do","arguments":{"n":null}}"#)).await;
    assert_eq!((task.state, view(&task).as_str()), (State::Failed, "failed: contract"));
    let (words, data) = told(&task);
    assert!(words.contains("is not kept") && data["details"].get("result").is_none(), "{words} {data}");
    lab.close().await;
}
