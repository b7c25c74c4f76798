//! Results that have gone by reference, as a host has them.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use axum::Router;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Description, Effect, Fault, Json, Outcome, Part, Plan, Skill, SkillId,
};
use bobbinet_engine::{Agent, BlobKind, KeptBlob, Request, Run};
use bobbinet_http::Server;
use bobbinet_mcp_server::{McpServerLimits, names::Naming, routes_with};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::host::{Host, Node, STATELESS, texts};

const MAX: u64 = 8_000;

/// Its `rows` gives as many as it is told, by reference, as a wrapped server's large result goes; its `broken` keeps something apart.
#[derive(Debug)]
struct Press;

fn rows(count: u64) -> Value {
    json!({"rows": (0..count).map(|row| json!({"row": row})).collect::<Vec<_>>()})
}

async fn keep(run: &Run, value: &Value, is_quarantined: bool) -> KeptBlob {
    let kind = BlobKind { media_type: Some("application/json".into()), filename: None };
    let pieces = [Bytes::from(value.to_string())].into_iter();
    match is_quarantined {
        true => run.quarantine_blob(kind, pieces).await.unwrap(),
        false => run.keep_blob(kind, pieces).await.unwrap(),
    }
}

#[async_trait]
impl Agent for Press {
    fn describe(&self) -> Arc<Description> {
        let skill = |id: &str, output: Option<Value>| Skill {
            id: SkillId::parse(id).unwrap(),
            name: id.to_owned(),
            description: format!("{id} something"),
            tags: Vec::new(),
            examples: Vec::new(),
            input: Some(Json::from(&json!({"type": "object"}))),
            output: output.as_ref().map(Json::from),
            effect: Effect::ReadOnly,
        };
        let output = json!({"type": "object", "required": ["rows"]});
        let skills = vec![skill("rows", Some(output)), skill("free", None), skill("broken", None)];
        Arc::new(Description { name: "press".to_owned(), skills, ..Description::default() })
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let (skill, arguments) = (request.skill.cloned(), request.message.data().cloned());
        Plan::Call(Arc::new(Call { skill, arguments, converted: Vec::new(), effect: Effect::ReadOnly }))
    }

    fn max_concurrency(&self) -> usize {
        8
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        let count = run.call().arguments.as_ref().unwrap().to_value()["count"].as_u64().unwrap_or(1);
        let note = |value: Value| Some(Json::from(&value));
        if run.call().skill.as_ref().unwrap().as_str() == "broken" {
            let kept = keep(&run, &rows(count), true).await;
            let data = note(json!({"result": {"url": kept.url}}));
            return Outcome::Failed(Fault { data, ..Fault::new("contract", format!("kept at {}", kept.url)) });
        }
        let kept = keep(&run, &rows(count), false).await;
        let preview =
            Part { metadata: note(json!({"role": "preview"})), ..Part::text(format!("{} bytes", kept.length)) };
        let link = Part {
            metadata: note(json!({"role": "structured", "size": kept.length})),
            media_type: Some("application/json".into()),
            ..Part::url(&kept.url)
        };
        let artifact = Artifact::new(ArtifactId::parse("result").unwrap(), vec![preview, link]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

fn door(server: Arc<Server>) -> Router {
    routes_with(server, McpServerLimits { structured_bytes_max: MAX, ..McpServerLimits::default() }, Naming::default())
}

async fn start() -> Node {
    let press = (AgentName::parse("press").unwrap(), Arc::new(Press) as Arc<dyn Agent>);
    Node::among(door, BTreeMap::from([press])).await
}

/// The link of a result, which is there whatever else is.
fn link(result: &Value) -> &str {
    let blocks = result["content"].as_array().unwrap();
    let link = blocks.iter().find(|block| block["type"] == "resource_link").unwrap_or_else(|| panic!("{result}"));
    link["uri"].as_str().unwrap()
}

fn is_error(result: &Value) -> bool {
    result["isError"] == true
}

#[tokio::test]
async fn a_promised_structure_is_whole_beside_its_link_up_to_a_bound() {
    let node = start().await;
    for version in ["2025-06-18", "2025-11-25", STATELESS] {
        let host = node.open(version, json!({})).await;
        let result = host.call("press__rows", &json!({"count": 300})).await;
        assert_eq!((is_error(&result), &result["structuredContent"]), (false, &rows(300)), "{version}: {result}");
        let read = host.ask("resources/read", &json!({"uri": link(&result)})).await;
        assert_eq!(read["result"]["contents"][0]["text"], rows(300).to_string(), "{version}");
        let large = host.call("press__rows", &json!({"count": 1_000})).await;
        assert!(is_error(&large) && large.get("structuredContent").is_none(), "{version}: {large}");
        assert!(texts(&large).iter().any(|text| text.contains("structured_bytes_max")), "{version}: {large}");
        assert!(link(&large).starts_with("http://"));
        // Who has promised nothing is given no more than the link.
        let free = host.call("press__free", &json!({"count": 300})).await;
        assert!(!is_error(&free) && free.get("structuredContent").is_none(), "{version}: {free}");
        link(&free);
    }
}

/// What a host comes back for as a task is the same.
#[tokio::test]
async fn it_is_so_in_what_a_task_has_come_to() {
    let node = start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let params = json!({"name": "press__rows", "arguments": {"count": 300}, "task": {}});
    let created = host.ask("tools/call", &params).await;
    let id = created["result"]["task"]["taskId"].as_str().unwrap_or_else(|| panic!("{created}"));
    let result = host.ask("tasks/result", &json!({"taskId": id})).await["result"].clone();
    assert_eq!((is_error(&result), &result["structuredContent"]), (false, &rows(300)), "{result}");
    let tasks = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let host = node.open(STATELESS, tasks).await;
    let shown = host.ask("tasks/get", &json!({"taskId": id})).await["result"].clone();
    assert_eq!(shown["result"]["structuredContent"], rows(300), "{shown}");
}

#[tokio::test]
async fn what_is_kept_apart_is_no_content_for_a_host() {
    let node = start().await;
    let read = async |host: &Host| {
        let result = host.call("press__broken", &json!({})).await;
        assert!(is_error(&result) && result.get("structuredContent").is_none(), "{result}");
        let url = texts(&result)[0].strip_prefix("kept at ").unwrap().to_owned();
        host.ask("resources/read", &json!({"uri": url})).await
    };
    for version in ["2025-11-25", STATELESS] {
        let answer = read(&node.open(version, json!({})).await).await;
        let words = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(words.contains("kept for the owner of its task"), "{words}");
    }
}
