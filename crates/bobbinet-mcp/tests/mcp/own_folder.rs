//! A server runs in a folder of its own, if it is told to, and no other server sees it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use bobbinet_engine::Agent;
use bobbinet_mcp::{Isolation, McpAgent, McpConfig, WorkFolder};

use crate::lab::{command, guard, launcher, until};

/// No MCP server, but it runs where one would.
const LOOK: &str = r#"
import os, sys, time
seen = [os.getcwd()]
for what in sys.argv[2:]:
    try:
        seen.append(open(what).read())
    except OSError as error:
        seen.append(type(error).__name__)
open("kept", "a").write("x")
try:
    open(os.path.join(os.path.dirname(os.getcwd()), "planted"), "w")
except OSError:
    seen.append("nothing planted")
open(sys.argv[1] + ".part", "w").write("\n".join(seen))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(60)
"#;

async fn look(root: &Path, isolation: Isolation, change: impl FnOnce(&mut McpConfig)) -> Vec<String> {
    let words = ["config/look.py", "config/seen.txt", "config/words.txt", "servers/neighbour/secret"];
    let words = words.map(|path| root.join(path).display().to_string());
    let mut config = McpConfig::new("looks", "python3", &words.each_ref().map(String::as_str));
    command(&mut config).cwd = WorkFolder::Own;
    command(&mut config).isolation = isolation;
    config.limits.stop_grace_ms = 50;
    change(&mut config);
    let launcher = launcher().with_own_folders(root.join("servers"));
    let agent = McpAgent::start(config, launcher, &guard(), root.join("agent"));
    let seen = root.join("config/seen.txt");
    until("it has looked", || seen.exists()).await;
    agent.shutdown().await;
    let lines = fs::read_to_string(&seen).unwrap().lines().map(str::to_owned).collect();
    fs::remove_file(&seen).unwrap();
    lines
}

#[tokio::test]
async fn a_server_runs_in_its_own_folder_if_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for path in ["config", "servers/neighbour"] {
        fs::create_dir_all(root.join(path)).unwrap();
    }
    fs::write(root.join("config/look.py"), LOOK).unwrap();
    fs::write(root.join("config/words.txt"), "words").unwrap();
    fs::write(root.join("servers/neighbour/secret"), "secret").unwrap();
    let own = root.join("servers/looks");
    // What is of another server is not found.
    let expected = [&own.display().to_string(), "words", "FileNotFoundError", "nothing planted"];
    assert_eq!(look(&root, Isolation::Required, |_| {}).await, expected);
    assert_eq!(own.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // It finds what it has left.
    assert_eq!(look(&root, Isolation::Required, |_| {}).await, expected);
    assert_eq!(fs::read_to_string(own.join("kept")).unwrap(), "xx");
    assert!(!root.join("servers/planted").exists());
    // Whoever is given a folder runs there.
    let config = root.join("config").display().to_string();
    let seen = look(&root, Isolation::Auto, |config| command(config).cwd = WorkFolder::At(root.join("config"))).await;
    assert_eq!(seen[..2], [config.as_str(), "words"]);
    assert!(seen[2].ends_with("Error"), "{seen:?}");
}

#[tokio::test]
async fn a_link_in_place_of_the_folder_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("servers")).unwrap();
    fs::create_dir_all(root.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(root.join("elsewhere"), root.join("servers/looks")).unwrap();
    let mut config = McpConfig::new("looks", "touch", &["started"]);
    command(&mut config).cwd = WorkFolder::Own;
    config.limits.restart_first_ms = 20;
    let launcher = launcher().with_own_folders(root.join("servers"));
    let agent = McpAgent::start(config, launcher, &guard(), root.join("agent"));
    let why = agent.wait_ready(crate::lab::PATIENCE).await.unwrap_err();
    assert!(why.contains("is a link"), "{why}");
    assert!(!root.join("elsewhere/started").exists());
    agent.shutdown().await;
}
