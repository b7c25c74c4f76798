//! Acts 1 to 3, in which nobody dies: cards, a tool, a question.

use bobbinet_core::State;
use serde_json::json;

use crate::{
    demo::{
        orchestrator::{answer, call, find, said, send, text},
        stage::Stage,
        tell::{Teller, broken},
    },
    demo_servers::{NOTES_FILE, Name, lines},
    failure::Failure,
};

/// The first note.
const NOTE: &str = "thread the loom";

/// Act 1: three agents start and are found.
pub(super) async fn cards(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    teller.step("Three MCP servers that know nothing of A2A become three agents, each in a process of its own")?;
    for (name, skills) in [
        (Name::Notes, &["add_note", "list_notes", "read_note"][..]),
        (Name::Report, &["make_report"]),
        (Name::Greeter, &["greet"]),
    ] {
        stage.start(name).await?;
        let client = find(stage.url(name), stage.data(name)).await?;
        let mut found: Vec<&str> = client.card().value.skills.iter().map(|skill| skill.id.as_str()).collect();
        found.sort_unstable();
        teller.say(&format!("{:8} process {:<8} {}", name.as_str(), stage.pid(name), stage.url(name)))?;
        teller.check(&format!("its card offers {}", found.join(", ")), found == skills)?;
    }
    Ok(())
}

/// Act 2: a tool is called, twice.
pub(super) async fn notes(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    teller.step("An orchestrator calls them over A2A, with a JWT for each; what is answered is on disk")?;
    let client = find(stage.url(Name::Notes), stage.data(Name::Notes)).await?;
    let added = send(&client, call("add_note", &json!({ "text": NOTE }))).await?;
    teller.say(&format!("add_note   → {}: {}", added.status.state.as_str(), text(&added)))?;
    let listed = send(&client, call("list_notes", &json!({}))).await?;
    teller.say(&format!("list_notes → {}: {}", listed.status.state.as_str(), text(&listed)))?;
    let all = lines(&stage.files(Name::Notes).join(NOTES_FILE)).map_err(broken("reading the notes"))?;
    let is_so = added.status.state == State::Completed && text(&listed) == format!("1. {NOTE}") && all == [NOTE];
    teller.check("the note is in the server's file, once", is_so)
}

/// Act 3: a server asks its user.
pub(super) async fn question(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
    teller.step("A server that asks its user makes the task ask its caller")?;
    let client = find(stage.url(Name::Greeter), stage.data(Name::Greeter)).await?;
    let asked = send(&client, call("greet", &json!({}))).await?;
    teller.say(&format!("greet      → {}: {}", asked.status.state.as_str(), said(&asked)))?;
    teller.check("the task waits for an answer", asked.status.state == State::InputRequired)?;
    let greeted = send(&client, answer(&asked, "Penelope")).await?;
    teller.say(&format!("Penelope   → {}: {}", greeted.status.state.as_str(), text(&greeted)))?;
    let is_so = greeted.status.state == State::Completed && text(&greeted) == "Hello, Penelope!";
    teller.check("the answer reached the server, and the same task is completed", is_so && greeted.id == asked.id)
}
