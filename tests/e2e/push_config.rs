//! Webhooks by the command line, at agents of several makes: over each binding, in both versions.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    interop::{Hooks, Taken, script},
    node::{Node, Started, bobbinet, free_port, listens, log_of, tools},
};

const TOKEN: &str = "token-that-nobody-sees";
const CREDENTIALS: &str = "credentials-that-nobody-sees";

/// One way to an agent.
struct Way<'a> {
    /// What to type for it.
    arguments: Vec<&'a str>,
    /// What its agent asks something at.
    message: &'a str,
    ending: Ending<'a>,
    /// Whether its webhooks are authenticated as they say.
    authenticates: bool,
}

/// What ends a task.
struct Ending<'a> {
    /// After `bobbinet task` and before the task's id.
    command: &'a str,
    /// After that.
    words: &'a [&'a str],
    /// Where the task stands then, as its webhooks are told.
    state: &'a str,
}

#[test]
fn webhooks_of_tasks_are_made_shown_and_removed_at_our_own_node() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks::open();
    let server = tools().join("npm/node_modules/.bin/mcp-server-everything");
    assert!(server.exists(), "{} is missing: cargo xtask tools", server.display());
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data, grpc: true, webhooks: [{:?}] }}\n\
         agents:\n  everything: {{ use: everything, mcp: {{ command: [{server:?}] }} }}\n",
        hooks.url
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    for version in ["1.0", "0.3"] {
        for transport in ["jsonrpc", "http+json", "grpc"] {
            let arguments = vec!["--data-dir", "data", "--transport", transport, "--a2a-version", version];
            let ending = Ending { command: "cancel", words: &[], state: "canceled" };
            let way = Way { arguments, message: "get-sum a=1", ending, authenticates: true };
            check(folder.path(), &way, &hooks);
        }
    }
    assert!(!log_of(folder.path()).contains("that-nobody-sees"));
    assert!(node.stop().success());
}

#[test]
fn webhooks_of_tasks_are_made_shown_and_removed_at_agents_of_the_official_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks::open();
    let [port, grpc_port, old_port] = [(); 3].map(|()| free_port());
    let start = |mut command: Command| Started(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let mut newer = script(tools().join("python/bin/python"), "python_v1_server.py");
    newer.args([port, grpc_port].map(|port| port.to_string()));
    let mut older = script(tools().join("python-0.3/bin/python"), "python_v0_3_server.py");
    older.args([old_port, free_port()].map(|port| port.to_string()));
    let _agents = [start(newer), start(older)];
    for port in [port, grpc_port, old_port] {
        listens(port);
    }
    let [url, old_url, grpc_url] = [port, old_port, grpc_port].map(|port| format!("http://127.0.0.1:{port}"));
    for arguments in [
        vec!["-a", &url, "--transport", "jsonrpc"],
        vec!["-a", &url, "--transport", "http+json"],
        vec!["-a", &url, "--transport", "grpc", "--origin", &grpc_url],
        // Over its other bindings this SDK lists no webhooks.
        vec!["-a", &old_url],
    ] {
        // This SDK sends the token alone, and in 0.3 nothing of a task that is canceled.
        let ending = Ending { command: "reply", words: &["hello"], state: "completed" };
        let way = Way { arguments, message: "ask", ending, authenticates: false };
        check(folder.path(), &way, &hooks);
    }
}

/// A task that asks, a webhook with secrets and one without; what is told when the task ends, and what is not.
fn check(folder: &Path, way: &Way<'_>, hooks: &Hooks) {
    let what = way.arguments.join(" ");
    std::fs::write(folder.join("credentials"), format!("{CREDENTIALS}\n")).unwrap();
    let run = |words: &[&str]| {
        let output = bobbinet(folder).args(words).args(&way.arguments).env("HOOK_TOKEN", TOKEN).output().unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        // Whatever the agent gives back, and however much is told.
        assert!(!format!("{out}{error}").contains("that-nobody-sees"), "{what} {words:?}: {out}{error}");
        (output.status.code().unwrap(), out, error)
    };
    let json = |words: &[&str]| {
        let (code, out, error) = run(words);
        assert_eq!(code, 0, "{what} {words:?}: {out}{error}");
        serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("{what} {words:?}: {out}"))
    };
    let id_of = |config: &Value| {
        let id = config.pointer("/pushNotificationConfig/id").unwrap_or(&config["id"]);
        id.as_str().unwrap_or_else(|| panic!("{what}: {config}")).to_owned()
    };
    let count = |list: &Value| list.as_array().or_else(|| list["configs"].as_array()).map_or(0, Vec::len);

    let begin = || {
        let asked = json(&["send", way.message, "-o", "json"]);
        asked.pointer("/task/id").unwrap_or(&asked["id"]).as_str().unwrap().to_owned()
    };
    let end = |task: &str| {
        let (code, out, error) = run(&[&["task", way.ending.command, task], way.ending.words].concat());
        assert_eq!(code, 0, "{what}: {out}{error}");
    };
    let is_of_end = |taken: &Taken| taken.says(way.ending.state);
    let name = what.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let [url, removed_url, later_url] =
        ["first", "second", "later"].map(|place| format!("{}/{name}/{place}", hooks.url));
    let secrets = ["--token-env", "HOOK_TOKEN", "--credentials-file", "credentials", "--debug"];
    let create = |task: &str, url: &str, more: &[&str]| {
        id_of(&json(&[&["task", "push-config", "create", task, url, "-o", "json"], more].concat()))
    };
    let task = begin();
    assert_eq!(create(&task, &url, &[&["--id", "first"], &secrets[..]].concat()), "first", "{what}");
    let second = create(&task, &removed_url, &[]);

    let (code, shown, error) = run(&["task", "push-config", "get", &task, "first"]);
    assert_eq!(code, 0, "{what}: {error}");
    for line in [format!("Task: {task}"), "Webhook: first".to_owned(), format!("Receiver: {url}")] {
        assert!(shown.lines().any(|it| it == line), "{what}: {line} in {shown}");
    }
    let listed = json(&["task", "push-config", "list", &task, "-o", "json"]);
    assert_eq!(count(&listed), 2, "{what}: {listed}");
    json(&["task", "push-config", "delete", &task, &second, "-o", "json"]);
    let (_, listed, _) = run(&["task", "push-config", "list", &task]);
    assert_eq!(listed.matches("Receiver: ").count(), 1, "{what}: {listed}");
    let (code, _, error) = run(&["task", "push-config", "get", &task, "no-such", "-o", "json"]);
    assert_eq!(code, 1, "{what}: {error}");

    end(&task);
    let (token, credentials) =
        (format!("x-a2a-notification-token: {TOKEN}"), format!("authorization: Bearer {CREDENTIALS}"));
    let is_told = hooks.is_told(&url, |taken| {
        let has = |line: &str| taken.head.lines().any(|it| it == line);
        is_of_end(taken) && has(&token) && (!way.authenticates || has(&credentials))
    });
    assert!(is_told, "{what}: no notification of the end came with what was said");
    // What had gone to the webhook that was removed would be there before the end of a task that ends later.
    let later = begin();
    create(&later, &later_url, &[]);
    end(&later);
    assert!(hooks.is_told(&later_url, is_of_end), "{what}: no notification of a later end came");
    assert!(!hooks.has_heard(&removed_url, is_of_end), "{what}: one that was removed was told of the end");
}
