//! Programs that know MCP servers, and where they keep them.

use std::{
    env,
    path::{Path, PathBuf},
};

/// A program and its files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Host {
    /// What people call it on the command line.
    pub(super) name: &'static str,
    /// Files of a project, below its folder.
    project: &'static [&'static str],
    /// Files below the user's home folder.
    home: &'static [&'static str],
    /// Files below the folder of programs' settings.
    settings: &'static [&'static str],
}

pub(super) const HOSTS: [Host; 5] = [
    Host { name: "claude-desktop", project: &[], home: &[], settings: &["Claude/claude_desktop_config.json"] },
    Host { name: "claude-code", project: &[".mcp.json"], home: &[".claude.json"], settings: &[] },
    Host { name: "cursor", project: &[".cursor/mcp.json"], home: &[".cursor/mcp.json"], settings: &[] },
    Host { name: "vscode", project: &[".vscode/mcp.json"], home: &[], settings: &["Code/User/mcp.json"] },
    Host {
        name: "cline",
        project: &[],
        home: &[],
        settings: &["Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"],
    },
];

impl Host {
    pub(super) fn named(name: &str) -> Option<Self> {
        HOSTS.into_iter().find(|host| host.name == name)
    }

    /// Where it keeps them, a project's before the user's, whether they are there or not.
    pub(super) fn files(self, project: &Path) -> Vec<PathBuf> {
        let home = env::home_dir();
        let settings = home.as_deref().map(settings_folder);
        let all = [(Some(project.to_owned()), self.project), (home, self.home), (settings, self.settings)];
        let below = |(folder, names): (Option<PathBuf>, &'static [&'static str])| {
            folder.into_iter().flat_map(move |folder| names.iter().map(move |name| folder.join(name)))
        };
        let mut files: Vec<PathBuf> = all.into_iter().flat_map(below).collect();
        // The home folder may be the project.
        files.dedup();
        files
    }
}

/// Where programs keep their settings, as the system has it.
fn settings_folder(home: &Path) -> PathBuf {
    if cfg!(target_os = "macos") {
        return home.join("Library/Application Support");
    }
    env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home.join(".config"))
}
