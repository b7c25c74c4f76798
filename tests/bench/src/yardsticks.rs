//! The official SDKs, each with the same small agent: installed here at fixed versions, in a folder below `target/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::server::{CARD, READY, Recipe, Token};

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
    /// Where binaries built like this one are.
    pub(crate) binaries: PathBuf,
}

impl Folders {
    /// As this program was built.
    pub(crate) fn find() -> Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        // A test is one folder deeper than a program.
        let is_profile = |folder: &&Path| folder.file_name().is_some_and(|name| name != "deps");
        let binaries = program.ancestors().skip(1).find(is_profile).context("this program is in no folder")?.to_owned();
        let target = binaries.parent().context("this program is in no target folder")?.to_owned();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = package.ancestors().nth(2).context("the package is not in tests/")?.to_owned();
        Ok(Self { root, target, binaries })
    }

    fn source(&self, yardstick: &str) -> PathBuf {
        self.root.join("tests/bench/yardsticks").join(yardstick)
    }

    fn cache(&self, yardstick: &str) -> PathBuf {
        self.target.join("bench-yardsticks").join(yardstick)
    }
}

/// The official Rust SDK, in memory.
pub(crate) fn rust(folders: &Folders) -> Result<Recipe> {
    let (source, cache) = (folders.source("rust"), folders.cache("rust"));
    cargo_build(&source, &cache)?;
    Ok(Recipe {
        name: "rust",
        title: format!(
            "a2a-server-lf {}, in memory",
            pinned(&source.join("Cargo.toml"), "a2a-server-lf", "version = \"=")?
        ),
        program: cache.join("release/echo-on-a2a-server-lf"),
        arguments: Vec::new(),
        token: Token::None,
        ready: CARD,
        below: "",
        has_card: true,
        tls: None,
    })
}

/// The tool on the official Rust SDK of MCP, over streamable HTTP.
pub(crate) fn rmcp(folders: &Folders) -> Result<Recipe> {
    let (source, cache) = (folders.source("rmcp"), folders.cache("rmcp"));
    cargo_build(&source, &cache)?;
    Ok(Recipe {
        name: "rmcp",
        title: format!("rmcp {} over streamable HTTP", pinned(&source.join("Cargo.toml"), "rmcp", "version = \"=")?),
        program: cache.join("release/echo-on-rmcp"),
        arguments: Vec::new(),
        token: Token::None,
        ready: READY,
        below: "/mcp",
        has_card: false,
        tls: None,
    })
}

/// Builds a yardstick in Rust: of its own folder, so that neither the workspace's lock file nor its settings are in play.
fn cargo_build(source: &Path, cache: &Path) -> Result<()> {
    let mut build = Command::new(cargo());
    build
        .current_dir(source)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(source.join("Cargo.toml"));
    run(build.arg("--target-dir").arg(cache))
}

/// The official Python SDK, in memory, under uvicorn with its quick parser and loop.
pub(crate) fn python(folders: &Folders) -> Result<Recipe> {
    let (source, cache) = (folders.source("python"), folders.cache("python"));
    let requirements = source.join("requirements.txt");
    let program = cache.join("bin/python");
    once(&cache, &requirements, || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&cache))?;
        let mut install = Command::new(&program);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(install.arg(&requirements))
    })?;
    Ok(Recipe {
        name: "python",
        title: format!("a2a-sdk {}, in memory", pinned(&requirements, "a2a-sdk", "==")?),
        program,
        arguments: vec![source.join("agent.py").display().to_string()],
        token: Token::None,
        ready: CARD,
        below: "",
        has_card: true,
        tls: None,
    })
}

/// The official JavaScript SDK, in memory, under Node.
pub(crate) fn node(folders: &Folders) -> Result<Recipe> {
    let (source, cache) = (folders.source("node"), folders.cache("node"));
    let lock = source.join("package-lock.json");
    once(&cache, &lock, || {
        fs::create_dir_all(&cache)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), cache.join(file)).with_context(|| format!("copying {file}"))?;
        }
        run(Command::new("npm").current_dir(&cache).args(["ci", "--no-audit", "--no-fund", "--silent"]))
    })?;
    // It finds its packages beside itself, so it goes where they are.
    fs::copy(source.join("agent.js"), cache.join("agent.js")).context("copying agent.js")?;
    Ok(Recipe {
        name: "node",
        title: format!("@a2a-js/sdk {}, in memory", pinned(&source.join("package.json"), "@a2a-js/sdk", ": \"")?),
        program: find("node").context("there is no node")?,
        arguments: vec![cache.join("agent.js").display().to_string()],
        token: Token::None,
        ready: CARD,
        below: "",
        has_card: true,
        tls: None,
    })
}

/// Builds binaries of the workspace as a user gets them.
pub(crate) fn build(folders: &Folders, packages: &[&str]) -> Result<()> {
    let mut build = Command::new(cargo());
    build.current_dir(&folders.root).args(["build", "--target-dir"]).arg(&folders.target);
    // As this program was: a debug build of it tries out debug builds of ours.
    if folders.binaries.ends_with("release") {
        build.arg("--release");
    }
    for package in packages {
        build.args(["--package", package]);
    }
    run(&mut build)
}

/// The first of that name on the path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Installs, unless the same list of versions is installed already.
fn once(cache: &Path, versions: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = cache.join("installed");
    let wanted = fs::read(versions).with_context(|| format!("reading {}", versions.display()))?;
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    install().with_context(|| format!("installing what {} lists", versions.display()))?;
    fs::write(stamp, wanted).context("noting what is installed")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// The version that stands after `before` in the line that names `package`.
fn pinned(file: &Path, package: &str, before: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let version = version_in(&text, package, before);
    version.with_context(|| format!("{} does not pin {package}", file.display()))
}

fn version_in(text: &str, package: &str, before: &str) -> Option<String> {
    let line = text.lines().find(|line| line.contains(package) && line.contains(before))?;
    let (_, after) = line.split_once(before)?;
    let version: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    (!version.is_empty()).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_yardsticks_are_pinned() {
        let folders = Folders::find().unwrap();
        let check = |folder: &str, file: &str, package: &str, before: &str| {
            pinned(&folders.source(folder).join(file), package, before).unwrap()
        };
        assert_eq!(check("rust", "Cargo.toml", "a2a-server-lf", "version = \"="), "0.5.3");
        assert_eq!(check("rmcp", "Cargo.toml", "rmcp", "version = \"="), "3.9.0");
        assert_eq!(check("python", "requirements.txt", "a2a-sdk[", "=="), "1.3.0");
        assert_eq!(check("node", "package.json", "@a2a-js/sdk", ": \""), "1.0.1");
    }
}
