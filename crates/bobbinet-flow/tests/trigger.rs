//! Which events begin runs, and with which input: a schedule, some events, and the inputs of the runs that they begin.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::collections::BTreeMap;

use bobbinet_core::Timestamp;
use bobbinet_flow::{
    document::Definition,
    limits::Limits,
    run::{Surroundings, Trigger},
};
use serde_json::{Value, json};

/// The inputs of the runs, with the number of the event that begins each.
fn check(schedule: &str, events: &[Value], expected: &[(usize, Value)]) {
    let text = format!(
        "document: {{ dsl: '1.0.3', namespace: t, name: t, version: '1.0.0' }}\nschedule: {schedule}\ndo: [ {{ a: {{ set: {{ x: 1 }} }} }} ]\n"
    );
    let limits = Limits::default();
    let reading = Definition::read("t.yaml", &text, &limits);
    let definition = reading.definition.unwrap_or_else(|| panic!("{schedule}: {:?}", reading.findings));
    let (secrets, runtime) = (BTreeMap::new(), json!({}));
    let around = Surroundings { limits: &limits, secrets: &secrets, runtime: &runtime, blobs: &() };
    let mut trigger = Trigger::new(&definition).unwrap();
    let mut begun = Vec::new();
    for (number, event) in events.iter().enumerate() {
        if let Some(input) = trigger.hear(&definition, event, Timestamp::from_millis(0), &around).unwrap() {
            begun.push((number, input));
            assert!(trigger.is_new());
        }
    }
    assert_eq!(begun, expected, "{schedule}");
}

fn event(kind: &str, data: &Value) -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": kind, "data": data })
}

#[test]
fn events_that_match_begin_a_run_each() {
    let (a1, b2, a3) = (event("a", &json!({ "n": 1 })), event("b", &json!({ "n": 2 })), event("a", &json!({ "n": 3 })));
    let all = [a1.clone(), b2.clone(), a3.clone()];
    check("{ on: { one: { with: { type: a } } } }", &all, &[(0, json!([{ "n": 1 }])), (2, json!([{ "n": 3 }]))]);
    check("{ on: { one: { with: { type: c } } } }", &all, &[]);
    check(
        "{ on: { any: [ { with: { type: a } }, { with: { type: b } } ] } }",
        &all,
        &[(0, json!([{ "n": 1 }])), (1, json!([{ "n": 2 }])), (2, json!([{ "n": 3 }]))],
    );
    check("{ on: { any: [] }, read: envelope }", &all[..1], &[(0, json!([a1]))]);
    // What is not needed is passed over, and the next run needs both again.
    check(
        "{ on: { all: [ { with: { type: a } }, { with: { type: b } } ] } }",
        &[a1.clone(), a3.clone(), b2.clone(), b2.clone(), a3.clone()],
        &[(2, json!([{ "n": 1 }, { "n": 2 }])), (4, json!([{ "n": 2 }, { "n": 3 }]))],
    );
    check(
        "{ on: { any: [ { with: { type: a } } ], until: '${ length == 2 }' } }",
        &[a1.clone(), b2.clone(), a3.clone(), a1],
        &[(2, json!([{ "n": 1 }, { "n": 3 }]))],
    );
    check(
        "{ on: { any: [ { with: { type: a } } ], until: { one: { with: { type: b } } } } }",
        &[a3, b2],
        &[(1, json!([{ "n": 3 }]))],
    );
}

#[test]
fn an_attribute_can_be_an_expression_or_a_pattern() {
    let high = event("temperature", &json!({ "value": 90 }));
    let low = event("temperature", &json!({ "value": 10 }));
    check("{ on: { one: { with: { data: '${ .value > 50 }' } } } }", &[low, high], &[(1, json!([{ "value": 90 }]))]);
    let all = [event("com.a.x", &json!(1)), event("com.b.x", &json!(2))];
    check("{ on: { one: { with: { type: 'com[.]a[.].*' } } } }", &all, &[(0, json!([1]))]);
}
