//! Runs that mean harm: each turn is short, and each run has an end.
#![allow(clippy::unwrap_used, reason = "a test")]

#[expect(unreachable_pub, dead_code, reason = "shared by test files")]
mod support;

use std::time::{Duration, Instant};

use bobbinet_flow::{
    document::Definition,
    limits::Limits,
    run::{Came, Effect, End, Record, State, Surroundings, decide},
};
use serde_json::{Value, json};

/// How long one turn may take here, in a build without optimisation and on a busy machine. Optimised the worst of these takes 1.6 s: a value of a million parts that is made, and refused.
const TURN_MAX: Duration = Duration::from_secs(8);

/// Runs a flow to its end, and gives that and what all effects are in JSON. Calls are answered with what they were called with.
#[track_caller]
fn run(what: &str, flow: &str, input: Value, limits: &Limits) -> (End, usize) {
    let text = format!("{}{flow}", support::HEAD);
    let reading = Definition::read("flow.yaml", &text, limits);
    let definition = reading.definition.unwrap_or_else(|| panic!("{what}: {}", reading.findings[0]));
    let secrets = std::collections::BTreeMap::from([("token".to_owned(), json!("s3cret"))]);
    let around = Surroundings { limits, secrets: &secrets, runtime: &json!({}), blobs: &() };
    let mut open = vec![Came::Start { run: "run".into(), input }];
    let mut state = State::default();
    let (mut worst, mut bytes, mut turns) = (Duration::ZERO, 0, 0);
    while let Some(came) = open.pop() {
        let record = Record { at: at(turns), chance: 0, came };
        let started = Instant::now();
        let (next, effects) = decide(&definition, state, &record, &around);
        worst = worst.max(started.elapsed());
        assert!(worst < TURN_MAX, "{what}: a turn took {worst:?}");
        state = next;
        turns += 1;
        for effect in &effects {
            bytes += serde_json::to_string(effect).unwrap().len();
            if let Effect::Timer { timer, .. } = effect {
                open.push(Came::Fired { timer: *timer });
            }
        }
    }
    let end = state.end().cloned().unwrap_or_else(|| panic!("{what} has no end"));
    let told = match &end {
        End::Failed(error) => error.detail.clone().unwrap_or_default(),
        End::Finished(_) => "finished".to_owned(),
        End::Canceled => "canceled".to_owned(),
    };
    println!("{worst:>10.1?} at most, {turns} turns, {bytes} bytes: {what}: {told:.100}");
    assert!(told.len() < 2_000, "{what} tells {} bytes", told.len());
    (end, bytes)
}

fn at(turns: u64) -> bobbinet_core::Timestamp {
    bobbinet_core::Timestamp::from_millis(1_000_000 + turns)
}

#[track_caller]
fn fails(what: &str, flow: &str, input: Value, with: &str) {
    let (end, _) = run(what, flow, input, &Limits::default());
    let End::Failed(error) = end else { panic!("{what}: {end:?}") };
    assert!(error.json().to_string().contains(with), "{what}: {}", error.json());
}

#[test]
fn runs_have_an_end() {
    let million: Vec<u32> = (0..1_000_000).collect();
    fails(
        "a loop over a million",
        "do: [ { a: { for: { in: . }, do: [ { b: { set: { x: 1 } } } ] } } ]\n",
        json!(million),
        "10000 rounds",
    );
    fails(
        "a loop over a million that it makes",
        "do: [ { a: { for: { in: '[range(1000000)]' }, do: [ { b: { set: { x: 1 } } } ] } } ]\n",
        json!({}),
        "errors/",
    );
    fails(
        "loops in loops",
        "do: [ { a: { for: { in: '[range(5000)]' }, do: [ { b: { for: { in: '[range(5000)]' }, do: [ { c: { set: { x: 1 } } } ] } } ] } } ]\n",
        json!({}),
        "steps",
    );
    fails(
        "a function that calls itself",
        "use: { functions: { f: { do: [ { g: { call: f } } ] } } }\ndo: [ { a: { call: f } } ]\n",
        json!({}),
        "deep",
    );
    fails(
        "two functions that call each other twice",
        "use: { functions: { f: { do: [ { x: { try: [ { g: { call: h } } ], catch: { do: [ { again: { call: h } } ] } } } ] }, h: { do: [ { x: { try: [ { g: { call: f } } ], catch: { do: [ { again: { call: f } } ] } } } ] } } }\ndo: [ { a: { call: f } } ]\n",
        json!({}),
        "errors/runtime",
    );
    fails(
        "a jump back",
        "do:\n  - a: { set: '${ . + 1 }' }\n  - b: { switch: [ { c: { when: '. < 0', then: exit } } ], then: a }\n",
        json!(0),
        "steps",
    );
    fails(
        "a retry that waits for nothing",
        "do: [ { a: { try: [ { b: { raise: { error: { type: x, status: 500 } } } } ], catch: { retry: { delay: PT0S } } } } ]\n",
        json!({}),
        "",
    );
    fails(
        "a fork of forks",
        &format!(
            "use: {{ functions: {{ f: {{ fork: {{ branches: [ {} ] }} }} }} }}\ndo: [ {{ a: {{ call: f }} }} ]\n",
            (0..50).map(|n| format!("{{ b{n}: {{ call: f }} }}")).collect::<Vec<_>>().join(", ")
        ),
        json!({}),
        "errors/runtime",
    );
    fails(
        "a value that doubles",
        "do:\n  - a: { set: { x: '${ [., .] }' } }\n  - b: { switch: [ { c: { when: '. == 0', then: exit } } ], then: a }\n",
        json!({}),
        "errors/",
    );
    fails(
        "a context that doubles",
        "do:\n  - a: { set: { x: 1 }, export: { as: '[$context, $context]' } }\n  - b: { switch: [ { c: { when: '. == 0', then: exit } } ], then: a }\n",
        json!({}),
        "errors/",
    );
    fails(
        "work in each of many steps",
        "do:\n  - a: { set: '${ [range(20000)] | map(. + 1) | add }' }\n  - b: { switch: [ { c: { when: '. < 0', then: exit } } ], then: a }\n",
        json!({}),
        "errors/",
    );
}

/// Values that are named in each step, and not looked at.
#[test]
fn large_values_cost_what_they_weigh() {
    let million: Vec<u32> = (0..500_000).collect();
    let again = |first: &str| {
        format!(
            "do:\n  - a: {first}\n  - b: {{ switch: [ {{ c: {{ when: '$context.never', then: exit }} }} ], then: a }}\n"
        )
    };
    let input = || json!({"list": million});
    // Some turns are enough to see.
    let limits = Limits { run_work: 8_000_000, ..Limits::default() };
    for (what, first) in [
        ("the workflow's input in each step", "{ set: { x: '${ $workflow.id }' } }"),
        ("the step's input in each step", "{ set: { x: '${ $task.name }', list: '${ .list }' } }"),
        ("a large value passed on", "{ set: { x: 1, list: '${ .list }' } }"),
        ("a large value kept in the context", "{ set: { x: 1 }, export: { as: '$context' } }"),
        ("a large value looped over", "{ for: { in: '.list[:9000]' }, do: [ { d: { set: '${ $context }' } } ] }"),
    ] {
        let (_, bytes) = run(what, &again(first), input(), &limits);
        assert!(bytes < 100_000_000, "{what}: {bytes}");
    }
}

/// Schemas that are cheap to write and dear to check.
#[test]
fn checks_have_an_end() {
    let step = |schema: &str| {
        format!("do: [ {{ a: {{ set: '${{ . }}', output: {{ schema: {{ document: {schema} }} }} }} }} ]\n")
    };
    let many: String = (0..4_000).map(|n| format!("{{ const: {n} }}, ")).collect();
    fails(
        "many choices for many items",
        &step(&format!("{{ items: {{ anyOf: [ {many} ] }} }}")),
        json!(vec!["x"; 100_000]),
        "too large",
    );
    let words: Vec<String> = (0..8_000).map(|n| format!("w{n}")).collect();
    fails(
        "a long list of words for many items",
        &step(&format!("{{ items: {{ enum: [ {} ] }} }}", words.join(", "))),
        json!(vec!["x"; 100_000]),
        "too large",
    );
    fails(
        "a pattern over a long text",
        &step("{ pattern: '^(a|b|ab)*(c|d|cd)*(e{1,50}f{1,50}){1,20}$' }"),
        json!("ab".repeat(2_000_000)),
        "too large",
    );
    fails(
        "a fault that quotes a large value",
        &step("{ type: object }"),
        json!("x".repeat(2_000_000)),
        "errors/validation",
    );
    fails(
        "a fault of an expression that quotes a large value",
        "do: [ { a: { set: '${ .a.b }' } } ]\n",
        json!({"a": "x".repeat(2_000_000)}),
        "errors/expression",
    );
    // What is usual is checked.
    let schema = "{ type: array, items: { type: object, properties: { id: { type: integer }, name: { type: string, pattern: '^[a-z]+$' } }, required: [id] } }";
    let rows: Vec<Value> = (0..5_000).map(|n| json!({"id": n, "name": "abc"})).collect();
    let (end, _) = run("rows", &step(schema), json!(rows), &Limits::default());
    assert!(matches!(end, End::Finished(_)));
    let tree = (0..20).fold(json!({"n": 1}), |inner, n| json!({"n": n, "below": [inner.clone(), {"n": 0}]}));
    let schema = "{ $defs: { t: { type: object, properties: { n: { type: integer }, below: { items: { $ref: '#/$defs/t' } } } } }, $ref: '#/$defs/t' }";
    let (end, _) = run("a tree", &step(schema), tree, &Limits::default());
    assert!(matches!(end, End::Finished(_)));
}

/// A secret is seen by `input.from` alone, and only one that the flow names.
#[test]
fn secrets_stay_where_they_may_be_read() {
    let flow =
        "use: { secrets: [token] }\ndo: [ { a: { input: { from: '{ have: ($secrets | keys) }' }, set: '${ . }' } } ]\n";
    let (end, _) = run("secrets", flow, json!({}), &Limits::default());
    assert_eq!(end, End::Finished(json!({"have": ["token"]}).into()));
    let flow = "do: [ { a: { input: { from: '{ have: $secrets }' }, set: '${ . }' } } ]\n";
    let (end, _) = run("secrets that it does not name", flow, json!({}), &Limits::default());
    assert_eq!(end, End::Finished(json!({"have": {}}).into()));
    for place in [
        "if: '$secrets.token'",
        "output: { as: '$secrets.token' }",
        "export: { as: '$secrets.token' }",
        "timeout: { after: '${ $secrets.token }' }",
    ] {
        let text =
            format!("{}use: {{ secrets: [token] }}\ndo: [ {{ a: {{ set: {{ x: 1 }}, {place} }} }} ]\n", support::HEAD);
        let reading = Definition::read("flow.yaml", &text, &Limits::default());
        assert!(reading.definition.is_none() && reading.findings[0].message.contains("$secrets"), "{place}");
    }
    let text = format!(
        "{}use: {{ secrets: [token] }}\noutput: {{ as: '$secrets.token' }}\ndo: [ {{ a: {{ set: {{ x: 1 }} }} }} ]\n",
        support::HEAD
    );
    assert!(Definition::read("flow.yaml", &text, &Limits::default()).definition.is_none());
}
