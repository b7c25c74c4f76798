//! The README's shell blocks, pasted into one shell in their order, with nothing added and nothing waited for.
//!
//! Two things differ from a reader's machine: `cargo` is a script, which runs `cargo run -p bobbinet -- …` as the binary under
//! test and is done with everything else (`cargo xtask test` is what runs this); and the port that the page names is a
//! free one.

use std::{
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::node::{PATIENCE, repository, tools};

/// The `sh` blocks of a page, one after the other, as they stand there.
fn blocks(page: &str) -> String {
    let mut text = String::new();
    let mut lines = page.lines();
    while lines.by_ref().any(|line| line == "```sh") {
        for line in lines.by_ref().take_while(|line| *line != "```") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn the_blocks_of_the_readme_work_when_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let cargo = "#!/bin/sh\ncase \"$*\" in \"run -p bobbinet -- \"*) shift 4; exec bobbinet \"$@\";; esac\n";
    std::fs::write(bin.join("cargo"), cargo).unwrap();
    std::fs::set_permissions(bin.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // What `npx -y` would fetch is installed already, in the version that the tests use.
    std::os::unix::fs::symlink(tools().join("npm/node_modules"), folder.path().join("node_modules")).unwrap();
    let page = std::fs::read_to_string(repository("README.md")).unwrap();
    assert!(!page.contains("```console"), "a block with prompts cannot be pasted");
    let (node, agent) = (free_port(), free_port());
    let script = blocks(&page).replace("7420", &node).replace("7431", &agent);

    let binary = Path::new(env!("CARGO_BIN_EXE_bobbinet")).parent().unwrap();
    let path = format!("{}:{}:{}", bin.display(), binary.display(), std::env::var("PATH").unwrap());
    let (out, error) = (folder.path().join("out"), folder.path().join("error"));
    let mut shell = Command::new("bash")
        .args(["-e", "-o", "pipefail"])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("HOME", folder.path())
        .env("XDG_RUNTIME_DIR", folder.path().join("run"))
        .env("BOBBINET_LISTEN", format!("127.0.0.1:{node}"))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&out).unwrap())
        .stderr(std::fs::File::create(&error).unwrap())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let status = shell.wait().unwrap();
    let group = Pid::from_raw(i32::try_from(shell.id()).unwrap());
    let (out, error) = (std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(error).unwrap());
    // The last block ends what the others have begun. What goes on all the same is not left to go on.
    let patience = Instant::now() + PATIENCE;
    while killpg(group, None).is_ok() {
        if Instant::now() > patience {
            killpg(group, Signal::SIGKILL).unwrap();
            panic!("something goes on after the last block:\n{out}\n{error}");
        }
        if !status.success() {
            // What is gone need not be told.
            let _ = killpg(group, Signal::SIGTERM);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(status.success(), "{script}\n{out}\n{error}");
    for expected in ["a.txt", "what the agent reads", "Ada", "read_text_file", "completed", "TOOL"] {
        assert!(out.contains(expected), "{expected:?} is not in:\n{out}\n{error}");
    }
}
