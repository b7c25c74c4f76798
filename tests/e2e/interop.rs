//! The official SDKs of five languages, in both lines where there are two, and an agent framework: each holds the same conversation with a
//! wrapped MCP server over every binding that it speaks. (Agents that are made with them: `called.rs`.)
//!
//! What ran is a table: printed, and kept in `docs/interop.md` if `BOBBINET_INTEROP` says so.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::node::{Node, PATIENCE, is_complete_machine, log_of, repository, tools};

/// The steps of the conversation, as the scripts name them.
const STEPS: [&str; 10] = [
    "card",
    "send",
    "stream",
    "question and answer",
    "get",
    "list",
    "subscribe after a cut",
    "cancel",
    "push configuration",
    "extended card",
];

/// Those of an agent framework, whose users see no tasks.
const FRAMEWORK_STEPS: [&str; 4] = ["card", "send", "stream", "question and answer"];

/// Who converses: what it is, which A2A it speaks, and over which bindings.
struct Speaker {
    name: &'static str,
    version: &'static str,
    bindings: &'static [&'static str],
    /// What it must tell of.
    steps: &'static [&'static str],
    /// `None` where its language is not on this machine.
    command: fn() -> Option<Command>,
}

const SPEAKERS: [Speaker; 8] = [
    Speaker {
        name: "Python, a2a-sdk 1.3.0",
        version: "1.0",
        bindings: &["JSONRPC", "HTTP+JSON", "GRPC"],
        steps: &STEPS,
        command: || Some(script(tools().join("python/bin/python"), "python_v1.py")),
    },
    Speaker {
        name: "Python, a2a-sdk 0.3.26",
        version: "0.3",
        bindings: &["JSONRPC", "HTTP+JSON", "GRPC"],
        steps: &STEPS,
        command: || Some(script(tools().join("python-0.3/bin/python"), "python_v0_3.py")),
    },
    Speaker {
        name: "JavaScript, @a2a-js/sdk 1.3.0",
        version: "1.0",
        bindings: &["JSONRPC", "HTTP+JSON"],
        steps: &STEPS,
        command: || Some(javascript("1.0")),
    },
    Speaker {
        name: "JavaScript, @a2a-js/sdk 1.3.0, its 0.3",
        version: "0.3",
        bindings: &["JSONRPC", "HTTP+JSON"],
        steps: &STEPS,
        command: || Some(javascript("0.3")),
    },
    Speaker {
        name: "Rust, a2a-client-lf 0.2.9",
        version: "1.0",
        bindings: &["JSONRPC", "HTTP+JSON"],
        steps: &STEPS,
        command: || Some(Command::new(tools().join("rust-interop/debug/interop"))),
    },
    Speaker {
        name: "Go, a2a-go 0.3.3",
        version: "0.3",
        bindings: &["JSONRPC", "GRPC"],
        steps: &STEPS,
        command: || installed(tools().join("go/interop")).map(Command::new),
    },
    Speaker {
        name: "Java, a2a-java-sdk 0.3.3.Final",
        version: "0.3",
        bindings: &["JSONRPC"],
        steps: &STEPS,
        command: || {
            let made = installed(tools().join("java/target"))?;
            let path = format!("{0}/interop-1.jar:{0}/lib/*", made.display());
            let mut java = Command::new("java");
            java.args(["-cp", &path, "Interop"]);
            Some(java)
        },
    },
    Speaker {
        name: "Google ADK 2.13.0",
        version: "1.0",
        bindings: &["JSONRPC"],
        steps: &FRAMEWORK_STEPS,
        command: || Some(script(tools().join("adk/bin/python"), "adk_client.py")),
    },
];

pub(crate) fn script(python: impl AsRef<std::ffi::OsStr>, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(repository("tests/interop").join(name));
    command
}

fn javascript(version: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(repository("tests/interop/javascript.mjs")).arg(tools().join("npm/node_modules")).arg(version);
    command
}

/// What is only there on machines that have its language. Elsewhere its row says so, and with `CI=true` the test fails.
pub(crate) fn installed(path: std::path::PathBuf) -> Option<std::path::PathBuf> {
    path.exists().then_some(path)
}

/// What a row of the table says of each step.
type Row = BTreeMap<String, String>;

#[test]
fn the_official_sdks_converse_over_every_binding_that_they_speak() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks::open();
    let node = everything(folder.path(), &hooks, true);
    let agent = node.agent("everything");
    // The framework refuses a card that lists gRPC as the specification writes it.
    let plain_folder = tempfile::tempdir().unwrap();
    let plain = everything(plain_folder.path(), &hooks, false);
    let for_framework = plain.agent("everything");
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for speaker in &SPEAKERS {
        for binding in speaker.bindings {
            let hook = format!("{}/{}", hooks.url, rows.len());
            let Some(mut command) = (speaker.command)() else {
                if is_complete_machine() {
                    faults.push(format!("{} is missing: its language is not on this machine", speaker.name));
                }
                println!("left out: {}", speaker.name);
                rows.push((speaker, *binding, None));
                continue;
            };
            let agent = if speaker.name.starts_with("Google") { &for_framework } else { &agent };
            let said = within(command.args([&agent.url, &agent.token, *binding, &hook]));
            let row = steps(&said);
            let missing: Vec<_> = speaker.steps.iter().filter(|step| !row.contains_key(**step)).collect();
            let what = format!("{} over {binding} of {}", speaker.name, speaker.version);
            let failed: Vec<_> = row.iter().filter(|(_, result)| is_fault(result)).collect();
            if !said.status.success() || !failed.is_empty() || !missing.is_empty() {
                let error = String::from_utf8_lossy(&said.stderr);
                let last = error.lines().rev().take(8).collect::<Vec<_>>();
                faults.push(format!("{what}: {failed:?}, not told of: {missing:?} {last:?}"));
            } else if row.get("push configuration").is_some_and(|it| it == "ok") && !hooks.has_completed(&hook) {
                faults.push(format!("{what}: no notification came that its task has completed"));
            }
            rows.push((speaker, *binding, Some(row)));
        }
    }
    // Each script completes a task whose webhook it has deleted before, or says nothing of such a one.
    let unasked = hooks.completed(|path| path.ends_with("/deleted"));
    if !unasked.is_empty() {
        faults.push(format!("webhooks that were deleted were told of a completion: {unasked:?}"));
    }
    let table = table(&rows);
    println!("{table}");
    keep("Callers", &table);
    assert!(faults.is_empty(), "{}\nnode:\n{}", faults.join("\n"), log_of(folder.path()));
    assert!(node.stop().success() && plain.stop().success());
}

fn everything(folder: &Path, hooks: &Hooks, has_grpc: bool) -> Node {
    let server = tools().join("npm/node_modules/.bin/mcp-server-everything");
    assert!(server.exists(), "{} is missing: cargo xtask tools", server.display());
    let config = format!(
        "node: {{ listen: \"127.0.0.1:0\", data: ./data, grpc: {has_grpc}, webhooks: [{:?}] }}\n\
         agents:\n  everything: {{ use: everything, mcp: {{ command: [{server:?}] }} }}\n\
         principals: {{ ann: {{ tenant: acme }} }}\n\
         policy:\n  - {{ allow: \"caller.principal == 'ann'\" }}\n",
        hooks.url
    );
    std::fs::write(folder.join("bobbinet.yaml"), config).unwrap();
    Node::start(folder, &[]).unwrap()
}

/// What a script has told of each step.
fn steps(said: &Output) -> Row {
    let lines = said.stdout.lines().map_while(Result::ok);
    let told = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let word = |told: &Value, name: &str| told[name].as_str().unwrap_or_default().to_owned();
    told.map(|told| (word(&told, "step"), word(&told, "result"))).collect()
}

/// A step is passed, or the SDK or 0.3 has no such call, which the script says in words of its own.
fn is_fault(result: &str) -> bool {
    result != "ok" && !result.contains("no call for it")
}

fn table(rows: &[(&Speaker, &str, Option<Row>)]) -> String {
    let mut table = format!("| caller | A2A | over | {} |\n", STEPS.join(" | "));
    writeln!(table, "|---|---|---|{}", "---|".repeat(STEPS.len())).unwrap();
    for (speaker, binding, row) in rows {
        write!(table, "| {} | {} | {binding} |", speaker.name, speaker.version).unwrap();
        for step in STEPS {
            let cell = match row {
                None => "left out here",
                Some(row) => match row.get(step).map(String::as_str) {
                    Some("ok") => "ok",
                    Some(_) => "no such call",
                    None => "not asked",
                },
            };
            write!(table, " {cell} |").unwrap();
        }
        table.push('\n');
    }
    table
}

/// Keeps a table in the page that `BOBBINET_INTEROP` names, under its heading.
pub(crate) fn keep(heading: &str, table: &str) {
    static TURN: Mutex<()> = Mutex::new(());
    let Some(page) = std::env::var_os("BOBBINET_INTEROP") else { return };
    let _turn = TURN.lock().unwrap();
    let head = "# Interoperability\n\nWho converses with Bobbinet in its tests, each with the real SDK from its registry. This page is made by\n\
                `BOBBINET_INTEROP=docs/interop.md cargo test -p bobbinet --test e2e -- interop:: called::`, after `cargo xtask tools`.\n";
    let page = repository(".").join(page);
    let known = std::fs::read_to_string(&page).unwrap_or_else(|_| head.to_owned());
    let mut sections: BTreeMap<String, String> = known
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(title, text)| (title.to_owned(), text.trim().to_owned()))
        .collect();
    sections.insert(heading.to_owned(), table.trim().to_owned());
    let written =
        sections.iter().fold(head.to_owned(), |page, (title, text)| page + &format!("\n## {title}\n\n{text}\n"));
    std::fs::write(page, written).unwrap();
}

/// Runs a command to its end, for a while.
fn within(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE * 2;
    let read = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.map(|mut from| from.read_to_end(&mut bytes));
            bytes
        })
    };
    let out = read(child.stdout.take().map(|it| Box::new(it) as _));
    let error = read(child.stderr.take().map(|it| Box::new(it) as _));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Output { status, stdout: out.join().unwrap(), stderr: error.join().unwrap() }
}

/// A receiver of webhooks, for as long as the process lives.
pub(crate) struct Hooks {
    pub(crate) url: String,
    /// Oldest first.
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// A request of a webhook.
pub(crate) struct Taken {
    path: String,
    /// Its headers, their names in small letters.
    pub(crate) head: String,
    body: String,
}

impl Taken {
    fn is_of_completed(&self) -> bool {
        self.says("completed")
    }

    /// Whether it has this word in it, in small letters or in capitals, as the versions write their states.
    pub(crate) fn says(&self, word: &str) -> bool {
        self.body.to_ascii_lowercase().contains(word)
    }
}

impl Hooks {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let to = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let to = to.clone();
                std::thread::spawn(move || take(stream, &to));
            }
        });
        Self { url, taken }
    }

    /// The paths among these that were told that a task has completed.
    fn completed(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        taken
            .iter()
            .filter(|taken| is_wanted(&taken.path) && taken.is_of_completed())
            .map(|it| it.path.clone())
            .collect()
    }

    /// Whether this hook is told, before long, that a task has completed.
    fn has_completed(&self, hook: &str) -> bool {
        self.is_told(hook, Taken::is_of_completed)
    }

    /// Whether this hook is told something like that before long.
    pub(crate) fn is_told(&self, hook: &str, is_so: impl Fn(&Taken) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if self.has_heard(hook, &is_so) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Whether this hook has been told anything like that until now.
    pub(crate) fn has_heard(&self, hook: &str, is_so: impl Fn(&Taken) -> bool) -> bool {
        let path = hook.trim_start_matches(&self.url);
        self.taken.lock().unwrap().iter().any(|taken| taken.path == path && is_so(taken))
    }
}

fn take(stream: TcpStream, to: &Mutex<Vec<Taken>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut head, mut length) = (String::new(), String::new(), 0);
        for line in reader.by_ref().lines() {
            let Ok(line) = line else { return };
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
                Some((name, value)) => {
                    head.push_str(&format!("{}: {value}\n", name.to_ascii_lowercase()));
                }
                None => path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
            }
        }
        if path.is_empty() {
            return;
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        to.lock().unwrap().push(Taken { path, head, body: String::from_utf8_lossy(&body).into_owned() });
        if reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}
