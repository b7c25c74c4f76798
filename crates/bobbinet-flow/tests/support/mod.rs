//! A run that is driven by a script, and told as text.

use std::{collections::BTreeMap, fmt::Write as _};

use bobbinet_core::Timestamp;
use bobbinet_flow::{
    document::Definition,
    limits::Limits,
    run::{Came, Effect, Error, Given, Id, Record, Standard, State, Surroundings, Target, decide, replay},
};
use serde_json::{Value, json};

pub const HEAD: &str = "document: { dsl: '1.0.3', namespace: test, name: flow, version: '1.0.0' }\n";

pub fn definition(text: &str) -> Definition {
    let text = if text.starts_with("document:") { text.to_owned() } else { format!("{HEAD}{text}") };
    let reading = Definition::read("flow.yaml", &text, &Limits::default());
    let findings: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    reading.definition.unwrap_or_else(|| panic!("{}", findings.join("\n")))
}

/// A run with all that it has open.
pub struct Driver<'d> {
    pub definition: &'d Definition,
    pub limits: Limits,
    pub state: State,
    pub records: Vec<Record>,
    pub calls: BTreeMap<Id, String>,
    pub timers: BTreeMap<Id, Timestamp>,
    pub listens: Vec<Id>,
    pub is_asking: bool,
    pub now: Timestamp,
    pub told: String,
}

impl<'d> Driver<'d> {
    pub fn new(definition: &'d Definition) -> Self {
        Self {
            definition,
            limits: Limits::default(),
            state: State::default(),
            records: Vec::new(),
            calls: BTreeMap::new(),
            timers: BTreeMap::new(),
            listens: Vec::new(),
            is_asking: false,
            now: Timestamp::from_millis(1_000_000),
            told: String::new(),
        }
    }

    fn secrets() -> BTreeMap<String, Value> {
        BTreeMap::from([("token".to_owned(), json!("s3cret"))])
    }

    pub fn give(&mut self, came: Came) {
        let record = Record { at: self.now, chance: 7, came };
        let (secrets, runtime) = (Self::secrets(), json!({"name": "bobbinet"}));
        let around = Surroundings { limits: &self.limits, secrets: &secrets, runtime: &runtime, blobs: &() };
        let (state, effects) = decide(self.definition, std::mem::take(&mut self.state), &record, &around);
        self.state = state;
        self.records.push(record);
        for effect in effects {
            self.tell(&effect);
        }
        self.now = self.now.after(std::time::Duration::from_millis(1));
    }

    fn tell(&mut self, effect: &Effect) {
        let told = &mut self.told;
        let _ = match effect {
            Effect::Call(call) => {
                if !call.is_detached {
                    self.calls.insert(call.call, call.name.clone());
                }
                let target = match &call.target {
                    Target::Skill { agent, skill } => format!("{agent}.{skill}"),
                    other @ (Target::A2a { .. }
                    | Target::Mcp { .. }
                    | Target::Http { .. }
                    | Target::Workflow { .. }) => serde_json::to_value(other).unwrap().to_string(),
                };
                let attempt = if call.attempt > 1 { format!(" attempt {}", call.attempt) } else { String::new() };
                let detached = if call.is_detached { " detached" } else { "" };
                writeln!(told, "call {} {target} {}{attempt}{detached}", call.pointer, call.arguments)
            }
            Effect::Cancel { call } => {
                let name = self.calls.remove(call).unwrap_or_default();
                writeln!(told, "cancel {name}")
            }
            Effect::Timer { timer, until } => {
                self.timers.insert(*timer, *until);
                writeln!(told, "timer +{:?}", until.since(self.now))
            }
            Effect::Drop { timer } => {
                self.timers.remove(timer);
                writeln!(told, "drop timer")
            }
            Effect::Emit { event } => writeln!(told, "emit {event}"),
            Effect::Listen { listen, pointer, filters } => {
                self.listens.push(*listen);
                writeln!(told, "listen {pointer} {}", json!(filters))
            }
            Effect::Unlisten { listen } => {
                self.listens.retain(|known| known != listen);
                writeln!(told, "unlisten")
            }
            Effect::Ask { call, question, pointer } => {
                self.is_asking = true;
                writeln!(told, "ask {} {pointer} {question}", self.calls[call])
            }
            Effect::Unask { .. } => {
                self.is_asking = false;
                writeln!(told, "unask")
            }
            Effect::Answer { call, answer } => {
                self.is_asking = self.state.question().is_some();
                writeln!(told, "answer {} {answer}", self.calls[call])
            }
            Effect::Progress(_) => Ok(()),
            Effect::Finish { output } => writeln!(told, "finish {output}"),
            Effect::Fail { error } => writeln!(told, "fail {}", error.json()),
            Effect::Canceled => writeln!(told, "canceled"),
        };
    }

    pub fn call_named(&self, name: &str) -> Id {
        let found = self.calls.iter().find(|(_, known)| *known == name);
        *found.unwrap_or_else(|| panic!("no call {name} is open: {:?}\n{}", self.calls, self.told)).0
    }

    pub fn start(&mut self, input: Value) {
        self.give(Came::Start { run: "r1".into(), input });
    }

    /// One line of a script.
    pub fn follow(&mut self, line: &str) {
        let _ = writeln!(self.told, "> {line}");
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, value) = rest.split_once(' ').unwrap_or((rest, "null"));
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{text} is no JSON"));
        match verb {
            "ok" => {
                let call = self.call_named(name);
                self.calls.remove(&call);
                self.give(Came::Result { call, output: Given::Inline(json(value).into()) });
            }
            "fail" => {
                let call = self.call_named(name);
                self.calls.remove(&call);
                let mut error = Error::standard(Standard::Communication, "nobody there");
                error.status = value.parse().unwrap_or(500);
                self.give(Came::Failed { call, error });
            }
            "fire" => {
                let (timer, until) =
                    self.timers.iter().min_by_key(|(_, until)| **until).map(|(t, u)| (*t, *u)).unwrap();
                self.timers.remove(&timer);
                self.now = self.now.max(until);
                self.give(Came::Fired { timer });
            }
            "event" => {
                for listen in self.listens.clone() {
                    self.give(Came::Heard { listen, event: json(rest) });
                }
            }
            "ask" => {
                let call = self.call_named(name);
                self.give(Came::Asked { call, question: json(value) });
            }
            "answer" => self.give(Came::Answered { answer: json(rest) }),
            "cancel" => self.give(Came::Cancel),
            other => panic!("{other}?"),
        }
    }

    /// What was folded from the records is what was there while they came, and it survives being written down.
    pub fn check_replay(&self) {
        let text = serde_json::to_string(&self.records).unwrap();
        let records: Vec<Record> = serde_json::from_str(&text).unwrap();
        let (secrets, runtime) = (Self::secrets(), json!({"name": "bobbinet"}));
        let around = Surroundings { limits: &self.limits, secrets: &secrets, runtime: &runtime, blobs: &() };
        assert_eq!(replay(self.definition, &records, &around), self.state, "the records give another state");
        let snapshot: State = serde_json::from_str(&serde_json::to_string(&self.state).unwrap()).unwrap();
        assert_eq!(snapshot, self.state, "the snapshot is another state");
        if self.state.end().is_none() {
            let open = self.state.open(self.definition);
            let calls = open.iter().filter(|effect| matches!(effect, Effect::Call(_))).count();
            let timers = open.iter().filter(|effect| matches!(effect, Effect::Timer { .. })).count();
            let listens = open.iter().filter(|effect| matches!(effect, Effect::Listen { .. })).count();
            assert_eq!((calls, timers, listens), (self.calls.len(), self.timers.len(), self.listens.len()));
        }
    }
}
