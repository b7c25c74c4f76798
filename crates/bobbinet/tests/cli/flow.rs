//! Flows: what `flow check` says of one against the agents that are known here, and how `flow graph` draws it.

use serde_json::{Value, json};

use crate::program::TestFolder;

const HEAD: &str = "document: { dsl: '1.0.3', namespace: demo, name: triage, version: '1.0.0' }\n";

/// A folder with one agent that has run before, and one of which only its card is known.
fn folder() -> TestFolder {
    let folder = TestFolder::new();
    folder.write(
        "bobbinet.yaml",
        "node: { data: ./data }\nagents:\n  notes: { mcp: { command: [cat] } }\n  files: { use: filesystem, mcp: { command: [cat, x] } }\n",
    );
    let schema = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": false});
    let tools = json!({"command": ["cat"], "info": null, "tools": [{"name": "add_note", "inputSchema": schema}]});
    folder.write("data/agents/notes/tools.json", &tools.to_string());
    folder
}

/// What is found, as `SEVERITY LINE:COLUMN POINTER MESSAGE -> HINT`, and the exit code.
fn check(steps: &str, arguments: &[&str], expected: &[&str]) {
    let folder = folder();
    folder.write("flow.yaml", &format!("{HEAD}do:\n{steps}"));
    let ran = folder.run(&[&["flow", "check", "flow.yaml", "-o", "json"], arguments].concat());
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let word = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let told = |finding: &Value| {
        let [severity, pointer, message, hint] =
            ["severity", "pointer", "message", "hint"].map(|name| word(finding, name));
        assert!(finding["excerpt"].is_string() && finding["file"] == "flow.yaml", "{finding}");
        format!("{severity} {}:{} {pointer} {message} -> {hint}", finding["line"], finding["column"])
    };
    let told: Vec<String> = report["findings"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(told, expected, "{steps}");
    let is_fine = !told.iter().any(|line| line.starts_with("error"));
    assert_eq!((ran.code, &report["ok"]), (if is_fine { 0 } else { 2 }, &json!(is_fine)), "{steps}");
}

#[test]
fn calls_are_checked_against_what_servers_said_when_they_ran_last() {
    check("  - keep: { call: notes.add_note, with: { text: hello } }\n", &[], &[]);
    check(
        "  - keep: { call: notes.add_note, with: { text: 7 } }\n",
        &[],
        &[
            r#"error 3:43 /do/0/keep/with/text the argument "text" does not fit: 7 is not of type "string" -> the skill wants string"#,
        ],
    );
    check(
        "  - keep: { call: notes.add_not, with: { text: x } }\n",
        &[],
        &[r#"error 3:19 /do/0/keep/call the agent notes has no skill "add_not" -> did you mean notes.add_note?"#],
    );
    check(
        "  - keep: { call: nots.add_note, with: { text: x } }\n",
        &[],
        &[r#"error 3:19 /do/0/keep/call there is no agent "nots" -> did you mean notes.add_note?"#],
    );
}

#[test]
fn what_is_not_known_is_said_once_and_is_no_mistake() {
    let note = "note 3:19 /do/0/read/call not checked: agent files has never been started here -> start it, by `bobbinet up` or where it belongs, and check again";
    check(
        "  - read: { call: files.read_text_file, with: { path: x } }\n  - more: { call: files.whatever }\n",
        &[],
        &[note],
    );
    // What its card says is known all the same: this one may not run twice.
    check(
        "  - try:\n      try: [ { write: { call: files.move_file } } ]\n      catch: { retry: { delay: PT1S } }\n",
        &[],
        &[
            r#"note 4:31 /do/0/try/try/0/write/call not checked: agent files has never been started here -> start it, by `bobbinet up` or where it belongs, and check again"#,
            r#"warning 4:31 /do/0/try/try/0/write/call "write" is tried again, but its skill may not run twice -> a failure that it reports is tried again; where its outcome is unknown, the flow asks. If it may run twice, say so with the agent: effect: idempotent"#,
        ],
    );
    // Of another command these are not the tools, and another data folder has none.
    let note = "note 3:19 /do/0/keep/call not checked: agent notes has never been started here -> start it, by `bobbinet up` or where it belongs, and check again";
    check("  - keep: { call: notes.add_not }\n", &["--data-dir", "other"], &[note]);
}

#[test]
fn flows_and_agents_elsewhere_are_agents_too() {
    let folder = TestFolder::new();
    folder.write("bobbinet.yaml", "agents:\n  far: { a2a: \"http://127.0.0.1:1\" }\nflows: { small: ./small.yaml }\n");
    let schema = "{ document: { type: object, properties: { id: { type: string } }, required: [id] } }";
    let small = format!(
        "{}input: {{ schema: {schema} }}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n",
        HEAD.replace("triage", "small")
    );
    folder.write("small.yaml", &small);
    let steps = "  - a: { call: far.anything }\n  - b: { call: small.small, with: { id: x } }\n  - c: { call: small.small }\n  \
                 - d: { run: { workflow: { namespace: demo, name: smal, version: latest } } }\n";
    folder.write("flow.yaml", &format!("{HEAD}do:\n{steps}"));
    let ran = folder.run(&["flow", "check", "flow.yaml"]);
    assert!(ran.stdout.contains("Agents: far, small\nErrors: 2\n"), "{ran:?}");
    for told in [
        "note: flow.yaml:3:16: not checked: agent far does not answer at http://127.0.0.1:1/",
        "error: flow.yaml:5:16: the argument \"id\" is missing",
        "error: flow.yaml:6",
        "smal",
    ] {
        assert!(ran.stderr.contains(told), "{told:?}: {ran:?}");
    }
}

#[test]
fn a_configuration_is_named_or_found_or_there_is_none() {
    let folder = TestFolder::new();
    folder.write("flow.yaml", &format!("{HEAD}do:\n  - keep: {{ call: notes.add_note }}\n"));
    let ran = folder.run(&["flow", "check", "flow.yaml"]);
    let expected = "File: flow.yaml\nFlow: demo/triage 1.0.0\nAgents: not checked: there is no configuration here, and no node runs here\nErrors: 0\nWarnings: 0\nNotes: 0\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, expected, ""));
    folder.write("mesh.yaml", "agents: { noted: { mcp: { command: [cat] } } }\n");
    let ran = folder.run(&["flow", "check", "flow.yaml", "-f", "mesh.yaml"]);
    let expected = "error: flow.yaml:3:19: there is no agent \"notes\" (/do/0/keep/call)\n  3 |   - keep: { call: notes.add_note }\n    |                   ^\n  hint: did you mean noted.add_note?\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (2, expected), "{ran:?}");
    let ran = folder.run(&["flow", "check", "flow.yaml", "-f", "nowhere.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = TestFolder::new();
    folder.write("large.yaml", &"a".repeat(300_000));
    std::fs::write(folder.path().join("bytes.yaml"), [0xff, 0xfe, 0]).unwrap();
    folder.write("evil.yaml", "do: [ { \"\\e[31m\\u202e\": 1 } ]\n");
    for (file, said) in [
        ("nowhere.yaml", "cannot be read: No such file"),
        ("large.yaml", "larger than the 262144 bytes"),
        ("bytes.yaml", "no text in UTF-8"),
        (".", "cannot be read"),
        ("evil.yaml", "does nothing"),
    ] {
        for command in ["check", "graph"] {
            let ran = folder.run(&["flow", command, file]);
            assert!(ran.code == 2 && ran.stderr.contains(said), "{file}: {ran:?}");
            assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']), "{ran:?}");
            let ran = folder.run(&["flow", command, file, "-o", "json"]);
            assert!(ran.code == 2 && serde_json::from_str::<Value>(&ran.stdout).is_ok(), "{file}: {ran:?}");
            assert_eq!(ran.stderr, "", "{file}");
        }
    }
}

#[test]
fn a_flow_is_drawn() {
    let folder = TestFolder::new();
    folder.write("flow.yaml", &format!("{HEAD}do:\n  - keep: {{ call: notes.add_note }}\n"));
    let ran = folder.run(&["flow", "graph", "flow.yaml"]);
    let expected = "flowchart TD\n  start([start])\n  finish([end])\n  t0[\"keep: notes.add_note\"]\n  t0 --> finish\n  start --> t0\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (0, expected));
    let ran = folder.run(&["flow", "graph", "flow.yaml", "--svg"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("<svg ") && ran.stdout.ends_with("</svg>\n"), "{ran:?}");
    let ran = folder.run(&["flow", "graph", "flow.yaml", "--svg", "-o", "json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(document["format"] == "svg" && document["graph"].as_str().unwrap().starts_with("<svg "), "{ran:?}");
}
