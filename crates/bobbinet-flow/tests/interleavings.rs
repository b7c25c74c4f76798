//! Whatever comes in whatever order: the records give the state that was there, nothing stays open when a run has ended, and the same
//! answers give the same end.
#![allow(clippy::unwrap_used, reason = "a test")]

#[expect(unreachable_pub, reason = "shared by test files")]
mod support;

use proptest::prelude::*;
use serde_json::{Value, json};

const FLOWS: [&str; 4] = [
    "do:
  - all:
      fork:
        branches:
          - a: { do: [ { a1: { call: x.a1 } }, { a2: { call: x.a2, with: { v: '${ . }' } } } ] }
          - b: { for: { each: n, in: '[1, 2, 3]' }, do: [ { b1: { call: x.b, with: { n: '${ $n }' } } }, { b2: { wait: PT1S } } ] }
          - c: { try: [ { c1: { call: x.c } } ], catch: { retry: { delay: PT1S, limit: { attempt: { count: 2 } } }, do: [ { c2: { set: { gave: up } } } ] } }
  - sum: { set: '${ {all: .} }' }
",
    "do:
  - race: { fork: { compete: true, branches: [ { a: { call: x.a } }, { b: { do: [ { b1: { call: x.b1 } }, { b2: { call: x.b2 } } ] } }, { c: { wait: PT5S } } ] } }
  - last: { call: x.last, with: { v: '${ . }' }, timeout: { after: PT3S } }
",
    "do:
  - hear:
      listen: { to: { any: [ { with: { type: a } }, { with: { type: b } } ], until: 'length > 3' } }
      foreach: { item: e, do: [ { each: { call: x.each, with: { e: '${ $e }' } } } ], output: { as: '.v' } }
  - both: { fork: { branches: [ { one: { listen: { to: { one: { with: { type: a } } } } } }, { two: { call: x.two } } ] } }
",
    "timeout: { after: PT1M }
do:
  - try:
      try:
        - outer: { do: [ { f: { fork: { branches: [ { p: { call: x.p, timeout: { after: PT2S } } }, { q: { call: x.q } } ] } } } ] }
      catch: { as: e, when: '$e.status != 501', do: [ { note: { set: { failed: '${ $e.instance }' } } }, { tell: { call: x.tell, with: { e: '${ $e.status }' } } } ] }
  - count: { set: { n: '${ (.n // 0) + 1 }' }, export: { as: '$context + {n: .n}' } }
  - again: { switch: [ { more: { when: '.n < 3', then: count } } ] }
",
];

/// What comes next, by chance, of all that can.
fn step(driver: &mut support::Driver<'_>, choice: u32) -> bool {
    if driver.state.end().is_some() {
        return false;
    }
    let names: Vec<String> = driver.calls.values().cloned().collect();
    let mut lines: Vec<String> = Vec::new();
    for name in &names {
        let count = driver.records.len();
        lines.push(format!("ok {name} {{\"v\":{count}}}"));
        lines.push(format!("ok {name} {}", json!({"v": name})));
        lines.push(format!("fail {name} {}", [500, 501, 503][choice as usize % 3]));
        lines.push(format!("ask {name} \"what?\""));
    }
    if !driver.timers.is_empty() {
        lines.push("fire".into());
    }
    if !driver.listens.is_empty() {
        lines.extend(
            ["event {\"type\":\"a\",\"data\":1}", "event {\"type\":\"b\",\"data\":2}", "event {\"type\":\"c\"}"]
                .map(String::from),
        );
    }
    if driver.is_asking {
        lines.push("answer \"that\"".into());
    }
    if choice.is_multiple_of(97) {
        lines.push("cancel".into());
    }
    if lines.is_empty() {
        return false;
    }
    let line = lines[choice as usize % lines.len()].clone();
    driver.follow(&line);
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_gives_what_was_there(flow in 0..FLOWS.len(), choices in prop::collection::vec(any::<u32>(), 1..60)) {
        let definition = support::definition(FLOWS[flow]);
        let mut driver = support::Driver::new(&definition);
        driver.start(json!({}));
        for choice in &choices {
            let can = step(&mut driver, *choice);
            driver.check_replay();
            if !can {
                prop_assert!(driver.state.end().is_some(), "stuck: {}", driver.told);
                break;
            }
        }
        if driver.state.end().is_some() {
            prop_assert!(driver.calls.is_empty() && driver.timers.is_empty() && driver.listens.is_empty(), "left open: {}", driver.told);
            // Late news change nothing.
            let before = driver.state.clone();
            for id in 0..40 {
                let id: bobbinet_flow::run::Id = serde_json::from_value(Value::from(id)).unwrap();
                driver.give(bobbinet_flow::run::Came::Fired { timer: id });
                driver.give(bobbinet_flow::run::Came::Result { call: id, output: bobbinet_flow::run::Given::Inline(json!(1).into()) });
            }
            prop_assert_eq!(&before, &driver.state);
        }
    }

    /// The order in which parallel calls end does not change what a fork gives.
    #[test]
    fn order_does_not_matter_to_a_fork(choices in prop::collection::vec(any::<u32>(), 40)) {
        let definition = support::definition(FLOWS[0]);
        let mut driver = support::Driver::new(&definition);
        driver.start(json!({}));
        for choice in choices {
            let mut lines: Vec<String> = driver.calls.values().map(|name| format!("ok {name} {}", json!({"from": name}))).collect();
            if !driver.timers.is_empty() {
                lines.push("fire".into());
            }
            if lines.is_empty() {
                break;
            }
            driver.follow(&lines[choice as usize % lines.len()].clone());
        }
        let end = serde_json::to_value(driver.state.end()).unwrap();
        let all = json!([{"from": "a2"}, {"from": "b1"}, {"from": "c1"}]);
        prop_assert_eq!(end, json!({"finished": {"all": all}}));
    }
}
