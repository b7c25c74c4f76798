//! What is typed at a node that runs: results, pages, credentials, and what each command ends with.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, bobbinet};

/// A node with agents of our own, and a home that nobody else uses.
struct Place {
    folder: TempDir,
    node: Node,
}

/// What came of a command.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    error: String,
}

impl Place {
    fn with(agents: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bobbinet");
        let mut config = "node: { listen: \"127.0.0.1:0\", data: ./data }\nagents:\n".to_owned();
        for (name, server) in agents {
            let command = format!("[{program:?}, demo-server, {server}, ./{name}]");
            config.push_str(&format!("  {name}: {{ trust_hints: true, mcp: {{ command: {command} }} }}\n"));
        }
        std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
        let home = folder.path().join("home");
        let node = Node::start(folder.path(), &[("HOME", home.to_str().unwrap())]).unwrap();
        Self { folder, node }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = bobbinet(self.path());
        command.args(arguments).env("HOME", self.path().join("home")).env("BOBBINET_DATA", self.path().join("data"));
        let output = command.output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            error: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The document that a command prints.
    fn document(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {ran:?}"))
    }
}

fn ids(page: &Value) -> Vec<String> {
    page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_list_of_several_agents_comes_in_pages() {
    let place = Place::with(&[("one", "notes"), ("two", "notes"), ("idle", "notes")]);
    // The pages of the two do not end together.
    for agent in ["one", "one", "two", "one", "two", "two", "two"] {
        let ran = place.run(&["call", &format!("{agent}.list_notes")]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let whole = place.document(&["task", "list"]);
    let all = ids(&whole);
    assert_eq!((all.len(), &whole["totalSize"], &whole["nextPageToken"]), (7, &Value::from(7), &Value::from("")));
    for size in 1..=7 {
        let size = size.to_string();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let mut arguments = vec!["task", "list", "--page-size", &size];
            if !token.is_empty() {
                arguments.extend(["--page-token", &token]);
            }
            let page = place.document(&arguments);
            assert_eq!((&page["totalSize"], page["pageSize"].to_string()), (&Value::from(7), size.clone()));
            let shown = ids(&page);
            assert!(!shown.is_empty() && shown.len().to_string() <= size, "{page}");
            seen.extend(shown);
            token = page["nextPageToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, all, "pages of {size}");
    }
    // People are told what to type, programs that read line by line as well.
    for arguments in
        [&["task", "list", "--page-size", "5"][..], &["task", "list", "--page-size", "5", "-o", "json", "--stream"]]
    {
        let first = place.run(arguments);
        let next = first.error.trim_start_matches("hint: there are more: bobbinet ").trim();
        assert!(next.starts_with("task list --page-size 5 --page-token "), "{first:?}");
        let rest = place.run(&next.split(' ').collect::<Vec<_>>());
        assert!(rest.out.ends_with("Total: 7\n") && rest.error.is_empty(), "{rest:?}");
        assert_eq!(rest.out.matches("Task: ").count(), 2);
    }
    let one = place.document(&["task", "list", "-a", "one", "--page-size", "2"]);
    let token = one["nextPageToken"].as_str().unwrap();
    assert_eq!(place.run(&["task", "list", "--page-token", token]).code, 2, "of which agent?");
    assert_eq!(ids(&place.document(&["task", "list", "-a", "one", "--page-token", token])).len(), 1);
}

#[test]
fn the_same_command_under_the_same_key_is_done_once() {
    let place = Place::with(&[("one", "notes")]);
    let typed = ["send", "-a", "one", "list_notes", "--idempotency-key", "k-1"];
    let (first, again) = (place.document(&typed), place.document(&typed));
    assert_eq!(first["task"]["id"], again["task"]["id"]);
    assert_eq!(place.document(&["task", "list"])["totalSize"], 1);
}

/// A card in a file, with a scheme of its own in place of the node's.
fn card_with(place: &Place, agent: &str, scheme: &Value) -> String {
    let mut card = place.document(&["card", "get", agent]);
    card["securitySchemes"] = serde_json::json!({ "own": scheme });
    let file = place.path().join("card.json");
    std::fs::write(&file, card.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn credentials_go_where_the_card_says() {
    let place = Place::with(&[("one", "notes")]);
    let token = place.node.agent("one").token;
    let key = format!("Bearer {token}");
    let list = |reference: &str, flags: &[&str]| place.run(&[&["task", "list", "-a", reference], flags].concat());
    // The node looks at one header, whatever a card calls it.
    let scheme = |name: &str| serde_json::json!({"apiKeySecurityScheme": {"location": "header", "name": name}});
    let card = card_with(&place, "one", &scheme("Authorization"));
    for reference in [&card, "card.json", &format!("file://{card}")] {
        let ran = list(reference, &["--api-key", &key]);
        assert_eq!((ran.code, ran.error.as_str()), (0, ""), "{reference}: {ran:?}");
    }
    let wrong = list(&card, &["--api-key", "a-key-that-nobody-may-see", "--debug"]);
    assert_eq!(wrong.code, 4, "{wrong:?}");
    assert!(!wrong.error.contains("nobody-may-see"), "{wrong:?}");
    // A card that asks for no key is shown none, but a token if there is one too.
    let none = list("one", &["--api-key", &key]);
    assert!(none.code == 4 && none.error.contains("its card asks for no API key\nhint: "), "{none:?}");
    assert_eq!(list("one", &["--api-key", &key, "--bearer", &token]).code, 0);
    let gone = list("file:///nowhere/card.json", &[]);
    assert!(gone.code == 3 && gone.error.contains("/nowhere/card.json"), "{gone:?}");
}

#[test]
fn service_parameters_go_with_each_request() {
    let place = Place::with(&[("one", "notes")]);
    let send = |flags: &[&str]| place.run(&[&["call", "one.list_notes", "-o", "json"], flags].concat());
    let key = ["--svc-param", "Idempotency-Key:the-same", "--svc-param", "x-other=1"];
    assert_eq!(send(&key).code, 0);
    // Another message under the same key: the parameter counts, and not the key that each command makes for itself.
    let again = send(&key);
    assert!(again.code == 1 && again.out.contains("was used for another request"), "{again:?}");
    let debug = send(&["--debug", "--svc-param", "x-secret:nobody-may-see"]);
    assert!(debug.error.contains("SendStreamingMessage") && debug.error.contains("TASK_STATE_COMPLETED"), "{debug:?}");
    assert!(!debug.error.contains("nobody-may-see") && !debug.error.contains("eyJ"), "{debug:?}");
    let version = send(&["--svc-param", "a2a-version:9.9"]);
    assert!(version.code == 1 && version.out.contains("VersionNotSupportedError"), "{version:?}");
    assert_eq!(send(&["--svc-param", "nothing"]).code, 2);
    let insecure = send(&["--insecure"]);
    assert!(insecure.code == 0 && insecure.error.starts_with("warning: certificates are not checked"), "{insecure:?}");
}
