//! Events and schedules of a real node: what comes in over HTTP reaches a flow whose process was killed, and what is missed runs once.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Agent, Node, PATIENCE, bobbinet, data_message};

const HEAD: &str = "document: { dsl: '1.0.3', namespace: e2e, name: NAME, version: '1.0.0' }\n";

const LISTEN: &str = "
do:
  - wait: { listen: { to: { all: [ { with: { type: order.paid } }, { with: { type: order.packed } } ] } } }
  - say: { emit: { event: { with: { type: order.sent, data: '${ { of: . } }' } } } }
  - end: { set: { order: '${ $input.data.of }' } }
";

const TICK: &str = "schedule: { every: { seconds: 4 } }\ndo: [ { a: { set: { ticked: true } } } ]\n";

const SHIP: &str =
    "schedule: { on: { one: { with: { type: order.sent } } } }\ndo: [ { a: { set: { began: '${ .[0].of }' } } } ]\n";

fn write(folder: &Path, name: &str, steps: &str) {
    std::fs::write(folder.join(format!("{name}.yaml")), format!("{}{steps}", HEAD.replace("NAME", name))).unwrap();
}

/// A folder with a configuration of these flows.
fn folder(flows: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, steps) in [("listen", LISTEN), ("tick", TICK), ("ship", SHIP)] {
        write(folder.path(), name, steps);
    }
    let config = format!("node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nflows:\n{flows}{more}");
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    folder
}

fn start(folder: &TempDir) -> Node {
    Node::start(folder.path(), &[("HOME", folder.path().to_str().unwrap())]).unwrap()
}

fn mint(folder: &Path, audience: &str, whom: &[&str]) -> String {
    let mut command = bobbinet(folder);
    command.args(["token", "mint", "--data-dir", "data", "--audience", audience]).args(whom);
    let output = command.env("HOME", folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn publish(http: &reqwest::Client, node: &Node, token: &str, kind: &str, id: &str) -> u16 {
    let event = json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": kind, "data": { "id": id } });
    let request = http.post(format!("{}/events", node.url)).bearer_auth(token);
    let request = request.header("content-type", "application/cloudevents+json").body(event.to_string());
    request.send().await.unwrap().status().as_u16()
}

async fn tasks(http: &reqwest::Client, agent: &Agent) -> Vec<Value> {
    let page = agent.call(http, "ListTasks", &json!({ "includeArtifacts": true })).await.unwrap();
    page["tasks"].as_array().cloned().unwrap_or_default()
}

/// The agent's tasks, once there are so many and all have completed.
async fn completed(http: &reqwest::Client, agent: &Agent, count: usize) -> Vec<Value> {
    let patience = std::time::Instant::now() + PATIENCE;
    loop {
        let found = tasks(http, agent).await;
        let is_over = |task: &Value| task["status"]["state"] == "TASK_STATE_COMPLETED";
        if found.len() >= count && found.iter().all(is_over) {
            return found;
        }
        assert!(std::time::Instant::now() < patience, "they do not come: {found:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn output(task: &Value) -> &Value {
    &task["artifacts"][0]["parts"][0]["data"]
}

/// A flow listens, its node is killed, and the events come before, after, and twice; what it sends then begins another.
#[tokio::test]
async fn a_listening_flow_hears_over_http_after_a_kill() {
    let principals = "principals:\n  shop: {}\npolicy:\n  - allow: caller.principal == 'shop' && operation == 'events.publish' && arguments.type.startsWith('order.')\n  \
                      - { allow: caller.principal == 'shop', on: ship }\n";
    let folder = folder("  listen: ./listen.yaml\n  ship: { file: ./ship.yaml, as: shop }\n", principals);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let node = start(&folder);
    let listen = node.agent("listen");
    let message = data_message("m1", &json!({}));
    let params = json!({ "message": message, "configuration": { "returnImmediately": true } });
    let task = listen.call(&http, "SendMessage", &params).await.unwrap();
    let shop = |node: &Node| mint(folder.path(), &format!("{}/events", node.url), &["--for", "shop"]);
    let token = shop(&node);
    // The flow listens once its first record is kept; what is published before that is not for it.
    let record = format!("{}/bobbinet/tasks/{}", listen.url, task["task"]["id"].as_str().unwrap());
    loop {
        let record: Value = http.get(&record).bearer_auth(&listen.token).send().await.unwrap().json().await.unwrap();
        if record["log"].as_array().unwrap().iter().any(|line| line["event"] == "recorded") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(publish(&http, &node, &token, "order.paid", "1").await, 202);
    assert_eq!(publish(&http, &node, &token, "other", "2").await, 403);
    node.kill();

    let node = start(&folder);
    let (listen, ship, token) = (node.agent("listen"), node.agent("ship"), shop(&node));
    assert_eq!(publish(&http, &node, &token, "order.paid", "1").await, 200, "a repeat");
    assert!(tasks(&http, &ship).await.is_empty());
    assert_eq!(publish(&http, &node, &token, "order.packed", "3").await, 202);
    let ended = completed(&http, &listen, 1).await;
    assert_eq!(output(&ended[0]), &json!({ "order": [{ "id": "1" }, { "id": "3" }] }));
    node.kill();

    // Whatever was sent before the kill begins one run, now or before.
    let node = start(&folder);
    let minted = mint(folder.path(), &format!("{}/agents/ship", node.url), &["--for", "shop"]);
    let of_shop = Agent { url: format!("{}/agents/ship", node.url), token: minted };
    let begun = completed(&http, &of_shop, 1).await;
    assert_eq!((begun.len(), output(&begun[0])), (1, &json!({ "began": [{ "id": "1" }, { "id": "3" }] })));
    assert!(node.stop().success());
}

#[tokio::test]
async fn a_scheduled_flow_runs_once_for_all_that_its_node_was_down_for() {
    let more = "principals:\n  clock: {}\npolicy:\n  - { allow: caller.principal == 'clock', on: tick }\n";
    let folder = folder("  tick: { file: ./tick.yaml, as: clock }\n", more);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let of_clock = |node: &Node| {
        let url = format!("{}/agents/tick", node.url);
        Agent { token: mint(folder.path(), &url, &["--for", "clock"]), url }
    };
    let node = start(&folder);
    let before = completed(&http, &of_clock(&node), 1).await.len();
    node.kill();
    // Down for two ticks at least.
    tokio::time::sleep(Duration::from_secs(9)).await;
    let node = start(&folder);
    let agent = of_clock(&node);
    let all = completed(&http, &agent, before + 2).await;
    let mut ticks: Vec<u64> = all.iter().map(tick).collect();
    ticks.sort_unstable();
    // The one that was missed first has run, and of those that followed it none.
    assert_eq!(ticks[before] - ticks[before - 1], 4_000, "{ticks:?}");
    assert!(ticks[before + 1] - ticks[before] >= 8_000, "{ticks:?}");
    assert!(node.stop().success());
}

/// The time that a scheduled run is for, in milliseconds.
fn tick(task: &Value) -> u64 {
    let text = task["history"].to_string();
    let from = text.split("tick-").nth(1).unwrap_or_else(|| panic!("{text}"));
    from.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn a_scheduled_flow_says_as_whom_it_runs() {
    let check = |flows: &str, more: &str, expected: &str| {
        let folder = folder(flows, more);
        let output = bobbinet(folder.path()).args(["check", "bobbinet.yaml"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), expected.is_empty(), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let people = "principals:\n  clock: {}\npolicy:\n  - allow: caller.principal == 'clock'\n";
    check("  tick: { file: ./tick.yaml, as: clock }\n", people, "");
    check("  listen: { file: ./listen.yaml }\n", "", "");
    check("  tick: ./tick.yaml\n", people, "flow tick runs by itself, and nothing says as whom");
    check("  tick: { file: ./tick.yaml, as: clok }\n", people, "did you mean \"clock\"?");
    check("  tick: { file: ./tick.yaml, as: clock }\n", "", "there is no principal \"clock\"");
}
