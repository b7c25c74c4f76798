//! What the tests need beside Rust, installed below `target/tools` from PyPI and npm by their ordinary clients:
//! real MCP servers that none of us wrote, the official A2A SDKs of other languages, an agent framework, and Helm's own library. What is on
//! the official Rust, Go and Java SDKs is built, with what it needs from crates.io, the Go module proxy and Maven Central.
//!
//! Python (3.11 or newer) and Node (20 or newer) must be there; Go and Java need not, and what they are for is left out then. The SDKs and
//! the servers have their exact versions; what else is named here, and what all that asks for in turn, is as its registry resolves it, but for
//! Rust and Go, which have lock files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::run::{own_cargo, root, run};

/// Real MCP servers from npm, and the official A2A SDK for JavaScript with what it is served by.
const NPM: [&str; 5] = [
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
    "@a2a-js/sdk@1.3.0",
    "express@5.3.0",
];

/// MCP's official conformance suite, and the Node that it wants whichever other there is. (Its `latest` knows nothing of 2026-07-28.)
const CONFORMANCE: [&str; 2] = ["@modelcontextprotocol/conformance@0.2.0-alpha.12", "node@24.21.0"];
/// More of them, which only `tests/e2e/published.rs` starts: its table has them with their versions.
const NPM_SERVERS: [&str; 4] = [
    "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
    "@upstash/context7-mcp@4.1.1",
    "@coo-quack/calc-mcp@2.1.1",
    "mcp-hello-world@1.1.2",
];

/// What MCP hosts are made of: the official TypeScript SDK, its present line and the one before it, and the MCP project's Inspector.
const NPM_HOSTS: [&str; 3] = [
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/inspector@2.12.0",
];

/// Real MCP servers from PyPI: they share one MCP SDK, which is not the one that the A2A SDK wants, so they live apart.
const PYPI_SERVERS: [&str; 5] = [
    "mcp==2.3.0",
    "mcp-server-time==2026.10.19",
    "mcp-server-git==2026.10.19",
    "mcp-server-fetch==2026.10.24",
    "mcp-server-motherduck==1.1.0",
];

/// And those that need the MCP SDK's earlier line.
const PYPI_SERVERS_OLD: [&str; 5] = [
    "mcp==1.30.0",
    "mcp-server-sqlite==2025.4.25",
    "mcp-server-calculator==0.2.1",
    "excel-mcp-server==0.1.8",
    "mcp-shell-server==1.1.14",
];

/// A real MCP server in a wheel that was built with an early Rust SDK: it ends at any first request but `initialize`.
const RUST_SDK_SERVER: [&str; 1] = ["es-mcp==0.2.2"];

/// The official A2A SDK for Python, as client and as server, and what checks the chart.
const PYPI_CLIENT: [&str; 5] = ["a2a-sdk[grpc,http-server]==1.3.0", "httpx", "uvicorn", "pyyaml", "cffi"];

/// The same in its 0.3 line, which widely deployed frameworks still use.
const PYPI_CLIENT_OLD: [&str; 3] = ["a2a-sdk[grpc,http-server]==0.3.26", "httpx", "uvicorn"];

/// An agent framework that people use, with what it needs for A2A.
const PYPI_FRAMEWORK: [&str; 2] = ["google-adk[a2a]==2.13.0", "uvicorn"];

/// Helm's library in a wheel that says it wants Python 3.12, and runs on 3.11 through cffi.
const HELM: &str = "helm-sdkpy==0.1.32";

/// What a browser of Chromium's family is called, one name to a line: any will do. Its test reads it too.
const BROWSERS: &str = include_str!("../../../tests/browser/browsers.txt");

/// Where things are.
pub(crate) struct Tools {
    pub(crate) root: PathBuf,
}

impl Tools {
    /// What the tests look for in their environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        vec![("BOBBINET_TEST_TOOLS".to_owned(), self.root.display().to_string())]
    }
}

/// Installs what is not there yet. What is there in the right version is left alone.
pub(crate) fn install() -> Result<Tools> {
    let tools = root().join("target/tools");
    fs::create_dir_all(&tools)?;
    let from_npm =
        [("npm", &NPM[..]), ("npm-servers", &NPM_SERVERS), ("npm-hosts", &NPM_HOSTS), ("conformance", &CONFORMANCE)];
    for (name, packages) in from_npm {
        npm(&tools, name, packages)?;
    }
    once(&tools.join("servers"), &PYPI_SERVERS.join("\n"), |folder| venv(folder, &PYPI_SERVERS))?;
    once(&tools.join("servers-1"), &PYPI_SERVERS_OLD.join("\n"), |folder| venv(folder, &PYPI_SERVERS_OLD))?;
    once(&tools.join("rust-sdk"), &RUST_SDK_SERVER.join("\n"), |folder| venv(folder, &RUST_SDK_SERVER))?;
    once(&tools.join("python"), &PYPI_CLIENT.join("\n"), |folder| venv(folder, &PYPI_CLIENT))?;
    once(&tools.join("python-0.3"), &PYPI_CLIENT_OLD.join("\n"), |folder| venv(folder, &PYPI_CLIENT_OLD))?;
    once(&tools.join("adk"), &PYPI_FRAMEWORK.join("\n"), |folder| venv(folder, &PYPI_FRAMEWORK))?;
    once(&tools.join("helm"), HELM, |folder| {
        let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
        let wheel = ["--only-binary=:all:", "--python-version", "3.12", "--dest", ".", HELM];
        run(program("python3")?.args(pip).args(wheel).current_dir(folder))?;
        let unpack = "import glob,zipfile; [zipfile.ZipFile(f).extractall('.') for f in glob.glob('*.whl')]";
        run(program("python3")?.args(["-c", unpack]).current_dir(folder))
    })?;
    rust(&tools.join("rust-agent"), "examples/three-sdks/rust")?;
    rust(&tools.join("rust-interop"), "tests/interop/rust")?;
    go(&tools.join("go"))?;
    java(&tools.join("java"))?;
    of_debian(&["strace"], "strace");
    of_debian(&BROWSERS.lines().collect::<Vec<_>>(), "chromium");
    Ok(Tools { root: tools })
}

/// Installs only what comes from npm: its `node_modules`.
pub(crate) fn install_npm() -> Result<PathBuf> {
    let tools = root().join("target/tools");
    npm(&tools, "npm", &NPM)?;
    Ok(tools.join("npm/node_modules"))
}

fn npm(tools: &Path, name: &str, packages: &[&str]) -> Result<()> {
    once(&tools.join(name), &packages.join("\n"), |folder| npm_packages(folder, packages))
}

/// A program on the official Rust SDK, built again when its source has changed.
fn rust(folder: &Path, source: &str) -> Result<()> {
    let source = root().join(source);
    let built = text_of(&source, &["Cargo.toml", "Cargo.lock", "src/main.rs"])?;
    anew(folder, &built, || {
        eprintln!("   building {}", source.display());
        let build = ["build", "--quiet", "--locked", "--manifest-path"];
        run(own_cargo().args(build).arg(source.join("Cargo.toml")).arg("--target-dir").arg(folder))
    })
}

/// What converses by the official Go SDK, where there is a Go to build it with.
fn go(folder: &Path) -> Result<()> {
    let source = root().join("tests/interop/go");
    if !is_on_path("go") {
        return left_out("Go");
    }
    let built = text_of(&source, &["go.mod", "go.sum", "main.go", "shouter/main.go"])?;
    anew(folder, &built, || {
        eprintln!("   building {}", source.display());
        for (name, package) in [("interop", "."), ("shouter", "./shouter")] {
            let out = folder.join(name);
            run(Command::new("go").args(["build", "-o"]).arg(out).arg(package).current_dir(&source))?;
        }
        Ok(())
    })
}

/// What converses by the official Java SDK, where there is a Maven to build it with.
fn java(folder: &Path) -> Result<()> {
    let source = root().join("tests/interop/java");
    if !is_on_path("mvn") {
        return left_out("Java with Maven");
    }
    let files = ["pom.xml", "src/main/java/Interop.java"];
    let built = text_of(&source, &files)?;
    anew(folder, &built, || {
        eprintln!("   building {}", source.display());
        for file in files {
            let copy = folder.join(file);
            fs::create_dir_all(copy.parent().expect("it is in the folder"))?;
            fs::copy(source.join(file), copy)?;
        }
        let goals = ["-q", "-B", "package", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"];
        run(Command::new("mvn").args(goals).current_dir(folder))
    })
}

/// Says what a machine lacks that only some have. With `CI=true` it must be there.
fn left_out(what: &str) -> Result<()> {
    if std::env::var("CI").is_ok_and(|it| it == "true") {
        bail!("{what} is missing: with CI=true nothing may be left out");
    }
    eprintln!("   {what} is missing, so its SDK is left out of the conversations");
    Ok(())
}

/// These files, one after the other.
fn text_of(folder: &Path, files: &[&str]) -> Result<String> {
    let files = files.iter().map(|file| fs::read_to_string(folder.join(file)));
    Ok(files.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// Builds what was built from something else before, or never.
fn anew(folder: &Path, from: &str, build: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join(".built");
    if fs::read_to_string(&stamp).is_ok_and(|before| before == from) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    build()?;
    fs::write(stamp, from)?;
    Ok(())
}

/// What shows that nothing is answered before it is synced, and what a page is tried in, as whatever it is called: Debian's own packages,
/// where we may install them. Without one its test says that it was not made, and with `CI=true` fails.
fn of_debian(programs: &[&str], package: &str) {
    if programs.iter().any(|program| is_on_path(program)) {
        return;
    }
    let user = Command::new("id").arg("-u").output();
    let may_install = is_on_path("apt-get") && user.is_ok_and(|user| user.stdout == b"0\n");
    let install = format!("apt-get install -qq -y --no-install-recommends {package}");
    let install = format!("{install} || {{ apt-get update -qq && {install}; }}");
    let mut shell = Command::new("sh");
    shell.args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive");
    if may_install {
        eprintln!("   installing {package}");
    }
    let installed = may_install && run(&mut shell).is_ok();
    if !installed {
        eprintln!("   {package} is missing, so one test is not made: install it; on Debian: apt-get install {package}");
    }
}

/// Fills a folder once for each list of versions. A folder that was left half filled is filled again.
fn once(folder: &Path, versions: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp = folder.join(".versions");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == versions) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    eprintln!("   installing {}", versions.replace('\n', ", "));
    fill(folder)?;
    fs::write(stamp, versions)?;
    Ok(())
}

fn npm_packages(folder: &Path, packages: &[&str]) -> Result<()> {
    fs::write(folder.join("package.json"), "{\"private\":true}\n")?;
    let npm = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
    run(program("npm")?.args(npm).args(packages).current_dir(folder))
}

fn venv(folder: &Path, packages: &[&str]) -> Result<()> {
    run(program("python3")?.args(["-m", "venv", "."]).current_dir(folder))
        .context("python3 cannot make a virtual environment; on Debian: apt-get install python3-venv")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(folder.join("bin/python")).args(pip).args(packages))
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A program that must be on the PATH.
fn program(name: &str) -> Result<Command> {
    if !is_on_path(name) {
        bail!("the tests need `{name}` on the PATH (Python 3.11 or newer, Node 20 or newer with npm)");
    }
    Ok(Command::new(name))
}
