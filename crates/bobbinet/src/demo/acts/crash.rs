//! Act 3: an agent is killed in mid-task, and whoever listens hears every event once.

use bobbinet_core::{Message, State, operation::ListParams};
use bobbinet_http::client::{Client, Event, SendOptions, TaskStream};
use bobbinet_wire::view::StreamEvent;
use serde_json::json;

use crate::{
    demo::{
        client::{call, find},
        stage::Stage,
        tell::{Bar, Teller, broke, broken},
    },
    demo_servers::{Name, RUNS_FILE, lines},
    failure::Failure,
};

const SECTIONS: u64 = 8;

/// After so many sections the agent is killed.
const KILL_AT: usize = 3;

/// Streams a report, kills its agent in the middle, and checks what the listener heard.
pub(super) async fn report(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    teller.step("A slow report is streamed, and its agent is killed in the middle of it")?;
    let client = find(stage.url(Name::Report), stage.data(Name::Report)).await?;
    let before = Count::of(stage, &client).await?;
    let params = call("make_report", &json!({ "topic": "looms", "sections": SECTIONS }));
    let mut stream =
        client.send_streaming(params, &SendOptions::default()).await.map_err(broken("sending the task"))?;
    let mut heard = Vec::new();
    let bar = teller.bar(SECTIONS);
    while sections(&heard) < KILL_AT {
        hear(&mut stream, &mut heard, &bar).await?;
    }
    drop(bar);
    let heard_before = heard.len();
    teller
        .say(&format!("{} is working; {heard_before} events so far, {KILL_AT} sections of {SECTIONS}", id(&stream)?))?;

    let killed = stage.kill(Name::Report).await?;
    teller.say(&format!("kill -9 {}", killed.pid))?;
    let claim = format!("its MCP server died with it: {} processes, gone {:.0?} later", killed.others, killed.after);
    teller.check(&claim, true)?;
    stage.restart(Name::Report).await?;
    teller.say(&format!(
        "started again on the same data, process {}; nobody tells it what to do",
        stage.pid(Name::Report)
    ))?;
    let last = stream.last_id().unwrap_or_default().to_owned();
    teller.say(&format!("the listener comes back by itself with Last-Event-ID: {last}"))?;

    let bar = teller.bar(SECTIONS);
    while !is_over(&heard) {
        hear(&mut stream, &mut heard, &bar).await?;
    }
    drop(bar);
    let task = id(&stream)?;
    verify(teller, &client, &task, &heard, heard_before).await?;
    let after = Count::of(stage, &client).await?;
    let runs = after.runs - before.runs;
    teller.say(&format!("the server began {runs} times: a tool that only reads may run again"))?;
    let is_one = after.tasks - before.tasks == 1 && runs == 2;
    teller.check("there is one task with one report all the same", is_one)
}

/// What the agent and its server have counted.
struct Count {
    tasks: u64,
    runs: usize,
}

impl Count {
    async fn of(stage: &Stage, client: &Client) -> Result<Self, Failure> {
        let tasks = client.list(ListParams::default()).await.map_err(broken("listing tasks"))?.value.total_size;
        let runs = lines(&stage.files(Name::Report).join(RUNS_FILE)).map_err(broken("reading the server's file"))?;
        Ok(Self { tasks, runs: runs.len() })
    }
}

async fn verify(
    teller: &mut Teller,
    client: &Client,
    task: &str,
    heard: &[Event],
    before: usize,
) -> Result<(), Failure> {
    let ends = heard.iter().filter(|event| event.value.state().is_some_and(State::is_terminal)).count();
    let is_completed = heard.last().and_then(|event| event.value.state()) == Some(State::Completed);
    teller.check("the task is completed, and was ended once", is_completed && ends == 1)?;

    let ids: Vec<u64> = heard.iter().filter_map(|event| event.id.as_deref()?.parse().ok()).collect();
    let is_gapless = ids.len() == heard.len() && ids.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let first = ids.first().copied().unwrap_or_default();
    let last = ids.last().copied().unwrap_or_default();
    let after = heard.len() - before;
    let claim =
        format!("events {first} to {last} came each once, in order: {before} before the kill, {after} after it");
    teller.check(&claim, is_gapless && after > 0)?;

    let mut again = client.subscribe(task, Some(&first.to_string())).await.map_err(broken("subscribing again"))?;
    let mut retold = Vec::new();
    while let Some(event) = again.next().await.map_err(broken("reading the task again"))? {
        retold.push(event);
    }
    let is_same = retold.iter().map(essence).eq(heard.iter().skip(1).map(essence));
    teller.check("who reads the task again from its first event on hears the very same", is_same)?;

    let stored = client.get(task, None).await.map_err(broken("getting the task"))?.value;
    teller.check("it has one report", stored.artifacts.len() == 1)
}

/// The next event, which must come.
async fn hear(stream: &mut TaskStream, heard: &mut Vec<Event>, bar: &Bar) -> Result<(), Failure> {
    let event = stream.next().await.map_err(broken("listening"))?;
    let event = event.ok_or_else(|| broke("the stream ended before the task did"))?;
    if let Some(words) = words(&event) {
        // The server counts: "section 3 of 8".
        let section = words.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_default();
        bar.at(section, &words);
    }
    heard.push(event);
    Ok(())
}

/// What the server says of its progress.
fn words(event: &Event) -> Option<String> {
    match &event.value {
        StreamEvent::StatusUpdate(update) if update.status.state == State::Working => {
            update.status.message.as_ref().map(Message::text)
        }
        StreamEvent::StatusUpdate(_)
        | StreamEvent::ArtifactUpdate(_)
        | StreamEvent::Task(_)
        | StreamEvent::Message(_) => None,
    }
}

fn sections(heard: &[Event]) -> usize {
    heard.iter().filter(|event| words(event).is_some_and(|words| words.contains("section"))).count()
}

fn is_over(heard: &[Event]) -> bool {
    heard.last().and_then(|event| event.value.state()).is_some_and(State::is_terminal)
}

fn essence(event: &Event) -> (Option<&str>, &str) {
    (event.id.as_deref(), event.json.as_str())
}

fn id(stream: &TaskStream) -> Result<String, Failure> {
    stream.task_id().map(str::to_owned).ok_or_else(|| broke("the stream does not say which task it is about"))
}
