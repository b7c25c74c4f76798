//! Each method, as the specification says it should answer.

use serde_json::{Value, json};

use crate::node::{Form, Node, message, reply, whole};

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap()
}

fn result_text(task: &Value) -> &str {
    task["artifacts"][0]["parts"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn a_blocking_send_answers_with_the_whole_task() {
    let node = Node::start().await;
    let task = node.send("echo hello there").await;
    assert_eq!((state(&task), result_text(&task)), ("TASK_STATE_COMPLETED", "hello there"));
    assert_eq!(task["history"][0]["parts"][0]["text"], "echo hello there");
    assert_eq!(task["history"][0]["taskId"], task["id"]);
    assert!(task["contextId"].is_string());
    let again = node.result("GetTask", json!({ "id": task["id"] })).await;
    assert_eq!(again, task);
}

#[tokio::test]
async fn nothing_that_a_caller_says_makes_an_agent_panic() {
    let node = Node::start().await;
    for role in [json!("ROLE_AGENT"), json!(2), json!("ROLE_USER")] {
        let mut params = message("back there");
        params["message"]["role"] = role.clone();
        let task = node.result("SendMessage", params).await["task"].take();
        assert_eq!((state(&task), result_text(&task)), ("TASK_STATE_COMPLETED", "back there"), "{role}");
        assert_eq!(task["history"][0]["role"], "ROLE_USER", "whoever sends is the user");
    }
    let task = node.send("ask").await;
    let mut answer = reply("that", &task);
    answer["message"]["role"] = json!("ROLE_AGENT");
    let task = node.result("SendMessage", answer).await["task"].take();
    assert_eq!((state(&task), result_text(&task)), ("TASK_STATE_COMPLETED", "that"));
    // An agent that panics all the same has refused the message, and everybody is answered.
    let task = node.send("panic").await;
    assert_eq!(state(&task), "TASK_STATE_REJECTED");
    assert_eq!(task["status"]["message"]["parts"][1]["data"]["code"], "agent-panicked");
    node.send("echo x").await;
}

#[tokio::test]
async fn a_send_that_shall_not_wait_does_not() {
    let node = Node::start().await;
    let task = node.begin("steps 1").await;
    assert!(["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&state(&task)), "{task}");
    node.worker.gate.add_permits(1);
    let mut events = node.subscribe(&task, Some("0")).await;
    assert_eq!(events.rest().await.last().unwrap(), "4 COMPLETED");
}

#[tokio::test]
async fn a_wait_with_a_limit_ends_with_the_task_as_it_stands() {
    let wait_max = Some(std::time::Duration::from_millis(20));
    let node = Node::with(Form { wait_max, ..Form::default() }).await;
    let task = node.send("steps 1").await;
    assert_eq!(state(&task), "TASK_STATE_WORKING");
}

#[tokio::test]
async fn history_is_as_long_as_asked() {
    let node = Node::start().await;
    let task = node.send("ask").await;
    let task = node.result("SendMessage", reply("that", &task)).await["task"].take();
    let get = async |length: Value| {
        let task = node.result("GetTask", json!({ "id": task["id"], "historyLength": length })).await;
        let history = task.get("history").map(|history| history.as_array().unwrap().clone());
        history.map(|history| history.iter().map(|it| it["parts"][0]["text"].clone()).collect::<Vec<_>>())
    };
    assert_eq!(get(Value::Null).await, Some(vec![json!("ask"), json!("What?"), json!("that")]));
    assert_eq!(get(json!(1)).await, Some(vec![json!("that")]));
    assert_eq!(get(json!(0)).await, None);
}

#[tokio::test]
async fn a_question_is_answered_in_its_task_and_context() {
    let node = Node::start().await;
    let mut params = message("ask");
    params["message"]["contextId"] = json!("mine");
    let asked = node.result("SendMessage", params).await["task"].take();
    assert_eq!((state(&asked), &asked["contextId"]), ("TASK_STATE_INPUT_REQUIRED", &json!("mine")));
    assert_eq!(asked["status"]["message"]["parts"][0]["text"], "What?");

    let mut elsewhere = reply("that", &asked);
    elsewhere["message"]["contextId"] = json!("other");
    assert_eq!(node.error_code("SendMessage", elsewhere).await, -32602);

    let done = node.result("SendMessage", reply("that", &asked)).await["task"].take();
    assert_eq!((state(&done), result_text(&done)), ("TASK_STATE_COMPLETED", "that"));
    assert_eq!((&done["id"], &done["contextId"]), (&asked["id"], &json!("mine")));
}

#[tokio::test]
async fn an_answer_that_comes_again_gets_what_the_first_one_got() {
    let node = Node::start().await;
    let asked = node.send("ask").await;
    let said = async |text: &str, id: &str, key: Option<&str>| {
        let mut params = reply(text, &asked);
        params["message"]["messageId"] = json!(id);
        let request = node.request("SendMessage", &params);
        let (_, answer) = whole(match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        })
        .await;
        match answer["error"]["code"].as_i64() {
            Some(code) => code.to_string(),
            None => result_text(&answer["result"]["task"]).to_owned(),
        }
    };
    assert_eq!(said("that", "a", Some("k")).await, "that");
    assert_eq!(said("that", "a", Some("k")).await, "that", "by its key");
    assert_eq!(said("that", "a", None).await, "that", "by its message's id");
    assert_eq!(said("this", "b", Some("k")).await, "-32600", "the key is another answer's");
    for id in ["a", "b"] {
        assert_eq!(said("this", id, None).await, "-32004", "a new one, whatever its id: the task has ended");
    }
    let mut events = node
        .stream("SendStreamingMessage", &{
            let mut params = reply("that", &asked);
            params["message"]["messageId"] = json!("a");
            params
        })
        .await;
    assert_eq!(events.rest().await, ["6 task COMPLETED"]);
}

#[tokio::test]
async fn a_skill_has_a_url_of_its_own() {
    let node = Node::start().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": message("hello") });
    for path in ["/skills/shout", "/skills/shout/"] {
        let request = node.post(path).bearer_auth(node.token()).header("a2a-version", "1.0").body(body.to_string());
        let (_, answer) = whole(request).await;
        assert_eq!(result_text(&answer["result"]["task"]), "HELLO", "{path}");
    }
    let mut params = message("hello");
    params["metadata"] = json!({ bobbinet_wire::EXTENSION_URI: { "skill": "shout" } });
    let answer = node.result("SendMessage", params).await;
    assert_eq!(result_text(&answer["task"]), "HELLO");
}

#[tokio::test]
async fn tasks_are_listed_newest_first_in_pages() {
    let node = Node::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut params = message(if number == 3 { "ask" } else { "echo" });
        params["message"]["contextId"] = json!(if number < 2 { "one" } else { "two" });
        ids.insert(0, node.result("SendMessage", params).await["task"]["id"].clone());
    }
    let list = async |params: Value| {
        let page = node.result("ListTasks", params).await;
        let ids: Vec<Value> = page["tasks"].as_array().unwrap().iter().map(|task| task["id"].clone()).collect();
        (ids, page)
    };
    let (all, page) = list(json!({})).await;
    assert_eq!((&page["nextPageToken"], &page["pageSize"], &page["totalSize"]), (&json!(""), &json!(50), &json!(5)));
    assert_eq!(page["tasks"][0].get("artifacts"), None);
    // Two that came to stand where they do within one millisecond may change places.
    let sorted = |mut ids: Vec<Value>| {
        ids.sort_by_key(Value::to_string);
        ids
    };
    assert_eq!(sorted(all.clone()), sorted(ids.clone()));

    let (first, page) = list(json!({ "pageSize": 2 })).await;
    let (second, page) = list(json!({ "pageSize": 2, "pageToken": page["nextPageToken"] })).await;
    let (third, page) = list(json!({ "pageSize": 2, "pageToken": page["nextPageToken"] })).await;
    assert_eq!([first, second, third].concat(), all);
    assert_eq!((&page["nextPageToken"], &page["totalSize"]), (&json!(""), &json!(5)));

    let (asking, page) = list(json!({ "status": "TASK_STATE_INPUT_REQUIRED" })).await;
    assert_eq!((asking, &page["totalSize"]), (vec![ids[1].clone()], &json!(1)));
    assert_eq!(sorted(list(json!({ "contextId": "one" })).await.0), sorted(ids[3..].to_vec()));
    assert_eq!(list(json!({ "statusTimestampAfter": "2999-01-01T00:00:00Z" })).await.0, Vec::<Value>::new());
    let (_, page) = list(json!({ "includeArtifacts": true, "contextId": "one" })).await;
    assert!(page["tasks"][0]["artifacts"].is_array());
}

#[tokio::test]
async fn a_cancel_is_first_and_only_once() {
    let node = Node::start().await;
    let task = node.begin("steps 1").await;
    let canceled = node.result("CancelTask", json!({ "id": task["id"] })).await;
    assert_eq!(state(&canceled), "TASK_STATE_CANCELED");
    assert_eq!(node.error_code("CancelTask", json!({ "id": task["id"] })).await, -32002);
    node.worker.gate.add_permits(1);
    let now = node.result("GetTask", json!({ "id": task["id"] })).await;
    assert_eq!(state(&now), "TASK_STATE_CANCELED");
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_its_name() {
    let node = Node::start().await;
    let check = async |method: &str, params: Value, expected: i64| {
        assert_eq!(node.error_code(method, params).await, expected, "{method}");
    };
    for verb in ["Create", "Get", "Delete"] {
        let params = json!({ "taskId": "t", "id": "h", "url": "https://a.example" });
        check(&format!("{verb}TaskPushNotificationConfig"), params, -32003).await;
    }
    check("ListTaskPushNotificationConfigs", json!({ "taskId": "t" }), -32003).await;
    check("GetExtendedAgentCard", json!({}), -32004).await;
    let mut with_webhook = message("echo");
    with_webhook["configuration"] = json!({ "taskPushNotificationConfig": { "url": "https://a.example" } });
    check("SendMessage", with_webhook, -32003).await;
}

#[tokio::test]
async fn a_repeat_under_its_key_is_the_same_task() {
    let node = Node::start().await;
    let send = async |text: &str, key: &str| {
        whole(node.request("SendMessage", &message(text)).header("idempotency-key", key)).await.1
    };
    let first = send("echo a", "k1").await;
    let repeat = send("echo a", "k1").await;
    assert_eq!(first["result"]["task"]["id"], repeat["result"]["task"]["id"]);
    assert_eq!(repeat["result"], first["result"]);
    let other = send("echo a", "k2").await;
    assert_ne!(first["result"]["task"]["id"], other["result"]["task"]["id"]);
    assert_eq!(send("echo b", "k1").await["error"]["code"], -32600);
    assert_eq!(send("echo b", &"k".repeat(200)).await["error"]["code"], -32600);
}

#[tokio::test]
async fn extensions_that_are_spoken_are_echoed() {
    let node = Node::start().await;
    let ours = bobbinet_wire::EXTENSION_URI;
    for name in ["a2a-extensions", "x-a2a-extensions"] {
        let request = node.request("ListTasks", &json!({})).header(name, format!("https://a.example/x, {ours}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()[name], ours);
    }
    let response = node.request("ListTasks", &json!({})).send().await.unwrap();
    assert_eq!(response.headers().get("a2a-extensions"), None);
}

#[tokio::test]
async fn a_task_keeps_the_trace_it_began_in() {
    let node = Node::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let (_, answer) = whole(node.request("SendMessage", &message("echo")).header("traceparent", trace)).await;
    let id = bobbinet_core::TaskId::parse(answer["result"]["task"]["id"].as_str().unwrap()).unwrap();
    let owner = bobbinet_core::Caller {
        principal: bobbinet_core::Principal::parse(bobbinet_auth::NODE_OWNER).unwrap(),
        tenant: bobbinet_core::Tenant::parse(bobbinet_auth::NODE_TENANT).unwrap(),
        is_node_owner: true,
        scopes: Vec::new(),
        chain: Vec::new(),
        issuer: None,
        claims: None,
    };
    let name = bobbinet_core::AgentName::parse("worker").unwrap();
    let task = node.engine.get(&owner, &name, &id).await.unwrap();
    assert_eq!(task.trace.as_deref(), Some(trace));
}

#[tokio::test]
async fn a_message_may_be_answered_without_a_task() {
    let node = Node::start().await;
    let mut params = message("say hello");
    params["message"]["contextId"] = json!("a-chat");
    params["configuration"] = json!({ "returnImmediately": true });
    let result = node.result("SendMessage", params.clone()).await;
    let said = &result["message"];
    assert_eq!((&said["role"], &said["contextId"]), (&json!("ROLE_AGENT"), &json!("a-chat")), "{result}");
    assert_eq!((&said["parts"], &said["taskId"]), (&json!([{ "text": "hello" }]), &Value::Null), "{result}");
    assert_eq!(result["task"], Value::Null);

    let mut events = node.stream("SendStreamingMessage", &message("say hello")).await;
    let event = events.next().await.unwrap();
    let data: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!((event.id, &data["result"]["message"]["parts"][0]["text"]), (None, &json!("hello")), "{data}");
    assert!(data["result"]["message"]["contextId"].is_string(), "one of its own: {data}");
    assert!(events.next().await.is_none());

    // In 0.3 the message stands for itself.
    let old = json!({ "message": {
        "kind": "message", "messageId": "m", "role": "user", "parts": [{ "kind": "text", "text": "say hello" }],
    }});
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "message/send", "params": old });
    let (_, answer) = whole(node.post("/").bearer_auth(node.token()).body(body.to_string())).await;
    let said = &answer["result"];
    assert_eq!((&said["kind"], &said["role"]), (&json!("message"), &json!("agent")), "{answer}");
    assert_eq!(said["parts"], json!([{ "kind": "text", "text": "hello" }]));
    assert_eq!(node.result("ListTasks", json!({})).await["totalSize"], 0);
}
