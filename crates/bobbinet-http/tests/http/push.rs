//! Webhooks over real sockets: what a receiver is sent, in both dialects, whatever it does; and what is refused.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_engine::{Env, SystemEnv};
use futures::stream;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpListener, task::JoinSet};

use crate::node::{Form, Node, PATIENCE, message, reply, whole};

/// A notification as it came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    /// When it came, in milliseconds.
    pub(crate) at: u64,
    headers: HeaderMap,
    pub(crate) body: Value,
    raw: Bytes,
}

#[derive(Debug)]
struct Seen {
    status: StatusCode,
    came: Vec<Came>,
}

/// One that is sent notifications, on a free port of this machine.
pub(crate) struct Receiver {
    pub(crate) origin: String,
    seen: Arc<Mutex<Seen>>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen { status: StatusCode::OK, came: Vec::new() }));
        let receive = async |State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, raw: Bytes| {
            let mut seen = seen.lock().unwrap();
            if seen.status.is_success() {
                let body = serde_json::from_slice(&raw).unwrap();
                seen.came.push(Came { at: SystemEnv.now().as_millis(), headers, body, raw });
            }
            (seen.status, seen.status.is_redirection().then_some([("location", "/elsewhere")]), ())
        };
        let elsewhere = get(async || StatusCode::OK);
        let router =
            Router::new().route("/hook", post(receive)).route("/elsewhere", elsewhere).with_state(seen.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { origin, seen, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/hook", self.origin)
    }

    fn answer(&self, status: StatusCode) {
        self.seen.lock().unwrap().status = status;
    }

    pub(crate) async fn until(&self, count: usize) -> Vec<Came> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let came = self.seen.lock().unwrap().came.clone();
            if came.len() >= count {
                return came;
            }
            assert!(tokio::time::Instant::now() < end, "only {came:?}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// What waits for its receiver to take it.
async fn until_it_waits(node: &Node) -> Value {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let url = format!("{}/bobbinet/push", node.url);
        let (status, list) = whole(node.http.get(url).bearer_auth(node.token())).await;
        assert_eq!(status, StatusCode::OK);
        let letter = list["letters"].get(0).cloned().unwrap_or_default();
        if letter["state"] == "retrying" {
            return letter;
        }
        assert!(tokio::time::Instant::now() < end, "nothing waits: {list}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn node(receiver: &Receiver) -> Node {
    Node::with(Form { receivers: Some(vec![receiver.origin.clone()]), ..Form::default() }).await
}

pub(crate) fn with_webhook(text: &str, config: Value) -> Value {
    let mut params = message(text);
    params["configuration"] = json!({ "returnImmediately": true, "taskPushNotificationConfig": config });
    params
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[tokio::test]
async fn a_webhook_that_comes_with_a_message_is_sent_all_that_a_stream_would_say() {
    let receiver = Receiver::start().await;
    let node = node(&receiver).await;
    let config = json!({ "url": receiver.url(), "token": "tok",
        "authentication": { "scheme": "Bearer", "credentials": "cred" } });
    let task = node.result("SendMessage", with_webhook("echo hi", config)).await["task"].take();
    let came = receiver.until(4).await;
    let id = task["id"].as_str().unwrap();
    let kinds: Vec<_> = came.iter().map(|came| came.body.as_object().unwrap().keys().next().unwrap().clone()).collect();
    assert_eq!(kinds, ["task", "statusUpdate", "artifactUpdate", "statusUpdate"]);
    assert_eq!(came[3].body["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
    for (at, Came { headers, raw, .. }) in came.iter().enumerate() {
        assert_eq!(headers["content-type"], "application/a2a+json");
        assert_eq!(headers["authorization"], "Bearer cred");
        assert_eq!(headers["x-a2a-notification-token"], "tok");
        assert_eq!(headers["webhook-id"], format!("{id}:{}", at + 1).as_str());
        let claims = claims(headers["x-bobbinet-notification-jwt"].to_str().unwrap());
        let hash: String = Sha256::digest(raw).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(claims["request_body_sha256"], hash.as_str());
        assert_eq!((&claims["aud"], &claims["taskId"]), (&json!(receiver.origin), &task["id"]));
        assert_eq!(claims["iss"], format!("http://{}", node.address));
        let now = SystemEnv.now().as_millis() / 1_000;
        assert!(claims["iat"].as_u64().unwrap() <= now && claims["exp"].as_u64().unwrap() > now);
    }
    // A token for a receiver opens no door here.
    let token = came[0].headers["x-bobbinet-notification-jwt"].to_str().unwrap();
    let (status, _) = whole(node.post("/").bearer_auth(token).header("a2a-version", "1.0").body("{}")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn one_that_was_registered_in_0_3_is_sent_whole_tasks_of_0_3() {
    let receiver = Receiver::start().await;
    let node = node(&receiver).await;
    let params = json!({
        "message": { "kind": "message", "messageId": "m", "role": "user", "parts": [{ "kind": "text", "text": "echo hi" }] },
        "configuration": { "pushNotificationConfig": { "id": "h", "url": receiver.url(), "token": "tok",
            "authentication": { "schemes": ["Basic"], "credentials": "Zm9v" } } },
    });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "message/send", "params": params }).to_string();
    let (_, sent) = whole(node.post("/").bearer_auth(node.token()).body(body)).await;
    let came = receiver.until(3).await;
    let states: Vec<_> = came.iter().map(|came| came.body["status"]["state"].clone()).collect();
    assert_eq!(states, ["submitted", "working", "completed"]);
    for Came { headers, body, .. } in &came {
        assert_eq!((&body["kind"], &body["id"]), (&json!("task"), &sent["result"]["id"]));
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["authorization"], "Basic Zm9v");
    }
    assert_eq!(came[2].body["artifacts"][0]["parts"][0]["text"], "hi");
    // Asked for in the other dialect, it is the same webhook, and keeps its own.
    let params = json!({ "taskId": sent["result"]["id"], "id": "h" });
    let shown = node.result("GetTaskPushNotificationConfig", params).await;
    assert_eq!(shown["authentication"], json!({ "scheme": "Basic" }));
}

#[tokio::test]
async fn what_a_receiver_does_not_take_comes_again_in_order() {
    let receiver = Receiver::start().await;
    receiver.answer(StatusCode::SERVICE_UNAVAILABLE);
    let node = node(&receiver).await;
    let config = json!({ "id": "h", "url": receiver.url() });
    let task = node.result("SendMessage", with_webhook("echo hi", config)).await["task"].take();
    let letter = until_it_waits(&node).await;
    assert_eq!((&letter["webhook"], &letter["task"]), (&json!("h"), &task["id"]), "{letter}");
    assert_eq!(letter["receiver"], receiver.origin.as_str());
    assert!(letter["why"].as_str().unwrap().contains("503"), "{letter}");
    receiver.answer(StatusCode::NO_CONTENT);
    let url = format!("{}/bobbinet/push/{}/h/retry", node.url, task["id"].as_str().unwrap());
    let (status, _) = whole(node.http.post(url).bearer_auth(node.token())).await;
    assert_eq!(status, StatusCode::OK);
    let came = receiver.until(4).await;
    let ids: Vec<_> = came.iter().map(|came| came.headers["webhook-id"].to_str().unwrap().to_owned()).collect();
    let all: Vec<_> = (1..=4).map(|at| format!("{}:{at}", task["id"].as_str().unwrap())).collect();
    assert_eq!(ids, all);
}

#[tokio::test]
async fn what_a_receiver_sends_elsewhere_it_has_not_taken() {
    for status in [StatusCode::MOVED_PERMANENTLY, StatusCode::FOUND, StatusCode::SEE_OTHER] {
        let receiver = Receiver::start().await;
        receiver.answer(status);
        let node = node(&receiver).await;
        // Within its origin, where a GET is answered well.
        node.result("SendMessage", with_webhook("echo hi", json!({ "id": "h", "url": receiver.url() }))).await;
        let letter = until_it_waits(&node).await;
        assert!(letter["why"].as_str().unwrap().contains(status.as_str()), "{letter}");
    }
}

#[tokio::test]
async fn what_is_taken_is_taken_also_if_the_answer_never_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let receive = async || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let mut serving = JoinSet::new();
    let router = Router::new().route("/hook", post(receive));
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let node = Node::with(Form { receivers: Some(vec![origin.clone()]), ..Form::default() }).await;
    node.result("SendMessage", with_webhook("echo hi", json!({ "id": "h", "url": format!("{origin}/hook") }))).await;
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (_, list) = whole(node.http.get(format!("{}/bobbinet/push", node.url)).bearer_auth(node.token())).await;
        if list["waiting"] == 0 && list["letters"] == json!([]) {
            break;
        }
        assert!(tokio::time::Instant::now() < end && list["letters"] == json!([]), "{list}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn webhooks_are_made_shown_listed_and_removed() {
    let receiver = Receiver::start().await;
    let node = node(&receiver).await;
    let task = node.send("ask").await;
    let id = &task["id"];
    let create = json!({ "taskId": id, "id": "h", "url": receiver.url(), "token": "hush" });
    let made = node.result("CreateTaskPushNotificationConfig", create).await;
    assert_eq!(made, json!({ "id": "h", "taskId": id, "url": receiver.url() }));
    let named = json!({ "taskId": id, "id": "h" });
    assert_eq!(node.result("GetTaskPushNotificationConfig", named.clone()).await, made);
    let list = node.result("ListTaskPushNotificationConfigs", json!({ "taskId": id })).await;
    assert_eq!(list, json!({ "configs": [made], "nextPageToken": "" }));
    // It is told the task as it stands, and how it goes on.
    assert_eq!(receiver.until(1).await[0].body["task"]["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    node.result("SendMessage", reply("hi", &task)).await;
    let last = receiver.until(5).await.pop().unwrap();
    assert_eq!(last.body["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(node.result("DeleteTaskPushNotificationConfig", named.clone()).await, json!({}));
    assert_eq!(
        node.result("DeleteTaskPushNotificationConfig", named.clone()).await,
        json!({}),
        "no fault the second time"
    );
    assert_eq!(node.error_code("GetTaskPushNotificationConfig", named).await, -32001);
    let card = node.http.get(format!("{}/.well-known/agent-card.json", node.url)).send().await.unwrap();
    let card: Value = card.json().await.unwrap();
    assert_eq!(card["capabilities"]["pushNotifications"], true);
}

#[tokio::test]
async fn a_stranger_finds_nothing() {
    let receiver = Receiver::start().await;
    let node = node(&receiver).await;
    let task = node.send("ask").await;
    let create = json!({ "taskId": task["id"], "id": "h", "url": receiver.url() });
    node.result("CreateTaskPushNotificationConfig", create.clone()).await;
    receiver.until(1).await;
    let stranger = node.token_of("somebody", &node.url, SystemEnv.now());
    let named = json!({ "taskId": task["id"], "id": "h" });
    for (method, params) in [
        ("CreateTaskPushNotificationConfig", create),
        ("GetTaskPushNotificationConfig", named.clone()),
        ("ListTaskPushNotificationConfigs", named.clone()),
        ("DeleteTaskPushNotificationConfig", named.clone()),
    ] {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        let request = node.post("/").bearer_auth(&stranger).header("a2a-version", "1.0").body(body);
        let (_, answer) = whole(request).await;
        assert_eq!(answer["error"]["code"], -32001, "{method}: {answer}");
    }
    let base = format!("{}/bobbinet/push", node.url);
    let of_task = format!("{base}/{}/h", task["id"].as_str().unwrap());
    for request in
        [node.http.get(&base), node.http.post(format!("{of_task}/retry")), node.http.post(format!("{of_task}/drop"))]
    {
        let status = request.bearer_auth(&stranger).send().await.unwrap().status();
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    assert_eq!(node.result("GetTaskPushNotificationConfig", named).await["id"], "h", "and has removed nothing");
}

#[tokio::test]
async fn no_webhook_leads_inside() {
    let receiver = Receiver::start().await;
    let node = node(&receiver).await;
    let task = node.send("ask").await;
    for url in [
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.1.2.3/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "file:///etc/passwd",
        "ftp://a.example/",
        "https://user:password@a.example/",
        "a.example",
    ] {
        let create = json!({ "taskId": task["id"], "url": url });
        assert_eq!(node.error_code("CreateTaskPushNotificationConfig", create).await, -32602, "{url}");
        let sent = with_webhook("echo hi", json!({ "url": url }));
        assert_eq!(node.error_code("SendMessage", sent).await, -32602, "{url}");
    }
    // Each names the field that its URL came in.
    let inside = json!({ "url": "http://10.1.2.3/" });
    let sent = with_webhook("echo hi", inside.clone());
    let place = |answer: &Value| answer["error"]["data"][1]["fieldViolations"][0]["field"].clone();
    assert_eq!(place(&node.call("SendMessage", sent).await), "configuration.taskPushNotificationConfig.url");
    let create = json!({ "taskId": task["id"], "url": "http://10.1.2.3/" });
    assert_eq!(place(&node.call("CreateTaskPushNotificationConfig", create).await), "url");
    let older = json!({ "taskId": task["id"], "pushNotificationConfig": inside });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tasks/pushNotificationConfig/set", "params": older });
    let (_, refused) = whole(node.post("/").bearer_auth(node.token()).body(body.to_string())).await;
    assert!(refused["error"].to_string().contains("pushNotificationConfig.url"), "{refused}");
    let list = node.result("ListTasks", json!({})).await;
    assert_eq!(list["totalSize"], 1, "no task began with such a webhook");
}
