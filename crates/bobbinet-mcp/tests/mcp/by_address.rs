//! `call: mcp` of flows: servers that are no agents, called by their address or their command.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{Description, Limits, Outcome, Plan, TaskId};
use bobbinet_engine::{Agent, AllowAll, Engine, NewTask, Request, Run, Setup, SystemEnv};
use bobbinet_mcp::{McpCallAgent, ServerCredentials};
use bobbinet_store::MemoryStore;
use serde_json::{Value, json};

use crate::{
    lab::{caller_named, guard, launcher, name_of, say, settled, view},
    pinned::describe,
};

/// The same agent, as one that everybody can call.
#[derive(Debug)]
struct Open(Arc<McpCallAgent>);

#[async_trait]
impl Agent for Open {
    fn describe(&self) -> Arc<Description> {
        self.0.describe()
    }
    fn prepare(&self, request: &Request<'_>) -> Plan {
        self.0.prepare(request)
    }
    fn max_concurrency(&self) -> usize {
        self.0.max_concurrency()
    }
    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }
    async fn run(&self, run: Run) -> Outcome {
        self.0.run(run).await
    }
    async fn shutdown(&self) {
        self.0.shutdown().await;
    }
}

struct Nobody;

#[async_trait]
impl ServerCredentials for Nobody {
    async fn of(&self, _flow: TaskId, _call: u64) -> Option<Arc<Value>> {
        None
    }
}

struct Node {
    engine: Engine,
    folder: tempfile::TempDir,
}

impl Node {
    async fn new(starts_commands: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        describe(folder.path(), &[("look", "Looks."), ("put", "Puts.")]);
        let launcher = starts_commands.then(launcher);
        let agent = McpCallAgent::new(guard(), launcher, Arc::new(Nobody), folder.path().join("servers"));
        assert!(agent.is_internal());
        let agents = BTreeMap::from([(name_of("call-mcp"), Arc::new(Open(agent)) as Arc<dyn Agent>)]);
        let limits = Limits { run_limit_ms: 20_000, ..Limits::default() };
        let (store, env) = (Arc::new(MemoryStore::new()), Arc::new(SystemEnv));
        let engine = Engine::open(Setup { store, agents, env, limits, authorizer: Arc::new(AllowAll) }).await.unwrap();
        Self { engine, folder }
    }

    async fn call(&self, who: &str, request: Value) -> String {
        let message = say(&format!("data:{request}"));
        let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
        let handle = self.engine.submit(&caller_named(who), &name_of("call-mcp"), new).unwrap();
        let task = settled(&handle).await;
        let words = task.status_message.as_ref().map(|message| message.text()).unwrap_or_default();
        format!("{} {words}", view(&task))
    }

    fn request(&self, method: &str, parameters: Value) -> Value {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/changing_server.py");
        let arguments = [script, "changing", self.folder.path().to_str().unwrap()];
        json!({"method": method, "with": {
            "parameters": parameters, "stdio": {"command": "python3", "arguments": arguments, "environment": {"N": 1}}
        }})
    }

    fn servers(&self) -> usize {
        let folders = fs::read_dir(self.folder.path().join("servers")).unwrap();
        folders.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir())).count()
    }

    async fn close(self) {
        self.engine.shutdown(std::time::Duration::from_millis(100)).await;
        assert!(
            !Path::new(&self.folder.path().join("servers")).exists() || self.servers() == 0,
            "nothing is left of them"
        );
    }
}

#[tokio::test]
async fn a_server_is_started_for_a_call_and_gives_its_result_as_it_is() {
    let node = Node::new(true).await;
    let look = node.request("tools/call", json!({"name": "look", "arguments": {"a": 1}}));
    let told = node.call("ann", look.clone()).await;
    assert!(told.starts_with(r#"completed: {"content": [{"type": "text", "text": "did look"}]}"#), "{told}");
    let told = node.call("ann", node.request("tools/list", json!({}))).await;
    assert!(told.contains(r#""name": "look""#) && told.contains(r#""name": "put""#), "{told}");
    assert_eq!(node.servers(), 1, "it is held for the next call");
    tokio::join!(node.call("bob", look.clone()), node.call("bob", look.clone()), node.call("bob", look));
    assert_eq!(node.servers(), 2, "one for nobody else's, however many come at once");
    assert_eq!(fs::read_to_string(node.folder.path().join("calls")).unwrap().lines().count(), 4);
    let told = node.call("ann", node.request("prompts/get", json!({"name": "x"}))).await;
    assert!(told.starts_with("rejected: unknown-skill"), "{told}");
    fs::write(
        node.folder.path().join("answer.json"),
        r#"{"content":[{"type":"text","text":"no such thing"}],"isError":true}"#,
    )
    .unwrap();
    let told = node.call("ann", node.request("tools/call", json!({"name": "look"}))).await;
    assert!(told.starts_with("failed: no such thing"), "a tool that fails is an error: {told}");
    node.close().await;
}

#[tokio::test]
async fn what_is_no_call_or_is_not_allowed_is_refused() {
    let node = Node::new(false).await;
    let check = async |request: Value, expected: &str| {
        let told = node.call("ann", request.clone()).await;
        assert!(told.contains(expected), "{request}: {told}");
    };
    check(node.request("tools/list", json!({})), "failed: denied").await;
    check(json!({"with": {}}), "rejected: bad-arguments").await;
    check(json!({"method": "tools/list", "with": {}}), "failed: bad-arguments").await;
    check(json!({"method": "tools/list", "uri": "ftp://x", "with": {}}), "failed: denied").await;
    check(json!({"method": "tools/list", "uri": "http://10.0.0.1/mcp", "with": {}}), "failed: ").await;
    check(json!({"method": "ping", "uri": "http://127.0.0.1:9/mcp", "with": {}}), "failed: bad-arguments").await;
    check(
        json!({"method": "tools/call", "uri": "http://127.0.0.1:9/mcp", "with": {"parameters": {}}}),
        "failed: bad-arguments",
    )
    .await;
    check(
        json!({"method": "tools/list", "uri": "http://127.0.0.1:9/mcp", "with": {}, "authenticated": 1}),
        "failed: server-unauthorized",
    )
    .await;
    // Nobody is there: that is told, and not waited for until the time of the run is up.
    let begun = std::time::Instant::now();
    check(json!({"method": "tools/list", "uri": "http://127.0.0.1:9/mcp", "with": {}}), "failed: server-unavailable")
        .await;
    assert!(begun.elapsed().as_secs() < 15);
    node.engine.shutdown(std::time::Duration::from_millis(100)).await;
}
