//! What is measured, in which order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::{
    a2a::{Endpoint, PAGE_SIZE, Saying},
    callers::{Callers, Way},
    commits::{self, Commits},
    doors::{Door, Doors},
    entrants::{Entrant, Which},
    fleet::{self, Fleet},
    floor::{Synced, measure_sync},
    grpc,
    in_process::InProcess,
    load::{self, Shape, Work},
    mcp::Direct,
    measure::{Binding, Measure},
    process::{self, Cores},
    sample::Sample,
    server::{Place, Recipe, Server},
    webhooks::{Crowd, Delivered, Webhooks},
    wrapping::Wrapping,
};

/// How many tasks `GetTask` chooses from: the most recent ones.
const RECENT: usize = 1_000;

/// How long a server rests before its memory is looked at.
const REST: Duration = Duration::from_millis(500);

/// A folder on a file system in memory, if there is one.
fn memory_folder() -> Result<Option<tempfile::TempDir>> {
    let memory = std::path::Path::new("/dev/shm");
    match memory.is_dir() {
        true => Ok(Some(tempfile::tempdir_in(memory).context("making a folder in memory")?)),
        false => Ok(None),
    }
}

/// How thorough it is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) rounds: usize,
    pub(crate) window_seconds: f64,
    pub(crate) warm_up_seconds: f64,
    /// Tasks for the lists and the memory.
    pub(crate) tasks: u64,
    pub(crate) starts: usize,
    pub(crate) syncs: usize,
}

impl Settings {
    fn shape(self, connections: usize) -> Shape {
        let warm_up = Duration::from_secs_f64(self.warm_up_seconds);
        Shape { connections, warm_up, window: Duration::from_secs_f64(self.window_seconds) }
    }
}

/// A server among so many tasks.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Filled {
    pub(crate) tasks: u64,
    pub(crate) first_page: Option<Sample>,
    pub(crate) later_page: Option<Sample>,
    pub(crate) resident_bytes: u64,
}

/// What was found. The keys are the servers' names.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    #[serde(serialize_with = "by_name")]
    pub(crate) rounds: BTreeMap<(&'static str, Measure), Vec<Sample>>,
    pub(crate) idle_bytes: BTreeMap<&'static str, Vec<u64>>,
    pub(crate) filled: BTreeMap<&'static str, Vec<Filled>>,
    /// From the start of the process to its card, in milliseconds.
    pub(crate) start_millis: BTreeMap<&'static str, Vec<f64>>,
    /// The same in a folder that was used before; of ours only.
    pub(crate) start_again_millis: Vec<f64>,
    /// The same in a folder with all the tasks; of ours only.
    pub(crate) start_filled_millis: Vec<f64>,
    /// One in each round.
    pub(crate) syncs: Vec<Synced>,
    /// Of the echo agent.
    pub(crate) echo_commits: Option<Commits>,
    /// A tool call through Bobbinet, by calls at a time.
    pub(crate) wrapped: BTreeMap<usize, Vec<Sample>>,
    /// The same call made directly.
    pub(crate) direct: BTreeMap<usize, Vec<Sample>>,
    /// The same through the engine in the caller's process, with the log in memory.
    pub(crate) in_process: BTreeMap<usize, Vec<Sample>>,
    pub(crate) wrapped_commits: Option<Commits>,
    /// From the start of `bobbinet agent` until it and its MCP server are ready, in milliseconds.
    pub(crate) wrapped_start_millis: Vec<f64>,
    /// Of `bobbinet agent` alone, idle.
    pub(crate) wrapped_idle_bytes: Vec<u64>,
    /// With its MCP server and what is between the two.
    pub(crate) wrapped_tree_bytes: Vec<u64>,
    /// `GetTask` by callers who are known in different ways.
    pub(crate) callers: BTreeMap<Way, Vec<Sample>>,
    pub(crate) webhooks: BTreeMap<Crowd, Vec<Delivered>>,
    /// A tool call through Bobbinet with its data folder in memory, by calls at a time.
    pub(crate) wrapped_in_memory: BTreeMap<usize, Vec<Sample>>,
    /// Of a call that may change something.
    pub(crate) writing_commits: Option<Commits>,
    /// A tool call over MCP, by where it is made and calls at a time.
    #[serde(serialize_with = "by_door")]
    pub(crate) doors: BTreeMap<(Door, usize), Vec<Sample>>,
    pub(crate) fleets: Vec<Fleet>,
    /// What went wrong.
    pub(crate) problems: Vec<String>,
}

fn by_name<S: serde::Serializer>(
    rounds: &BTreeMap<(&'static str, Measure), Vec<Sample>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rounds.iter().map(|((server, measure), samples)| (format!("{server}: {measure}"), samples)))
}

fn by_door<S: serde::Serializer>(
    doors: &BTreeMap<(Door, usize), Vec<Sample>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(doors.iter().map(|((door, calls), samples)| (format!("{door}, {calls}"), samples)))
}

/// All that is measured, as far as it is asked for.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) settings: Settings,
    pub(crate) place: Place,
    pub(crate) entrants: Vec<Entrant>,
    /// What is measured around our MCP server.
    pub(crate) wrapped: Vec<Which>,
    pub(crate) wrapping: Wrapping,
    /// A server on the official SDK of MCP, if doors are measured.
    pub(crate) rmcp: Option<Recipe>,
    pub(crate) findings: Findings,
}

impl Suite {
    /// Measures everything. What fails is a problem in the findings, and the rest goes on.
    pub(crate) async fn run(&mut self) {
        let callers = match self.around(Which::Callers) {
            Some(wrapping) => self.begun(Callers::begin(wrapping, &self.place.folder.clone()).await),
            None => None,
        };
        let webhooks = match self.around(Which::Webhooks) {
            Some(wrapping) => self.begun(Webhooks::begin(wrapping, &self.place.folder.clone()).await),
            None => None,
        };
        let doors = match (self.around(Which::Doors), self.rmcp.clone()) {
            (Some(wrapping), Some(rmcp)) => self.begun(Doors::begin(wrapping, rmcp, &self.place.folder.clone())),
            (None | Some(_), _) => None,
        };
        for round in 0..self.settings.rounds {
            self.sync();
            // Another one first each time, so that none has the machine's best moment to itself.
            let count = self.entrants.len();
            for index in 0..count {
                let entrant = self.entrants[(index + round) % count].clone();
                let found = self.round(&entrant, round).await;
                self.note(found, &format!("measuring {}", entrant.recipe.name));
            }
            let found = self.tool_calls(round).await;
            self.note(found, "measuring tool calls");
            if let Some(callers) = &callers {
                let found = self.ways(callers, round).await;
                self.note(found, "measuring callers");
            }
            if let Some(webhooks) = &webhooks {
                let found = self.crowds(webhooks, round).await;
                self.note(found, "measuring webhooks");
            }
            if let Some(doors) = &doors {
                let found = self.calls_at(doors, round).await;
                self.note(found, "measuring doors");
            }
            if let Some(wrapping) = self.around(Which::Fleet) {
                let found = fleet::measure(&wrapping, &self.place).await;
                let found = found.map(|fleet| self.findings.fleets.push(fleet));
                self.note(found, "measuring a node with many servers");
            }
        }
        for entrant in self.entrants.clone() {
            let found = self.starts(&entrant).await;
            self.note(found, &format!("starting {}", entrant.recipe.name));
            let found = self.fill(&entrant).await;
            self.note(found, &format!("filling {}", entrant.recipe.name));
        }
    }

    /// Bobbinet around our MCP server, if this is wanted of it.
    fn around(&self, which: Which) -> Option<Wrapping> {
        self.wrapped.contains(&which).then(|| self.wrapping.clone())
    }

    fn note(&mut self, found: Result<()>, doing: &str) {
        if let Err(error) = found {
            let problem = format!("{doing}: {error:#}");
            eprintln!("! {problem}");
            self.findings.problems.push(problem);
        }
    }

    fn begun<T>(&mut self, begun: Result<T>) -> Option<T> {
        begun.map_err(|error| self.note(Err(error), "preparing")).ok()
    }

    fn sync(&mut self) {
        // On the servers' core: there it happens.
        let pinned = Cores::pin(self.place.cores.server);
        let synced = pinned.and_then(|()| measure_sync(&self.place.folder, self.settings.syncs));
        let back = Cores::pin(self.place.cores.load);
        let found = synced.and_then(|synced| back.map(|()| self.findings.syncs.push(synced)));
        self.note(found, "measuring a sync");
    }

    async fn round(&mut self, entrant: &Entrant, round: usize) -> Result<()> {
        let name = entrant.recipe.name;
        let server = Server::start(&entrant.recipe, &self.place).await?;
        tokio::time::sleep(REST).await;
        self.findings.idle_bytes.entry(name).or_default().push(process::resident(&[server.pid]));
        let mut recent: Arc<[String]> = Arc::from([]);
        for measure in entrant.measures.iter().copied() {
            let work = match measure {
                Measure::Send(_) | Measure::SendBy(_) => Work::Send(Saying::Text),
                Measure::Stream(_) => Work::Stream,
                Measure::Get(_) | Measure::GetBy(_) if !entrant.gets => continue,
                Measure::Get(_) | Measure::GetBy(_) => {
                    if recent.is_empty() {
                        recent = load::fill(&server.endpoint, Saying::Text, RECENT as u64, RECENT).await?.into();
                    }
                    Work::Get(recent.clone())
                }
            };
            let shape = self.settings.shape(measure.connections());
            let sample = match measure.binding() {
                Binding::Text(dialect) => {
                    let endpoint = Endpoint { dialect, ..server.endpoint.clone() };
                    load::measure(&endpoint, server.pid, &work, shape).await?
                }
                Binding::Grpc(channels) => grpc::measure(&server.endpoint, server.pid, &work, channels, shape).await?,
            };
            self.tell(round, name, &measure.to_string(), &sample);
            self.findings.rounds.entry((name, measure)).or_default().push(sample);
        }
        let data = server.stop().await?;
        if let (true, None, Some(data)) = (entrant.is_ours, &self.findings.echo_commits, data) {
            self.findings.echo_commits = Some(commits::count(data.path()).await?);
        }
        Ok(())
    }

    /// A line of progress, and a problem if any answer was wrong.
    fn tell(&mut self, round: usize, server: &str, measure: &str, sample: &Sample) {
        say(round, server, measure, sample);
        self.complain(server, measure, sample.errors, sample.first_error.as_deref());
    }

    fn complain(&mut self, server: &str, measure: &str, errors: u64, first: Option<&str>) {
        if errors > 0 {
            let found = Err(anyhow::anyhow!("{errors} wrong answers: {}", first.unwrap_or_default()));
            self.note(found, &format!("{server}, {measure}"));
        }
    }

    async fn tool_calls(&mut self, round: usize) -> Result<()> {
        let Some(wrapping) = self.around(Which::Wrapped) else { return Ok(()) };
        let recipe = wrapping.agent("wrapped", "bobbinet agent around an MCP server over stdio", &[]);
        for calls in [1, 16] {
            let shape = self.settings.shape(calls);
            let direct = Direct::start(&self.place).await?;
            let sample = direct.measure(shape).await?;
            direct.stop().await?;
            self.tell(round, "direct", &format!("tool call, {calls}"), &sample);
            self.findings.direct.entry(calls).or_default().push(sample);

            let wrap = InProcess::start(&self.place).await?;
            let sample = wrap.measure(shape).await?;
            wrap.stop().await;
            self.tell(round, "in process", &format!("tool call, {calls}"), &sample);
            self.findings.in_process.entry(calls).or_default().push(sample);

            let server = Server::start(&recipe, &self.place).await?;
            tokio::time::sleep(REST).await;
            self.findings.wrapped_start_millis.push(server.ready_after.as_secs_f64() * 1e3);
            self.findings.wrapped_idle_bytes.push(process::resident(&[server.pid]));
            self.findings.wrapped_tree_bytes.push(process::resident(&process::tree(server.pid)));
            let sample = load::measure(&server.endpoint, server.pid, &Work::Send(Saying::Call), shape).await?;
            self.tell(round, recipe.name, &format!("tool call, {calls}"), &sample);
            self.findings.wrapped.entry(calls).or_default().push(sample);
            let data = server.stop().await?;
            if let (None, Some(data)) = (&self.findings.wrapped_commits, data) {
                self.findings.wrapped_commits = Some(commits::count(data.path()).await?);
            }
        }
        self.tool_calls_in_memory(&wrapping, round).await?;
        if self.findings.writing_commits.is_none() {
            self.findings.writing_commits = self.commits_of_writes(&wrapping).await?;
        }
        Ok(())
    }

    /// The same with the data folder on a file system in memory: what the wrap costs beside the disk.
    async fn tool_calls_in_memory(&mut self, wrapping: &Wrapping, round: usize) -> Result<()> {
        let Some(folder) = memory_folder()? else { return Ok(()) };
        let place = Place { folder: folder.path().to_owned(), ..self.place.clone() };
        let recipe = wrapping.agent("in-memory", "the same with its data in memory", &[]);
        for calls in [1, 16] {
            let server = Server::start(&recipe, &place).await?;
            let shape = self.settings.shape(calls);
            let sample = load::measure(&server.endpoint, server.pid, &Work::Send(Saying::Call), shape).await?;
            self.tell(round, recipe.name, &format!("tool call, {calls}"), &sample);
            self.findings.wrapped_in_memory.entry(calls).or_default().push(sample);
            server.stop().await?;
        }
        Ok(())
    }

    /// How many commits a call takes of which nobody knows what it changes.
    async fn commits_of_writes(&mut self, wrapping: &Wrapping) -> Result<Option<Commits>> {
        let server =
            Server::start(&wrapping.unknown_agent("writing", "a tool that may change something"), &self.place).await?;
        // One after the other: one that waits for others is kept once more.
        load::measure(&server.endpoint, server.pid, &Work::Send(Saying::Call), self.settings.shape(1)).await?;
        match server.stop().await? {
            Some(data) => commits::count(data.path()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn calls_at(&mut self, doors: &Doors, round: usize) -> Result<()> {
        let settings = self.settings;
        for ((door, calls), sample) in doors.round(&self.place, |calls| settings.shape(calls)).await? {
            self.tell(round, "doors", &format!("{door}, {calls}"), &sample);
            self.findings.doors.entry((door, calls)).or_default().push(sample);
        }
        Ok(())
    }

    async fn ways(&mut self, callers: &Callers, round: usize) -> Result<()> {
        let settings = self.settings;
        for (way, sample) in callers.round(round, &self.place, |connections| settings.shape(connections)).await? {
            self.tell(round, "callers", &way.to_string(), &sample);
            self.findings.callers.entry(way).or_default().push(sample);
        }
        Ok(())
    }

    async fn crowds(&mut self, webhooks: &Webhooks, round: usize) -> Result<()> {
        let settings = self.settings;
        for (crowd, found) in webhooks.round(&self.place, |tasks| settings.shape(tasks)).await? {
            let p99 = found.after_end.map_or(f64::NAN, |after_end| after_end.p99);
            let rate = found.deliveries_per_second;
            eprintln!("  round {}  webhooks     {crowd}: {rate:.0} deliveries/s, p99 {p99:.1} ms", round + 1);
            self.complain("webhooks", &crowd.to_string(), found.errors, found.first_error.as_deref());
            self.findings.webhooks.entry(crowd).or_default().push(found);
        }
        Ok(())
    }

    async fn starts(&mut self, entrant: &Entrant) -> Result<()> {
        if !entrant.is_timed {
            return Ok(());
        }
        for _ in 0..self.settings.starts {
            let server = Server::start(&entrant.recipe, &self.place).await?;
            let took = server.ready_after.as_secs_f64() * 1e3;
            self.findings.start_millis.entry(entrant.recipe.name).or_default().push(took);
            let data = server.stop().await?;
            if entrant.is_ours {
                // The first start in a folder also makes keys and a store.
                let server = Server::start_in(&entrant.recipe, &self.place, data).await?;
                self.findings.start_again_millis.push(server.ready_after.as_secs_f64() * 1e3);
                server.stop().await?;
            }
        }
        Ok(())
    }

    async fn fill(&mut self, entrant: &Entrant) -> Result<()> {
        let Some(divisor) = entrant.fill else { return Ok(()) };
        let name = entrant.recipe.name;
        let server = Server::start(&entrant.recipe, &self.place).await?;
        let goal = self.settings.tasks / divisor;
        let mut made = 0;
        for tasks in [goal / 100, goal / 10, goal].into_iter().filter(|tasks| *tasks > 0) {
            load::fill(&server.endpoint, Saying::Text, tasks - made, 0).await?;
            made = tasks;
            let filled = self.lists(name, &server, tasks).await?;
            self.findings.filled.entry(name).or_default().push(filled);
        }
        let mut data = server.stop().await?;
        if !entrant.is_ours {
            return Ok(());
        }
        for _ in 0..self.settings.starts {
            let server = Server::start_in(&entrant.recipe, &self.place, data).await?;
            self.findings.start_filled_millis.push(server.ready_after.as_secs_f64() * 1e3);
            let total = load::first_page(&server.endpoint).await?.total;
            ensure!(total == Some(goal), "after a restart there are {total:?} tasks of {goal}");
            data = server.stop().await?;
        }
        Ok(())
    }

    async fn lists(&mut self, name: &'static str, server: &Server, tasks: u64) -> Result<Filled> {
        let page = load::first_page(&server.endpoint).await;
        // Idle: what the last requests left behind is done.
        tokio::time::sleep(REST).await;
        let resident_bytes = process::resident(&[server.pid]);
        let expected = PAGE_SIZE.min(usize::try_from(tasks)?);
        // A server may not list at all: the Node SDK's store does not.
        let listed = page.as_ref().map_or(0, |page| page.tasks);
        if listed != expected {
            let why = page.err().map(|error| format!("{error:#}")).unwrap_or_default();
            eprintln!("  {name}: a page of {listed}, not {expected}, among {tasks} tasks; no lists. {why}");
            return Ok(Filled { tasks, first_page: None, later_page: None, resident_bytes });
        }
        let shape = Shape { warm_up: Duration::from_millis(200), ..self.settings.shape(1) };
        let first: Arc<[Option<String>]> = Arc::from([None]);
        let first_page = load::measure(&server.endpoint, server.pid, &Work::List(first), shape).await?;
        self.tell(0, name, &format!("ListTasks among {tasks}"), &first_page);
        let tokens = load::page_tokens(&server.endpoint, shape.window).await.context("walking through the list")?;
        let later: Arc<[Option<String>]> = tokens.into_iter().filter(Option::is_some).collect();
        let mut later_page = None;
        if !later.is_empty() {
            let sample = load::measure(&server.endpoint, server.pid, &Work::List(later), shape).await?;
            self.tell(0, name, &format!("ListTasks among {tasks}, a later page"), &sample);
            later_page = Some(sample);
        }
        Ok(Filled { tasks, first_page: Some(first_page), later_page, resident_bytes })
    }
}

/// A line of progress, for whoever watches.
fn say(round: usize, server: &str, measure: &str, sample: &Sample) {
    let p50 = sample.latency.map_or(f64::NAN, |latency| latency.p50);
    eprintln!(
        "  round {}  {server:<12} {measure:<60} {:>9.0}/s  p50 {p50:.3} ms  {:.0} µs of the server",
        round + 1,
        sample.per_second,
        sample.server_micros
    );
}
