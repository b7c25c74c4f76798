//! Agents that are made with the official SDKs, called by Bobbinet's client over every binding that they speak.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::{
    interop::{installed, keep, script},
    node::{Started, bobbinet, free_port, is_complete_machine, listens, repository, tools},
};

/// An agent that is made with an SDK, as it is started.
struct Served {
    name: &'static str,
    version: &'static str,
    /// What it speaks; gRPC at a port of its own.
    bindings: &'static [&'static str],
    command: fn(u16, u16) -> Command,
}

const SERVED: [Served; 5] = [
    Served {
        name: "Python, a2a-sdk 1.3.0",
        version: "1.0",
        bindings: &["JSONRPC"],
        command: |port, _| {
            let mut command = Command::new(tools().join("python/bin/python"));
            command.arg(repository("tests/python/shouter.py")).arg(port.to_string());
            command
        },
    },
    Served {
        name: "Python, a2a-sdk 0.3.26",
        version: "0.3",
        bindings: &["JSONRPC", "HTTP+JSON", "GRPC"],
        command: older,
    },
    Served {
        name: "JavaScript, @a2a-js/sdk 1.3.0",
        version: "1.0",
        bindings: &["JSONRPC"],
        command: |port, _| {
            let mut command = Command::new("node");
            command.arg(repository("tests/javascript/shouter.mjs")).arg(tools().join("npm/node_modules"));
            command.arg(port.to_string());
            command
        },
    },
    Served {
        name: "Go, a2a-go 0.3.3",
        version: "0.3",
        bindings: &["JSONRPC"],
        command: |port, _| {
            let mut command = Command::new(tools().join("go/shouter"));
            command.arg(port.to_string());
            command
        },
    },
    Served {
        name: "Google ADK 2.13.0",
        version: "1.0",
        bindings: &["JSONRPC"],
        command: |port, _| {
            let mut command = script(tools().join("adk/bin/python"), "adk_server.py");
            command.arg(port.to_string());
            command
        },
    },
];

/// The agent of the SDK for Python in its 0.3 line.
fn older(port: u16, grpc_port: u16) -> Command {
    let mut command = script(tools().join("python-0.3/bin/python"), "python_v0_3_server.py");
    command.args([port, grpc_port].map(|port| port.to_string()));
    command
}

/// A flow that asks two agents by their names, of 0.3 and of 1.0.
const CROSSING: &str = "\
document: { dsl: '1.0.3', namespace: interop, name: crossing, version: '1.0.0' }
do:
  - old: { call: a2a, with: { method: message/send, agentCard: { endpoint: OLD }, parameters: { message: { kind: message, messageId: one, role: user, parts: [ { kind: text, text: hello } ] } } } }
  - new: { call: a2a, with: { method: message/send, agentCard: { endpoint: NEW }, parameters: { message: { kind: message, messageId: two, role: user, parts: [ { kind: text, text: '${ [.artifacts[].parts[].text] | join(\"\") }' } ] } } } }
output: { as: '${ { said: ([.artifacts[].parts[].text] | join(\"\")) } }' }
";

#[test]
fn agents_made_with_the_official_sdks_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let mut started = Vec::new();
    let mut table = String::from("| agent | speaks | over | send | stream |\n|---|---|---|---|---|\n");
    for served in &SERVED {
        let (port, grpc_port) = (free_port(), free_port());
        let mut command = (served.command)(port, grpc_port);
        if installed(command.get_program().into()).is_none() && Path::new(command.get_program()).is_absolute() {
            assert!(!is_complete_machine(), "{} is missing: its language is not on this machine", served.name);
            println!("left out: {}", served.name);
            let bindings = served.bindings.join(", ");
            writeln!(table, "| {} | {} | {bindings} | left out here | |", served.name, served.version).unwrap();
            continue;
        }
        let agent = Started(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let url = format!("http://127.0.0.1:{port}/");
        listens(port);
        for binding in served.bindings {
            let what = format!("{} over {binding}", served.name);
            let mut client = Caller { folder: folder.path(), url: &url, binding, origin: None };
            let grpc_origin = format!("http://127.0.0.1:{grpc_port}");
            if *binding == "GRPC" {
                client.origin = Some(&grpc_origin);
            }
            let sent: Value = serde_json::from_str(&client.says(&["send", "-o", "json", "hello there"])).unwrap();
            let is_there = |text: &str| text.contains("HELLO") && text.contains("THERE");
            assert!(is_there(&sent.to_string()), "{what}: {sent}");
            assert!(is_there(&client.says(&["send", "-o", "json", "--stream", "hello there"])), "{what}");
            writeln!(table, "| {} | {} | {binding} | ok | ok |", served.name, served.version).unwrap();
        }
        started.push((served, url, agent));
    }
    println!("{table}");
    let url_of = |version: &str| &started.iter().find(|(served, ..)| served.version == version).unwrap().1;
    let flow = CROSSING.replace("OLD", url_of("0.3")).replace("NEW", url_of("1.0"));
    std::fs::write(folder.path().join("crossing.yaml"), flow).unwrap();
    let config = "node: { listen: \"127.0.0.1:0\", data: ./data }\nflows:\n  crossing: { file: ./crossing.yaml }\n";
    std::fs::write(folder.path().join("bobbinet.yaml"), config).unwrap();
    let run = bobbinet(folder.path()).args(["flow", "run", "crossing.yaml", "-o", "json"]).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said} {}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("HELLO"), "{said}");
    table.push_str("\nA flow crosses the first agent of 0.3 and the first of 1.0 (`call: a2a` twice): ok.\n");
    keep("Agents that are called", &table);
}

/// Our client, as one agent is called over one binding.
struct Caller<'a> {
    folder: &'a Path,
    url: &'a str,
    binding: &'a str,
    /// Where it is called, if that is not where its card is.
    origin: Option<&'a str>,
}

impl Caller<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = bobbinet(self.folder);
        command.args(words).args(["-a", self.url, "--transport", self.binding]);
        command.args(self.origin.iter().flat_map(|origin| ["--origin", origin]));
        command
    }

    fn output(&self, words: &[&str]) -> (bool, String, String) {
        let said = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (said.status.success(), text(&said.stdout), text(&said.stderr))
    }

    /// What it prints when all goes well.
    fn says(&self, words: &[&str]) -> String {
        let (is_good, said, error) = self.output(words);
        assert!(is_good, "{words:?} over {}: {said} {error}", self.binding);
        said
    }

    /// What it prints, whether the task has ended, asks or is refused.
    fn json(&self, words: &[&str]) -> Value {
        let (_, said, error) = self.output(&[words, &["-o", "json"]].concat());
        serde_json::from_str(if said.is_empty() { &error } else { &said })
            .unwrap_or_else(|_| panic!("{words:?} over {}: {said} {error}", self.binding))
    }
}

#[test]
fn an_agent_of_the_older_line_is_conversed_with_over_each_binding_and_a_stream_goes_on_after_a_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (port, grpc_port) = (free_port(), free_port());
    let _agent = Started(older(port, grpc_port).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let url = format!("http://127.0.0.1:{port}/");
    listens(port);
    listens(grpc_port);
    for binding in ["JSONRPC", "HTTP+JSON", "GRPC"] {
        let wire = Wire::to(if binding == "GRPC" { grpc_port } else { port });
        let caller = Caller { folder: folder.path(), url: &url, binding, origin: Some(&wire.origin) };
        let state = |task: &Value| task["status"]["state"].as_str().unwrap_or_default().to_lowercase();
        // What was said, as the shape of each JSON has it.
        let task = |answer: Value| if answer["task"].is_object() { answer["task"].clone() } else { answer };
        let asked = task(caller.json(&["send", "ask"]));
        let id = asked["id"].as_str().unwrap().to_owned();
        assert!(state(&asked).replace('-', "_").ends_with("input_required"), "{binding}: {asked}");
        let done = task(caller.json(&["send", "--task-id", &id, "hello"]));
        assert!(state(&done).ends_with("completed") && done["id"] == id.as_str(), "{binding}: {done}");
        let shown = task(caller.json(&["task", "get", &id]));
        assert!(state(&shown).ends_with("completed") && shown.to_string().contains("HE"), "{binding}: {shown}");
        for (words, error) in
            [(["task", "cancel", &id], "TaskNotCancelableError"), (["task", "get", "nowhere"], "TaskNotFoundError")]
        {
            let refused = caller.json(&words);
            assert!(refused.to_string().contains(error), "{words:?} over {binding}: {refused}");
        }

        let mut command = caller.command(&["send", "--stream", "-o", "json", "wait 3"]);
        let mut child = Started(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let mut heard = String::new();
        while !heard.contains("WAI") {
            heard += &lines.next().unwrap_or_else(|| panic!("{binding}: only {heard}")).unwrap();
        }
        wire.cut();
        lines.map_while(Result::ok).for_each(|line| heard += &line);
        let is_good = child.0.wait().unwrap().success();
        let mut error = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        assert!(
            is_good && heard.contains("T 3") && heard.to_lowercase().contains("completed"),
            "{binding}: {heard} {error}"
        );
        assert!(wire.cuts() > 0, "{binding}: nothing was cut");
    }
}

/// A way to a port that can be cut.
struct Wire {
    origin: String,
    open: Arc<Mutex<Vec<TcpStream>>>,
    cuts: std::cell::Cell<usize>,
}

impl Wire {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let kept = open.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (mut from, mut to) in
                    [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near.try_clone().unwrap())]
                {
                    std::thread::spawn(move || {
                        // An error is what a cut looks like.
                        std::io::copy(&mut from, &mut to).ok();
                        to.shutdown(std::net::Shutdown::Both).ok();
                    });
                }
                kept.lock().unwrap().push(near);
            }
        });
        Self { origin, open, cuts: std::cell::Cell::new(0) }
    }

    /// Ends each connection that there is.
    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            if stream.shutdown(std::net::Shutdown::Both).is_ok() {
                self.cuts.set(self.cuts.get() + 1);
            }
        }
    }

    fn cuts(&self) -> usize {
        self.cuts.get()
    }
}
