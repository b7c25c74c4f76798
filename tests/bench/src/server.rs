//! A server under test: started, found ready, stopped; never left behind.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
};

use crate::{
    a2a::{Dialect, Endpoint, Shown, path_of},
    http::Connection,
    process::{self, Cores},
    tls::Believer,
};

/// How long a server may take until it is ready. The slowest one here takes half a second.
const START_MAX: Duration = Duration::from_secs(60);

/// How long a server may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);

/// Where an agent says what it is: all that tells whether a server of an SDK is ready.
pub(crate) const CARD: &str = "/.well-known/agent-card.json";

/// Where Bobbinet says that it can work: store, listener, and the MCP server it wraps.
pub(crate) const READY: &str = "/readyz";

/// What every server here prints when it listens.
const LISTENING: &str = "listening on ";

/// How to start a server.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// A short name, for files and tables.
    pub(crate) name: &'static str,
    /// What it is, in a line.
    pub(crate) title: String,
    pub(crate) program: PathBuf,
    /// Its arguments. [`DATA`] stands for its data folder.
    pub(crate) arguments: Vec<String>,
    pub(crate) token: Token,
    /// What is asked for until it answers with 200.
    pub(crate) ready: &'static str,
    /// Where the agent is below the URL that is printed.
    pub(crate) below: &'static str,
    /// Whether a card there says what it is asked at; if not, it is asked there itself.
    pub(crate) has_card: bool,
    /// Who believes its certificate; `None`: it has none.
    pub(crate) tls: Option<Believer>,
}

/// How to get a token for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// It wants none.
    None,
    /// It prints one on a line of its own.
    Printed,
    /// This program prints one, with these arguments, in which [`DATA`] and [`URL`] stand for what they say.
    Minted(PathBuf, Vec<String>),
}

/// What stands for the data folder in arguments.
pub(crate) const DATA: &str = "{data}";

/// What stands for the agent's URL in arguments.
pub(crate) const URL: &str = "{url}";

impl Recipe {
    fn is_durable(&self) -> bool {
        self.arguments.iter().any(|argument| argument == DATA)
    }
}

/// Where servers run: their core, their files.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) cores: Cores,
    /// On the disk that is measured.
    pub(crate) folder: PathBuf,
}

/// A server that runs. Dropping it kills it and all below it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) endpoint: Endpoint,
    /// The agent's, as tokens have it.
    url: String,
    /// From just before the start of its process until it says that it listens.
    pub(crate) listening_after: Duration,
    /// From just before the start of its process to the first sign that it is ready.
    pub(crate) ready_after: Duration,
    /// Its data folder, if it has one.
    pub(crate) data: Option<TempDir>,
    /// Reads what it prints, so that it never waits for us.
    _output: JoinSet<()>,
}

impl Server {
    /// Starts a server in a data folder of its own, and returns when its card can be read.
    pub(crate) async fn start(recipe: &Recipe, place: &Place) -> Result<Self> {
        let data = match recipe.is_durable() {
            true => Some(tempfile::tempdir_in(&place.folder).context("making a data folder")?),
            false => None,
        };
        Self::start_in(recipe, place, data).await
    }

    /// Starts a server in this data folder.
    pub(crate) async fn start_in(recipe: &Recipe, place: &Place, data: Option<TempDir>) -> Result<Self> {
        let starting = Self::try_start(recipe, place, data);
        let started = tokio::time::timeout(START_MAX, starting).await;
        started.context("it is not ready in time").flatten().with_context(|| {
            let log = log_file(recipe, place);
            format!("starting {}: what it said is in {}", recipe.name, log.display())
        })
    }

    async fn try_start(recipe: &Recipe, place: &Place, data: Option<TempDir>) -> Result<Self> {
        let begin = Instant::now();
        let mut child = spawn(recipe, place, data.as_ref().map(TempDir::path))?;
        let pid = child.id().context("it ended at once")?;
        let stdout = child.stdout.take().expect("its output was asked for");
        let mut lines = BufReader::new(stdout).lines();
        let root = listening(&mut lines).await?;
        let listening_after = begin.elapsed();
        let url = format!("{root}{}", recipe.below);
        let mut endpoint = Endpoint {
            address: address_in(&root)?,
            path: "/".to_owned(),
            dialect: Dialect::JsonRpc,
            shown: Shown::Nothing,
            tls: recipe.tls.clone(),
        };
        await_ok(&endpoint, recipe.ready).await;
        let ready_after = begin.elapsed();
        let folder = data.as_ref().map(TempDir::path);
        endpoint.shown = match &recipe.token {
            Token::None => Shown::Nothing,
            Token::Printed => Shown::This(printed(&mut lines).await?),
            Token::Minted(program, arguments) => Shown::This(minted(program, arguments, &url, folder).await?),
        };
        match recipe.has_card {
            true => find_path(&mut endpoint, &format!("{}{CARD}", recipe.below)).await?,
            false => recipe.below.clone_into(&mut endpoint.path),
        }
        let mut output = JoinSet::new();
        output.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, pid, endpoint, url, listening_after, ready_after, data, _output: output })
    }

    /// The agent's URL, as tokens have it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What this program prints: a token or a key for the server, in whose arguments [`DATA`] and [`URL`] stand for what they say.
    pub(crate) async fn credential(&self, program: &Path, arguments: &[String]) -> Result<String> {
        minted(program, arguments, &self.url, self.data.as_ref().map(TempDir::path)).await
    }

    /// Asks it to stop, and returns when it has: its data folder.
    pub(crate) async fn stop(mut self) -> Result<Option<TempDir>> {
        let family = process::tree(self.pid);
        signal(self.pid, Signal::SIGTERM);
        if tokio::time::timeout(STOP_MAX, self.child.wait()).await.is_err() {
            family.iter().for_each(|pid| signal(*pid, Signal::SIGKILL));
            self.child.wait().await.context("waiting for a killed server")?;
            bail!("it did not stop within {} s and was killed", STOP_MAX.as_secs());
        }
        Ok(self.data.take())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` the process is gone and waited for, and its number may be another's.
        if self.child.id().is_some() {
            process::tree(self.pid).into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn spawn(recipe: &Recipe, place: &Place, data: Option<&Path>) -> Result<Child> {
    let log = std::fs::File::create(log_file(recipe, place)).context("making a log file")?;
    let mut command = tied_to_us(&recipe.program);
    command.args(with_data(&recipe.arguments, data)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    // A process is born on its parent's core. There is one thread here, so nothing else is moved meanwhile.
    Cores::pin(place.cores.server)?;
    let child = command.kill_on_drop(true).spawn().with_context(|| format!("starting {}", recipe.program.display()));
    Cores::pin(place.cores.load)?;
    child
}

fn with_data<'a>(arguments: &'a [String], data: Option<&'a Path>) -> impl Iterator<Item = &'a OsStr> {
    arguments.iter().map(move |argument| match data {
        Some(data) if argument == DATA => data.as_os_str(),
        Some(_) | None => argument.as_ref(),
    })
}

/// The program, through `setpriv` where there is one: so it dies even if we are killed.
pub(crate) fn tied_to_us(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn log_file(recipe: &Recipe, place: &Place) -> PathBuf {
    place.folder.join(format!("{}.log", recipe.name))
}

/// The URL that it prints when it listens.
async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String> {
    let line = line_after(lines, LISTENING).await?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

async fn printed(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String> {
    Ok(line_after(lines, "token ").await?.trim().to_owned())
}

/// What follows these words in the first line that begins with them.
async fn line_after(lines: &mut Lines<BufReader<ChildStdout>>, words: &str) -> Result<String> {
    while let Some(line) = lines.next_line().await.context("reading what it prints")? {
        if let Some(rest) = line.trim_start().strip_prefix(words) {
            return Ok(rest.to_owned());
        }
    }
    bail!("it ended before it printed {words:?}")
}

fn address_in(url: &str) -> Result<SocketAddr> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    host.parse().with_context(|| format!("reading its address in {url:?}"))
}

/// Asks for the card at this path, and takes the path of its interface.
pub(crate) async fn find_path(endpoint: &mut Endpoint, card: &str) -> Result<()> {
    endpoint.path = path_of(&await_ok(endpoint, card).await)?;
    Ok(())
}

/// Asks for this until it is there. Whoever waits sets the limit.
async fn await_ok(endpoint: &Endpoint, path: &str) -> Vec<u8> {
    let request = endpoint.get(path);
    loop {
        if let Ok(mut connection) = Connection::open(endpoint).await
            && let Ok((200, body)) = connection.exchange(&request).await
        {
            return body.to_vec();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn minted(program: &Path, arguments: &[String], url: &str, data: Option<&Path>) -> Result<String> {
    let arguments = arguments.iter().map(|argument| if argument == URL { url.to_owned() } else { argument.clone() });
    let arguments: Vec<String> = arguments.collect();
    let mut command = Command::new(program);
    command.args(with_data(&arguments, data)).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.context("minting a token")?;
    ensure!(output.status.success(), "minting a token: {}", String::from_utf8_lossy(&output.stderr));
    let token = String::from_utf8(output.stdout).context("reading the token")?.trim().to_owned();
    ensure!(!token.is_empty(), "minting a token: nothing was printed");
    Ok(token)
}
