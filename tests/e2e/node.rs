//! A node under test: one `bobbinet up` process on a port of its own choosing.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long a node may take to be ready, and anything else that is waited for in a test, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where `cargo xtask test` has put what the tests need.
pub(crate) fn tools() -> PathBuf {
    let root = std::env::var_os("BOBBINET_TEST_TOOLS").map(PathBuf::from);
    root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"))
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

/// The binary under test, as a command in a clean working folder.
pub(crate) fn bobbinet(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bobbinet"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Whether nothing may be left out here for want of a program.
pub(crate) fn is_complete_machine() -> bool {
    std::env::var("CI").is_ok_and(|it| it == "true")
}

/// A port that was free a moment ago, for those who take none of their own choosing.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens there.
pub(crate) fn listens(port: u16) {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nobody listens at {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Started(pub(crate) Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running node. Killed when dropped.
pub(crate) struct Node {
    child: Child,
    folder: PathBuf,
    pub(crate) url: String,
}

/// A node that came to its end before it was ready.
#[derive(Debug)]
pub(crate) struct DiedEarly(pub(crate) ExitStatus);

impl Node {
    /// Starts `bobbinet up bobbinet.yaml` in `folder` and waits until it is ready.
    pub(crate) fn start(folder: &Path, environment: &[(&str, &str)]) -> Result<Self, DiedEarly> {
        Self::run(folder, &["up", "bobbinet.yaml"], environment)
    }

    /// Starts the binary with these arguments in `folder`, its data in `data`, and waits until it listens.
    pub(crate) fn run(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Self, DiedEarly> {
        let log = std::fs::File::options().create(true).append(true).open(folder.join("node.log")).unwrap();
        let mut child = bobbinet(folder)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Err(DiedEarly(status));
            }
            if let Some(url) = ready_at(folder, child.id()) {
                return Ok(Self { child, folder: folder.to_owned(), url });
            }
            assert!(Instant::now() < patience, "the node was not ready in time: {}", log_of(folder));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn agent(&self, name: &str) -> Agent {
        let url = format!("{}/agents/{name}", self.url);
        let minted =
            bobbinet(&self.folder).args(["token", "mint", "--data-dir", "data", "--audience", &url]).output().unwrap();
        assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
        Agent { token: String::from_utf8(minted.stdout).unwrap().trim().to_owned(), url }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and wait until the process is gone.
    pub(crate) fn kill(mut self) -> ExitStatus {
        // It may have died by itself already.
        let _ = self.child.kill();
        self.child.wait().unwrap()
    }

    /// Waits until the process has died by itself, for a while.
    pub(crate) fn wait_for_death(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        loop {
            let status = self.child.try_wait().unwrap();
            if status.is_some() || Instant::now() >= end {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// SIGTERM, and wait for its end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.wait_for_death(PATIENCE).expect("the node ends when it is told to")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ready_at(folder: &Path, pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("data/node.json")).ok()?;
    let node: Value = serde_json::from_str(&text).ok()?;
    (node["pid"].as_u64() == Some(u64::from(pid))).then(|| node["url"].as_str().unwrap().to_owned())
}

pub(crate) fn log_of(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("node.log")).unwrap_or_default()
}

/// An agent of a node, spoken to without any code of ours: JSON over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) url: String,
    pub(crate) token: String,
}

impl Agent {
    /// A request of A2A 1.0 over JSON-RPC.
    pub(crate) fn request(&self, http: &reqwest::Client, method: &str, params: &Value) -> reqwest::RequestBuilder {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        http.post(&self.url).bearer_auth(&self.token).header("A2A-Version", "1.0").json(&body)
    }

    /// The result of a call, or the error object.
    pub(crate) async fn call(&self, http: &reqwest::Client, method: &str, params: &Value) -> Result<Value, Value> {
        let sent = self.request(http, method, params).send().await;
        let answer: Value = match sent {
            Ok(response) => response.json().await.map_err(|error| json!(error.to_string()))?,
            Err(error) => return Err(json!(error.to_string())),
        };
        match answer.get("result") {
            Some(result) => Ok(result.clone()),
            None => Err(answer["error"].clone()),
        }
    }
}

/// A message whose one data part is `data`.
pub(crate) fn data_message(id: &str, data: &Value) -> Value {
    json!({"messageId": id, "role": "ROLE_USER", "parts": [{"data": data, "mediaType": "application/json"}]})
}
