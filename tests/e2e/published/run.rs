//! One node around all the servers of the table, and what each goes through.

use std::{
    collections::BTreeSet,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    servers::{Cancel, Over, SERVERS, Server},
    web::Web,
};
use crate::node::{Agent, Node, PATIENCE, Started, free_port, tools};

/// The variable by which a server's processes are known among all others.
const MARK: &str = "BOBBINET_PUBLISHED";

/// A call must end in this time, also the first one after its server was killed.
const CALL_MAX: Duration = Duration::from_secs(30);

/// A server of the table as an agent of the node.
#[derive(Debug)]
pub(super) struct Wrapped {
    pub(super) server: Server,
    agent: Agent,
    http: reqwest::Client,
    /// What its words stand for here.
    words: Vec<(&'static str, String)>,
    port: u16,
    /// Of one over HTTP.
    process: Mutex<Option<Started>>,
}

/// Starts what is reached over HTTP, and a node around all of them.
pub(super) fn start(folder: &Path, web: &Web) -> (Node, Vec<Wrapped>) {
    furnish(folder);
    let mut agents = serde_json::Map::new();
    let mut servers = Vec::new();
    for server in SERVERS {
        let port = if Wrapped::is_http(&server) { free_port() } else { 0 };
        let words =
            vec![("{folder}", folder.display().to_string()), ("{web}", web.url.clone()), ("{port}", port.to_string())];
        let (agent, http) = (Agent { url: String::new(), token: String::new() }, reqwest::Client::new());
        let wrapped = Wrapped { server, agent, http, words, port, process: Mutex::default() };
        agents.insert(server.name.to_owned(), json!({ "mcp": wrapped.entry() }));
        if Wrapped::is_http(&server) {
            wrapped.start();
        }
        servers.push(wrapped);
    }
    for server in servers.iter().filter(|server| Wrapped::is_http(&server.server)) {
        server.listening().unwrap();
    }
    let config = json!({"node": {"listen": "127.0.0.1:0", "data": "./data"}, "agents": agents});
    std::fs::write(folder.join("bobbinet.yaml"), config.to_string()).unwrap();
    let node = Node::start(folder, &[]).unwrap();
    for wrapped in &mut servers {
        wrapped.agent = node.agent(wrapped.server.name);
    }
    (node, servers)
}

/// What the servers work on.
fn furnish(folder: &Path) {
    std::fs::create_dir_all(folder.join("docs")).unwrap();
    std::fs::write(folder.join("docs/a.txt"), "written down").unwrap();
    let ada = r#"{"type":"entity","name":"Ada","entityType":"person","observations":["writes"]}"#;
    std::fs::write(folder.join("memory.jsonl"), format!("{ada}\n")).unwrap();
    let run = |command: &mut Command| assert!(command.current_dir(folder).status().unwrap().success(), "{command:?}");
    run(Command::new("git").args(["init", "--quiet", "repository"]));
    let book = "import openpyxl; book = openpyxl.Workbook(); book.active.title = 'Sheet1'; book.save('book.xlsx')";
    run(Command::new(tools().join("servers-1/bin/python")).args(["-c", book]));
}

impl Wrapped {
    pub(super) fn is_http(server: &Server) -> bool {
        server.over != Over::Stdio
    }

    fn filled(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }

    fn program(&self) -> String {
        tools().join(self.server.command[0]).display().to_string()
    }

    fn arguments(&self) -> Vec<String> {
        self.server.command[1..].iter().map(|argument| self.filled(argument)).collect()
    }

    /// What its entry in the configuration says.
    fn entry(&self) -> Value {
        match self.server.over {
            Over::Http(path) => json!({ "url": format!("http://127.0.0.1:{}{path}", self.port) }),
            Over::Stdio => {
                let filled = |(name, value): &(&str, &str)| ((*name).to_owned(), json!(self.filled(value)));
                let mut environment: serde_json::Map<String, Value> =
                    self.server.environment.iter().map(filled).collect();
                environment.insert(MARK.to_owned(), json!(self.server.name));
                json!({"command": self.program(), "args": self.arguments(), "env": environment})
            }
        }
    }

    /// Starts one that is reached over HTTP.
    fn start(&self) {
        let mut command = Command::new(self.program());
        command.args(self.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.envs(self.server.environment.iter().map(|(name, value)| (*name, self.filled(value))));
        *self.process.lock().unwrap() = Some(Started(command.spawn().unwrap()));
    }

    fn listening(&self) -> Result<(), String> {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} does not listen", self.server.name));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Everything that is asked of a server, in turn.
    pub(super) async fn check(&self) -> Result<(), String> {
        self.lists().await.map_err(|fault| format!("list: {fault}"))?;
        self.called().await.map_err(|fault| format!("call: {fault}"))?;
        self.canceled().await.map_err(|fault| format!("cancel: {fault}"))?;
        self.called().await.map_err(|fault| format!("call after the cancellation: {fault}"))?;
        self.restarted().await.map_err(|fault| format!("restart: {fault}"))?;
        self.called().await.map_err(|fault| format!("call after kill -9: {fault}"))
    }

    /// Its card has the tool, once the server is up.
    async fn lists(&self) -> Result<(), String> {
        let begun = Instant::now();
        let tool = self.server.call.split(' ').next().unwrap_or_default();
        loop {
            let card = self.http.get(format!("{}/.well-known/agent-card.json", self.agent.url)).send().await;
            let card: Value = card.map_err(|error| error.to_string())?.json().await.map_err(|it| it.to_string())?;
            let skills = card["skills"].as_array().cloned().unwrap_or_default();
            if skills.iter().any(|skill| skill["id"] == tool) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("`{tool}` is not among its skills: {card}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a message as a caller writes it.
    async fn send(&self, text: &str, wait: bool) -> Result<Value, String> {
        let id = format!("m-{}", rand::random::<u64>());
        let message = json!({"messageId": id, "role": "ROLE_USER", "parts": [{"text": self.filled(text)}]});
        let params = json!({"message": message, "configuration": {"returnImmediately": !wait}});
        let sent = tokio::time::timeout(CALL_MAX, self.agent.call(&self.http, "SendMessage", &params)).await;
        let sent = sent.map_err(|_| format!("no answer in {CALL_MAX:?}"))?.map_err(|error| error.to_string())?;
        Ok(sent["task"].clone())
    }

    async fn called(&self) -> Result<(), String> {
        let task = self.send(self.server.call, true).await?;
        let is_done = task["status"]["state"] == "TASK_STATE_COMPLETED";
        let is_right = task["artifacts"].to_string().contains(self.server.answer);
        if is_done && is_right { Ok(()) } else { Err(task.to_string()) }
    }

    async fn canceled(&self) -> Result<(), String> {
        let (call, is_long) = match self.server.cancel {
            Cancel::Long(call) => (call, true),
            Cancel::AtOnce => (self.server.call, false),
        };
        let task = self.send(call, false).await?;
        if is_long {
            // Time for it to be at the server.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let canceled = self.agent.call(&self.http, "CancelTask", &json!({"id": task["id"]})).await;
        let was_too_late = !is_long && canceled.is_err();
        match canceled {
            Ok(task) if task["status"]["state"] == "TASK_STATE_CANCELED" => Ok(()),
            Err(_) if was_too_late => Ok(()),
            Ok(other) | Err(other) => Err(other.to_string()),
        }
    }

    /// Ends its processes with SIGKILL. Over HTTP whoever runs it starts it again; else the node does that.
    async fn restarted(&self) -> Result<(), String> {
        if Self::is_http(&self.server) {
            drop(self.process.lock().unwrap().take());
            self.start();
            return self.listening();
        }
        let killed = marked(self.server.name);
        if killed.is_empty() {
            return Err("it has no process".to_owned());
        }
        for process in &killed {
            // It may have ended with another of them.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*process), nix::sys::signal::Signal::SIGKILL);
        }
        let begun = Instant::now();
        while killed.iter().any(|process| is_alive(*process)) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{killed:?} are still there"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Whether a process has anything open still: until all of its threads have ended, and it waits for nothing but its parent's look.
fn is_alive(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    stat.rsplit_once(") ").is_some_and(|(_, rest)| threads > 1 || !rest.starts_with(['Z', 'X']))
}

/// The processes of a server: those that have its mark in their environment.
fn marked(name: &str) -> BTreeSet<i32> {
    let mark = format!("{MARK}={name}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    let has_mark = |id: &i32| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    ids.filter(has_mark).collect()
}
