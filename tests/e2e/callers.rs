//! Nodes with more than one owner: one trusts another's keys and says what its principals may do, down to the arguments.

use std::{fmt::Write, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::node::{Agent, Node, bobbinet, data_message, log_of};

/// A node with an agent that keeps notes.
struct Place {
    folder: TempDir,
    node: Node,
}

impl Place {
    /// With these settings of the node, and these beside its agents.
    fn with(node: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bobbinet");
        let command = format!("[{program:?}, demo-server, notes, ./notes]");
        let mut config = format!("node: {{ listen: \"127.0.0.1:0\", data: ./data{node} }}\n");
        writeln!(config, "agents:\n  notes: {{ trust_hints: true, mcp: {{ command: {command} }} }}\n{more}").unwrap();
        std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
        let home = folder.path().join("home");
        let node = Node::start(folder.path(), &[("HOME", home.to_str().unwrap())]).unwrap();
        Self { folder, node }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self) -> String {
        format!("{}/agents/notes", self.node.url)
    }

    /// Tries to make a token with this node's key: what is printed, or what is said.
    fn mint(&self, arguments: &[&str]) -> Result<String, String> {
        let output = bobbinet(self.path())
            .args(["token", "mint", "--data-dir", "data"])
            .args(arguments)
            .env("HOME", self.path().join("home"))
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
            false => Err(String::from_utf8(output.stderr).unwrap()),
        }
    }

    fn notes(&self) -> String {
        std::fs::read_to_string(self.path().join("notes/notes.txt")).unwrap_or_default()
    }
}

/// What becomes of a note that is sent: the task's state, or the error's reason.
async fn add(agent: &Agent, text: &str) -> String {
    let http = reqwest::Client::new();
    let message = data_message(text, &json!({"skill": "add_note", "arguments": {"text": text}}));
    match agent.call(&http, "SendMessage", &json!({ "message": message })).await {
        Ok(result) => result["task"]["status"]["state"].as_str().unwrap().to_owned(),
        Err(error) => error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned),
    }
}

fn id_of(result: &Value) -> Value {
    json!({"id": result["task"]["id"]})
}

const DONE: &str = "TASK_STATE_COMPLETED";

#[tokio::test]
async fn a_node_trusts_anothers_keys_and_says_what_its_principals_may_do() {
    let people = "principals:\n  worker: { tenant: acme }\n  stranger: {}\n  robot: { life: 30d }\n";
    let ours = Place::with(", issuer: \"https://a.example\"", people);
    let policy = format!(
        "principals:\n  machine: {{ tenant: acme }}\n\
         trust:\n  - issuer: https://a.example\n    jwks: {{ url: \"{}/.well-known/jwks.json\" }}\n    tenant: acme\n    \
         life: 30d\n    principals: {{ robot: machine }}\n\
         policy:\n  - {{ allow: \"caller.principal == 'https://a.example#worker' && skill == 'add_note' && \
         arguments.text.startsWith('/public')\", on: notes }}\n  - allow: caller.principal == 'machine' && caller.tenant == 'acme'\n",
        ours.node.url
    );
    let theirs = Place::with("", &policy);
    let url = theirs.url();
    let token = |name: &str| ours.mint(&["--for", name, "--audience", &url]).unwrap();
    let agent = |token: String| Agent { url: url.clone(), token };
    let (worker, stranger, robot) = (agent(token("worker")), agent(token("stranger")), agent(token("robot")));
    let http = reqwest::Client::new();

    // What the line allows, and not a word more, before anything is kept.
    assert_eq!(add(&worker, "/public/a").await, DONE);
    let denied = add(&worker, "/private/b").await;
    assert_eq!(
        denied,
        "https://a.example#worker may not call add_note of notes: no line of the node's policy allows it"
    );
    let refused = add(&stranger, "/public/c").await;
    assert_eq!(refused, "https://a.example#stranger may not send to notes: no line of the node's policy allows it");
    let list = data_message("list", &json!({"skill": "list_notes", "arguments": {}}));
    let listed = worker.call(&http, "SendMessage", &json!({ "message": list })).await.unwrap_err();
    assert!(listed.to_string().contains("may not call list_notes"), "{listed}");
    assert_eq!(theirs.notes(), "/public/a\n");

    // What came of it is his to look at, and nobody else's.
    let message = data_message("d", &json!({"skill": "add_note", "arguments": {"text": "/public/d"}}));
    let sent = worker.call(&http, "SendMessage", &json!({ "message": message })).await.unwrap();
    assert_eq!(worker.call(&http, "GetTask", &id_of(&sent)).await.unwrap()["status"]["state"], DONE);
    for other in [&stranger, &robot] {
        let found = other.call(&http, "GetTask", &id_of(&sent)).await.unwrap_err();
        assert!(found.to_string().contains("TASK_NOT_FOUND"), "{found}");
    }
    // One who has a name there goes by it, and his token lives as long as both say.
    assert_eq!(add(&robot, "/anything").await, DONE);

    // The log of the node, and nobody else, knows what would have allowed it.
    let log = log_of(theirs.path());
    for expected in [
        r#"allow: \"caller.principal == 'https://a.example#worker' && skill == 'add_note'\", on: notes"#,
        "caller.principal == 'https://a.example#stranger'",
    ] {
        assert!(log.contains(expected) || log.contains(&expected.replace('\\', "")), "{expected} is not in:\n{log}");
    }

    // Tokens that are nobody's there: the other's owner, another audience, the other's owner under its name, no keys.
    let mint = |arguments: &[&str]| agent(ours.mint(arguments).unwrap());
    for (what, wrong) in [
        ("the other node's owner", mint(&["--audience", &url])),
        ("for another", mint(&["--for", "worker", "--audience", &ours.url()])),
        ("nobody", agent("x".to_owned())),
    ] {
        let status = wrong.request(&http, "GetTask", &json!({"id": "x"})).send().await.unwrap().status();
        assert_eq!(status, reqwest::StatusCode::UNAUTHORIZED, "{what}");
    }
    // At home those who have a name may do nothing without a policy.
    let home = Agent { url: ours.url(), token: ours.mint(&["--for", "worker", "--audience", &ours.url()]).unwrap() };
    assert!(add(&home, "/public/e").await.contains("only the node's owner"));
    assert_eq!(add(&theirs.node.agent("notes"), "/of the owner").await, DONE);

    // How long a token lives is the principal's own, and who is not named gets none.
    let claims = |token: &str| -> Value {
        let payload = token.split('.').nth(1).unwrap().to_owned();
        serde_json::from_slice(
            &base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap(),
        )
        .unwrap()
    };
    let life = |claims: &Value| claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    let of_robot = claims(&robot.token);
    assert_eq!(
        (life(&of_robot), &of_robot["iss"], &of_robot["sub"]),
        (30 * 86_400, &json!("https://a.example"), &json!("robot"))
    );
    assert_eq!((life(&claims(&worker.token)), &claims(&worker.token)["tenant"]), (900, &json!("acme")));
    let long = ours.mint(&["--for", "worker", "--audience", &url, "--life", "16m"]).unwrap_err();
    assert!(long.contains("15 minutes"), "{long}");
    assert!(ours.mint(&["--for", "robot", "--audience", &url, "--life", "31d"]).is_err());
    let unknown = ours.mint(&["--for", "nobody", "--audience", &url]).unwrap_err();
    assert!(unknown.contains("robot, stranger, worker"), "{unknown}");

    // The other node is gone: its keys are known, and tokens need nothing else.
    let late = agent(ours.mint(&["--for", "worker", "--audience", &url]).unwrap());
    assert!(ours.node.stop().success());
    assert_eq!(add(&late, "/public/f").await, DONE);
}
