//! Act 4: an agent is killed after an effect and before its outcome is known. Nobody guesses; the task asks.

use std::time::Duration;

use bobbinet_core::State;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    demo::{
        client::{answer, call_at_once, find, said, send, until_asked},
        stage::Stage,
        tell::{Teller, broke, broken},
    },
    demo_servers::{NOTES_FILE, Name, lines},
    failure::Failure,
};

/// The note that must not be written twice.
const NOTE: &str = "pay the weaver";

/// How long the server lingers between the effect and its answer. It is killed long before.
const LINGER: Duration = Duration::from_secs(30);

/// How long the note may take to be on disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills an agent between an effect and its outcome, and answers what the task asks then. Gives the task's id.
pub(super) async fn note(stage: &mut Stage, teller: &mut Teller) -> Result<String, Failure> {
    teller.step("An agent is killed while a tool that must not run twice is at work")?;
    let file = stage.files(Name::Notes).join(NOTES_FILE);
    let count = || {
        let all = lines(&file).map_err(broken("reading the notes"))?;
        Ok::<usize, Failure>(all.iter().filter(|line| *line == NOTE).count())
    };
    let client = find(stage.url(Name::Notes), stage.data(Name::Notes)).await?;
    let arguments = json!({ "text": NOTE, "linger_ms": u64::try_from(LINGER.as_millis()).unwrap_or(u64::MAX) });
    let task = send(&client, call_at_once("add_note", &arguments)).await?;
    let end = Instant::now() + PATIENCE;
    while count()? == 0 {
        if Instant::now() > end {
            return Err(broke("the note does not get written"));
        }
        sleep(Duration::from_millis(5)).await;
    }
    teller.say(&format!("add_note \"{NOTE}\" has written its line, and has not answered yet"))?;
    let killed = stage.kill(Name::Notes).await?;
    teller.say(&format!("kill -9 {}; its MCP server is gone {:.0?} later", killed.pid, killed.after))?;
    stage.restart(Name::Notes).await?;
    teller.say(&format!("started again on the same data, process {}", stage.pid(Name::Notes)))?;

    let asked = until_asked(&client, &task.id).await?;
    teller.say(&format!("the task → {}: {}", asked.status.state.as_str(), said(&asked)))?;
    teller.check(
        "the call was not made again; the task asks what became of it",
        asked.status.state == State::InputRequired,
    )?;
    let written = count()?;
    let verdict = if written > 0 { "happened" } else { "retry" };
    teller.say(&format!(
        "whoever asked for it looks into the file: the note is there {written} time(s), so the answer is: {verdict}"
    ))?;
    let ended = send(&client, answer(&asked, verdict)).await?;
    teller.say(&format!("the task → {}", ended.status.state.as_str()))?;
    let is_so = ended.status.state == State::Completed && ended.id == task.id && count()? == 1;
    teller.check("the task is completed, and the note is in the file exactly once", is_so)?;
    Ok(task.id)
}
