//! The servers of other programs, as a `bobbinet.yaml`.

use std::os::unix::fs::PermissionsExt;

use expect_test::expect;
use serde_json::{Value, json};

use crate::program::TestFolder;

/// What is written for a file of Cursor's.
fn check(servers: &str, expected: &expect_test::Expect) {
    let folder = TestFolder::new();
    folder.write(".cursor/mcp.json", &format!(r#"{{ "mcpServers": {servers} }}"#));
    let ran = folder.run(&["import", "cursor", "--to", "-"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let path = folder.path().canonicalize().unwrap().display().to_string();
    expected.assert_eq(&ran.stdout.replace(&path, "HERE"));
}

#[test]
fn a_server_is_written_as_it_was_said() {
    check(
        r#"{
            "files": { "command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "${workspaceFolder}"] },
            "My Notes!": { "command": "notes", "env": { "DIR": "{env:DIR}", "KEY": "$NOTES_KEY", "ON": true, "PORT": 80 }, "timeout": 60 },
            "search": { "url": "https://mcp.example.com/mcp", "headers": { "Authorization": "Bearer ${input:search-key}" } },
            "older": { "type": "sse", "url": "http://127.0.0.1:9000/sse" },
            "off": { "command": "off", "disabled": true },
            "own": { "command": "true", "cwd": "sub", "envFile": ".env", "bobbinet": { "effects": { "a": "read-only" }, "trust_hints": true } }
        }"#,
        &expect![[r##"
            # The servers of HERE/.cursor/mcp.json, as agents.
            agents:
              files:
                use: filesystem
                mcp:
                  command: ["npx","-y","@modelcontextprotocol/server-filesystem","${workspaceFolder}"]
              my-notes:
                timeout: "1m"
                mcp:
                  command: ["notes"]
                  env: {"DIR":"${env:DIR}","KEY":"${env:NOTES_KEY}","ON":"true","PORT":"80"}
              older:
                mcp:
                  url: "http://127.0.0.1:9000/sse"
                  transport: sse
              own:
                effects: {"a":"read-only"}
                trust_hints: true
                mcp:
                  command: ["true"]
                  env_file: ".env"
                  cwd: sub
              search:
                mcp:
                  url: "https://mcp.example.com/mcp"
                  headers: {"Authorization":"Bearer ${env:SEARCH_KEY}"}
        "##]],
    );
}

#[test]
fn what_is_written_is_read_as_what_it_was_read_from() {
    let folder = TestFolder::new();
    let servers = json!({ "mcpServers": {
        "a": { "command": "sh", "args": ["-c", "echo: 'x' \"y\" # z", "-"], "env": { "A": "0777", "B": "no", "C": "a: b\nc" } },
        "b": { "url": "https://mcp.example.com/mcp?x=1", "headers": { "X-Key": "yes" } },
    } });
    folder.write("there/mcp.json", &servers.to_string());
    let ran = folder.run(&["import", "there/mcp.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("a: A") && ran.stdout.contains("b: X-Key"),
        "values that stand in it are named: {ran:?}"
    );
    assert!(!ran.stdout.contains("0777"), "and not shown");
    let mode = folder.path().join("bobbinet.yaml").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let agents = |file: &str| {
        let ran = folder.run(&["check", file, "-o", "json"]);
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["agents"].clone()
    };
    assert_eq!(agents("bobbinet.yaml"), agents("there/mcp.json"));
}

#[test]
fn the_project_comes_before_the_user_and_what_is_there_is_not_written_over() {
    let folder = TestFolder::new();
    let here = folder.path().canonicalize().unwrap().display().to_string();
    folder.write(
        ".mcp.json",
        &json!({ "mcpServers": { "one": { "command": "true", "args": ["project"] } } }).to_string(),
    );
    let of_user = json!({
        "mcpServers": { "one": { "command": "true", "args": ["user"] }, "two": { "command": "true" } },
        "projects": { here: { "mcpServers": { "three": { "command": "true" } } }, "/other": { "mcpServers": { "four": { "command": "true" } } } },
    });
    folder.write("home/.claude.json", &of_user.to_string());
    let ran = folder.run(&["import", "claude-code"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let written = std::fs::read_to_string(folder.path().join("bobbinet.yaml")).unwrap();
    for (name, is_there) in
        [("project", true), ("\"user\"", false), ("  two:", true), ("  three:", true), ("  four:", false)]
    {
        assert_eq!(written.contains(name), is_there, "{name}: {written}");
    }
    let again = folder.run(&["import", "claude-code"]);
    assert!(again.code != 0 && again.stderr.contains("--force"), "{again:?}");
    assert_eq!(folder.run(&["import", "claude-code", "--force"]).code, 0);
}

#[test]
fn without_a_name_it_shows_what_is_here() {
    let folder = TestFolder::new();
    let none = folder.run(&["import"]);
    assert!(none.code != 0 && none.stderr.contains("bobbinet import FILE"), "{none:?}");
    let unknown = folder.run(&["import", "emacs"]);
    assert!(unknown.code != 0 && unknown.stderr.contains("claude-desktop"), "{unknown:?}");
    folder.write("home/.config/Claude/claude_desktop_config.json", r#"{"mcpServers": {"a": {"command": "true"}}}"#);
    folder.write(
        ".vscode/mcp.json",
        "{ // mine\n \"servers\": {\"b\": {\"command\": \"true\"}, \"c\": {\"url\": \"http://127.0.0.1:1/\"}}, }",
    );
    let shown = folder.run(&["import", "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let found: Vec<_> =
        shown.as_array().unwrap().iter().map(|it| (it["program"].as_str().unwrap(), it["servers"].as_u64())).collect();
    assert_eq!(found, [("claude-desktop", Some(1)), ("vscode", Some(2))]);
}

#[test]
fn servers_of_the_users_own_file_start_where_he_is_and_those_of_another_folder_there() {
    let folder = TestFolder::new();
    let servers = r#"{"mcpServers": {"a": {"command": "true"}}}"#;
    // Its host keeps much beside them.
    let with_history = format!(r#"{{"history": "{}", {}"#, "x".repeat(2 << 20), &servers[1..]);
    for (file, is_there) in [
        ("home/.config/Claude/claude_desktop_config.json", false),
        ("home/Library/Application Support/Claude/claude_desktop_config.json", false),
        ("home/.claude.json", false),
        ("other/mcp.json", true),
    ] {
        folder.write(file, if file.ends_with(".claude.json") { &with_history } else { servers });
        let path = folder.path().join(file).display().to_string();
        let ran = folder.run(&["import", &path, "--to", "-"]);
        assert!(ran.code == 0 && ran.stdout.contains("  a:"), "{file}: {ran:?}");
        assert_eq!(ran.stdout.contains("cwd:"), is_there, "{file}: {}", ran.stdout);
    }
}

#[test]
fn what_is_printed_says_beside_it_what_must_be_known_and_defaults_are_kept() {
    let folder = TestFolder::new();
    let servers =
        json!({"a": {"command": "true", "env": {"SECRET": "sk-1", "KEY": "${input:key}", "MODE": "${input:mode}"}}});
    let inputs =
        json!([{"id": "key", "type": "promptString"}, {"id": "mode", "type": "pickString", "default": "fast"}]);
    folder.write("mcp.json", &json!({"servers": servers, "inputs": inputs}).to_string());
    let ran = folder.run(&["import", "mcp.json", "--to", "-"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains(r#""MODE":"${MODE:-fast}""#), "{ran:?}");
    assert!(ran.stderr.contains("a: SECRET") && ran.stderr.contains("export KEY="), "{ran:?}");
    assert!(!ran.stderr.contains("MODE") && !ran.stderr.contains("sk-1"), "{ran:?}");
}

#[test]
fn a_check_is_no_stricter_than_a_start() {
    let folder = TestFolder::new();
    folder.write("mcp.json", r#"{"mcpServers": {"miss": {"command": "/nonexistent/x"}, "ok": {"command": "true"}}}"#);
    let ran = folder.run(&["check", "mcp.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains("no program /nonexistent/x"), "{ran:?}");
    assert_eq!(folder.run(&["check", "mcp.json", "--strict"]).code, 2);
    let nothing = folder.run(&["mcp", "--print-config", "claude"]);
    assert!(nothing.stderr.contains("there is no folder"), "{nothing:?}");
    let nothing = folder.run(&["mcp", "--print-config", "claude", "no.yaml"]);
    assert!(nothing.stderr.contains("there is no file no.yaml"), "{nothing:?}");
}
