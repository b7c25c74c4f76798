//! The agents on stage, and the orchestrator: a process for each, as each would be a pod of its own.

use std::{
    collections::BTreeMap,
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{
    family::{self, Process},
    tell::{broke, broken},
};
use crate::{demo_servers::Name, failure::Failure, node::Running, own_folder::OwnFolder};

/// How long an agent may take to start, or to end when it is told to, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(5);

/// Lines of an agent's log that are shown when something broke.
const LOG_LINES: usize = 30;

/// Begins the names of variables that would change what the agents do.
const OWN_VARIABLES: [&str; 3] = ["BOBBINET_", "A2ACLI_", "OTEL_"];

/// The flow that the orchestrator runs.
pub(super) const ORCHESTRATOR_FLOW: &str = include_str!("orchestrator.yaml");

/// What the agents know the orchestrator by.
const ORCHESTRATOR_ISSUER: &str = "https://orchestrator.demo";

/// Who is on stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// An agent, and its MCP server.
    Agent(Name),
    /// The node that runs the flow.
    Orchestrator,
}

impl Part {
    const ALL: [Self; 4] =
        [Self::Agent(Name::Notes), Self::Agent(Name::Report), Self::Agent(Name::Greeter), Self::Orchestrator];

    fn as_str(self) -> &'static str {
        match self {
            Self::Agent(name) => name.as_str(),
            Self::Orchestrator => "orchestrator",
        }
    }
}

impl From<Name> for Part {
    fn from(name: Name) -> Self {
        Self::Agent(name)
    }
}

/// The folder, and the agents that run.
#[derive(Debug)]
pub(super) struct Stage {
    agents: BTreeMap<&'static str, Actor>,
    /// All that was ever seen of the agents' processes.
    cast: Vec<Process>,
    program: PathBuf,
    // Dropped last: agents that write into it are gone by then.
    folder: OwnFolder,
}

/// An agent that runs: its process, and what it has published of itself.
#[derive(Debug)]
struct Actor {
    /// Killed when dropped.
    child: Child,
    running: Running,
}

/// What is left of an agent that was killed.
#[derive(Debug)]
pub(super) struct Killed {
    /// The agent's process.
    pub(super) pid: i32,
    /// Processes that it had started.
    pub(super) others: usize,
    /// How long the last of them outlived it.
    pub(super) after: Duration,
}

impl Stage {
    /// A folder, and no agents yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            agents: BTreeMap::new(),
            cast: Vec::new(),
            program: env::current_exe()?,
            folder: OwnFolder::new("demo")?,
        })
    }

    /// Where everything is.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where an agent's tasks and keys are.
    pub(super) fn data(&self, part: impl Into<Part>) -> PathBuf {
        self.folder().join(part.into().as_str()).join("data")
    }

    /// Where an agent's MCP server keeps its files.
    pub(super) fn files(&self, name: Name) -> PathBuf {
        self.folder().join(name.as_str()).join("files")
    }

    /// Where an agent is reached.
    pub(super) fn url(&self, part: impl Into<Part>) -> &str {
        let part = part.into();
        let running = &self.actor(part).running;
        running.agents.get(part.as_str()).map_or(&running.url, |url| url)
    }

    /// The process of an agent.
    pub(super) fn pid(&self, part: impl Into<Part>) -> i32 {
        self.actor(part.into()).running.pid
    }

    /// This program, to be run with arguments in the demo's surroundings.
    pub(super) fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            let is_own = name.to_str().is_some_and(|name| OWN_VARIABLES.iter().any(|own| name.starts_with(own)));
            if is_own {
                command.env_remove(name);
            }
        }
        // Nodes leave word of themselves for the command line to find; the demo's leave it here.
        command.env("XDG_RUNTIME_DIR", self.folder()).current_dir(self.folder()).stdin(Stdio::null());
        command
    }

    /// Starts an agent for the first time, at an address that the system chooses.
    pub(super) async fn start(&mut self, part: impl Into<Part>) -> Result<(), Failure> {
        let part = part.into();
        fs::create_dir_all(self.folder().join(part.as_str())).map_err(broken("making a folder"))?;
        match part {
            Part::Agent(_) => self.introduce_orchestrator().await?,
            Part::Orchestrator => self.write_orchestrator()?,
        }
        self.run(part, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Makes the orchestrator's key, and the file that says what it may: the agents must know it before it runs.
    async fn introduce_orchestrator(&self) -> Result<(), Failure> {
        let keys = self.folder().join("orchestrator.json");
        if keys.exists() {
            return Ok(());
        }
        for command in ["new", "jwks"] {
            let mut run = self.program();
            run.args(["key", command, "--data-dir"]).arg(self.data(Part::Orchestrator));
            let said = run.output().await.map_err(broken("running bobbinet key"))?;
            if !said.status.success() {
                return Err(broke(format!("bobbinet key: {}", String::from_utf8_lossy(&said.stderr).trim())));
            }
            fs::write(&keys, said.stdout).map_err(broken("writing the orchestrator's keys"))?;
        }
        let callers = format!(
            "trust: [{{ issuer: \"{ORCHESTRATOR_ISSUER}\", jwks: {{ file: ./orchestrator.json }} }}]\n\
             policy: [{{ allow: \"caller.issuer == '{ORCHESTRATOR_ISSUER}'\" }}]\n"
        );
        fs::write(self.callers(), callers).map_err(broken("writing who may call"))
    }

    /// Who may call an agent.
    fn callers(&self) -> PathBuf {
        self.folder().join("callers.yaml")
    }

    fn write_orchestrator(&self) -> Result<(), Failure> {
        let agents = Part::ALL.into_iter().filter(|part| *part != Part::Orchestrator);
        let agents: Vec<String> =
            agents.map(|part| format!("{}: {{ a2a: \"{}\" }}", part.as_str(), self.url(part))).collect();
        let config = format!(
            "node: {{ data: ./data, issuer: \"{ORCHESTRATOR_ISSUER}\" }}\nagents:\n  {}\nflows: {{ orchestrator: ./flow.yaml }}\n",
            agents.join("\n  ")
        );
        let folder = self.folder().join(Part::Orchestrator.as_str());
        fs::write(folder.join("flow.yaml"), ORCHESTRATOR_FLOW).map_err(broken("writing the flow"))?;
        fs::write(folder.join("bobbinet.yaml"), config).map_err(broken("writing the orchestrator's configuration"))
    }

    /// Starts an agent that was killed, on the same data and at the same address.
    pub(super) async fn restart(&mut self, part: impl Into<Part>) -> Result<(), Failure> {
        let part = part.into();
        let listen = self.actor(part).running.listen;
        let end = Instant::now() + PATIENCE;
        loop {
            match self.run(part, listen).await {
                // Somebody's outgoing connection may sit on the address for a moment.
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(100)).await,
                result => return result,
            }
        }
    }

    async fn run(&mut self, part: Part, listen: SocketAddr) -> Result<(), Failure> {
        let folder = self.folder().join(part.as_str());
        let log =
            fs::File::options().create(true).append(true).open(folder.join("log")).map_err(broken("opening a log"))?;
        let both = log.try_clone().map_err(broken("opening a log"))?;
        let mut command = self.program();
        match part {
            Part::Agent(name) => {
                command.args(["agent", "--name", name.as_str(), "--trust-hints", "--listen", &listen.to_string()]);
                command.arg("--callers").arg(self.callers()).arg("--data-dir").arg(self.data(name));
                command.arg("--").arg(&self.program).args(["demo-server", name.as_str()]).arg(self.files(name));
            }
            Part::Orchestrator => {
                command.arg("up").arg(folder.join("bobbinet.yaml")).args(["--listen", &listen.to_string()]);
            }
        }
        // Its own group: a Ctrl-C is for the demo, which ends its agents itself.
        command.stdout(log).stderr(both).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(broken("starting an agent"))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(|| broke("an agent has no process"))?;
        let running = self.until_ready(part, &mut child, pid).await?;
        self.cast.extend(family::of(pid));
        self.agents.insert(part.as_str(), Actor { child, running });
        Ok(())
    }

    async fn until_ready(&self, part: Part, child: &mut Child, pid: i32) -> Result<Running, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(running) = Running::at(&self.data(part)).filter(|running| running.pid == pid) {
                return Ok(running);
            }
            if let Some(status) = child.try_wait().map_err(broken("looking after an agent"))? {
                return Err(broke(format!("the agent {} ended at its start: {status}", part.as_str())));
            }
            if Instant::now() > end {
                return Err(broke(format!("the agent {} was not ready within {PATIENCE:?}", part.as_str())));
            }
            sleep(LOOK).await;
        }
    }

    /// kill -9 of one agent's process, and of no other. Returns when all that it had started is gone, too.
    pub(super) async fn kill(&mut self, part: impl Into<Part>) -> Result<Killed, Failure> {
        let part = part.into();
        let pid = self.pid(part);
        let family = family::of(pid);
        self.cast.extend(&family);
        let actor = self.agents.get_mut(part.as_str()).expect("an agent that was started");
        actor.child.kill().await.map_err(broken("kill -9"))?;
        let killed = Instant::now();
        let others = family.len().saturating_sub(1);
        if others == 0 && part != Part::Orchestrator {
            return Err(broke(format!("the agent {} had no MCP server when it was killed", part.as_str())));
        }
        match gone(&family).await {
            true => Ok(Killed { pid, others, after: killed.elapsed() }),
            false => Err(broke(format!("the MCP server of {} outlives its agent", part.as_str()))),
        }
    }

    /// Tells all agents to end, and waits until they have.
    pub(super) async fn close(&mut self) -> Result<Vec<ExitStatus>, Failure> {
        self.count();
        for actor in self.agents.values() {
            kill(Pid::from_raw(actor.running.pid), Signal::SIGTERM).map_err(broken("telling an agent to end"))?;
        }
        let mut ends = Vec::new();
        for (name, actor) in &mut self.agents {
            let end = timeout(PATIENCE, actor.child.wait()).await;
            let end = end.map_err(|_| broke(format!("the agent {name} does not end when it is told to")))?;
            ends.push(end.map_err(broken("waiting for an agent"))?);
        }
        Ok(ends)
    }

    /// Kills what still runs, removes the folder unless it is to be kept, and gives those who are not gone all the same.
    pub(super) async fn clear(&mut self, is_kept: bool) -> Vec<i32> {
        self.count();
        for actor in self.agents.values_mut() {
            // It may have ended by itself.
            actor.child.kill().await.ok();
        }
        gone(&self.cast).await;
        if is_kept {
            self.folder.keep();
        }
        self.cast.iter().filter(|process| process.is_alive()).map(|process| process.pid).collect()
    }

    /// The last lines of the agents' logs.
    pub(super) fn logs(&self) -> String {
        let tail = |name: &&str| {
            let log = fs::read_to_string(self.folder().join(name).join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            format!("--- the last of {name}'s log\n{last}")
        };
        let names = Part::ALL.map(Part::as_str);
        names.iter().filter(|name| self.folder().join(name).exists()).map(tail).collect::<Vec<_>>().join("\n")
    }

    fn count(&mut self) {
        let seen: Vec<Process> = self.agents.values().flat_map(|actor| family::of(actor.running.pid)).collect();
        self.cast.extend(seen);
    }

    fn actor(&self, part: Part) -> &Actor {
        self.agents.get(part.as_str()).expect("an agent that was started")
    }
}

/// Waits until none of them lives, for a while.
async fn gone(processes: &[Process]) -> bool {
    let end = Instant::now() + PATIENCE;
    while processes.iter().any(|process| process.is_alive()) {
        if Instant::now() > end {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}
