//! Tasks of an agent that the node has no longer: they are at its old URL, and at those of the other agents.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_auth::{NODE_OWNER, NODE_TENANT};
use bobbinet_core::{AgentName, Caller, Limits, Message, MessageId, Part, Principal, Role, Tenant};
use bobbinet_engine::{Agent, AllowAll, Engine, Env, NewTask, Setup, SystemEnv};
use bobbinet_store::MemoryStore;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    node::{Form, Node, message, reply, whole},
    worker::Worker,
};

/// A store with one task that asks, of agent `gone`.
async fn store() -> (Arc<MemoryStore>, Value) {
    let (store, gone) = (Arc::new(MemoryStore::new()), AgentName::parse("gone").unwrap());
    let agents = BTreeMap::from([(gone.clone(), Arc::new(Worker::new()) as Arc<dyn Agent>)]);
    let setup = Setup {
        store: store.clone(),
        agents,
        env: Arc::new(SystemEnv),
        limits: Limits::default(),
        authorizer: Arc::new(AllowAll),
    };
    let engine = Engine::open(setup).await.unwrap();
    let caller = Caller {
        principal: Principal::parse(NODE_OWNER).unwrap(),
        tenant: Tenant::parse(NODE_TENANT).unwrap(),
        is_node_owner: true,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    };
    let asks = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text("ask")]);
    let message = Message { role: Role::User, ..asks };
    let new = NewTask { message, context: None, skill: None, trace: None, idempotency: None };
    let id = engine.submit(&caller, &gone, new).unwrap().accepted().await.unwrap().id;
    engine.shutdown(Duration::ZERO).await;
    (store, json!({ "id": id.to_string() }))
}

#[tokio::test]
async fn a_task_outlives_its_agent_and_its_owner_finds_it() {
    let (store, task) = store().await;
    let node = Node::with(Form { is_root: false, store, ..Form::default() }).await;
    let gone = format!("http://{}/agents/gone", node.address);
    let say = async |url: &str, method: &str, params: &Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        let token = node.token_of(NODE_OWNER, url, SystemEnv.now());
        let request = node.http.post(url).header("content-type", "application/json").header("a2a-version", "1.0");
        whole(request.bearer_auth(token).body(body)).await.1
    };
    for url in [gone.as_str(), node.url.as_str()] {
        let found = say(url, "GetTask", &task).await;
        assert_eq!(found["result"]["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{url}: {found}");
        let answered = say(url, "SendMessage", &reply("that", &task)).await;
        assert_eq!(answered["error"]["code"], -32004, "{url}: {answered}");
        let record = node.http.get(format!("{url}/bobbinet/tasks/{}", task["id"].as_str().unwrap()));
        let (status, record) = whole(record.bearer_auth(node.token_of(NODE_OWNER, url, SystemEnv.now()))).await;
        assert_eq!((status, &record["agent"]), (StatusCode::OK, &json!("gone")));
    }
    assert_eq!(say(&gone, "ListTasks", &json!({})).await["result"]["totalSize"], 1);
    let begun = say(&gone, "SendMessage", &message("echo hello")).await;
    assert_eq!(begun["error"]["message"], "This node has no such agent any more", "{begun}");
    let canceled = say(&node.url, "CancelTask", &task).await;
    assert_eq!(canceled["result"]["status"]["state"], "TASK_STATE_CANCELED");
    assert_eq!(say(&gone, "GetTask", &task).await["result"]["status"]["state"], "TASK_STATE_CANCELED");
    // It is no agent of the node: it has no card, and is in no list.
    let card = node.http.get(format!("{gone}/.well-known/agent-card.json")).send().await.unwrap();
    assert_eq!(card.status(), StatusCode::NOT_FOUND);
    let never = node.http.post(format!("http://{}/agents/never", node.address)).send().await.unwrap();
    assert_eq!(never.status(), StatusCode::NOT_FOUND);
}
