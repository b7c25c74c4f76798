//! An ended task as a list shows it. What a list leaves out is passed over and not read: pages of tasks that nobody has
//! asked for in a while are mostly the reading of their logs.

use std::sync::Arc;

use serde::{Deserialize, de::IgnoredAny};
use weft_core::{Event, Generation, Json, Message, Question, State, Task, TaskId, Timestamp, task::Submitted};
use weft_store::Loaded;

use crate::{EngineError, record};

#[derive(Deserialize)]
struct Line {
    at: Timestamp,
    g: Option<Generation>,
    event: Glance,
}

/// An [`Event`], as far as it is read here. Each of its variants has a place: one that is missing is taken for damage.
#[derive(Deserialize)]
enum Glance {
    Submitted(Arc<Submitted>),
    Started(IgnoredAny),
    Intended(IgnoredAny),
    Progressed(IgnoredAny),
    Added(IgnoredAny),
    Asked {
        question: Arc<Question>,
    },
    Replied {
        message: Arc<Message>,
    },
    Planned(IgnoredAny),
    Settled(IgnoredAny),
    Released,
    Ended {
        state: State,
        #[serde(default)]
        message: Option<Arc<Message>>,
        #[serde(default)]
        metadata: Option<Json>,
    },
}

/// What a record comes to.
enum Step {
    /// It is applied.
    Apply(Event),
    /// It is counted. Whether it set the task's status says whether its time counts.
    Pass { sets_status: bool },
}

/// A task that has ended, from its log: without its artifacts, its calls and its claim.
pub(crate) fn fold(id: TaskId, loaded: &Loaded) -> Result<Task, EngineError> {
    let corrupt = |what| EngineError::Corrupt(format!("the log of task {id} {what}"));
    let mut records = loaded.records.iter();
    let first = records.next().map(record::read::<Line>).transpose()?;
    let Some(Line { at, event: Glance::Submitted(submitted), .. }) = first else {
        return Err(corrupt("does not begin as one"));
    };
    let mut task = Task::begin(id, at, &submitted);
    for record in records {
        // What only the task's own ledger hears of has set no status.
        if record::is_seen_to_be_internal(record) {
            task.version += 1;
            continue;
        }
        let Line { at, g, event } = record::read(record)?;
        match step(event).ok_or_else(|| corrupt("begins twice"))? {
            Step::Apply(event) => task.apply(at, &event),
            Step::Pass { sets_status } => {
                task.version += 1;
                task.generation = g.unwrap_or(task.generation);
                if sets_status {
                    task.status_at = task.status_at.max(at);
                }
            }
        }
    }
    Ok(task)
}

fn step(event: Glance) -> Option<Step> {
    Some(match event {
        Glance::Submitted(_) => return None,
        Glance::Started(_) | Glance::Progressed(_) | Glance::Released => Step::Pass { sets_status: true },
        Glance::Intended(_) | Glance::Added(_) | Glance::Planned(_) | Glance::Settled(_) => {
            Step::Pass { sets_status: false }
        }
        Glance::Asked { question } => Step::Apply(Event::Asked { question }),
        Glance::Replied { message } => Step::Apply(Event::Replied { message, answer: None, resumed: false }),
        Glance::Ended { state, message, metadata } => Step::Apply(Event::Ended { state, message, metadata }),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use weft_core::{
        AgentName, Artifact, ArtifactId, Call, CallId, Claim, ContextId, Effect, MessageId, Part, Principal,
        QuestionKind, RunnerId, Tenant, task::Settlement,
    };
    use weft_store::Version;

    use super::*;

    fn message(id: &str) -> Arc<Message> {
        Arc::new(Message::from_agent(MessageId::parse(id).unwrap(), vec![Part::text(id)]))
    }

    fn json(text: &str) -> Option<Json> {
        Some(Json::parse(text).unwrap())
    }

    /// Every kind of event, in the order of a conversation, and a call that comes to its end after the task.
    fn conversation() -> Vec<Event> {
        let claim = |epoch| Claim { runner: RunnerId::new(Uuid::from_u128(1)), epoch };
        let question = Question { kind: QuestionKind::Elicitation, message: message("which"), schema: json("{}") };
        let artifact = Artifact::new(ArtifactId::parse("a").unwrap(), vec![Part::text("made")]);
        let submitted = Submitted {
            tenant: Tenant::parse("t").unwrap(),
            owner: Principal::parse("ann").unwrap(),
            agent: AgentName::parse("echo").unwrap(),
            context: ContextId::parse("c").unwrap(),
            message: message("hello"),
            plan: None,
            trace: None,
        };
        let call = CallId(1);
        vec![
            Event::Submitted(Arc::new(submitted)),
            Event::Planned { call: Arc::new(Call::of_message(Effect::ReadOnly)) },
            Event::Started { claim: claim(1) },
            Event::Intended { call, attempt: 1 },
            Event::Progressed { message: Some(message("half")), metadata: json(r#"{"progress":0.5}"#) },
            Event::Asked { question: Arc::new(question) },
            Event::Replied { message: message("this"), answer: json("1"), resumed: true },
            Event::Added { artifact: Arc::new(artifact), append: false, last_chunk: true },
            Event::Released,
            Event::Started { claim: claim(2) },
            Event::Ended { state: State::Failed, message: Some(message("no")), metadata: json(r#"{"why":1}"#) },
            Event::Settled { call, settlement: Settlement::Late },
        ]
    }

    /// Whether there is an event of each kind is for the compiler to ask and for this to answer.
    fn kind(event: &Event) -> usize {
        match event {
            Event::Submitted(_) => 0,
            Event::Started { .. } => 1,
            Event::Intended { .. } => 2,
            Event::Progressed { .. } => 3,
            Event::Added { .. } => 4,
            Event::Asked { .. } => 5,
            Event::Replied { .. } => 6,
            Event::Planned { .. } => 7,
            Event::Settled { .. } => 8,
            Event::Released => 9,
            Event::Ended { .. } => 10,
        }
    }

    /// Both ways of reading a log, whose events happen at these times.
    fn check(events: &[Event], times: impl Iterator<Item = u64>) {
        let id = TaskId::new(Uuid::from_u128(7));
        let (mut records, mut log, mut generation) = (Vec::new(), Vec::new(), 0);
        for (event, at) in events.iter().zip(times) {
            let at = Timestamp::from_millis(at);
            generation += u64::from(event.is_public());
            let public = event.is_public().then_some(Generation(generation));
            records.extend(record::encode(at, [(public, event)].into_iter()));
            log.push((at, event));
        }
        let version = Version(records.len() as u64);
        let loaded = Loaded { summary: None, version, cells: Vec::new(), trimmed: Version::ZERO, records };
        let whole = Task::fold(id, log).unwrap();
        let shown = fold(id, &loaded).unwrap();
        let left_out = Task {
            artifacts: Vec::new(),
            ledger: Vec::new(),
            claim: None,
            epoch: 0,
            plan: None,
            bytes: shown.bytes,
            ..whole
        };
        assert_eq!(shown, left_out);
    }

    #[test]
    fn a_list_shows_of_an_ended_task_what_is_in_its_log() {
        let events = conversation();
        let kinds: std::collections::BTreeSet<usize> = events.iter().map(kind).collect();
        assert_eq!(kinds.len(), 11, "one of each");
        check(&events, 1_000..);
        // A clock that was set back, at any of them.
        for at in 1..events.len() as u64 {
            check(&events, (0..).map(|number| if number < at { 1_000 + number } else { number }));
        }
    }

    #[test]
    fn a_log_that_is_none_is_damage() {
        let id = TaskId::new(Uuid::from_u128(7));
        let events = conversation();
        for wrong in [&[][..], &[&events[2]], &[&events[0], &events[0]]] {
            let at = Timestamp::default();
            let records = record::encode(at, wrong.iter().map(|event| (Some(Generation(1)), *event)));
            let loaded =
                Loaded { summary: None, version: Version(1), cells: Vec::new(), trimmed: Version::ZERO, records };
            assert!(matches!(fold(id, &loaded), Err(EngineError::Corrupt(_))));
        }
    }
}
