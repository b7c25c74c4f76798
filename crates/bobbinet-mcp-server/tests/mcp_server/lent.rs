//! What a wrapped server asks of a host, and says for a log while the host waits.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bobbinet_core::{
    AgentName, Artifact, ArtifactId, Call, Description, Effect, Fault, Json, Message, Outcome, Part, Plan, Question,
    QuestionKind, Skill, SkillId,
};
use bobbinet_engine::{Agent, CallLog, CallName, Request, Run, Severity};
use serde_json::{Value, json};

use crate::host::{Events, Host, Node, STATELESS, texts};

/// An agent that stands for a wrapped server. `peer` is one that only writes the same words.
#[derive(Debug, Default)]
struct Server {
    is_peer: bool,
    log: Arc<CallLog>,
}

fn requests(skill: &str) -> Value {
    let sample = json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 5}});
    let form = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let form = json!({"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": form}});
    match skill {
        "sample" => json!({"said": sample}),
        "roots" => json!({"roots": {"method": "roots/list", "params": {}}}),
        _ => json!({"said": sample, "who": form}),
    }
}

fn question(skill: &str, id: bobbinet_core::MessageId, answered: &Value) -> Arc<Question> {
    let data =
        json!({"type": "input-requests", "round": "0", "inputRequests": requests(skill), "inputResponses": answered});
    let parts = vec![Part::text("Well?"), Part::data(Json::from(&data))];
    let message = Arc::new(Message::from_agent(id, parts));
    Arc::new(Question { kind: QuestionKind::Elicitation, message, schema: None })
}

#[async_trait]
impl Agent for Server {
    fn describe(&self) -> Arc<Description> {
        let skill = |id: &str| Skill {
            id: SkillId::parse(id).unwrap(),
            name: id.to_owned(),
            description: id.to_owned(),
            tags: Vec::new(),
            examples: Vec::new(),
            input: Some(Json::from(&json!({"type": "object"}))),
            output: None,
            effect: Effect::ReadOnly,
        };
        let skills = ["sample", "roots", "both", "logs", "declared"].map(skill).to_vec();
        Arc::new(Description { name: "server".to_owned(), version: "1".to_owned(), skills, ..Description::default() })
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        let Some(question) = request.question() else {
            let (skill, arguments) = (request.skill.cloned(), request.message.data().cloned());
            return Plan::Call(Arc::new(Call { skill, arguments, converted: Vec::new(), effect: Effect::ReadOnly }));
        };
        let said = request.message.data().map(Json::to_value).unwrap_or_default();
        let open = question.message.data().unwrap().to_value();
        let mut answered = open["inputResponses"].clone();
        for (name, result) in said["inputResponses"].as_object().into_iter().flatten() {
            answered[name] = result.clone();
        }
        let names: Vec<_> = open["inputRequests"].as_object().unwrap().keys().collect();
        match names.iter().all(|name| !answered[name.as_str()].is_null()) {
            true => Plan::Answer(Json::from(&answered)),
            false => Plan::Ask(self::question("both", request.question_id.clone(), &answered)),
        }
    }

    fn max_concurrency(&self) -> usize {
        64
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn call_log(&self) -> Option<&Arc<CallLog>> {
        Some(&self.log)
    }

    fn asks_in_mcp(&self) -> bool {
        !self.is_peer
    }

    async fn run(&self, run: Run) -> Outcome {
        let skill = run.call().skill.as_ref().unwrap().as_str().to_owned();
        let said = match skill.as_str() {
            "logs" => {
                let arguments = run.call().arguments.as_ref().unwrap().to_value();
                let name = CallName::of(run.task());
                for number in 0..arguments["count"].as_u64().unwrap_or(1) {
                    let severity = if number % 2 == 0 { Severity::Info } else { Severity::Debug };
                    let line = json!({"level": severity.word(), "data": number});
                    self.log.tell(&name, severity, &Json::from(&line));
                }
                let pause = arguments["pause"].as_u64().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(pause)).await;
                format!("{:?}", self.log.wanted(&name))
            }
            "declared" => run.task().history[0].metadata.as_ref().map(|it| it.as_str().to_owned()).unwrap_or_default(),
            skill => match run.ask(question(skill, run.message_id("q"), &json!({}))).await {
                Ok(answer) => answer.as_str().to_owned(),
                Err(_) => return Outcome::Failed(Fault::new("unanswered", "nobody answered")),
            },
        };
        let artifact = Artifact::new(ArtifactId::parse("result").unwrap(), vec![Part::text(said)]);
        Outcome::Completed { artifacts: vec![Arc::new(artifact)], message: None }
    }

    async fn shutdown(&self) {}
}

async fn node() -> (Node, Arc<Server>) {
    let server = Arc::new(Server::default());
    let peer = Arc::new(Server { is_peer: true, ..Server::default() });
    let others = [("server", server.clone()), ("peer", peer)];
    let others = others.map(|(name, agent)| (AgentName::parse(name).unwrap(), agent as Arc<dyn Agent>));
    (Node::among(bobbinet_mcp_server::routes, BTreeMap::from(others)).await, server)
}

async fn answer(host: &Host, request: &Value, answer: Value) {
    let mut message = json!({"jsonrpc": "2.0", "id": request["id"]});
    message.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    assert_eq!(host.send(&message).await.status(), 202);
}

const SAID: &str = r#"{"content":{"text":"Ho","type":"text"},"model":"m","role":"assistant"}"#;

fn said() -> Value {
    serde_json::from_str(SAID).unwrap()
}

#[tokio::test]
async fn a_session_is_asked_for_its_model_and_its_roots_on_the_stream_of_the_call() {
    let (node, _) = node().await;
    let host = node.open("2025-06-18", json!({"sampling": {}, "roots": {}, "elicitation": {}})).await;
    let call = |name: &str| json!({"name": format!("server__{name}"), "arguments": {}});
    let mut events = host.stream(&json!(1), &call("sample")).await;
    let asked = events.next().await.unwrap();
    assert_eq!((&asked["method"], &asked["params"]["maxTokens"]), (&json!("sampling/createMessage"), &json!(5)));
    answer(&host, &asked, json!({"result": said()})).await;
    assert_eq!(texts(&events.next().await.unwrap()["result"]), [format!(r#"{{"said":{SAID}}}"#)]);
    let mut events = host.stream(&json!(2), &call("roots")).await;
    let asked = events.next().await.unwrap();
    assert_eq!(asked["method"], "roots/list");
    answer(&host, &asked, json!({"result": {"roots": [{"uri": "file:///a"}]}})).await;
    assert!(texts(&events.next().await.unwrap()["result"])[0].contains("file:///a"));
    // Several are asked one after the other, and a refusal is an answer.
    let mut events = host.stream(&json!(3), &call("both")).await;
    let asked = events.next().await.unwrap();
    answer(&host, &asked, json!({"error": {"code": -1, "message": "no"}})).await;
    let asked = events.next().await.unwrap();
    assert_eq!((&asked["method"], asked["params"].get("mode")), (&json!("elicitation/create"), None));
    answer(&host, &asked, json!({"result": {"action": "accept", "content": {"name": "Ann"}}})).await;
    let result = events.next().await.unwrap()["result"].clone();
    assert!(texts(&result)[0].contains(r#""said":{"error""#) && texts(&result)[0].contains("Ann"), "{result}");
}

#[tokio::test]
async fn a_request_without_a_session_is_asked_several_things_at_once_and_answers_as_it_likes() {
    let (node, _) = node().await;
    let host = node.host(STATELESS, json!({"sampling": {}, "elicitation": {}}));
    let params = json!({"name": "server__both", "arguments": {}});
    let asks = host.ask("tools/call", &params).await["result"].clone();
    assert_eq!(asks["resultType"], "input_required");
    let names = |asks: &Value| asks["inputRequests"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&asks), ["said", "who"]);
    assert_eq!(asks["inputRequests"]["who"]["params"]["mode"], "form");
    let retry = |asks: &Value, results: Value| {
        let mut params = params.clone();
        params["requestState"] = asks["requestState"].clone();
        params["inputResponses"] = results;
        params
    };
    let rest = host.ask("tools/call", &retry(&asks, json!({"said": said()}))).await["result"].clone();
    assert_eq!(names(&rest), ["who"], "{rest}");
    let result = host.ask("tools/call", &retry(&rest, json!({"who": {"action": "decline"}}))).await["result"].clone();
    assert_eq!(texts(&result), [format!(r#"{{"said":{SAID},"who":{{"action":"decline"}}}}"#)]);
}

#[tokio::test]
async fn a_host_is_asked_what_it_has_declared_and_its_task_waits_for_the_rest() {
    let (node, _) = node().await;
    let host = node.host(STATELESS, json!({"sampling": {}}));
    let params = json!({"name": "server__both", "arguments": {}});
    let asks = host.ask("tools/call", &params).await["result"].clone();
    let requests = asks["inputRequests"].as_object().unwrap();
    assert_eq!(requests.keys().collect::<Vec<_>>(), ["said"]);
    for host in [node.host(STATELESS, json!({})), node.open("2025-11-25", json!({"elicitation": {}})).await] {
        let waits = host.call("server__sample", &json!({})).await;
        assert_eq!(waits["_meta"]["bobbinet/task"]["state"], "input-required", "{waits}");
    }
    // What is declared goes with the message that begins the task, to servers of this node and to nobody else.
    let both = node.open("2025-11-25", json!({"sampling": {}, "roots": {}})).await;
    let declared = |result: &Value| texts(result)[0].contains(r#""clientCapabilities":{"sampling":{},"roots":{}}"#);
    assert!(declared(&both.call("server__declared", &json!({})).await));
    let silent = node.open("2025-11-25", json!({"elicitation": {}})).await;
    for (host, tool) in [(&both, "peer__declared"), (&silent, "server__declared")] {
        let said = host.call(tool, &json!({})).await;
        assert!(!texts(&said)[0].contains("clientCapabilities"), "{said}");
    }
}

#[tokio::test]
async fn no_other_agent_borrows_a_hosts_model_by_the_same_words() {
    let (node, _) = node().await;
    let host = node.host(STATELESS, json!({"sampling": {}, "roots": {}}));
    for tool in ["peer__sample", "peer__roots"] {
        let result = host.call(tool, &json!({})).await;
        assert_ne!(result["resultType"], "input_required", "{result}");
        assert_eq!(result["_meta"]["bobbinet/task"]["state"], "input-required");
    }
}

#[tokio::test]
async fn a_task_is_told_piece_by_piece_what_it_asks_for() {
    let (node, _) = node().await;
    let capabilities = json!({"sampling": {}, "elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}});
    let host = node.host(STATELESS, capabilities);
    let begun = host.ask("tools/call", &json!({"name": "server__both", "arguments": {}})).await["result"].clone();
    // It asks at once, so that the result may be its question; its task is the same.
    let task = match begun["taskId"].as_str() {
        Some(task) => task.to_owned(),
        None => begun["requestState"].as_str().unwrap().split(':').next().unwrap().to_owned(),
    };
    let look = async || host.ask("tasks/get", &json!({"taskId": task})).await["result"].clone();
    let asked = look().await["inputRequests"].as_object().unwrap().clone();
    let names: Vec<&String> = asked.keys().collect();
    assert_eq!(names, ["question-0-said", "question-0-who"]);
    let update = async |results: Value| {
        let params = json!({"taskId": task, "inputResponses": results});
        assert_eq!(host.ask("tasks/update", &params).await["result"]["resultType"], "complete");
    };
    update(json!({"question-0-who": {"action": "accept", "content": {"name": "Ann"}}})).await;
    let rest = look().await;
    assert_eq!(rest["status"], "input_required");
    assert_eq!(rest["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["question-0-said"]);
    update(json!({"question-0-said": said()})).await;
    for _ in 0..100 {
        if look().await["status"] == "completed" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never completed: {}", look().await);
}

async fn all(events: &mut Events) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(message) = events.next().await {
        all.push(message);
    }
    all
}

#[tokio::test]
async fn a_session_hears_what_is_said_for_a_log_as_far_as_it_wants_and_before_the_result() {
    let (node, server) = node().await;
    let mut host = node.host("2025-11-25", json!({}));
    assert!(host.initialize().await["capabilities"]["logging"].is_object());
    let params = json!({"name": "server__logs", "arguments": {"count": 4, "pause": 300}});
    let mut unheard = host.stream(&json!(1), &params).await;
    let unheard = all(&mut unheard).await;
    assert_eq!((unheard.len(), texts(&unheard[0]["result"])), (1, vec!["None"]), "nobody has asked for it");
    let refused = host.ask("logging/setLevel", &json!({"level": "loud"})).await;
    assert_eq!(refused["error"]["code"], -32602);
    for (level, expected) in [("debug", vec![0, 1, 2, 3]), ("info", vec![0, 2]), ("error", vec![])] {
        assert_eq!(host.ask("logging/setLevel", &json!({"level": level})).await["result"], json!({}));
        let mut events = host.stream(&json!(1), &params).await;
        let told = all(&mut events).await;
        let (result, lines) = told.split_last().unwrap();
        assert!(result["result"].is_object() && lines.iter().all(|line| line["method"] == "notifications/message"));
        let numbers = lines.iter().map(|line| line["params"]["data"].as_u64().unwrap()).collect::<Vec<_>>();
        assert_eq!(numbers, expected, "{level}");
        assert!(!server.log.is_listened(), "whoever has the result listens no more");
    }
    // Another session of the same caller has said nothing.
    let other = node.open("2025-11-25", json!({})).await;
    let mut events = other.stream(&json!(1), &params).await;
    assert_eq!(all(&mut events).await.len(), 1);
}

#[tokio::test]
async fn a_flood_is_cut_and_the_result_comes() {
    let (node, _) = node().await;
    let host = node.host(STATELESS, json!({}));
    let level = json!({"io.modelcontextprotocol/logLevel": "debug"});
    let params = json!({"name": "server__logs", "arguments": {"count": 5_000, "pause": 300}, "_meta": level});
    let mut events = host.stream(&json!(1), &params).await;
    let told = all(&mut events).await;
    assert!(told.last().unwrap()["result"].is_object(), "{:?}", told.last());
    assert!(told.len() < 200, "{}", told.len());
    let is_cut = |line: &Value| line["params"]["data"].as_str().is_some_and(|words| words.contains("left out"));
    assert!(told.iter().any(is_cut), "it is said that there were more");
    let quiet = host.ask("tools/call", &json!({"name": "server__logs", "arguments": {}})).await;
    assert_eq!(texts(&quiet["result"]), ["None"]);
}
