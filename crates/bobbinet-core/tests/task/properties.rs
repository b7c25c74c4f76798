//! What holds after any sequence of commands.

use bobbinet_core::{
    Effect, Event, Fault, Generation, Limits, Outcome, Plan, QuestionKind, State, Task,
    task::{CallId, CallOutcome},
};
use proptest::{collection::vec, prelude::*};

use crate::talk::{
    By, EFFECTS, Run, Say, Slot, Talk, answer, asks, call, completed, failed, refused, reject, says, unknown,
};

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![Just(Slot::Free), Just(Slot::None)]
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![9 => Just(By::Owner), 1 => Just(By::Stranger)]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![2 => Just(Effect::AtMostOnce), 3 => proptest::sample::select(EFFECTS.to_vec())]
}

/// What a run may ask; the other kinds are the core's own.
fn kind() -> impl Strategy<Value = QuestionKind> {
    prop_oneof![Just(QuestionKind::Elicitation), Just(QuestionKind::Authorization), Just(QuestionKind::Input)]
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        6 => effect().prop_map(call),
        2 => kind().prop_map(asks),
        3 => Just(answer()),
        1 => Just(reject()),
        2 => Just(Plan::Defer),
        1 => Just(says()),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(completed()),
        Just(refused()),
        Just(failed()),
        Just(Outcome::Rejected(Fault::new("unknown-tool", "none"))),
        any::<bool>().prop_map(unknown),
        any::<bool>().prop_map(unknown),
        Just(Outcome::Declined),
        Just(Outcome::Declined),
    ]
}

fn text() -> impl Strategy<Value = &'static str> {
    let texts = ["42", "retry", "retry", "happened", r#"{"outcome":"happened","result":1}"#, "failed", ""];
    proptest::sample::select(texts.to_vec())
}

fn say() -> impl Strategy<Value = Say> {
    let run = prop_oneof![Just(Run::Live), Just(Run::Gone)];
    prop_oneof![
        1 => (plan(), slot()).prop_map(|(plan, slot)| Say::Submit(plan, slot)),
        4 => Just(Say::Claim),
        4 => (plan(), by(), slot()).prop_map(|(plan, by, slot)| Say::Plan(Ok(plan), by, slot)),
        1 => by().prop_map(|by| Say::Plan(Err(Fault::new("server-not-ready", "it is not there")), by, Slot::None)),
        4 => slot().prop_map(Say::TakeOver),
        1 => slot().prop_map(Say::TakeOverUnrun),
        1 => Just(Say::LateTakeOver),
        2 => (by(), prop_oneof![Just("a"), Just("b")], prop::option::of(0..5_000_u32))
            .prop_map(|(by, name, budget)| Say::Spawn(by, name, budget)),
        2 => (by(), proptest::sample::select(vec![&[1][..], &[]]), proptest::sample::select(vec![&["a"][..], &["b", "c"], &[]]))
            .prop_map(|(by, records, children)| Say::Record(by, records, children)),
        1 => by().prop_map(Say::Withdraw),
        1 => (by(), 0..40_usize).prop_map(|(by, bytes)| Say::Checkpoint(by, bytes)),
        2 => by().prop_map(Say::Release),
        2 => by().prop_map(Say::Progress),
        2 => (by(), proptest::sample::select(vec!["a", "b"]), 0..9usize, any::<bool>())
            .prop_map(|(by, id, bytes, append)| Say::Add(by, id, bytes, append)),
        4 => (by(), kind()).prop_map(|(by, kind)| Say::Ask(by, kind)),
        8 => (text(), plan(), run, slot()).prop_map(|(text, plan, run, slot)| Say::Reply(text, plan, run, slot)),
        4 => (by(), outcome()).prop_map(|(by, outcome)| Say::Finish(by, outcome)),
        1 => Just(Say::Cancel),
        1 => Just(Say::Unserve),
        1 => Just(Say::Serve),
        1 => by().prop_map(Say::Expire),
    ]
}

fn conversation() -> impl Strategy<Value = Vec<Say>> {
    let first = (plan(), slot()).prop_map(|(plan, slot)| Say::Submit(plan, slot));
    (first, vec(say(), 0..40)).prop_map(|(first, more)| std::iter::once(first).chain(more).collect())
}

/// What must be so of any task, wherever it stands.
fn holds_of(task: &Task) {
    match task.state {
        State::Working => {
            assert!(task.claim.is_some(), "a working task has an owner");
            assert!(task.open_call().is_some(), "a working task has a call that it works at");
        }
        State::InputRequired | State::AuthRequired => assert!(task.question.is_some(), "it waits for an answer"),
        State::Submitted => {
            assert_ne!(
                task.planned_call.is_some(),
                task.deferred.is_some(),
                "what waits for its run knows what to run, or waits to know"
            );
        }
        State::Completed | State::Failed | State::Canceled | State::Rejected => {}
    }
    if task.state != State::Submitted {
        assert!(task.deferred.is_none(), "only what waits for its run waits to know what to run");
    }
    if !task.state.is_interrupted() {
        assert!(task.question.is_none(), "only a task that waits has a question");
    }
}

/// How often a call is repeated that must not be, but for the caller's word.
#[derive(Default)]
struct Repeats {
    intended: usize,
    allowed: usize,
}

impl Repeats {
    fn see(&mut self, say: &Say, before: Option<&Task>, events: &[Event]) {
        let question = before.and_then(|task| task.question.as_ref());
        let is_about_outcome = question.is_some_and(|question| matches!(question.kind, QuestionKind::Outcome { .. }));
        if is_about_outcome && matches!(say, Say::Reply("retry", ..)) {
            self.allowed += 1;
        }
        let not_made = |event: &Event| matches!(event, Event::Settled { outcome: CallOutcome::NotMade, .. });
        self.allowed += usize::from(events.iter().any(not_made));
        let last = before.and_then(|task| task.calls.last());
        // One that can be gone on with makes no effect twice.
        let last = last.filter(|_| before.is_some_and(|task| !task.is_resumable()));
        let is_again = last.is_some_and(|last| last.effect == Effect::AtMostOnce);
        if is_again && events.iter().any(|event| matches!(event, Event::Intended { .. })) {
            self.intended += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_conversation(said in conversation()) {
        let mut talk = Talk::new(Limits::default());
        let mut repeats = Repeats::default();
        for say in &said {
            let before = talk.task.clone();
            match talk.say(say) {
                Ok(events) => {
                    let is_over = before.as_ref().is_some_and(|task| task.state.is_terminal());
                    prop_assert!(!(is_over && events.iter().any(Event::is_public)), "public after the end: {events:?}");
                    repeats.see(say, before.as_ref(), &events);
                }
                Err(_) => prop_assert_eq!(&before, &talk.task, "what is refused changes nothing"),
            }
            holds_of(talk.task.as_ref().expect("the first thing said was to submit"));
        }
        prop_assert!(repeats.intended <= repeats.allowed, "run again without a word");
        the_log_is_sound(&talk);
    }
}

fn the_log_is_sound(talk: &Talk) {
    let task = talk.task.as_ref().unwrap();
    let back: Vec<_> = talk
        .log
        .iter()
        .map(|(at, event)| {
            let text = serde_json::to_string(event).unwrap();
            (*at, serde_json::from_str::<Event>(&text).unwrap())
        })
        .collect();
    assert_eq!(back, talk.log, "an event is read back as it was written");
    let folded = Task::fold(task.id, back.iter().map(|(at, event)| (*at, event)));
    assert_eq!(folded.as_ref(), Some(task), "read back, the log is the same task");
    assert_eq!(task.version, talk.log.len() as u64, "a version for each record");
    let public = talk.log.iter().filter(|(_, event)| event.is_public()).count();
    assert_eq!(task.generation, Generation(public as u64), "a generation for each public one");
    let ends = talk.log.iter().filter(|(_, event)| matches!(event, Event::Ended { .. })).count();
    assert_eq!(ends, usize::from(task.state.is_terminal()), "one end, if it has ended");
    let mut attempts: Vec<(CallId, u32)> = Vec::new();
    for (_, event) in &talk.log {
        if let Event::Intended { call_id, attempt } | Event::Reclaimed { call_id, attempt, .. } = event {
            assert!(!attempts.contains(&(*call_id, *attempt)), "each attempt of a call is intended once");
            attempts.push((*call_id, *attempt));
        }
    }
}
