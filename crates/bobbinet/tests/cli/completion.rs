//! What a shell proposes behind `bobbinet call`, at an agent of its own making.

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{agents::serve, program::TestFolder};

const EXTENSION: &str = "urn:bobbinet:skills:v1";

fn agent() -> String {
    serve(|url, _, _, _| {
        let schema = json!({"type": "object", "required": ["to"], "properties": {
            "to": {"type": "string"}, "kind": {"enum": ["fast", "slow", "$(touch x)"]},
        }});
        let skill = |id: &str| json!({"id": id, "name": id, "description": "d", "tags": ["t"]});
        let card = json!({
            "name": "far", "description": "is far away", "version": "1",
            "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            "capabilities": {"extensions": [{"uri": EXTENSION, "params": {"skills": {"send:mail": {"input": schema}, "sort": {}}}}]},
            "defaultInputModes": ["text"], "defaultOutputModes": ["text"], "skills": [skill("send:mail"), skill("sort")],
        });
        (200, card)
    })
}

#[test]
fn skills_arguments_and_values_are_proposed() {
    let (folder, url) = (TestFolder::new(), agent());
    let check = |words: &[&str], expected: &[&str]| {
        let ran = folder.run(&[&["complete-call", "--", "-a", &url], words].concat());
        assert_eq!(
            (ran.code, ran.stdout.lines().collect::<Vec<_>>()),
            (0, expected.to_vec()),
            "{words:?}: {}",
            ran.stderr
        );
    };
    check(&["s"], &["send:mail", "sort"]);
    check(&["send:mail", ""], &["to=", "kind="]);
    check(&["send:mail", "to=a", "k"], &["kind="]);
    // One that a shell would run is not among them.
    check(&["--timeout", "5s", "send:mail", "kind="], &["kind=fast", "kind=slow"]);
    check(&["sort", ""], &[]);
    // Where no node runs nothing is said, and at once.
    let begun = std::time::Instant::now();
    let ran = folder.run(&["complete-call", "--", "far.s"]);
    assert!(ran.code == 0 && ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran:?}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn bash_completes_words_that_it_cuts_in_pieces() {
    let (folder, url) = (TestFolder::new(), agent());
    folder.write("completion.bash", &folder.run(&["completion", "bash"]).stdout);
    let program = Path::new(env!("CARGO_BIN_EXE_bobbinet")).parent().unwrap();
    let check = |line: &str, piece: &str, expected: &str| {
        let script = format!(
            "source completion.bash; COMP_LINE='bobbinet call -a {url} {line}'; COMP_POINT=${{#COMP_LINE}}; \
             _bobbinet_call bobbinet '{piece}' ''; printf '%s\\n' \"${{COMPREPLY[*]}}\""
        );
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        let bash = bash
            .args(["--norc", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", path)
            .env("HOME", folder.path());
        let out = bash.output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&out.stdout).trim(),
            expected,
            "{line}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    check("so", "so", "sort");
    check("send:ma", "ma", "mail");
    check("send:mail kind=", "", "fast slow");
    check("send:mail kind=f", "f", "fast");
}
