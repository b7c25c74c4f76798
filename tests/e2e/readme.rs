//! Every command of the README is run as it stands there. `cargo run -p bobbinet -- …` is run as `bobbinet …`, the binary under test;
//! `cargo xtask test` is what runs this.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::node::{repository, tools};

/// The lines that begin with `$ ` in the `console` blocks of a page, block by block.
fn blocks(page: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while lines.by_ref().any(|line| line == "```console") {
        let block = lines.by_ref().take_while(|line| *line != "```");
        let commands = block.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned);
        blocks.push(commands.collect());
    }
    blocks
}

/// The ports that the page names, each with a free one to take its place.
fn ports() -> [(&'static str, String); 2] {
    ["7420", "7431"].map(|named| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        (named, free.to_string())
    })
}

/// One script of all blocks: what runs in the background is waited for until it listens, and ended at the end.
fn script(page: &str) -> String {
    let ports = ports();
    let mut script = String::from("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n");
    script.push_str(&format!("export BOBBINET_LISTEN=127.0.0.1:{}\n", ports[0].1));
    for command in blocks(page).into_iter().flatten() {
        let mut command = command.replace("cargo run -p bobbinet -- ", "bobbinet ");
        let port = ports.iter().find(|(named, _)| command.contains(named)).unwrap_or(&ports[0]).1.clone();
        for (named, free) in &ports {
            command = command.replace(named, free);
        }
        script.push_str(&format!("echo {}\n{command}\n", shell_quote(&format!("$ {command}"))));
        if command.ends_with('&') {
            // A node listens once it can work.
            script.push_str(&format!(
                "for _ in $(seq 600); do (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; sleep 0.1; done\n"
            ));
        }
    }
    script
}

fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn every_command_of_the_readme_works() {
    let folder = tempfile::tempdir().unwrap();
    let home = tempfile::tempdir().unwrap();
    let docs = folder.path().join("docs");
    std::fs::create_dir(&docs).unwrap();
    std::fs::write(docs.join("a.txt"), "what the README reads\n").unwrap();
    let servers = r#"{ "mcpServers": { "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "./docs"] } } }"#;
    std::fs::write(folder.path().join("mcp.json"), servers).unwrap();
    let page = std::fs::read_to_string(repository("README.md")).unwrap();
    assert!(page.contains(servers), "the test's mcp.json is the README's");
    // What `npx -y` would fetch is installed already, in the version that the tests use.
    std::os::unix::fs::symlink(tools().join("npm/node_modules"), folder.path().join("node_modules")).unwrap();

    let binary = Path::new(env!("CARGO_BIN_EXE_bobbinet")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash")
        .args(["-c", &script(&page)])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("XDG_RUNTIME_DIR", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{out}\n{}", String::from_utf8_lossy(&ran.stderr));
    for expected in ["a.txt", "what the README reads", "Ada", "read_text_file", "completed"] {
        assert!(out.contains(expected), "{expected:?} is not in:\n{out}");
    }
}
