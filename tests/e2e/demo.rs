//! `bobbinet demo`, as a new user runs it: to its end, as JSON, interrupted; and the lines that it prints to be copied.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::node::{PATIENCE, bobbinet};

/// What is promised to whoever reads the README.
const DEMO_MAX: Duration = Duration::from_secs(60);

/// The demo in a folder of the test's: what it leaves behind can be found there, or by it.
fn demo(folder: &Path) -> Command {
    let mut command = bobbinet(folder);
    command.arg("demo").env("TMPDIR", folder);
    command
}

/// Processes whose command line names the folder, and what lies in it.
fn left(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let command_line = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(command_line);
    let named =
        processes.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " ")).filter(|it| it.contains(name));
    let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path().display().to_string());
    named.chain(files).collect()
}

#[test]
fn the_demo_keeps_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Instant::now();
    let said = demo(folder.path()).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}\n{error}");
    assert!(begin.elapsed() < DEMO_MAX, "it took {:?}", begin.elapsed());
    for line in [
        "its card offers add_note, list_notes, read_note",
        ": the orchestrator is gone, in the middle of three steps",
        "✓ the answer reached the server, and the same task is completed",
        "─ 4 report",
        "✓ each step was made once: one report, one note",
        "kill -9 ",
        "✓ the task is completed, and was ended once",
        "✓ who reads the task again from its first event on hears the very same",
        "✓ there is one task with one report all the same",
        "✓ the task is completed, and the note is in the file exactly once",
        "✓ no process of the demo is left",
    ] {
        assert!(out.contains(line), "{line:?} is not in: {out}");
    }
    assert!(!out.contains('✗') && !out.contains('\u{1b}'), "{out}");
    assert_eq!(left(folder.path()), [""; 0]);
}

#[test]
fn the_demo_is_there_for_programs_and_its_lines_can_be_copied() {
    let folder = tempfile::tempdir().unwrap();
    let said = demo(folder.path()).args(["-o", "json"]).output().unwrap();
    let out = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{out}\n{}", String::from_utf8_lossy(&said.stderr));
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    assert_eq!(of("step").len(), 6, "{out}");
    assert!(of("check").iter().all(|check| check["holds"] == true), "{out}");
    assert_eq!(events.last().unwrap()["event"], "end", "{out}");
    let lines = of("shown").into_iter().find(|shown| shown["what"] == "lines").unwrap()["text"].as_str().unwrap();
    by_hand(folder.path(), lines);
    assert_eq!(left(folder.path()), [""; 0]);
}

/// Types the lines. A person is slower than a machine and reads the id of the task; a shorter report does.
fn by_hand(folder: &Path, lines: &str) {
    let bobbinet = env!("CARGO_BIN_EXE_bobbinet");
    let mut script = "set -e\n".to_owned();
    for line in lines.replace("sections=60", "sections=6").replace(" ID", " \"$ID\"").lines() {
        script += &format!("{line}\n");
        match line {
            "start" => {
                script +=
                    &format!("until {bobbinet} card get report >card 2>&1; do kill -0 $!; sleep 0.02; done; rm card\n")
            }
            _ if line.contains("task list") => {
                script += &format!(
                    "ID=$({bobbinet} task list -a report -o json | sed -E 's/.*\"id\":\"([^\"]+)\".*/\\1/')\n"
                );
            }
            _ => {}
        }
    }
    let typed = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(folder)
        .env("XDG_RUNTIME_DIR", folder)
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&typed.stdout), String::from_utf8_lossy(&typed.stderr));
    assert!(typed.status.success(), "{script}\n{out}\n{error}");
    assert!(out.contains("completed"), "{script}\n{out}\n{error}");
    fs::remove_dir_all(folder.join("bobbinet")).unwrap();
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path()).args(["-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // In the middle of the second act the orchestrator is dead and agents are at work.
    let is_dead = |line: &String| line.contains("kill -9");
    assert!(lines.by_ref().map(Result::unwrap).any(|line| is_dead(&line)));
    assert!(!left(folder.path()).is_empty(), "what runs is found");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let begin = Instant::now();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(left(folder.path()), [""; 0]);
}
