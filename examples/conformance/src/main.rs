//! The agent that the official conformance kit of A2A is run against. What it does with a message is chosen by the beginning of the
//! message's id, as the kit's scenarios say; what its card declares, by flags. It answers everybody, and so listens on loopback only.

mod behaviour;

use std::process::ExitCode;

use bobbinet_agent::{
    Agent, Answer, Card, CardForm, Effect, Extension, Failure, Flags, Message, Node, Part, Skill, Task,
};
use clap::Parser;

use behaviour::Behaviour;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    node: Flags,
    #[command(flatten)]
    declared: Declared,
}

/// What the card declares.
#[derive(clap::Args)]
struct Declared {
    /// No streams.
    #[arg(long)]
    no_streaming: bool,
    /// No webhooks.
    #[arg(long)]
    no_push: bool,
    /// Another card for known callers.
    #[arg(long)]
    extended_card: bool,
    /// An extension that every request must name.
    #[arg(long, value_name = "URI")]
    require_extension: Option<String>,
}

struct Conformance(Declared);

impl Agent for Conformance {
    fn card(&self) -> Card {
        let skill = |id| Skill::new(id, "Does what the id of a message says.").effect(Effect::Idempotent);
        let mut card = Card::new("conformance", "Answers the conformance kit of A2A.").skill(skill("conform"));
        if self.0.no_streaming {
            card = card.without_streaming();
        }
        if self.0.no_push {
            card = card.without_push();
        }
        if self.0.extended_card {
            card = card.skill_for_known_callers(skill("conform-more"));
        }
        if let Some(uri) = &self.0.require_extension {
            let (uri, description) = (uri.clone(), "Required, to see whether that is kept.".to_owned());
            card = card.extension(Extension { uri, description, required: true, params: None });
        }
        card
    }

    fn reply(&self, message: &Message) -> Option<Vec<Part>> {
        match Behaviour::of(message) {
            Behaviour::Say(text) => Some(vec![Part::text(text)]),
            Behaviour::Complete
            | Behaviour::Make(_)
            | Behaviour::InChunks
            | Behaviour::Ask
            | Behaviour::Reject
            | Behaviour::TakeTime
            | Behaviour::Echo => None,
        }
    }

    async fn run(&self, task: Task) -> Result<Answer, Failure> {
        behaviour::follow(&task).await
    }
}

fn main() -> ExitCode {
    let Arguments { node, declared } = Arguments::parse();
    // The kit takes no card that has more than 1.0 knows.
    Node::new(Conformance(declared)).flags(node).card_form(CardForm::V1_0).grpc().open().run()
}
