//! The clients of the crash loop: they submit, follow, lose their node, and come back.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use super::checker::{Acknowledged, Heard, Tool};
use crate::node::{Agent, data_message};

/// How long a client waits before it looks whether its node is back.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Default)]
struct Shared {
    agent: Mutex<Option<Agent>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    heard: Mutex<Vec<Heard>>,
    count: AtomicUsize,
    submitted_enough: AtomicBool,
    followed_enough: AtomicBool,
}

pub(crate) struct Load {
    shared: Arc<Shared>,
    http: reqwest::Client,
    submitters: JoinSet<()>,
    subscribers: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(submitters: usize, subscribers: usize, seed: u64) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(40)).build().unwrap();
        let mut load = Self { shared: Arc::default(), http, submitters: JoinSet::new(), subscribers: JoinSet::new() };
        for number in 0..submitters {
            let dice = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
            load.submitters.spawn(submit(load.shared.clone(), load.http.clone(), number, dice));
        }
        for number in 0..subscribers {
            let dice = StdRng::seed_from_u64(!seed.wrapping_add(number as u64));
            load.subscribers.spawn(subscribe(load.shared.clone(), load.http.clone(), dice));
        }
        load
    }

    /// The node is there.
    pub(crate) fn meet(&self, agent: Agent) {
        *self.shared.agent.lock().unwrap() = Some(agent);
    }

    /// The node is gone.
    pub(crate) fn part(&self) {
        *self.shared.agent.lock().unwrap() = None;
    }

    /// Returns when so many are acknowledged. Panics if none is for `stall`.
    pub(crate) async fn submit_until(&self, enough: usize, stall: Duration) {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let count = self.shared.count.load(Ordering::Relaxed);
            if count >= enough {
                return;
            }
            if count > last {
                (last, since) = (count, Instant::now());
            }
            assert!(since.elapsed() < stall, "nothing was acknowledged for {stall:?}, after {count} tasks");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends the load: waits until every task has settled, for `patience`, and tells what all have seen.
    pub(crate) async fn finish(
        mut self,
        patience: Duration,
    ) -> (Vec<Acknowledged>, BTreeMap<String, String>, Vec<Heard>) {
        self.shared.submitted_enough.store(true, Ordering::Relaxed);
        while self.submitters.join_next().await.is_some() {}
        let end = Instant::now() + patience;
        let agent = self.shared.agent.lock().unwrap().clone().unwrap();
        loop {
            let open = count(&self.http, &agent, "TASK_STATE_SUBMITTED").await
                + count(&self.http, &agent, "TASK_STATE_WORKING").await;
            if open == 0 || Instant::now() > end {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.shared.followed_enough.store(true, Ordering::Relaxed);
        while self.subscribers.join_next().await.is_some() {}
        let tasks = list(&self.http, &agent).await;
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged.lock().unwrap());
        let heard = std::mem::take(&mut *self.shared.heard.lock().unwrap());
        (acknowledged, tasks, heard)
    }
}

impl Shared {
    async fn agent(&self, is_enough: &AtomicBool) -> Option<Agent> {
        loop {
            if let Some(agent) = self.agent.lock().unwrap().clone() {
                return Some(agent);
            }
            if is_enough.load(Ordering::Relaxed) {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn submit(shared: Arc<Shared>, http: reqwest::Client, number: usize, mut dice: StdRng) {
    for turn in 0.. {
        if shared.submitted_enough.load(Ordering::Relaxed) {
            return;
        }
        let Some(agent) = shared.agent(&shared.submitted_enough).await else { return };
        let tool = Tool::ALL[dice.random_range(0..4)];
        let work = format!("{number}-{turn}");
        // Some are over before the first commit of a read that is waited for goes out by itself, some are not.
        let takes = if dice.random_bool(0.1) { 15..40 } else { 0..8 };
        let call = json!({"skill": tool.name(), "arguments": {"id": work, "ms": dice.random_range(takes)}});
        let params = json!({
            "message": data_message(&work, &call),
            "configuration": {"returnImmediately": dice.random_bool(0.7)},
        });
        match agent.call(&http, "SendMessage", &params).await {
            Ok(result) => {
                let task = result["task"]["id"].as_str().expect("a send is answered with a task").to_owned();
                shared.acknowledged.lock().unwrap().push(Acknowledged { task, tool, work });
                shared.count.fetch_add(1, Ordering::Relaxed);
            }
            // Not acknowledged: nothing was promised.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Follows one acknowledged task after the other, from its beginning to where it rests, over all crashes.
async fn subscribe(shared: Arc<Shared>, http: reqwest::Client, mut dice: StdRng) {
    while !shared.followed_enough.load(Ordering::Relaxed) {
        let task = {
            let known = shared.acknowledged.lock().unwrap();
            // The newest are still at work.
            let newest = known.len().saturating_sub(100);
            (!known.is_empty()).then(|| known[dice.random_range(newest..known.len())].task.clone())
        };
        let Some(task) = task else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mut heard = Heard { task, events: Vec::new() };
        while !is_at_rest(&heard) {
            let Some(agent) = shared.agent(&shared.followed_enough).await else { break };
            if follow(&http, &agent, &mut heard).await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
            if shared.followed_enough.load(Ordering::Relaxed) {
                break;
            }
        }
        shared.heard.lock().unwrap().push(heard);
    }
}

fn is_at_rest(heard: &Heard) -> bool {
    let Some((_, Some(state))) = heard.events.last() else { return false };
    !["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&state.as_str())
}

/// One connection: reads until it ends, breaks, or the task rests.
async fn follow(http: &reqwest::Client, agent: &Agent, heard: &mut Heard) -> Result<(), reqwest::Error> {
    let after = heard.events.last().map_or(0, |(generation, _)| *generation);
    let request = agent.request(http, "SubscribeToTask", &json!({"id": heard.task}));
    let mut response = request.header("Last-Event-ID", after.to_string()).send().await?.error_for_status()?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            take(&String::from_utf8(event).unwrap(), heard);
        }
        if is_at_rest(heard) {
            return Ok(());
        }
    }
    Ok(())
}

fn take(event: &str, heard: &mut Heard) {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (Some(id), Some(data)) = (field("id:"), field("data:")) else { return };
    let data: Value = serde_json::from_str(data).unwrap();
    let result = &data["result"];
    let state = [&result["statusUpdate"]["status"]["state"], &result["task"]["status"]["state"]];
    let state = state.into_iter().find_map(Value::as_str).map(str::to_owned);
    heard.events.push((id.parse().unwrap(), state));
}

async fn count(http: &reqwest::Client, agent: &Agent, state: &str) -> u64 {
    let page = agent.call(http, "ListTasks", &json!({"status": state, "pageSize": 1})).await.unwrap();
    page["totalSize"].as_u64().unwrap()
}

async fn list(http: &reqwest::Client, agent: &Agent) -> BTreeMap<String, String> {
    let mut tasks = BTreeMap::new();
    let mut token = String::new();
    loop {
        let params = json!({"pageSize": 100, "pageToken": token, "historyLength": 0});
        let page = agent.call(http, "ListTasks", &params).await.unwrap();
        for task in page["tasks"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            tasks.insert(text(&task["id"]), text(&task["status"]["state"]));
        }
        token = page["nextPageToken"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return tasks;
        }
    }
}
