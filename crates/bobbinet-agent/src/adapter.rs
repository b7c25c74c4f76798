//! An author's agent as the engine runs it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bobbinet_core::{
    Call, Description, Fault, Json, Message, MessageId, Outcome, Plan, QuestionKind, Skill, agent::skill_named_in,
};
use bobbinet_engine::{Request, Run};

use crate::{Agent, Answer, Task};

/// An author's agent, behind the engine's trait.
pub(crate) struct Adapter<A> {
    agent: A,
    description: Arc<Description>,
    /// The call of a message that names no skill: the most frequent one, made once.
    unnamed: Arc<Call>,
}

impl<A: Agent> Adapter<A> {
    pub(crate) fn new(agent: A, description: Description) -> Self {
        let skills = &description.skills;
        // Nobody knows which skill it will be: what holds for the most careful one holds for all.
        let effect = all_skills(&description).map(|skill| skill.effect).max().unwrap_or_default();
        let only = skills.first().filter(|_| skills.len() == 1).map(|skill| skill.id.clone());
        let unnamed = Arc::new(Call { skill: only, ..Call::of_message(effect) });
        Self { agent, description: Arc::new(description), unnamed }
    }

    fn call(&self, named: Option<String>) -> Plan {
        let Some(named) = named else { return Plan::Call(self.unnamed.clone()) };
        match all_skills(&self.description).find(|skill| skill.id.as_str() == named) {
            Some(skill) => {
                Plan::Call(Arc::new(Call { skill: Some(skill.id.clone()), ..Call::of_message(skill.effect) }))
            }
            None => Plan::Reject(Fault::new("unknown-skill", format!("the agent has no skill {named:?}"))),
        }
    }
}

#[async_trait]
impl<A: Agent> bobbinet_engine::Agent for Adapter<A> {
    fn describe(&self) -> Arc<Description> {
        self.description.clone()
    }

    fn prepare(&self, request: &Request<'_>) -> Plan {
        match request.question().map(|question| question.kind) {
            Some(QuestionKind::Elicitation | QuestionKind::Authorization) => {
                return Plan::Answer(Json::of(request.message));
            }
            Some(QuestionKind::Outcome { .. }) => return Plan::Answer(Json::of(&())),
            Some(QuestionKind::Input) | None => {}
        }
        if request.task.is_none()
            && let Some(parts) = self.agent.reply(request.message)
        {
            return Plan::Say(Arc::new(Message::from_agent(request.question_id.clone(), parts)));
        }
        let named = request.skill.map(|named| named.as_str().to_owned());
        self.call(named.or_else(|| request.message.metadata.as_ref().and_then(skill_named_in)))
    }

    fn max_concurrency(&self) -> usize {
        self.agent.runs_max()
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn run(&self, run: Run) -> Outcome {
        // For the id of the last words, if there are any.
        let words = run.clone();
        match self.agent.run(Task::new(run)).await {
            Ok(answer) => completed(answer, || words.message_id("end")),
            Err(failure) => failure.into_outcome(),
        }
    }

    async fn shutdown(&self) {}
}

fn completed(answer: Answer, id: impl FnOnce() -> MessageId) -> Outcome {
    let Answer { artifacts, words } = answer;
    Outcome::Completed { artifacts, message: words.map(|parts| Arc::new(Message::from_agent(id(), parts))) }
}

/// Those of the extended card, too.
fn all_skills(description: &Description) -> impl Iterator<Item = &Skill> {
    let extended = description.capabilities.extended.iter().flat_map(|extended| &extended.skills);
    description.skills.iter().chain(extended)
}

impl<A> fmt::Debug for Adapter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("name", &self.description.name).finish_non_exhaustive()
    }
}
