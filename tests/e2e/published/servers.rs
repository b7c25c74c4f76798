//! The table: which servers, how each is started, and what is expected of it.

use std::path::PathBuf;

use crate::node::tools;

/// One way to run a published server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    /// The agent that it becomes.
    pub(super) name: &'static str,
    /// With the version that `cargo xtask tools` installs: `NAME@VERSION` from npm, `NAME==VERSION` from PyPI.
    pub(super) package: &'static str,
    pub(super) over: Over,
    /// The program, below `target/tools`, and its arguments. `{folder}`, `{web}` and `{port}` stand for what only the test knows.
    pub(super) command: &'static [&'static str],
    pub(super) environment: &'static [(&'static str, &'static str)],
    /// A call that reads, as a caller writes it, and what is in its answer.
    pub(super) call: &'static str,
    pub(super) answer: &'static str,
    pub(super) cancel: Cancel,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Stdio,
    /// The path of its URL.
    Http(&'static str),
}

/// What is canceled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cancel {
    /// A call that goes on until it is told not to, and must be canceled.
    Long(&'static str),
    /// The server has no call that takes long: the other one is canceled as soon as it is begun, which may be too late. What is left
    /// to show is that the server goes on.
    AtOnce,
}

use Cancel::{AtOnce, Long};
use Over::{Http, Stdio};

const EVERYTHING: &str = "@modelcontextprotocol/server-everything@2026.8.31";
const EVERYTHING_PROGRAM: &str = "npm/node_modules/.bin/mcp-server-everything";
/// It does not listen to a cancellation, and goes on for a minute.
const MINUTE: Cancel = Long("trigger-long-running-operation duration=60 steps=60");
const EXCEL: &str = "excel-mcp-server==0.1.8";
const DUCKDB: &str = "mcp-server-motherduck==1.1.0";
/// A query of a few seconds. It goes on with it when it is canceled, and does nothing else before.
const BUSY: Cancel = Long("execute_query sql='SELECT sum(sqrt(range) * sin(range)) FROM range(25000000)'");

pub(super) const SERVERS: [Server; 21] = [
    // The MCP project's own on its TypeScript SDK, which all speak revisions up to 2025-11-25.
    Server {
        name: "everything",
        package: EVERYTHING,
        over: Stdio,
        command: &[EVERYTHING_PROGRAM, "stdio"],
        environment: &[],
        call: "get-sum a=2 b=40",
        answer: "42",
        cancel: MINUTE,
    },
    Server {
        name: "everything-http",
        package: EVERYTHING,
        over: Http("/mcp"),
        command: &[EVERYTHING_PROGRAM, "streamableHttp"],
        environment: &[("PORT", "{port}")],
        call: "get-sum a=2 b=40",
        answer: "42",
        cancel: MINUTE,
    },
    // The only one that is left of HTTP+SSE of 2024-11-05.
    Server {
        name: "everything-sse",
        package: EVERYTHING,
        over: Http("/sse"),
        command: &[EVERYTHING_PROGRAM, "sse"],
        environment: &[("PORT", "{port}")],
        call: "get-sum a=2 b=40",
        answer: "42",
        cancel: MINUTE,
    },
    Server {
        name: "filesystem",
        package: "@modelcontextprotocol/server-filesystem@2026.8.31",
        over: Stdio,
        command: &["npm/node_modules/.bin/mcp-server-filesystem", "{folder}/docs"],
        environment: &[],
        call: "read_text_file path={folder}/docs/a.txt",
        answer: "written down",
        cancel: AtOnce,
    },
    Server {
        name: "memory",
        package: "@modelcontextprotocol/server-memory@2026.8.31",
        over: Stdio,
        command: &["npm/node_modules/.bin/mcp-server-memory"],
        environment: &[("MEMORY_FILE_PATH", "{folder}/memory.jsonl")],
        call: "read_graph {}",
        answer: "Ada",
        cancel: AtOnce,
    },
    Server {
        name: "sequential-thinking",
        package: "@modelcontextprotocol/server-sequential-thinking@2026.8.31",
        over: Stdio,
        command: &["npm-servers/node_modules/.bin/mcp-server-sequential-thinking"],
        environment: &[],
        call: "sequentialthinking thought=first thoughtNumber=1 totalThoughts=2 nextThoughtNeeded=true",
        answer: "thoughtHistoryLength",
        cancel: AtOnce,
    },
    // The MCP project's own on its Python SDK 2, in both eras.
    Server {
        name: "time",
        package: "mcp-server-time==2026.10.19",
        over: Stdio,
        command: &["servers/bin/mcp-server-time", "--local-timezone", "UTC"],
        environment: &[],
        call: "convert_time source_timezone=UTC time=12:00 target_timezone=Asia/Tokyo",
        answer: "21:00",
        cancel: AtOnce,
    },
    Server {
        name: "git",
        package: "mcp-server-git==2026.10.19",
        over: Stdio,
        command: &["servers/bin/mcp-server-git", "--repository", "{folder}/repository"],
        environment: &[],
        call: "git_status repo_path={folder}/repository",
        answer: "No commits yet",
        cancel: AtOnce,
    },
    Server {
        name: "fetch",
        package: "mcp-server-fetch==2026.10.24",
        over: Stdio,
        command: &["servers/bin/mcp-server-fetch", "--ignore-robots-txt", "--allow-private-ips"],
        environment: &[],
        call: "fetch url={web}/page",
        answer: "written down",
        cancel: Long("fetch url={web}/slow"),
    },
    // And on its Python SDK 1.
    Server {
        name: "sqlite",
        package: "mcp-server-sqlite==2025.4.25",
        over: Stdio,
        command: &["servers-1/bin/mcp-server-sqlite", "--db-path", "{folder}/notes.db"],
        environment: &[],
        call: "read_query query='SELECT 6 * 7 AS answer'",
        answer: "42",
        // It has one thread and does nothing else meanwhile, for a few seconds.
        cancel: Long(
            "read_query query='SELECT count(*) FROM (WITH RECURSIVE c(x) AS \
             (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 3000000) SELECT x FROM c)'",
        ),
    },
    // Others' on npm.
    Server {
        name: "calc",
        package: "@coo-quack/calc-mcp@2.1.1",
        over: Stdio,
        command: &["npm-servers/node_modules/.bin/calc-mcp"],
        environment: &[],
        call: "math expression='6 * 7'",
        answer: "42",
        cancel: AtOnce,
    },
    Server {
        name: "hello",
        package: "mcp-hello-world@1.1.2",
        over: Stdio,
        command: &["npm-servers/node_modules/.bin/mcp-hello-world"],
        environment: &[],
        call: "add a=2 b=40",
        answer: "42",
        cancel: AtOnce,
    },
    // On the TypeScript SDK 2. What it looks up is the test's.
    Server {
        name: "context7",
        package: "@upstash/context7-mcp@4.1.1",
        over: Stdio,
        command: &["npm-servers/node_modules/.bin/context7-mcp"],
        environment: &[("CONTEXT7_API_URL", "{web}"), ("HTTPS_PROXY", ""), ("HTTP_PROXY", "")],
        call: "query-docs libraryId=/a/b query=hooks",
        answer: "written down",
        cancel: Long("query-docs libraryId=/a/b query=slow"),
    },
    Server {
        name: "context7-http",
        package: "@upstash/context7-mcp@4.1.1",
        over: Http("/mcp"),
        command: &["npm-servers/node_modules/.bin/context7-mcp", "--transport", "http", "--port", "{port}"],
        environment: &[("CONTEXT7_API_URL", "{web}"), ("HTTPS_PROXY", ""), ("HTTP_PROXY", "")],
        call: "query-docs libraryId=/a/b query=hooks",
        answer: "written down",
        cancel: Long("query-docs libraryId=/a/b query=slow"),
    },
    // Others' on PyPI, on the SDK 1 and FastMCP 2.
    Server {
        name: "calculator",
        package: "mcp-server-calculator==0.2.1",
        over: Stdio,
        command: &["servers-1/bin/mcp-server-calculator"],
        environment: &[],
        call: "calculate expression='6 * 7'",
        answer: "42",
        cancel: AtOnce,
    },
    Server {
        name: "shell",
        package: "mcp-shell-server==1.1.14",
        over: Stdio,
        command: &["servers-1/bin/mcp-shell-server"],
        environment: &[("ALLOW_COMMANDS", "echo,sleep")],
        call: "shell_execute {\"command\": [\"echo\", \"written down\"], \"directory\": \"{folder}\"}",
        answer: "written down",
        cancel: Long("shell_execute {\"command\": [\"sleep\", \"60\"], \"directory\": \"{folder}\", \"timeout\": 90}"),
    },
    Server {
        name: "excel",
        package: EXCEL,
        over: Stdio,
        command: &["servers-1/bin/excel-mcp-server", "stdio"],
        environment: &[],
        call: "get_workbook_metadata filepath={folder}/book.xlsx",
        answer: "Sheet1",
        cancel: AtOnce,
    },
    Server {
        name: "excel-http",
        package: EXCEL,
        over: Http("/mcp"),
        command: &["servers-1/bin/excel-mcp-server", "streamable-http"],
        environment: &[("FASTMCP_PORT", "{port}"), ("FASTMCP_HOST", "127.0.0.1"), ("EXCEL_FILES_PATH", "{folder}")],
        call: "get_workbook_metadata filepath=book.xlsx",
        answer: "Sheet1",
        cancel: AtOnce,
    },
    // On FastMCP 4, in both eras.
    Server {
        name: "duckdb",
        package: DUCKDB,
        over: Stdio,
        command: &["servers/bin/mcp-server-motherduck", "--read-write"],
        environment: &[],
        call: "execute_query sql='SELECT 6 * 7 AS answer'",
        answer: "42",
        cancel: BUSY,
    },
    Server {
        name: "duckdb-http",
        package: DUCKDB,
        over: Http("/mcp"),
        command: &["servers/bin/mcp-server-motherduck", "--transport", "http", "--port", "{port}", "--read-write"],
        environment: &[],
        call: "execute_query sql='SELECT 6 * 7 AS answer'",
        answer: "42",
        cancel: BUSY,
    },
    // In Rust, on an early version of its SDK, from a wheel.
    Server {
        name: "elasticsearch",
        package: "es-mcp==0.2.2",
        over: Stdio,
        command: &["rust-sdk/bin/es-mcp", "stdio"],
        environment: &[("ES_URL", "{web}")],
        call: "list_indices index_pattern=notes",
        answer: "notes",
        cancel: Long("list_indices index_pattern=slow"),
    },
];

impl Server {
    /// The folder below `target/tools` that it was installed into.
    fn home(&self) -> PathBuf {
        tools().join(self.command[0].split('/').next().unwrap_or_default())
    }

    /// What is not there as the table has it.
    pub(super) fn missing(&self) -> Option<String> {
        let is_there = match self.package.split_once("==") {
            Some((name, version)) => {
                let mark = format!("{}-{version}.dist-info", name.replace('-', "_"));
                let versions = std::fs::read_dir(self.home().join("lib")).ok()?;
                versions.flatten().any(|python| python.path().join("site-packages").join(&mark).is_dir())
            }
            None => {
                let (name, version) = self.package.rsplit_once('@')?;
                let package = self.home().join("node_modules").join(name).join("package.json");
                let text = std::fs::read_to_string(package).unwrap_or_default();
                text.contains(&format!("\"version\": \"{version}\""))
            }
        };
        (!is_there).then(|| format!("{} in {}", self.package, self.home().display()))
    }
}
