//! Act 1: three agents start and are found.

use crate::{
    demo::{client::find, stage::Stage, tell::Teller},
    demo_servers::Name,
    failure::Failure,
};

/// Starts the agents, and looks at their cards.
pub(super) async fn look(stage: &mut Stage, teller: &mut Teller) -> Result<(), Failure> {
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
