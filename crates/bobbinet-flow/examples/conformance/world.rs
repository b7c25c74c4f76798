//! What a flow meets when it runs here: addresses that a stand-in answers for, agents that say yes, timers that fire at once.

use std::collections::{BTreeMap, VecDeque};

use bobbinet_core::Timestamp;
use bobbinet_flow::{
    document::{Definition, HttpOutput},
    limits::Limits,
    run::{Came, Effect, End, Error, Given, Id, News, Record, Standard, State, Surroundings, Target, decide},
};
use bobbinet_text::yaml::{self, Booleans, Node, Value};
use serde_json::{Value as Json, json};

/// How a run ended, and the steps that it entered, in order.
pub(crate) struct Ended {
    pub(crate) end: Option<End>,
    pub(crate) entered: Vec<String>,
}

/// Runs a definition until it ends or has nothing left to wait for but events that do not come.
pub(crate) fn run(definition: &Definition, input: Json, events: &[Json]) -> Ended {
    let limits = Limits::default();
    let secrets = BTreeMap::from([("mySecret".to_owned(), json!({"token": "s3cret"}))]);
    let around = Surroundings { limits: &limits, secrets: &secrets, runtime: &json!({"name": "bobbinet"}), blobs: &() };
    let mut state = State::default();
    let mut entered = Vec::new();
    let mut open = VecDeque::from([Came::Start { run: "run".into(), input }]);
    let mut listens: Vec<Id> = Vec::new();
    let mut events: VecDeque<Json> = events.iter().cloned().collect();
    let mut now = Timestamp::from_millis(1_795_773_600_000);
    loop {
        let Some(came) = open.pop_front().or_else(|| {
            let listen = *listens.last()?;
            Some(Came::Heard { listen, event: events.pop_front()? })
        }) else {
            return Ended { end: state.end().cloned(), entered };
        };
        if let Came::Fired { .. } = came {
            now = now.after(std::time::Duration::from_secs(60));
        }
        let (next, effects) = decide(definition, state, &Record { at: now, chance: 0, came }, &around);
        state = next;
        for effect in effects {
            match effect {
                Effect::Call(call) => {
                    if call.is_detached {
                        continue;
                    }
                    open.push_back(match answer(&call.target, &call.arguments) {
                        Ok(output) => Came::Result { call: call.call, output: Given::Inline(output.into()) },
                        Err(error) => Came::Failed { call: call.call, error },
                    });
                }
                // Behind all else: a step that is in time is in time.
                Effect::Timer { timer, .. } => open.push_back(Came::Fired { timer }),
                Effect::Listen { listen, .. } => listens.push(listen),
                Effect::Unlisten { listen } => listens.retain(|open| *open != listen),
                Effect::Progress(progress) if progress.news == News::Entered => entered.push(progress.name),
                Effect::Drop { timer } => open.retain(|came| *came != Came::Fired { timer }),
                Effect::Cancel { .. }
                | Effect::Progress(_)
                | Effect::Emit { .. }
                | Effect::Ask { .. }
                | Effect::Unask { .. }
                | Effect::Answer { .. }
                | Effect::Finish { .. }
                | Effect::Fail { .. }
                | Effect::Canceled => {}
            }
        }
    }
}

fn answer(target: &Target, arguments: &Json) -> Result<Json, Error> {
    match target {
        Target::Http { method, uri, authentication, output, .. } => {
            let (status, content) = page(uri, authentication.as_ref());
            if !(200..300).contains(&status) {
                let mut error = Error::standard(Standard::Communication, format!("{method} {uri} gave {status}"));
                error.status = status;
                return Err(error);
            }
            Ok(match output {
                HttpOutput::Content => content,
                HttpOutput::Raw => json!("cmF3"),
                HttpOutput::Response => json!({
                    "request": {"method": method, "uri": uri, "headers": {}},
                    "statusCode": status,
                    "headers": {"content-type": "application/json"},
                    "content": content,
                }),
            })
        }
        Target::Skill { .. } | Target::A2a { .. } | Target::Mcp { .. } | Target::Workflow { .. } => {
            Ok(json!({"with": arguments}))
        }
    }
}

/// What stands at the public addresses of the kit and the examples.
fn page(uri: &str, authentication: Option<&Json>) -> (u16, Json) {
    // With `petId` beside `id`: some examples address the next call by it.
    let pet = |id: u64| json!({"id": id, "petId": id, "name": "Milou", "status": "available"});
    let path = uri.split("://").nth(1).unwrap_or_default();
    if path.contains("findByStatus?status=available") {
        return (200, json!([pet(1), pet(2)]));
    }
    if let Some(id) = path.strip_prefix("petstore.swagger.io/v2/pet/") {
        return id.parse().map_or((404, json!({"message": "Pet not found"})), |id| (200, pet(id)));
    }
    if let Some(user) = path.strip_prefix("httpbin.org/basic-auth/") {
        let basic = authentication.and_then(|policy| policy.get("basic"));
        let given = basic.and_then(|basic| Some((basic.get("username")?.as_str()?, basic.get("password")?.as_str()?)));
        let is_known = given.is_some_and(|(name, word)| user == format!("{name}/{word}"));
        return (if is_known { 200 } else { 401 }, json!({"authenticated": is_known}));
    }
    if path.starts_with("swapi.dev/api/people/") {
        return (200, json!({"name": "Luke", "homeworld": "https://swapi.dev/api/planets/1/"}));
    }
    (200, json!({"path": path}))
}

/// A text of the kit.
pub(crate) fn json(text: &str) -> Json {
    fn value(node: Node) -> Json {
        match node.value {
            Value::Null => Json::Null,
            Value::Flag(flag) => flag.into(),
            Value::Number(number) => number.into(),
            Value::Text(text) => text.into(),
            Value::List(items) => items.into_iter().map(value).collect(),
            Value::Map(entries) => {
                Json::Object(entries.into_iter().map(|(key, node)| (key.text, value(node))).collect())
            }
        }
    }
    value(yaml::parse(text, Booleans::Strict).unwrap_or_else(|error| panic!("{}: {text}", error.words)))
}
