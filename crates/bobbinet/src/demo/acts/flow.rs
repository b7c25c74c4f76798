//! Act 2: a flow gives the agents work, and the orchestrator that runs it is killed in the middle of it.

use std::time::Duration;

use bobbinet_core::State;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    demo::{
        client::{answer, data, data_at_once, find, said, send, until_asked},
        stage::{ORCHESTRATOR_FLOW, Part, Stage},
        tell::{Teller, broke, broken},
    },
    demo_servers::{NOTES_FILE, Name, RUNS_FILE, lines},
    failure::Failure,
};

/// The first note.
const NOTE: &str = "thread the loom";

/// How long the report may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the flow, kills the orchestrator, answers what a step asks, and checks that no step was made twice.
pub(super) async fn orchestrate(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    teller.step(
        "An orchestrator gives them work: a flow in the Open Workflow DSL, over A2A, with a JWT for each agent",
    )?;
    teller.show("flow", ORCHESTRATOR_FLOW)?;
    stage.start(Part::Orchestrator).await?;
    let client = find(stage.url(Part::Orchestrator), stage.data(Part::Orchestrator)).await?;
    let begun = send(&client, data_at_once(&json!({ "note": NOTE, "topic": "shuttles" }))).await?;
    let asked = until_asked(&client, &begun.id).await?;
    teller.say(&format!("the flow   → {}: {}", asked.status.state.as_str(), said(&asked)))?;
    teller.check("a server asks its user, so its task, and the flow's, ask their caller", {
        asked.status.state == State::InputRequired
    })?;
    let runs = || lines(&stage.files(Name::Report).join(RUNS_FILE)).map_err(broken("reading the server's file"));
    let end = Instant::now() + PATIENCE;
    while runs()?.is_empty() {
        if Instant::now() > end {
            return Err(broke("the report does not begin"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    teller.say("meanwhile the other branch of the flow has a report written")?;

    let killed = stage.kill(Part::Orchestrator).await?;
    teller.say(&format!("kill -9 {}: the orchestrator is gone, in the middle of three steps", killed.pid))?;
    stage.restart(Part::Orchestrator).await?;
    let pid = stage.pid(Part::Orchestrator);
    teller.say(&format!("started again on the same data, process {pid}; nobody tells it what to do"))?;
    let client = find(stage.url(Part::Orchestrator), stage.data(Part::Orchestrator)).await?;
    let ended = send(&client, answer(&asked, "Penelope")).await?;
    teller.say(&format!("Penelope   → {}: {}", ended.status.state.as_str(), data(&ended)))?;
    let expected = json!({ "greeting": "Hello, Penelope!", "sections": 8, "notes": format!("1. {NOTE}") });
    let is_so = ended.status.state == State::Completed && data(&ended) == expected;
    teller.check("the answer reached the server, and the same task is completed", is_so && ended.id == begun.id)?;
    teller.show("tree", &tree(stage, &ended.id).await?)?;

    let runs = lines(&stage.files(Name::Report).join(RUNS_FILE)).map_err(broken("reading the server's file"))?;
    let notes = lines(&stage.files(Name::Notes).join(NOTES_FILE)).map_err(broken("reading the notes"))?;
    teller.check("each step was made once: one report, one note", runs.len() == 1 && notes == [NOTE])
}

/// The task of the flow and those of its steps.
async fn tree(stage: &Stage, task: &str) -> Result<String, Failure> {
    let mut command = stage.program();
    command.args(["task", "list", "--tree", "-a", stage.url(Part::Orchestrator), "--data-dir"]);
    let shown = command.arg(stage.data(Part::Orchestrator)).output().await;
    let shown = shown.map_err(broken("running bobbinet task list"))?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    match shown.status.success() && text.contains(task) {
        true => Ok(text),
        false => Err(broke(format!("bobbinet task list: {}", String::from_utf8_lossy(&shown.stderr).trim()))),
    }
}
