//! How a flow is drawn, and what it may reach.
#![allow(clippy::unwrap_used, reason = "a test")]

#[expect(unreachable_pub, dead_code, reason = "shared by test files")]
mod support;

use bobbinet_flow::{document::Reach, graph::mermaid};
use expect_test::expect;

const FLOW: &str = r#"do:
  - find: { call: files.search, with: { q: "<b> & \"c\"" } }
  - which: { switch: [ { none: { when: 'length == 0', then: end } }, { many: { when: 'length > 9', then: tell } } ] }
  - each: { for: { each: hit, in: . }, do: [ { read: { if: '$hit.ok', call: files.read } } ] }
  - try:
      try: [ { both: { fork: { branches: [ { a: { call: http, with: { method: get, endpoint: 'https://example.com/{id}' } } }, { b: { call: http, with: { method: get, endpoint: 'https://{host}/' } } } ] } } } ]
      catch: { do: [ { sorry: { set: { a: 1 } } } ] }
  - tell: { emit: { event: { with: { type: done } } } }
"#;

#[test]
fn a_flow_is_drawn() {
    expect![[r#"
        flowchart TD
          start([start])
          finish([end])
          t0["find: files.search"]
          t1{"which: switch"}
          t2["each: for"]
          subgraph t2_do["for each hit"]
            t2_do_end(( ))
            t3["read: files.read, if"]
            t3 --> t2_do_end
          end
          t2 -.-> t3
          t4["try: try"]
          subgraph t4_try["try"]
            t4_try_end(( ))
            t5["both: fork"]
            subgraph t5_fork["all of"]
              t6["a: GET https://example.com/{id}"]
              t7["b: GET https://{host}/"]
            end
            t5 -.-> t6
            t5 -.-> t7
            t5 --> t4_try_end
          end
          t4 -.-> t5
          subgraph t4_catch["catch"]
            t4_catch_end(( ))
            t8["sorry: set"]
            t8 --> t4_catch_end
          end
          t4 -. failed .-> t8
          t9(["tell: emit"])
          t0 --> t1
          t1 -- "none" --> finish
          t1 -- "many" --> t9
          t1 --> t2
          t2 --> t4
          t4 --> t9
          t9 --> finish
          start --> t0
    "#]]
    .assert_eq(&mermaid(&support::definition(FLOW)));
}

#[test]
fn what_a_flow_may_reach_is_known_beforehand() {
    let definition = support::definition(FLOW);
    let reaches: Vec<Reach<'_>> = definition.reaches().map(|(_, reach)| reach).collect();
    assert_eq!(
        reaches,
        [
            Reach::Skill { agent: "files", skill: "search" },
            Reach::Skill { agent: "files", skill: "read" },
            Reach::Http(Some("https://example.com/{id}")),
            Reach::Http(None),
            Reach::Events,
        ]
    );
}
