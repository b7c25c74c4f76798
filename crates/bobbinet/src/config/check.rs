//! What can be wrong with a configuration that reads well: programs that are not there, an address that is taken.

use std::{
    env,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{AgentConfig, CommandConfig, Config, Finding, Severity};

/// Looks at everything that a start would need, without starting anything.
pub(crate) fn check(config: &Config, file: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, agent) in &config.agents {
        // What a node starts without is no error.
        let severity = if config.is_lenient { Severity::Warning } else { Severity::Error };
        findings.extend(check_agent(name.as_str(), agent, file, severity));
    }
    findings.extend(check_address(config.node.listen, file));
    findings
}

fn check_agent(name: &str, agent: &AgentConfig, file: &str, severity: Severity) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(server) = agent.command() else {
        // Who is there is seen when it is called.
        return findings;
    };
    if server.words.is_empty() {
        // That has been told with its place.
        return findings;
    }
    if !server.cwd.is_dir() {
        let message = format!("agent {name}: there is no folder {}", server.cwd.display());
        findings.push(Finding::about(severity, file, message).hint("make it, or name another with cwd"));
    } else if program(server).is_none() {
        let command = server.words.first().map(String::as_str).unwrap_or_default();
        let message = format!("agent {name}: there is no program {command}");
        findings.push(Finding::about(severity, file, message).hint(install_hint(command)));
    }
    findings
}

fn install_hint(command: &str) -> String {
    match command {
        "npx" | "node" | "npm" => "install Node.js, or name the program by its path".to_owned(),
        "uvx" | "uv" => "install uv, or name the program by its path".to_owned(),
        "docker" => "install Docker, or name another command".to_owned(),
        _ => "install it, or name it by its path".to_owned(),
    }
}

fn check_address(listen: SocketAddr, file: &str) -> Option<Finding> {
    let error = TcpListener::bind(listen).err()?;
    let message = format!("nothing can listen at {listen} now: {error}");
    let hint = "a node may be running there already; or name another address with listen";
    Some(Finding::about(Severity::Note, file, message).hint(hint))
}

/// The program that a command starts, if it is there.
pub(crate) fn program(server: &CommandConfig) -> Option<PathBuf> {
    let command = server.words.first()?;
    if command.contains('/') {
        return Some(server.cwd.join(command)).filter(|path| is_program(path));
    }
    let path = server.env.get("PATH").map(Into::into).or_else(|| env::var_os("PATH"))?;
    env::split_paths(&path).map(|folder| server.cwd.join(folder).join(command)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
