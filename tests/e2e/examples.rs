//! The examples: the shell blocks of each README, pasted into one shell in the example's folder, with nothing added.
//!
//! What differs from a reader's machine is as in `readme.rs`: what `npm`, `npx`, `pip`, `uvx` and `cargo` would fetch or build is there
//! already, in the version that the tests use, and ports are free ones.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::{
    node::{free_port, repository, tools},
    readme::{Pasted, blocks},
};

/// An example in a folder of its own, with what stands for a reader's tools.
struct Example {
    folder: tempfile::TempDir,
    script: String,
}

impl Example {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&repository(&format!("examples/{name}")), &folder.path().join(name));
        let page = fs::read_to_string(folder.path().join(name).join("README.md")).unwrap();
        assert!(!page.contains("```console"), "a block with prompts cannot be pasted");
        // What Node finds from any folder below.
        std::os::unix::fs::symlink(tools().join("npm/node_modules"), folder.path().join("node_modules")).unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let tools = tools();
        let (python, servers) = (tools.join("python/bin/python"), tools.join("servers/bin"));
        let joiner = tools.join("rust-agent/debug/joiner");
        for (program, script) in [
            ("npm", "exit 0".to_owned()),
            ("uvx", format!("program=$1; shift; exec {servers:?}/\"$program\" \"$@\"")),
            (
                "python3",
                format!(
                    "case \"$1 $2\" in '-m pip') ;; '-m venv') mkdir -p \"$3/bin\" && ln -sf \"$0\" \"$3/bin/python\" ;; *) exec {python:?} \"$@\" ;; esac"
                ),
            ),
            (
                "cargo",
                format!(
                    "[ \"$1\" = build ] && exit 0; while [ \"$1\" != -- ]; do shift; done; shift; exec {joiner:?} \"$@\""
                ),
            ),
        ] {
            fs::write(bin.join(program), format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(bin.join(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let example = Self { script: blocks(&page), folder };
        example.with_free_ports(name, &["7420", "7501", "7502", "7503"])
    }

    fn with_free_ports(mut self, name: &str, ports: &[&str]) -> Self {
        let config = self.folder.path().join(name).join("bobbinet.yaml");
        let mut text = fs::read_to_string(&config).unwrap();
        for port in ports {
            let free = free_port().to_string();
            text = text.replace(port, &free);
            self.script = self.script.replace(port, &free);
        }
        fs::write(config, text).unwrap();
        self
    }

    /// Pastes its blocks, and gives what is printed.
    fn paste(self, name: &str) -> String {
        let pasted = Pasted {
            script: self.script,
            folder: self.folder.path().join(name),
            path: vec![self.folder.path().join("bin")],
            home: self.folder.path().to_owned(),
            listen: format!("127.0.0.1:{}", free_port()),
        };
        pasted.run()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, at) = (entry.file_name(), entry.path());
        match at.is_dir() {
            // What somebody has built there.
            true if ["target", "node_modules", "bobbinet-data"].iter().any(|left| name == *left) => {}
            true => copy(&at, &to.join(name)),
            false => drop(fs::copy(&at, to.join(name)).unwrap()),
        }
    }
}

fn check(name: &str, expected: &[&str]) -> String {
    let out = Example::new(name).paste(name);
    for expected in expected {
        assert!(out.contains(expected), "{name}: {expected:?} is not in:\n{out}");
    }
    out
}

#[test]
fn search_extract_trace() {
    let out = check(
        "search-extract-trace",
        &[
            "Errors: 0",
            "State: completed",
            "\"trace\": \"5f3a9c01\"",
            "INFO stock 3 left for order 1077",
            "ERROR payments order 1077: the bank did not answer in 5 s",
            "─ 1 search",
            "files.read_text_file",
            "\"name\": \"trace 5f3a9c01\"",
        ],
    );
    // Of the other orders nothing passes the caller.
    assert!(!out.contains("order 1076"), "{out}");
}

#[test]
fn fan_out_and_reduce() {
    check("fan-out-and-reduce", &["Errors: 0", "State: completed", "\"commits\": 2", "\"files\": 2", "\"at\": \"2"]);
}

#[test]
fn ask_the_human() {
    check(
        "ask-the-human",
        &[
            "input-required",
            "State: completed",
            "\"published\": true",
            "people.approve",
            "files.move_file",
            "Looms are machines that weave.",
            "\"published\": false,\n  \"why\": \"It is too short.\"",
        ],
    );
}

#[test]
fn evaluator_optimizer() {
    let expected = ["Errors: 0", "State: completed", "\"rounds\": 3", "\"score\": 10", "They make cloth."];
    check("evaluator-optimizer", &expected);
}

#[test]
fn router() {
    check("router", &["Errors: 0", "Your invoice is being looked at.", "Please send us the log."]);
}

#[test]
fn one_flow_over_three_sdks() {
    let joiner = tools().join("rust-agent/debug/joiner");
    assert!(joiner.exists(), "{} is missing: cargo xtask tools", joiner.display());
    assert!(tools().join("npm/node_modules/@a2a-js/sdk").exists(), "the JavaScript SDK is missing: cargo xtask tools");
    check("three-sdks", &["Errors: 0", "State: completed", "Apfel, Birne, Österreich and Zebra"]);
}
