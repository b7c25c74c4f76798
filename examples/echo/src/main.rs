//! An agent without MCP: it says back what it is told, as an artifact.

mod flow;

use std::{path::PathBuf, process::ExitCode};

use bobbinet_agent::{Agent, Answer, Card, Effect, Failure, Flags, Node, Skill, Task};
use clap::Parser;

struct Echo;

impl Agent for Echo {
    fn card(&self) -> Card {
        let about = "Says back what it is told.";
        let skill = Skill::new("echo", about).tag("example").example("hello").effect(Effect::ReadOnly);
        Card::new("echo", about).skill(skill)
    }

    async fn run(&self, task: Task) -> Result<Answer, Failure> {
        Ok(Answer::artifact("echo", task.message().parts.clone()))
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    node: Flags,
    /// A flow over the agent, which is served in its place.
    #[arg(long)]
    flow: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut node = Node::new(Echo).flags(arguments.node);
    if let Some(path) = &arguments.flow {
        let (name, agent) = flow::read(path)?;
        node = node.in_front(name, agent);
    }
    Ok(node.run())
}
