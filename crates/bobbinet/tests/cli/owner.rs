//! What the owner of a node can do with its key folder.

use std::os::unix::fs::PermissionsExt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::program::TestFolder;

fn mode(folder: &TestFolder, path: &str) -> u32 {
    folder.path().join(path).metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_their_owners_alone() {
    let folder = TestFolder::new();
    for _ in 0..2 {
        let ran = folder.run(&["key", "new", "--data-dir", "data"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }
    assert_eq!(mode(&folder, "data/keys"), 0o700);
    let files: Vec<_> =
        std::fs::read_dir(folder.path().join("data/keys")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let listed = folder.run(&["key", "list", "--data-dir", "data"]).stdout;
    assert_eq!((listed.lines().count(), listed.matches("(signs)").count()), (2, 1), "{listed}");
    let jwks: Value = serde_json::from_str(&folder.run(&["key", "jwks", "--data-dir", "data"]).stdout).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);
    assert!(jwks["keys"][0].get("d").is_none(), "public halves only");
}

#[test]
fn a_token_is_printed_alone() {
    let folder = TestFolder::new();
    folder.run(&["key", "new", "--data-dir", "data"]);
    let url = "http://127.0.0.1:7420/agents/files";
    let check = |arguments: &[&str], subject: &str, seconds: u64| {
        let ran = folder.run(&[&["token", "mint", "--data-dir", "data", "--audience", url], arguments].concat());
        assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
        let is_told = ran.stderr.contains("refuse") && ran.stderr.contains("owner-only");
        assert_eq!((is_told, ran.stderr.is_empty()), (subject != "node-owner", subject == "node-owner"), "{ran:?}");
        let parts: Vec<&str> = ran.stdout.trim_end().split('.').collect();
        assert_eq!(parts.len(), 3, "a JWT and nothing else");
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!((claims["aud"].as_str(), claims["sub"].as_str()), (Some(url), Some(subject)));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), seconds);
    };
    check(&[], "node-owner", 300);
    check(&["--sub", "somebody", "--ttl", "60s"], "somebody", 60);
    check(&["--sub", "Jane Doe"], "Jane Doe", 300);
    check(&["-o", "json"], "node-owner", 300);
    let ran = folder.run(&["token", "mint", "--data-dir", "data", "--audience", url, "--ttl", "1h"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "no token lives longer than it may");
    let ran = folder.run(&["token", "mint", "--data-dir", "data"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "a token is for one agent, and no node says for which");
}

#[test]
fn keys_are_those_of_the_node_that_the_configuration_here_is_of() {
    let folder = TestFolder::new();
    let ran = folder.run(&["key", "rotate"]);
    assert!(ran.code == 2 && ran.stderr.contains("no node's data folder"), "{ran:?}");
    assert!(!folder.path().join("bobbinet-data").exists(), "nobody believes to have rotated what signs elsewhere");
    folder.run(&["key", "rotate", "--data-dir", "data"]);
    folder.write("bobbinet.yaml", "node: { data: ./data }\nagents: { a: { mcp: { command: cat } } }\n");
    let listed = folder.run(&["key", "list"]);
    assert_eq!((listed.code, listed.stdout.lines().count()), (0, 1), "{listed:?}");
    folder.run(&["key", "rotate"]);
    assert_eq!(std::fs::read_dir(folder.path().join("data/keys")).unwrap().count(), 2);
}

#[test]
fn looking_at_data_makes_none() {
    let folder = TestFolder::new();
    for arguments in
        [&["key", "list"][..], &["store", "check"], &["store", "export"], &["token", "mint", "--audience", "x"]]
    {
        let ran = folder.run(arguments);
        assert_ne!(ran.code, 0, "{arguments:?}");
        assert!(ran.stderr.contains("--data-dir"), "{arguments:?}: {}", ran.stderr);
    }
    assert!(!folder.path().join("bobbinet-data").exists());
}
