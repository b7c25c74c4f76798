use std::time::Duration;

use serde_json::{Value, json};

use crate::host::{Events, Host, Node, STATELESS, texts};

const TASKS: &str = "io.modelcontextprotocol/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";

fn knows_tasks(more: Value) -> Value {
    let mut capabilities = more;
    capabilities["extensions"][TASKS] = json!({});
    capabilities
}

async fn until(host: &Host, task: &Value, status: &str) -> Value {
    for _ in 0..400 {
        let shown = host.ask("tasks/get", &json!({"taskId": task})).await;
        if shown["result"]["status"] == status {
            return shown["result"].clone();
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it never was {status}");
}

async fn create(host: &Host, tool: &str) -> Value {
    host.ask("tools/call", &json!({"name": tool, "arguments": {}, "task": {"ttl": 60000}})).await["result"]["task"]
        .clone()
}

#[tokio::test]
async fn what_takes_long_becomes_a_task_that_another_connection_finds() {
    let node = Node::start().await;
    let host = node.open(STATELESS, knows_tasks(json!({}))).await;
    let discovered = host.ask("server/discover", &json!({})).await;
    assert!(discovered["result"]["capabilities"]["extensions"][TASKS].is_object(), "{discovered}");
    let quick = host.call("desk__echo", &json!({"text": "hi"})).await;
    assert_eq!((&quick["resultType"], texts(&quick)), (&json!("complete"), vec!["hi"]));
    let created = host.call("desk__hang", &json!({})).await;
    assert_eq!((&created["resultType"], &created["status"]), (&json!("task"), &json!("working")), "{created}");
    assert!(created["ttlMs"].is_null() && created["pollIntervalMs"].is_u64() && created["createdAt"].is_string());
    // Whoever does not know tasks waits, and may not ask for them.
    let other = node.open(STATELESS, json!({})).await;
    let refused = other.ask("tasks/get", &json!({"taskId": created["taskId"]})).await;
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
    assert!(refused["error"]["data"]["requiredCapabilities"]["extensions"][TASKS].is_object());
    let again = node.open(STATELESS, knows_tasks(json!({}))).await;
    until(&again, &created["taskId"], "working").await;
    node.desk.go.notify_one();
    let ended = until(&again, &created["taskId"], "completed").await;
    assert_eq!(texts(&ended["result"]), ["went on"]);
    for task in ["no such thing", "00000000-0000-7000-8000-000000000000"] {
        let unknown = again.ask("tasks/get", &json!({"taskId": task})).await;
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    }
    let ann = node.host_of("ann", STATELESS, knows_tasks(json!({})));
    let strange = ann.ask("tasks/get", &json!({"taskId": created["taskId"]})).await;
    assert_eq!(strange["error"]["code"], -32602, "{strange}");
    node.stop().await;
}

#[tokio::test]
async fn a_task_is_canceled_and_a_failed_tool_is_a_result() {
    let node = Node::start().await;
    let host = node.open(STATELESS, knows_tasks(json!({}))).await;
    let created = host.call("desk__hang", &json!({})).await;
    for _ in 0..2 {
        let done = host.ask("tasks/cancel", &json!({"taskId": created["taskId"]})).await["result"].clone();
        assert_eq!((&done["resultType"], &done["status"]), (&json!("complete"), &Value::Null), "{done}");
    }
    until(&host, &created["taskId"], "cancelled").await;
    let failed = host.call("desk__fail", &json!({})).await;
    assert_eq!((&failed["resultType"], &failed["isError"]), (&json!("complete"), &json!(true)));
    let task = failed["_meta"]["bobbinet/task"]["id"].clone();
    assert_eq!(until(&host, &task, "completed").await["result"]["isError"], true);
    node.stop().await;
}

#[tokio::test]
async fn what_a_task_asks_is_answered_by_its_key() {
    let node = Node::start().await;
    let host = node.open(STATELESS, knows_tasks(json!({"elicitation": {}}))).await;
    // A question that comes at once is one of the call's.
    let asks = host.call("desk__name", &json!({})).await;
    assert_eq!(asks["resultType"], "input_required", "{asks}");
    let state = asks["requestState"].as_str().unwrap();
    let task = json!(state.split(':').next().unwrap());
    let shown = until(&host, &task, "input_required").await;
    let requests = shown["inputRequests"].as_object().unwrap();
    let (key, request) = requests.iter().next().unwrap();
    assert_eq!((requests.len(), &request["method"]), (1, &json!("elicitation/create")));
    let answer = json!({"action": "accept", "content": {"name": "Ann"}});
    let wrong = host.ask("tasks/update", &json!({"taskId": task, "inputResponses": {"other": answer}})).await;
    assert_eq!(wrong["result"]["resultType"], "complete", "{wrong}");
    until(&host, &task, "input_required").await;
    let right = host.ask("tasks/update", &json!({"taskId": task, "inputResponses": {key: answer}})).await;
    assert_eq!(right["result"]["resultType"], "complete", "{right}");
    assert_eq!(texts(&until(&host, &task, "completed").await["result"]), ["hello Ann"]);
    // A host that can be asked nothing is told how it stands.
    let silent = node.open(STATELESS, knows_tasks(json!({}))).await;
    let created = silent.call("desk__name", &json!({})).await;
    let shown = until(&silent, &created["taskId"], "working").await;
    assert!(shown["statusMessage"].as_str().unwrap().contains("mesh_task"), "{shown}");
    node.stop().await;
}

#[tokio::test]
async fn an_older_host_asks_for_a_task() {
    let node = Node::start().await;
    let mut host = node.host("2025-11-25", json!({"elicitation": {}}));
    let hello = host.initialize().await;
    assert!(hello["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object(), "{hello}");
    let tools = host.ask("tools/list", &json!({})).await;
    let echo = tools["result"]["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "desk__echo").unwrap();
    assert_eq!(echo["execution"]["taskSupport"], "optional");
    let created = create(&host, "desk__hang").await;
    assert_eq!((&created["status"], &created["ttl"]), (&json!("working"), &Value::Null), "{created}");
    // Another session of his comes back for it.
    let again = node.open("2025-11-25", json!({})).await;
    let listed = again.ask("tasks/list", &json!({})).await;
    let listed: Vec<&Value> =
        listed["result"]["tasks"].as_array().unwrap().iter().map(|task| &task["taskId"]).collect();
    assert!(listed.contains(&&created["taskId"]), "{listed:?}");
    let result = again.request(&json!(9), "tasks/result", &json!({"taskId": created["taskId"]}));
    let waiting = again.send(&result);
    let (response, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        node.desk.go.notify_one();
    });
    let result = crate::host::last(response).await["result"].clone();
    assert_eq!(texts(&result), ["went on"]);
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], created["taskId"]);
    let ended = again.ask("tasks/cancel", &json!({"taskId": created["taskId"]})).await;
    assert!(ended["error"].is_object(), "it has ended: {ended}");
    // What a task asks comes when its result is asked for.
    let created = create(&host, "desk__name").await;
    let id = created["taskId"].clone();
    assert_eq!(until(&host, &id, "input_required").await["taskId"], id);
    let mut events = Events::of(host.send(&host.request(&json!(11), "tasks/result", &json!({"taskId": id}))).await);
    let asked = events.next().await.unwrap();
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    assert_eq!(asked["params"]["_meta"][RELATED]["taskId"], id, "whose question it is: {asked}");
    let answer = json!({"action": "accept", "content": {"name": "Bob"}});
    assert_eq!(host.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": answer})).await.status(), 202);
    assert_eq!(texts(&events.next().await.unwrap()["result"]), ["hello Bob"]);
    node.stop().await;
}

#[tokio::test]
async fn how_far_a_task_is_comes_under_the_token_of_the_call_that_has_begun_it_and_names_it() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    for (count, begun_with, token) in [(40, json!({"progressToken": "mine"}), "mine"), (40, json!({}), "another")] {
        let call = json!({"name": "desk__steps", "arguments": {"count": count}, "task": {}, "_meta": begun_with});
        let id = host.ask("tools/call", &call).await["result"]["task"]["taskId"].clone();
        let params = json!({"taskId": id, "_meta": {"progressToken": "another"}});
        let mut events = Events::of(host.send(&host.request(&json!(11), "tasks/result", &params)).await);
        let told = events.next().await.unwrap();
        assert_eq!(told["method"], "notifications/progress", "{told}");
        assert_eq!(told["params"]["progressToken"], token, "{told}");
        assert_eq!(told["params"]["_meta"][RELATED]["taskId"], id, "{told}");
        let gone = host.ask("tasks/cancel", &json!({"taskId": id})).await;
        assert_eq!(gone["result"]["status"], "cancelled", "{gone}");
    }
    node.stop().await;
}

#[tokio::test]
async fn whoever_listens_is_told_how_his_task_stands_and_of_no_task_that_is_not_his() {
    let node = Node::start().await;
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    let host = node.host(STATELESS, capabilities);
    let begun = host.ask("tools/call", &json!({"name": "desk__hang", "arguments": {}})).await["result"].clone();
    let task = begun["taskId"].as_str().unwrap().to_owned();
    let nobodys = "0197b1b2-0000-7000-8000-000000000000";
    let params = json!({"notifications": {"taskIds": [task, nobodys]}});
    let mut events = Events::of(host.send(&host.request(&json!("s"), "subscriptions/listen", &params)).await);
    let ack = events.next().await.unwrap();
    assert_eq!(ack["params"]["notifications"]["taskIds"], json!([task]));
    let told = events.next().await.unwrap();
    assert_eq!((&told["method"], &told["params"]["status"]), (&json!("notifications/tasks"), &json!("working")));
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "s");
    node.desk.go.notify_one();
    let told = events.next().await.unwrap();
    assert_eq!((&told["params"]["taskId"], &told["params"]["status"]), (&json!(task), &json!("completed")));
    assert_eq!(texts(&told["params"]["result"]), ["went on"]);
}

#[tokio::test]
async fn a_session_that_listens_is_told_of_the_tasks_that_it_begins() {
    let node = Node::start().await;
    let host = node.open("2025-11-25", json!({})).await;
    let request = host.http.get(&host.url).bearer_auth(&host.token).header("accept", "text/event-stream");
    let mut events = Events::of(request.header("mcp-session-id", host.session.as_ref().unwrap()).send().await.unwrap());
    let params = json!({"name": "desk__hang", "arguments": {}, "task": {}});
    // Its stream may be opened and not be heard yet.
    let mut told = None;
    for _ in 0..20 {
        let begun = host.ask("tools/call", &params).await["result"]["task"].clone();
        if let Ok(first) = tokio::time::timeout(std::time::Duration::from_secs(1), events.next()).await {
            told = Some((begun, first.unwrap()));
            break;
        }
    }
    let (begun, first) = told.unwrap();
    assert_eq!(first["method"], "notifications/tasks/status");
    assert_eq!((&first["params"]["taskId"], &first["params"]["status"]), (&begun["taskId"], &json!("working")));
    host.ask("tasks/cancel", &json!({"taskId": begun["taskId"]})).await;
    loop {
        let told = events.next().await.unwrap();
        if told["params"]["status"] == "cancelled" {
            assert_eq!(told["params"]["taskId"], begun["taskId"]);
            return;
        }
    }
}
