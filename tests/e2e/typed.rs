//! What is typed at a node that runs: results, pages, credentials, and what each command ends with.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::{Node, Started, bobbinet};

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
    // The node's own card asks for an API key of the node's, which this is none of.
    let none = list("one", &["--api-key", &key]);
    assert_eq!(none.code, 4, "{none:?}");
    assert_eq!(list("one", &["--bearer", &token]).code, 0);
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

/// What a command comes to in a folder, with a home that is shared.
fn run_in(folder: &Path, home: &Path, arguments: &[&str]) -> Ran {
    let mut command = bobbinet(folder);
    let output = command.args(arguments).env("HOME", home).env_remove("XDG_RUNTIME_DIR").output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        error: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_name_means_the_node_of_this_folder_and_no_other() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    let start = |name: &str| {
        let folder = root.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let program = env!("CARGO_BIN_EXE_bobbinet");
        let config = format!(
            "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n  \
             files: {{ mcp: {{ command: [{program:?}, demo-server, notes, ./notes] }} }}\n"
        );
        std::fs::write(folder.join("bobbinet.yaml"), config).unwrap();
        let environment = [("HOME", home.to_str().unwrap()), ("XDG_RUNTIME_DIR", "")];
        (Node::start(&folder, &environment).unwrap(), folder)
    };
    let ((mine, here), (other, there)) = (start("mine"), start("other"));
    let (there, other_url) = (there.canonicalize().unwrap(), other.agent("files").url);
    let add =
        |folder: &Path, flags: &[&str]| run_in(folder, &home, &[&["call", "files.add_note", "text=x"], flags].concat());
    let ran = add(&here, &["--verbose"]);
    let said = format!("note: using the node of {}", here.canonicalize().unwrap().display());
    assert!(ran.code == 0 && ran.error.contains(&said), "{ran:?}");
    assert_eq!(mine.stop().code(), Some(0));
    // The other folder's node has an agent of this name, and is not written to.
    for arguments in [
        &["call", "files.add_note", "text=y"][..],
        &["send", "-a", "files", "add_note text=y"],
        &["send", "add_note text=y"],
        &["token", "mint", "-a", "files"],
        &["token", "mint"],
    ] {
        let ran = run_in(&here, &home, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{arguments:?}: {ran:?}");
        assert!(ran.error.contains(there.to_str().unwrap()) && ran.error.contains("http://127.0.0.1:"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(there.join("notes")).unwrap_or_default(), "");
    // Named by its URL or its data folder, it is meant.
    let by_url = run_in(&here, &home, &["call", "add_note", "text=z", "-a", &other_url]);
    assert_eq!(by_url.code, 0, "{by_url:?}");
    assert_eq!(add(&here, &["--data-dir", there.join("data").to_str().unwrap()]).code, 0);
    let gone = add(&here, &["--data-dir", "nowhere"]);
    assert!(gone.code == 3 && gone.error.contains("no node is running on nowhere"), "{gone:?}");
    // Two of a name in one folder are told apart by their URLs alone.
    let program = env!("CARGO_BIN_EXE_bobbinet");
    let second = bobbinet(&there)
        .args(["agent", "--name", "files", "--listen", "127.0.0.1:0", "--data-dir", "second", "--", program])
        .args(["demo-server", "notes", "./second-notes"])
        .env("HOME", &home)
        .env_remove("XDG_RUNTIME_DIR")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let second = Started(second);
    // It is waited for, as it has said that it starts, or the command is quicker and finds one only.
    let patience = std::time::Instant::now() + crate::node::PATIENCE;
    while !there.join("second/node.json").exists() {
        assert!(std::time::Instant::now() < patience, "the second node does not start");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let ambiguous = add(&there, &[]);
    assert!(ambiguous.code == 2 && ambiguous.error.matches("http://127.0.0.1:").count() >= 2, "{ambiguous:?}");
    drop(second);
}

#[test]
fn a_token_is_minted_for_the_agent_that_is_named() {
    let place = Place::with(&[("one", "notes"), ("two", "notes")]);
    let minted = place.run(&["token", "mint", "-a", "two"]);
    assert_eq!((minted.code, minted.error.as_str()), (0, ""), "{minted:?}");
    let token = minted.out.trim();
    let list = |agent: &str| place.run(&["task", "list", "-a", agent, "--bearer", token]).code;
    assert_eq!((list("two"), list("one")), (0, 4));
    let url = place.node.agent("one").url;
    assert_eq!(place.run(&["token", "mint", "-a", &url]).code, 0);
    let which = place.run(&["token", "mint"]);
    assert!(which.code == 2 && which.error.contains("-a one"), "{which:?}");
    let stranger = place.run(&["token", "mint", "-a", "one", "--sub", "somebody"]);
    assert!(stranger.code == 0 && stranger.error.contains("will refuse"), "{stranger:?}");
}

#[test]
fn scripts_are_told_how_a_task_ended_and_people_in_a_table() {
    let place = Place::with(&[("one", "notes")]);
    let code = |arguments: &[&str]| place.run(&[arguments, &["--fail"]].concat()).code;
    assert_eq!(code(&["call", "one.list_notes"]), 0);
    assert_eq!(code(&["call", "one.read_note", "number=7"]), 10);
    assert_eq!(code(&["call", "one.read_note", "number:=\"x\""]), 11);
    assert_eq!(code(&["send", "-a", "one", "what is there?"]), 13);
    assert_eq!(place.run(&["call", "one.read_note", "number=7"]).code, 0, "it did its job");
    let asks = ids(&place.document(&["task", "list", "--state", "input-required"]));
    assert_eq!(code(&["task", "get", &asks[0]]), 13);
    assert_eq!(code(&["task", "get", &asks[0], "--wait", "-o", "json"]), 13);
    assert_eq!(place.run(&["task", "cancel", &asks[0]]).code, 0);
    assert_eq!(code(&["task", "get", &asks[0]]), 12);
    let table = place.run(&["task", "list", "-o", "table"]);
    let lines: Vec<&str> = table.out.lines().collect();
    assert!(lines[0].contains("STATE") && lines[0].contains("TOOL"), "{table:?}");
    assert_eq!((lines.len(), lines[6]), (7, "Total: 5"), "{table:?}");
    assert!(lines[5].contains("completed") && lines[5].contains(" list_notes "), "{table:?}");
    // What only looks like arguments is asked about, with what to type.
    let half = place.run(&["send", "-a", "one", "add_note text=hello world"]);
    assert!(half.out.contains(r#"text="hello world""#) && half.out.contains("input-required"), "{half:?}");
    assert_eq!(std::fs::read_to_string(place.path().join("one")).unwrap_or_default(), "", "nothing was noted");
}

#[test]
fn ctrl_c_ends_the_waiting_and_says_how_to_come_back() {
    let place = Place::with(&[("one", "report")]);
    let mut command = bobbinet(place.path());
    command.args(["call", "one.make_report", "topic=x", "sections=1000"]);
    command.env("HOME", place.path().join("home")).env("BOBBINET_DATA", place.path().join("data"));
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let patience = std::time::Instant::now() + crate::node::PATIENCE;
    let id = loop {
        let tasks = ids(&place.document(&["task", "list", "--state", "working"]));
        if let [id] = tasks.as_slice() {
            break id.clone();
        }
        assert!(std::time::Instant::now() < patience, "no task begins");
    };
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("goes on") && said.contains("bobbinet task"), "{said}");
    assert_eq!(place.document(&["task", "get", &id])["status"]["state"], "TASK_STATE_WORKING");
}

#[test]
fn two_signals_within_a_second_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_bobbinet");
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data, pre_stop_delay: 1500ms }}\nagents:\n  \
         one: {{ mcp: {{ command: [{program:?}, demo-server, notes, ./one] }} }}\n"
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let mut node = Node::start(folder.path(), &[]).unwrap();
    for signal in [nix::sys::signal::Signal::SIGINT, nix::sys::signal::Signal::SIGTERM] {
        node.signal(signal);
    }
    let status = node.wait_for_death(crate::node::PATIENCE).expect("the node ends");
    let log = crate::node::log_of(folder.path());
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("\"stopped\"") && !log.contains("told twice"), "{log}");
}

#[test]
fn a_node_listens_while_its_servers_start_and_commands_wait_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_bobbinet");
    let server = format!("until [ -e go ]; do sleep 0.02; done; exec '{program}' demo-server notes ./one");
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data }}\nagents:\n  one: {{ mcp: {{ command: [sh, -c, {server:?}] }} }}\n"
    );
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let node = Node::start(folder.path(), &[]).unwrap();
    let ready = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let response = reqwest::get(format!("{}/readyz?verbose", node.url)).await.unwrap();
            (response.status().as_u16(), response.json::<Value>().await.unwrap())
        })
    };
    let is_starting =
        |report: &Value| report["checks"].as_array().unwrap().iter().any(|check| check["starting"] == true);
    // It is not ready at first; then it is though the agent is not: others may be.
    let patience = std::time::Instant::now() + crate::node::PATIENCE;
    loop {
        let (status, report) = ready();
        assert!(is_starting(&report), "{report}");
        if status == 200 {
            break;
        }
        assert!(std::time::Instant::now() < patience, "{report}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let mut command = bobbinet(folder.path());
    command.args(["card", "get", "one", "--debug"]).stdout(std::process::Stdio::piped());
    let log = std::fs::File::create(folder.path().join("card.log")).unwrap();
    let card = command.env("BOBBINET_DATA", folder.path().join("data")).stderr(log).spawn().unwrap();
    // It has seen a card without skills, and waits.
    while !std::fs::read_to_string(folder.path().join("card.log")).unwrap().contains("is starting") {
        assert!(std::time::Instant::now() < patience, "the command does not wait");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::fs::write(folder.path().join("go"), "").unwrap();
    let output = card.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("Skill: list_notes"), "{said}");
    let (status, report) = ready();
    assert!(status == 200 && !is_starting(&report), "{report}");
}
