//! Agents that are somewhere else: nodes of ours and agents of other SDKs, called through a node that is killed, and that stay away, hang
//! and come back.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::node::{Agent, Node, PATIENCE, Started, bobbinet, data_message, free_port, log_of, repository, tools};

/// What the node in front is known by to the one behind.
const FRONT: &str = "https://front.example";

/// Two nodes: the one behind has a ledger of what its tools have done, the one in front calls it.
pub(crate) struct Mesh {
    folder: tempfile::TempDir,
    port: u16,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        let mesh = Self { folder: tempfile::tempdir().unwrap(), port: free_port() };
        for name in ["front", "back"] {
            std::fs::create_dir(mesh.path(name)).unwrap();
        }
        let front = mesh.path("front");
        run(&front, &["key", "new", "--data-dir", "data"]);
        std::fs::write(mesh.path("back/front.json"), run(&front, &["key", "jwks", "--data-dir", "data"])).unwrap();
        let (server, ledger) = (repository("tests/fixtures/ledger.py"), mesh.path("ledger.jsonl"));
        let back = format!(
            "node: {{ listen: \"127.0.0.1:{}\", data: ./data }}\n\
             agents:\n  ledger:\n    mcp: {{ command: [python3, {server:?}, {ledger:?}] }}\n    \
             effects: {{ look: read-only, set: idempotent, put: keyed, post: at-most-once }}\n\
             trust: [{{ issuer: {FRONT:?}, jwks: {{ file: ./front.json }} }}]\n\
             policy: [{{ allow: \"caller.principal == '{FRONT}#node'\" }}]\n",
            mesh.port
        );
        std::fs::write(mesh.path("back/bobbinet.yaml"), back).unwrap();
        mesh.configure(&format!("agents: {{ far: {{ a2a: \"{}/agents/ledger\", timeout: 4s }} }}\n", mesh.url()));
        mesh
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The node behind.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn configure(&self, agents: &str) {
        let node = format!("node: {{ listen: \"127.0.0.1:0\", data: ./data, issuer: {FRONT:?} }}\n{agents}");
        std::fs::write(self.path("front/bobbinet.yaml"), node).unwrap();
    }

    pub(crate) fn start(&self, name: &str) -> Node {
        let folder = self.path(name);
        Node::start(&folder, &[]).unwrap_or_else(|died| panic!("{died:?}: {}", log_of(&folder)))
    }

    /// How often a tool was run.
    pub(crate) fn executions(&self, id: &str) -> usize {
        let text = std::fs::read_to_string(self.path("ledger.jsonl")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["id"] == id).count()
    }

    pub(crate) fn logs(&self) -> String {
        format!("front:\n{}\nback:\n{}", log_of(&self.path("front")), log_of(&self.path("back")))
    }
}

/// What a command prints.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let ran = bobbinet(folder).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Begins a call of a ledger's tool, and gives the task.
async fn begin(agent: &Agent, http: &reqwest::Client, tool: &str, id: &str, ms: u64) -> String {
    let message = data_message(id, &json!({"skill": tool, "arguments": {"id": id, "ms": ms}}));
    let params = json!({"message": message, "configuration": {"returnImmediately": true}});
    let sent = agent.call(http, "SendMessage", &params).await.unwrap();
    sent["task"]["id"].as_str().unwrap().to_owned()
}

/// The task once it has ended, or asks.
pub(crate) async fn settled(agent: &Agent, http: &reqwest::Client, task: &str) -> Value {
    until(agent, http, task, |state| !matches!(state, "TASK_STATE_WORKING" | "TASK_STATE_SUBMITTED")).await
}

pub(crate) async fn until(agent: &Agent, http: &reqwest::Client, task: &str, is_it: impl Fn(&str) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = agent.call(http, "GetTask", &json!({"id": task})).await;
        if let Ok(found) = &found
            && is_it(found["status"]["state"].as_str().unwrap())
        {
            return found.clone();
        }
        assert!(Instant::now() < end, "{found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until something is so.
pub(crate) async fn wait_until(what: &str, is_it: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_it() {
        assert!(Instant::now() < end, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn text_of(task: &Value) -> String {
    let parts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str().map(str::to_owned)).collect()
    };
    let artifacts = task["artifacts"].as_array().into_iter().flatten().flat_map(|artifact| parts(&artifact["parts"]));
    artifacts.chain(parts(&task["status"]["message"]["parts"])).collect::<Vec<_>>().join("")
}

#[tokio::test]
async fn a_node_that_is_killed_goes_on_with_the_very_task_that_it_has_begun_elsewhere() {
    let mesh = Mesh::new();
    let (_back, front) = (mesh.start("back"), mesh.start("front"));
    let http = http();
    let agent = front.agent("far");
    let task = begin(&agent, &http, "post", "once", 4_000).await;
    // In the middle of the tool's work.
    wait_until("the tool", || mesh.executions("once") == 1).await;
    front.kill();
    let front = mesh.start("front");
    let agent = front.agent("far");
    let done = settled(&agent, &http, &task).await;
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done}\n{}", mesh.logs());
    assert_eq!((text_of(&done).as_str(), mesh.executions("once")), ("post once", 1), "{done}");
    // The card says what can be called, with its arguments.
    let wrong = data_message("wrong", &json!({"skill": "post", "arguments": {"id": 7}}));
    let wrong = agent.call(&http, "SendMessage", &json!({ "message": wrong })).await.unwrap();
    assert_eq!(wrong["task"]["status"]["state"], "TASK_STATE_REJECTED", "{wrong}");
    assert!(front.stop().success());
}

#[tokio::test]
async fn a_peer_that_dies_in_the_middle_and_comes_back_is_waited_for() {
    let mesh = Mesh::new();
    mesh.configure(&format!("agents: {{ far: {{ a2a: \"{}/agents/ledger\", timeout: 30s }} }}\n", mesh.url()));
    let (back, front) = (mesh.start("back"), mesh.start("front"));
    let http = http();
    let agent = front.agent("far");
    let task = begin(&agent, &http, "put", "kept", 2_000).await;
    wait_until("the tool", || mesh.executions("kept") == 1).await;
    back.kill();
    // So long it is away.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let _back = mesh.start("back");
    let done = settled(&agent, &http, &task).await;
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done}\n{}", mesh.logs());
    assert_eq!(mesh.executions("kept"), 1);
    // One whose outcome the node behind does not know is its question, and ours.
    let task = begin(&agent, &http, "post", "doubt", 3_000).await;
    wait_until("the tool", || mesh.executions("doubt") == 1).await;
    drop(_back);
    let _back = mesh.start("back");
    let asked = settled(&agent, &http, &task).await;
    assert_eq!(asked["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{asked}\n{}", mesh.logs());
    let said = json!({"messageId": "a", "role": "ROLE_USER", "taskId": task, "parts": [{"text": "happened"}]});
    let done = agent.call(&http, "SendMessage", &json!({ "message": said })).await.unwrap();
    assert_eq!(done["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
    assert_eq!(mesh.executions("doubt"), 1);
}

#[tokio::test]
async fn a_peer_that_hangs_is_given_up_and_one_that_is_not_there_is_told_at_once() {
    let mesh = Mesh::new();
    let (back, front) = (mesh.start("back"), mesh.start("front"));
    let http = http();
    let agent = front.agent("far");
    let task = begin(&agent, &http, "put", "slow", 4_000).await;
    wait_until("the tool", || mesh.executions("slow") == 1).await;
    back.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let failed = settled(&agent, &http, &task).await;
    back.signal(Signal::SIGCONT);
    assert_eq!(failed["status"]["state"], "TASK_STATE_FAILED", "{failed}");
    assert!(text_of(&failed).contains("nobody knows what became of it"), "{failed}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    back.kill();
    let begun = Instant::now();
    let failed = begin(&agent, &http, "put", "nowhere", 0).await;
    let failed = settled(&agent, &http, &failed).await;
    assert!(text_of(&failed).contains("nothing was sent"), "{failed}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let front_folder = mesh.path("front");
    let begun = Instant::now();
    let listed = run(&front_folder, &["peers"]);
    assert!(listed.contains("far http://127.0.0.1:") && listed.contains("down: "), "{listed}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(front.stop().success());
}

#[tokio::test]
async fn peers_are_added_tried_out_and_removed_by_commands() {
    let mesh = Mesh::new();
    let back = mesh.start("back");
    let folder = mesh.path("front");
    std::fs::write(
        folder.join("bobbinet.yaml"),
        format!("node: {{ listen: \"127.0.0.1:0\", data: ./data, issuer: {FRONT:?} }}\npeers: []\n"),
    )
    .unwrap();
    let added = run(&folder, &["peers", "add", &mesh.url()]);
    assert!(added.contains("Agents: ledger") && added.contains("peers/added.json"), "{added}");
    // A node's own name stands in its data folder once it has run.
    let front = mesh.start("front");
    let listed = run(&folder, &["peers", "ls", "-o", "json"]);
    assert!(listed.contains("\"up\":true") && listed.contains("has ledger"), "{listed}");
    let tested = run(&folder, &["peers", "test", &mesh.url()]);
    for told in ["Agent: ledger", "Skills: look, set, put, post", "Repeats: dropped", "Access: it lets this node in"] {
        assert!(tested.contains(told), "{told}: {tested}");
    }
    let http = http();
    let agent = front.agent("ledger");
    let task = begin(&agent, &http, "set", "added", 0).await;
    assert_eq!(settled(&agent, &http, &task).await["status"]["state"], "TASK_STATE_COMPLETED", "{}", mesh.logs());
    assert!(front.stop().success());
    // Which agents it had is known while it is away.
    back.kill();
    let front = mesh.start("front");
    assert!(log_of(&folder).contains("its agents are those that it had last"), "{}", log_of(&folder));
    let agent = front.agent("ledger");
    let listed = agent.call(&http, "ListTasks", &json!({})).await.unwrap();
    assert_eq!(listed["totalSize"], 1, "{listed}");
    assert!(front.stop().success());
    let refused = bobbinet(&folder).args(["peers", "test", &mesh.url()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", String::from_utf8_lossy(&refused.stderr));
    run(&folder, &["peers", "rm", &mesh.url()]);
    assert_eq!(run(&folder, &["peers"]), "");
}

#[tokio::test]
async fn another_agent_stands_in_and_a_circle_is_refused() {
    let mesh = Mesh::new();
    let (server, near) = (repository("tests/fixtures/ledger.py"), mesh.path("near.jsonl"));
    mesh.configure(&format!(
        "agents:\n  far: {{ a2a: \"{}/agents/ledger\", fallback: near }}\n  near: {{ mcp: {{ command: [python3, {server:?}, {near:?}] }} }}\n",
        mesh.url()
    ));
    let front = mesh.start("front");
    let http = http();
    let agent = front.agent("far");
    let task = begin(&agent, &http, "put", "near", 0).await;
    let done = settled(&agent, &http, &task).await;
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done}\n{}", mesh.logs());
    assert!(done["artifacts"][0]["metadata"]["urn:bobbinet:via:v1"] == "near", "{done}");
    assert!(front.stop().success());
    // A node that calls itself.
    let port = free_port();
    let itself = format!("http://127.0.0.1:{port}/agents/me");
    let config = format!(
        "node: {{ listen: \"127.0.0.1:{port}\", data: ./data, issuer: {FRONT:?} }}\nagents: {{ me: {{ a2a: {itself:?} }} }}\n\
         policy: [{{ allow: \"caller.principal == 'node'\" }}]\n"
    );
    std::fs::write(mesh.path("front/bobbinet.yaml"), config).unwrap();
    let front = mesh.start("front");
    let agent = front.agent("me");
    let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "go"}]});
    let sent = agent.call(&http, "SendMessage", &json!({ "message": message })).await.unwrap();
    let refused = settled(&agent, &http, sent["task"]["id"].as_str().unwrap()).await;
    let text = text_of(&refused);
    assert!(text.contains("goes in a circle") && text.matches("/me").count() >= 2, "{refused}");
    assert!(front.stop().success());
}

/// An agent of another SDK.
fn shouter(mut command: Command, log: &Path) -> Started {
    let log = File::create(log).unwrap();
    Started(command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).spawn().unwrap())
}

/// An agent of the official Python SDK, which writes down what it takes.
pub(crate) fn python_shouter(mesh: &Mesh, port: u16) -> Started {
    let mut command = Command::new(tools().join("python/bin/python"));
    command.arg(repository("tests/python/shouter.py")).arg(port.to_string());
    shouter(command, &mesh.path("py.log"))
}

#[tokio::test]
async fn agents_of_the_python_and_the_javascript_sdk_are_agents_like_any() {
    let mesh = Mesh::new();
    let (python, javascript) = (free_port(), free_port());
    let _python = python_shouter(&mesh, python);
    let modules = tools().join("npm/node_modules");
    assert!(modules.join("@a2a-js/sdk").exists(), "the JavaScript SDK is missing: cargo xtask tools");
    let mut command = Command::new("node");
    command.arg(repository("tests/javascript/shouter.mjs")).arg(modules).arg(javascript.to_string());
    let _javascript = shouter(command, &mesh.path("js.log"));
    mesh.configure(&format!(
        "agents:\n  py: {{ a2a: \"http://127.0.0.1:{python}\", timeout: 20s }}\n  js: {{ a2a: \"http://127.0.0.1:{javascript}\", timeout: 20s }}\n"
    ));
    let front = mesh.start("front");
    let http = http();
    for name in ["py", "js"] {
        let say = |id: &str, text: &str| {
            let message = json!({"messageId": id, "role": "ROLE_USER", "parts": [{ "text": text }]});
            json!({"message": message, "configuration": {"returnImmediately": true}})
        };
        let begin = async |agent: &Agent, params: Value| {
            let sent = agent.call(&http, "SendMessage", &params).await.unwrap();
            sent["task"]["id"].as_str().unwrap().to_owned()
        };
        let agent = front.agent(name);
        let task = begin(&agent, say("m1", "hello")).await;
        let done = settled(&agent, &http, &task).await;
        assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{name}: {done}\n{}", mesh.logs());
        assert_eq!(text_of(&done), "HELLOshouted", "{name}: {done}");
        // It asks, and is answered.
        let task = begin(&agent, say("m2", "ask")).await;
        let asked = settled(&agent, &http, &task).await;
        assert_eq!(text_of(&asked), "how loud?", "{name}: {asked}");
        let answer =
            json!({"message": {"messageId": "m3", "role": "ROLE_USER", "taskId": task, "parts": [{"text": "very"}]}});
        let done = agent.call(&http, "SendMessage", &answer).await.unwrap();
        assert_eq!(text_of(&done["task"]), "VERYshouted", "{name}: {done}");
    }
    // Its agents drop no repeats: what was sent is not sent again, and the very task is gone on with.
    let mut waiting = Vec::new();
    for name in ["py", "js"] {
        let agent = front.agent(name);
        let message = json!({"messageId": "m4", "role": "ROLE_USER", "parts": [{"text": "wait 4"}]});
        let params = json!({"message": message, "configuration": {"returnImmediately": true}});
        let sent = agent.call(&http, "SendMessage", &params).await.unwrap();
        waiting.push((name, sent["task"]["id"].as_str().unwrap().to_owned()));
    }
    let took =
        |name: &str| std::fs::read_to_string(mesh.path(&format!("{name}.log"))).unwrap().matches("took wait 4").count();
    // What comes after the task is kept after the task.
    for (name, task) in &waiting {
        let agent = front.agent(name);
        let end = Instant::now() + PATIENCE;
        loop {
            let known = agent.call(&http, "GetTask", &json!({ "id": task })).await.unwrap();
            if text_of(&known) == "WAI" {
                break;
            }
            assert!(Instant::now() < end, "{name}: {known}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!((took("py"), took("js")), (1, 1));
    front.kill();
    let front = mesh.start("front");
    for (name, task) in waiting {
        let agent = front.agent(name);
        let settled = settled(&agent, &http, &task).await;
        let state = settled["status"]["state"].as_str().unwrap();
        assert_eq!(state, "TASK_STATE_COMPLETED", "{name}: {settled}");
        assert_eq!(text_of(&settled), "WAIT 4shouted", "{name}: {settled}");
        assert_eq!(took(name), 1, "{name}");
    }
    assert!(front.stop().success());
}
