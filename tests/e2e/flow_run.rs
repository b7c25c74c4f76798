//! `bobbinet flow run`: a flow, once, with the agents of the configuration that is here.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::{
    node::{bobbinet, log_of, repository},
    peers::Mesh,
};

/// A flow of this name whose one step calls an agent.
fn write(folder: &Path, name: &str, step: &str) {
    let head = format!("document: {{ dsl: '1.0.3', namespace: tests, name: {name}, version: '1.0.0' }}\n");
    std::fs::write(folder.join("flow.yaml"), format!("{head}do: [ {{ step: {step} }} ]\n")).unwrap();
}

/// The command, which nothing that the environment says changes.
fn flow_run(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = bobbinet(folder);
    command.args(["flow", "run", "flow.yaml"]).args(arguments).env_remove("A2ACLI_ASYNC");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A folder with a ledger as an agent.
fn place(agent: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (server, ledger) = (repository("tests/fixtures/ledger.py"), folder.path().join("ledger.jsonl"));
    let config = format!("agents: {{ {agent}: {{ mcp: {{ command: [python3, {server:?}, {ledger:?}] }} }} }}\n");
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    folder
}

#[test]
fn a_flow_may_be_named_like_the_agent_that_it_calls_and_with_capitals() {
    let folder = place("triage");
    write(folder.path(), "Triage", "{ call: triage.set, with: { id: '${ .what }' } }");
    let ran = flow_run(folder.path(), &["--input", r#"{"what": "done"}"#, "--fail"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    assert!(said(&ran).contains("set done"), "{}", said(&ran));
}

#[test]
fn what_is_not_waited_for_is_not_begun_and_what_is_not_answered_is_said() {
    let folder = place("ledger");
    write(folder.path(), "asks", "{ call: ledger.ask, with: { id: asked } }");
    let (typed, mut set) = (flow_run(folder.path(), &["--async"]), flow_run(folder.path(), &[]));
    set.env("A2ACLI_ASYNC", "1");
    for mut command in [typed, set] {
        let refused = command.output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains("--data-dir FOLDER"), "{}", said(&refused));
    }
    let asked = flow_run(folder.path(), &[]).output().unwrap();
    assert_eq!(asked.status.code(), Some(13), "{}", said(&asked));
    assert!(said(&asked).contains("say --answer ANSWER"), "{}", said(&asked));
    let late = flow_run(folder.path(), &["--data-dir", "kept", "--timeout", "1ms"]).output().unwrap();
    assert_eq!(late.status.code(), Some(5), "{}", said(&late));
    assert!(said(&late).contains("--data-dir kept"), "{}", said(&late));
    // The folder has a task that asks; the answer is for this one.
    for id in ["one", "two"] {
        write(folder.path(), "asks", &format!("{{ call: ledger.ask, with: {{ id: {id} }} }}"));
        let arguments: &[&str] = if id == "one" { &[] } else { &["--answer", r#"{"go": true}"#] };
        let ran = flow_run(folder.path(), &[&["--data-dir", "shared"], arguments].concat()).output().unwrap();
        assert_eq!(ran.status.code(), Some(if id == "one" { 13 } else { 0 }), "{}", said(&ran));
        assert_eq!(said(&ran).contains("ask two"), id == "two", "{}", said(&ran));
    }
}

#[test]
fn peers_are_called_with_the_keys_of_the_node_that_is_here_also_those_that_were_added() {
    let mesh = Mesh::new();
    let _back = mesh.start("back");
    let folder = mesh.path("front");
    // A node's own name stands in its data folder once it has run.
    assert!(mesh.start("front").stop().success());
    for agent in ["far", "ledger"] {
        if agent == "ledger" {
            mesh.configure("peers: []\n");
            let added = bobbinet(&folder).args(["peers", "add", &mesh.url()]).output().unwrap();
            assert!(added.status.success(), "{}", said(&added));
        }
        write(&folder, "reach", &format!("{{ call: {agent}.set, with: {{ id: {agent}-1 }} }}"));
        let ran = flow_run(&folder, &["--fail"]).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{}\n{}", said(&ran), log_of(&mesh.path("back")));
        assert_eq!(mesh.executions(&format!("{agent}-1")), 1);
    }
}
