//! The README's shell blocks, pasted into one shell in their order, with nothing added and nothing waited for.
//!
//! Two things differ from a reader's machine: `cargo` is a script, which runs `cargo run -p bobbinet -- …` as the binary under
//! test and is done with everything else (`cargo xtask test` is what runs this); and the port that the page names is a
//! free one.

use std::{
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::node::{PATIENCE, free_port, repository, tools};

/// The `sh` blocks of a page, one after the other, as they stand there.
pub(crate) fn blocks(page: &str) -> String {
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

/// Lines that are pasted into a shell.
pub(crate) struct Pasted {
    pub(crate) script: String,
    /// Where the shell is.
    pub(crate) folder: PathBuf,
    /// Where programs are found first, before the binary under test.
    pub(crate) path: Vec<PathBuf>,
    /// Where what is private to a user is.
    pub(crate) home: PathBuf,
    /// Where a node listens if nobody says otherwise.
    pub(crate) listen: String,
}

impl Pasted {
    /// Pastes them, sees that nothing goes on after the last one, and gives what was printed.
    pub(crate) fn run(self) -> String {
        let Self { script, folder, path, home, listen } = self;
        let binary = Path::new(env!("CARGO_BIN_EXE_bobbinet")).parent().unwrap().to_owned();
        let usual = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(path.into_iter().chain([binary]).chain(std::env::split_paths(&usual))).unwrap();
        let (out, error) = (home.join("out"), home.join("error"));
        let mut shell = Command::new("bash")
            .args(["-e", "-o", "pipefail"])
            .current_dir(folder)
            .env("PATH", path)
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .env("BOBBINET_LISTEN", listen)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&error).unwrap())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let status = shell.wait().unwrap();
        let group = Pid::from_raw(i32::try_from(shell.id()).unwrap());
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        // The last block ends what the others have begun. What goes on all the same is not left to go on.
        let patience = Instant::now() + PATIENCE;
        while killpg(group, None).is_ok() {
            if Instant::now() > patience {
                killpg(group, Signal::SIGKILL).unwrap();
                panic!("something goes on after the last block:\n{}\n{}", read(&out), read(&error));
            }
            if !status.success() {
                // What is gone need not be told.
                let _ = killpg(group, Signal::SIGTERM);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(status.success(), "{script}\n{}\n{}", read(&out), read(&error));
        read(&out)
    }
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
    let [node, agent] = [(); 2].map(|()| free_port().to_string());
    let pasted = Pasted {
        script: blocks(&page).replace("7420", &node).replace("7431", &agent),
        folder: folder.path().to_owned(),
        path: vec![bin],
        home: folder.path().to_owned(),
        listen: format!("127.0.0.1:{node}"),
    };
    let out = pasted.run();
    for expected in ["a.txt", "what the agent reads", "Ada", "read_text_file", "completed", "TOOL"] {
        assert!(out.contains(expected), "{expected:?} is not in:\n{out}");
    }
}
