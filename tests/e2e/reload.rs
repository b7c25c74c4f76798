//! A node whose callers change while it runs: its policy, its API keys, its signing keys.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Agent, Node, PATIENCE, bobbinet, data_message, log_of};

const PRINCIPALS: &str = "principals: { ci: { tenant: acme, life: 1h } }\n";

struct Place {
    folder: TempDir,
    node: Node,
}

fn write(folder: &Path, callers: &str) {
    let program = env!("CARGO_BIN_EXE_bobbinet");
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n  notes: {{ trust_hints: true, mcp: {{ command: [{program:?}, \
         demo-server, notes, ./notes] }} }}\n{callers}"
    );
    // As editors and mounted secrets do it.
    std::fs::write(folder.join("next.yaml"), config).unwrap();
    std::fs::rename(folder.join("next.yaml"), folder.join("bobbinet.yaml")).unwrap();
}

impl Place {
    fn start(callers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), callers);
        let home = folder.path().join("home");
        let node = Node::start(folder.path(), &[("HOME", home.to_str().unwrap())]).unwrap();
        Self { folder, node }
    }

    /// What a command prints, or what it says if it fails.
    fn typed(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = bobbinet(self.folder.path());
        let output = command.args(arguments).args(["--data-dir", "data"]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    fn agent(&self, token: String) -> Agent {
        Agent { url: format!("{}/agents/notes", self.node.url), token }
    }

    async fn jwks(&self) -> Vec<Value> {
        let jwks = reqwest::get(format!("{}/.well-known/jwks.json", self.node.url)).await.unwrap();
        let jwks: Value = jwks.json().await.unwrap();
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
    }
}

/// Whether notes may be listed: done, denied, or not even let in.
async fn list(agent: &Agent) -> String {
    let message = data_message("list", &json!({ "skill": "list_notes", "arguments": {} }));
    let request = agent.request(&reqwest::Client::new(), "SendMessage", &json!({ "message": message }));
    let response = request.send().await.unwrap();
    if response.status() == StatusCode::UNAUTHORIZED {
        return "nobody".to_owned();
    }
    let answer: Value = response.json().await.unwrap();
    match answer["result"]["task"]["status"]["state"].as_str() {
        Some(state) => state.trim_start_matches("TASK_STATE_").to_lowercase(),
        None => "denied".to_owned(),
    }
}

/// How long it takes until it comes out so.
async fn until(agent: &Agent, expected: &str) -> Duration {
    let start = Instant::now();
    loop {
        let found = list(agent).await;
        if found == expected {
            return start.elapsed();
        }
        assert!(start.elapsed() < PATIENCE, "{found}, and not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_may_do_what_is_read_again_while_the_node_runs() {
    let allow = "policy: [{ allow: \"caller.principal == 'ci' && skill == 'list_notes'\" }]\n";
    let place = Place::start(PRINCIPALS);
    let url = format!("{}/agents/notes", place.node.url);
    let token = place.typed(&["token", "mint", "--for", "ci", "--audience", &url]).unwrap();
    let ci = place.agent(token);
    assert_eq!(list(&ci).await, "denied");

    write(place.folder.path(), &format!("{PRINCIPALS}{allow}"));
    println!("a line counts after {:?}", until(&ci, "completed").await);
    // One with a fault changes nothing, and the log says what is wrong with it.
    write(place.folder.path(), &format!("{PRINCIPALS}policy: [{{ allow: \"caller.principle == 'ci'\" }}]\n"));
    place.node.signal(Signal::SIGHUP);
    let start = Instant::now();
    while !log_of(place.folder.path()).contains("stays as it was") {
        assert!(start.elapsed() < PATIENCE, "{}", log_of(place.folder.path()));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = log_of(place.folder.path());
    assert!(log.contains("there is no caller.principle"), "{log}");
    assert_eq!(list(&ci).await, "completed");
    // On SIGHUP at once: who is not named any more may do nothing, and his token of an hour is too long.
    write(place.folder.path(), "principals: { other: {} }\n");
    place.node.signal(Signal::SIGHUP);
    println!("a signal is heard after {:?}", until(&ci, "nobody").await);
    let unknown = place.typed(&["token", "mint", "--for", "ci", "--audience", &url]).unwrap_err();
    assert!(unknown.contains("other"), "{unknown}");
    assert!(place.node.stop().success());
}

#[tokio::test]
async fn keys_are_made_taken_back_and_exchanged_while_the_node_runs() {
    let callers = format!("{PRINCIPALS}policy: [{{ allow: \"caller.tenant == 'acme'\" }}]\n");
    let place = Place::start(&callers);
    let key = place.typed(&["key", "create", "--for", "ci"]).unwrap();
    assert!(key.starts_with("bbk_"), "{key}");
    let of_key = place.agent(key.clone());
    println!("a key counts after {:?}", until(&of_key, "completed").await);
    let http = reqwest::Client::new();
    let shown = async |header: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {} }).to_string();
        let request = http.post(&of_key.url).header("a2a-version", "1.0").header("content-type", "application/json");
        request.header(header, &key).body(body).send().await.unwrap().status()
    };
    assert_eq!((shown("X-API-Key").await, shown("X-Other").await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    // Another name than the configuration's needs its tenant, and the owner has none.
    let unknown = place.typed(&["key", "create", "--for", "guest"]).unwrap_err();
    assert!(unknown.contains("--tenant"), "{unknown}");
    assert!(place.typed(&["key", "create", "--for", "node-owner", "--tenant", "local"]).is_err());
    let of_guest = place.agent(place.typed(&["key", "create", "--for", "guest", "--tenant", "acme"]).unwrap());
    until(&of_guest, "completed").await;
    let listed = place.typed(&["key", "list", "-o", "json"]).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["apiKeys"].as_array().unwrap().len(), 2, "{listed}");
    assert!(!listed.to_string().contains(&key[30..]), "a key is shown once");
    let id = listed["apiKeys"][0]["id"].as_str().unwrap().to_owned();
    place.typed(&["key", "revoke", &id]).unwrap();
    let took = until(&of_key, "nobody").await;
    println!("a key is refused after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(list(&of_guest).await, "completed");

    // The signing key: a token of the old one is as good as before, both are shown, and the next token is the new one's.
    let url = of_key.url.clone();
    let mint = || place.typed(&["token", "mint", "--for", "ci", "--audience", &url]).unwrap();
    let before = place.agent(mint());
    let old = place.jwks().await;
    let rotated = place.typed(&["key", "rotate", "-o", "json"]).unwrap();
    let rotated: Value = serde_json::from_str(&rotated).unwrap();
    let after = place.agent(mint());
    println!("the new key counts after {:?}", until(&after, "completed").await);
    assert_eq!(list(&before).await, "completed");
    let shown = place.jwks().await;
    assert_eq!(shown, [old[0].clone(), rotated["kid"].clone()]);
    assert!(place.node.stop().success());
}
