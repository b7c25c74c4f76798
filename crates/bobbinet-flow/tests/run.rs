//! What flows do: a table of small ones.
#![allow(clippy::unwrap_used, reason = "a test")]

#[expect(unreachable_pub, reason = "shared by test files")]
mod support;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

/// Runs a flow with this input and what comes to it, and gives what it did.
fn run(text: &str, input: Value, script: &[&str]) -> String {
    let definition = support::definition(text);
    let mut driver = support::Driver::new(&definition);
    driver.start(input);
    for line in script {
        driver.check_replay();
        driver.follow(line);
    }
    driver.check_replay();
    driver.told
}

#[track_caller]
fn check(flow: &str, input: Value, script: &[&str], expected: Expect) {
    expected.assert_eq(&run(flow, input, script));
}

#[test]
fn set_fills_in_values() {
    check(
        r#"do:
  - shape: { set: { shape: circle, size: "${ .size }", n: [1, "${ .size.w }"] } }
"#,
        json!({"size": {"w": 6}}),
        &[],
        expect![[r#"
            finish {"n":[1,6],"shape":"circle","size":{"w":6}}
        "#]],
    );
}

#[test]
fn steps_follow_one_another() {
    check(
        r#"do:
  - all:
      do:
        - red: { set: { colors: '${ .colors + ["red"] }' } }
        - green: { set: { colors: '${ .colors + ["green"] }' } }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"colors":["red","green"]}
        "#]],
    );
}

#[test]
fn a_jump_leads_to_a_step_of_the_same_list() {
    check(
        r#"do:
  - red: { set: { colors: '${ .colors + ["red"] }' }, then: green }
  - blue: { set: { colors: '${ .colors + ["blue"] }' }, then: end }
  - green: { set: { colors: '${ .colors + ["green"] }' }, then: blue }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"colors":["red","green","blue"]}
        "#]],
    );
}

#[test]
fn exit_ends_the_list_only() {
    check(
        r#"do:
  - inner:
      do:
        - one: { set: { a: 1 }, then: exit }
        - two: { set: { a: 2 } }
  - last: { set: '${ {after: .a} }' }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"after":1}
        "#]],
    );
}

#[test]
fn end_ends_the_run_from_anywhere() {
    check(
        r#"do:
  - inner:
      do:
        - one: { set: { a: 1 }, then: end }
  - last: { set: { a: 2 } }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"a":1}
        "#]],
    );
}

#[test]
fn a_switch_takes_the_first_case_that_holds() {
    check(
        r#"do:
  - which:
      switch:
        - red: { when: '.color == "red"', then: setRed }
        - other: { then: setOther }
  - setRed: { set: { c: 1 }, then: end }
  - setOther: { set: { c: "${ $input.color }" }, then: end }
"#,
        json!({"color": "blue"}),
        &[],
        expect![[r#"
            finish {"c":"blue"}
        "#]],
    );
}

#[test]
fn a_switch_without_a_match_goes_on() {
    check(
        r#"do:
  - which:
      switch:
        - red: { when: '.color == "red"', then: end }
  - last: { set: { a: 1 } }
"#,
        json!({"color": "blue"}),
        &[],
        expect![[r#"
            finish {"a":1}
        "#]],
    );
}

#[test]
fn a_switch_without_a_match_does_what_its_then_says() {
    check(
        r#"do:
  - which:
      switch:
        - red: { when: '.color == "red"', then: last }
      then: end
  - last: { set: { a: 1 } }
"#,
        json!({"color": "blue"}),
        &[],
        expect![[r#"
            finish {"color":"blue"}
        "#]],
    );
}

#[test]
fn if_is_asked_of_the_raw_input_and_a_skipped_step_gives_it() {
    check(
        r#"do:
  - skipped: { if: '${ .go }', input: { from: .x }, set: { a: 1 } }
"#,
        json!({"go": false, "x": {"go": true}}),
        &[],
        expect![[r#"
            finish {"go":false,"x":{"go":true}}
        "#]],
    );
}

#[test]
fn input_from_and_output_as() {
    check(
        r#"do:
  - one: { input: { from: .user.id }, set: { id: "${ . }", raw: "${ $task.input.user.id }" }, output: { as: ".id + 1" } }
"#,
        json!({"user": {"id": 41}}),
        &[],
        expect![[r#"
            finish 42
        "#]],
    );
}

#[test]
fn export_as_replaces_the_context() {
    check(
        r#"do:
  - one: { set: { a: 1 }, export: { as: '$context + {kept: .a, out: $output.a}' } }
  - two: { set: '${ $context }' }
"#,
        json!({"in": 1}),
        &[],
        expect![[r#"
            finish {"in":1,"kept":1,"out":1}
        "#]],
    );
}

#[test]
fn the_workflow_s_own_input_and_output() {
    check(
        r#"input: { from: .inner, schema: { document: { type: object, required: [inner] } } }
output: { as: '{ result: ., raw: $workflow.input.inner }', schema: { document: { type: object } } }
do:
  - one: { set: { got: "${ . }" } }
"#,
        json!({"inner": 5}),
        &[],
        expect![[r#"
            finish {"raw":5,"result":{"got":5}}
        "#]],
    );
}

#[test]
fn a_schema_that_does_not_hold_is_a_validation_error() {
    check(
        r#"input: { schema: { document: { type: object, required: [name] } } }
do:
  - one: { set: { a: 1 } }
"#,
        json!({}),
        &[],
        expect![[r#"
            fail {"detail":"the input is not what its schema says: \"name\" is a required property","instance":"/input/schema","status":400,"title":"Validation Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/validation"}
        "#]],
    );
}

#[test]
fn a_step_s_schemas() {
    check(
        r#"do:
  - one: { set: { a: x }, output: { schema: { document: { properties: { a: { type: number } } } } } }
"#,
        json!({}),
        &[],
        expect![[r#"
            fail {"detail":"the output is not what its schema says: \"x\" is not of type \"number\" (at /a)","instance":"/do/0/one","status":400,"title":"Validation Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/validation"}
        "#]],
    );
}

#[test]
fn an_expression_that_fails_names_its_step() {
    check(
        r#"do:
  - one:
      do:
        - two: { set: { a: "${ .x + 1 }" } }
"#,
        json!({"x": "text"}),
        &[],
        expect![[r#"
            fail {"detail":"cannot calculate \"text\" + 1","instance":"/do/0/one/do/0/two","status":400,"title":"Expression Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/expression"}
        "#]],
    );
}

#[test]
fn a_call_of_a_skill_and_its_output() {
    check(
        r#"do:
  - find: { call: files.search, with: { query: "${ .q }" }, output: { as: .hits } }
  - read: { call: files.read, with: { path: "${ .[0] }" } }
"#,
        json!({"q": "bolt"}),
        &[r#"ok find {"hits": ["a.txt"]}"#, r#"ok read "text""#],
        expect![[r#"
            call /do/0/find files.search {"query":"bolt"}
            > ok find {"hits": ["a.txt"]}
            call /do/1/read files.read {"path":"a.txt"}
            > ok read "text"
            finish "text"
        "#]],
    );
}

#[test]
fn a_skill_may_have_a_colon_in_its_name() {
    check(
        r#"do:
  - say: { call: 'files.prompt:sum up', with: { text: x } }
  - read: { call: 'files.resource:read', with: { uri: 'demo://a' } }
"#,
        json!({}),
        &[r#"ok say "words""#, r#"ok read "text""#],
        expect![[r#"
            call /do/0/say files.prompt:sum up {"text":"x"}
            > ok say "words"
            call /do/1/read files.resource:read {"uri":"demo://a"}
            > ok read "text"
            finish "text"
        "#]],
    );
}

#[test]
fn a_call_that_fails_ends_the_run_with_its_step() {
    check(
        r#"do:
  - find: { call: files.search }
"#,
        json!(null),
        &[r#"fail find 503"#],
        expect![[r#"
            call /do/0/find files.search {}
            > fail find 503
            fail {"detail":"nobody there","instance":"/do/0/find","status":503,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn large_numbers_survive() {
    check(
        r#"do:
  - one: { call: a.b, with: { n: 9007199254740993, m: "${ .m }" } }
"#,
        json!({"m": 9007199254740995_u64}),
        &[r#"ok one {"n": 9007199254740997}"#],
        expect![[r#"
            call /do/0/one a.b {"m":9007199254740995,"n":9007199254740993}
            > ok one {"n": 9007199254740997}
            finish {"n":9007199254740997}
        "#]],
    );
}

#[test]
fn text_that_comes_in_is_never_an_expression() {
    check(
        r#"do:
  - one: { call: a.b, with: { text: "${ .text }" } }
  - two: { set: '${ . }' }
"#,
        json!({"text": "${ $secrets.token }"}),
        &[r#"ok one {"got": "${ 1 + 1 }"}"#],
        expect![[r#"
            call /do/0/one a.b {"text":"${ $secrets.token }"}
            > ok one {"got": "${ 1 + 1 }"}
            finish {"got":"${ 1 + 1 }"}
        "#]],
    );
}

#[test]
fn for_goes_through_items_each_round_with_the_last_one_s_output() {
    check(
        r#"do:
  - loop:
      for: { each: color, in: .colors }
      do:
        - mark: { set: { colors: '${ .colors + [$color] }', at: '${ .at + [$index] }' } }
"#,
        json!({"colors": ["red", "green"]}),
        &[],
        expect![[r#"
            finish {"at":[0,1],"colors":["red","green","red","green"]}
        "#]],
    );
}

#[test]
fn for_over_calls_with_while_and_names_in_all_of_its_steps() {
    check(
        r#"do:
  - loop:
      for: { each: n, in: '[1, 2, 3]', at: i }
      while: '$i < 2'
      do:
        - ask: { call: a.b, with: { n: '${ $n }' } }
        - keep: { set: { last: '${ [$n, $i, .] }' } }
"#,
        json!(null),
        &[r#"ok ask 10"#, r#"ok ask 20"#],
        expect![[r#"
            call /do/0/loop/do/0/ask a.b {"n":1}
            > ok ask 10
            call /do/0/loop/do/0/ask a.b {"n":2}
            > ok ask 20
            finish {"last":[2,1,20]}
        "#]],
    );
}

#[test]
fn for_over_nothing_gives_its_input() {
    check(
        r#"do:
  - loop: { for: { in: .items }, do: [ { one: { set: { a: 1 } } } ] }
"#,
        json!({"items": []}),
        &[],
        expect![[r#"
            finish {"items":[]}
        "#]],
    );
}

#[test]
fn for_over_what_is_no_list_is_an_error() {
    check(
        r#"do:
  - loop: { for: { in: .item }, do: [ { one: { set: { a: 1 } } } ] }
"#,
        json!({"items": []}),
        &[],
        expect![[r#"
            fail {"detail":"for.in gives no list","instance":"/do/0/loop","status":400,"title":"Expression Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/expression"}
        "#]],
    );
}

#[test]
fn fork_really_does_all_at_once_and_keeps_the_order_of_the_branches() {
    check(
        r#"do:
  - both:
      fork:
        branches:
          - a: { call: x.a, with: { v: "${ .v }" } }
          - b: { call: x.b }
          - c: { set: { c: 3 } }
"#,
        json!({"v": 1}),
        &[r#"ok b 2"#, r#"ok a 1"#],
        expect![[r#"
            call /do/0/both/fork/branches/0/a x.a {"v":1}
            call /do/0/both/fork/branches/1/b x.b {}
            > ok b 2
            > ok a 1
            finish [1,2,{"c":3}]
        "#]],
    );
}

#[test]
fn a_race_ends_with_the_first_and_the_others_are_cancelled() {
    check(
        r#"do:
  - race:
      fork:
        compete: true
        branches:
          - a: { call: x.a }
          - b: { do: [ { inner: { call: x.b } } ] }
          - c: { wait: PT5S }
"#,
        json!(null),
        &[r#"ok inner "won""#],
        expect![[r#"
            call /do/0/race/fork/branches/0/a x.a {}
            timer +5s
            call /do/0/race/fork/branches/1/b/do/0/inner x.b {}
            > ok inner "won"
            drop timer
            cancel a
            finish "won"
        "#]],
    );
}

#[test]
fn in_a_race_who_fails_has_lost() {
    check(
        r#"do:
  - race: { fork: { compete: true, branches: [ { a: { call: x.a } }, { b: { call: x.b } } ] } }
"#,
        json!(null),
        &[r#"fail a 500"#, r#"ok b 2"#],
        expect![[r#"
            call /do/0/race/fork/branches/0/a x.a {}
            call /do/0/race/fork/branches/1/b x.b {}
            > fail a 500
            > ok b 2
            finish 2
        "#]],
    );
}

#[test]
fn a_race_in_which_all_fail_has_failed() {
    check(
        r#"do:
  - race: { fork: { compete: true, branches: [ { a: { call: x.a } }, { b: { call: x.b } } ] } }
"#,
        json!(null),
        &[r#"fail a 500"#, r#"fail b 501"#],
        expect![[r#"
            call /do/0/race/fork/branches/0/a x.a {}
            call /do/0/race/fork/branches/1/b x.b {}
            > fail a 500
            > fail b 501
            fail {"detail":"nobody there","instance":"/do/0/race/fork/branches/1/b","status":501,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn a_branch_that_fails_takes_the_others_with_it() {
    check(
        r#"do:
  - both: { fork: { branches: [ { a: { call: x.a } }, { b: { call: x.b } } ] } }
"#,
        json!(null),
        &[r#"fail a 500"#],
        expect![[r#"
            call /do/0/both/fork/branches/0/a x.a {}
            call /do/0/both/fork/branches/1/b x.b {}
            > fail a 500
            cancel b
            fail {"detail":"nobody there","instance":"/do/0/both/fork/branches/0/a","status":500,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn what_a_cancelled_call_gives_is_ignored() {
    check(
        r#"do:
  - race: { fork: { compete: true, branches: [ { a: { set: { a: 1 } } }, { b: { call: x.b } } ] } }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"a":1}
        "#]],
    );
}

#[test]
fn raise() {
    check(
        r#"do:
  - no: { raise: { error: { type: 'https://example.com/errors/no', status: 418, title: '${ "No " + .x }' } } }
"#,
        json!({"x": "tea"}),
        &[],
        expect![[r#"
            fail {"instance":"/do/0/no","status":418,"title":"No tea","type":"https://example.com/errors/no"}
        "#]],
    );
}

#[test]
fn raise_of_a_named_error_with_the_pointer_of_its_step() {
    check(
        r#"use: { errors: { no: { type: 'https://example.com/no', status: 400, detail: because } } }
do:
  - outer: { do: [ { no: { raise: { error: no } } } ] }
"#,
        json!(null),
        &[],
        expect![[r#"
            fail {"detail":"because","instance":"/do/0/outer/do/0/no","status":400,"type":"https://example.com/no"}
        "#]],
    );
}

#[test]
fn what_is_caught_is_handled_and_named() {
    check(
        r#"do:
  - try:
      try:
        - get: { call: http, with: { method: get, endpoint: 'https://example.com/pets/{name}' } }
      catch:
        errors: { with: { type: https://open-workflow-specification.org/dsl/errors/types/communication, status: 404 } }
        as: err
        do:
          - handle: { set: { error: '${ $err }' } }
"#,
        json!({"name": "Mi lou"}),
        &[r#"fail get 404"#],
        expect![[r#"
            call /do/0/try/try/0/get {"authentication":null,"method":"GET","output":"content","redirect":false,"target":"http","uri":"https://example.com/pets/Mi%20lou"} {}
            > fail get 404
            finish {"error":{"detail":"nobody there","instance":"/do/0/try/try/0/get","status":404,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}}
        "#]],
    );
}

#[test]
fn what_is_not_caught_goes_on() {
    check(
        r#"do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch: { errors: { with: { status: 503 } }, do: [ { handle: { set: { a: 1 } } } ] }
"#,
        json!(null),
        &[r#"fail get 404"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 404
            fail {"detail":"nobody there","instance":"/do/0/try/try/0/get","status":404,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn catch_when_and_exceptwhen() {
    check(
        r#"do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch: { when: '$error.status >= 500', exceptWhen: '$error.status == 501', do: [ { handle: { set: { a: 1 } } } ] }
"#,
        json!(null),
        &[r#"fail get 501"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 501
            fail {"detail":"nobody there","instance":"/do/0/try/try/0/get","status":501,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn a_catch_without_anything_to_do_gives_the_input() {
    check(
        r#"do:
  - try: { try: [ { get: { call: a.b } } ], catch: {} }
  - last: { set: { a: '${ .x }' } }
"#,
        json!({"x": 1}),
        &[r#"fail get 500"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 500
            finish {"a":1}
        "#]],
    );
}

#[test]
fn catch_then() {
    check(
        r#"do:
  - try: { try: [ { get: { call: a.b } } ], catch: { then: last } }
  - middle: { set: { a: 1 } }
  - last: { set: { b: '${ .x }' } }
"#,
        json!({"x": 1}),
        &[r#"fail get 500"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 500
            finish {"b":1}
        "#]],
    );
}

#[test]
fn a_retry_waits_longer_each_time_and_gives_up() {
    check(
        r#"do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch: { retry: { delay: PT1S, backoff: { exponential: {} }, limit: { attempt: { count: 2 } } } }
"#,
        json!(null),
        &[r#"fail get 503"#, r#"fire"#, r#"fail get 503"#, r#"fire"#, r#"fail get 503"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 503
            timer +1s
            > fire
            call /do/0/try/try/0/get a.b {} attempt 2
            > fail get 503
            timer +2s
            > fire
            call /do/0/try/try/0/get a.b {} attempt 3
            > fail get 503
            fail {"detail":"nobody there","instance":"/do/0/try/try/0/get","status":503,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn a_retry_that_succeeds() {
    check(
        r#"use: { retries: { some: { delay: { milliseconds: 100 }, backoff: { linear: {} }, jitter: { from: PT0S, to: { milliseconds: 4 } }, limit: { attempt: { count: 5 } } } } }
do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch: { retry: some }
  - last: { set: { got: '${ . }' } }
"#,
        json!(null),
        &[r#"fail get 503"#, r#"fire"#, r#"fail get 503"#, r#"fire"#, r#"ok get 1"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 503
            timer +102ms
            > fire
            call /do/0/try/try/0/get a.b {} attempt 2
            > fail get 503
            timer +202ms
            > fire
            call /do/0/try/try/0/get a.b {} attempt 3
            > ok get 1
            finish {"got":1}
        "#]],
    );
}

#[test]
fn retry_when_and_the_handler_after_the_last_attempt() {
    check(
        r#"do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch:
        retry: { when: '$error.status == 503', limit: { attempt: { count: 3 } } }
        do: [ { handle: { set: { gave: up } } } ]
"#,
        json!(null),
        &[r#"fail get 503"#, r#"fire"#, r#"fail get 500"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 503
            timer +0ns
            > fire
            call /do/0/try/try/0/get a.b {} attempt 2
            > fail get 500
            finish {"gave":"up"}
        "#]],
    );
}

#[test]
fn a_retry_is_limited_in_time() {
    check(
        r#"do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch: { retry: { delay: PT2S, limit: { duration: PT3S } } }
"#,
        json!(null),
        &[r#"fail get 503"#, r#"fire"#, r#"fail get 503"#],
        expect![[r#"
            call /do/0/try/try/0/get a.b {}
            > fail get 503
            timer +2s
            > fire
            call /do/0/try/try/0/get a.b {} attempt 2
            > fail get 503
            fail {"detail":"nobody there","instance":"/do/0/try/try/0/get","status":503,"title":"Communication Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/communication"}
        "#]],
    );
}

#[test]
fn an_attempt_is_limited_in_time() {
    check(
        r#"do:
  - try:
      try: [ { get: { call: a.b } } ]
      catch: { retry: { limit: { attempt: { count: 1, duration: PT2S } } } }
"#,
        json!(null),
        &[r#"fire"#, r#"fire"#, r#"fire"#],
        expect![[r#"
            timer +2s
            call /do/0/try/try/0/get a.b {}
            > fire
            cancel get
            timer +0ns
            > fire
            timer +2s
            call /do/0/try/try/0/get a.b {} attempt 2
            > fire
            cancel get
            fail {"detail":"this took too long","instance":"/do/0/try","status":408,"title":"Timeout Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/timeout"}
        "#]],
    );
}

#[test]
fn errors_of_expressions_are_caught_too() {
    check(
        r#"do:
  - try:
      try: [ { bad: { set: { a: '${ error("no") }' } } } ]
      catch: { errors: { with: { type: https://open-workflow-specification.org/spec/1.0.0/errors/expression } }, do: [ { handle: { set: { was: '${ $error.detail }', at: '${ $error.instance }' } } } ] }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"at":"/do/0/try/try/0/bad","was":"no"}
        "#]],
    );
}

#[test]
fn a_wait() {
    check(
        r#"do:
  - pause: { wait: { seconds: 3 } }
  - last: { set: { a: '${ .x }' } }
"#,
        json!({"x": 1}),
        &[r#"fire"#],
        expect![[r#"
            timer +3s
            > fire
            finish {"a":1}
        "#]],
    );
}

#[test]
fn a_step_that_takes_too_long() {
    check(
        r#"do:
  - slow: { call: a.b, timeout: { after: PT5S } }
"#,
        json!(null),
        &[r#"fire"#],
        expect![[r#"
            timer +5s
            call /do/0/slow a.b {}
            > fire
            cancel slow
            fail {"detail":"this took too long","instance":"/do/0/slow","status":408,"title":"Timeout Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/timeout"}
        "#]],
    );
}

#[test]
fn a_timeout_is_dropped_with_its_step() {
    check(
        r#"use: { timeouts: { short: { after: PT5S } } }
do:
  - quick: { call: a.b, timeout: short }
"#,
        json!(null),
        &[r#"ok quick 1"#],
        expect![[r#"
            timer +5s
            call /do/0/quick a.b {}
            > ok quick 1
            drop timer
            finish 1
        "#]],
    );
}

#[test]
fn a_run_that_takes_too_long() {
    check(
        r#"timeout: { after: PT10S }
do:
  - slow: { call: a.b }
"#,
        json!(null),
        &[r#"fire"#],
        expect![[r#"
            timer +10s
            call /do/0/slow a.b {}
            > fire
            cancel slow
            fail {"detail":"this took too long","instance":"/","status":408,"title":"Timeout Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/timeout"}
        "#]],
    );
}

#[test]
fn a_timeout_of_a_composite_step_cancels_what_is_in_it_and_can_be_caught() {
    check(
        r#"do:
  - try:
      try:
        - slow: { do: [ { a: { fork: { branches: [ { b: { call: x.b } }, { c: { wait: PT1M } } ] } } } ], timeout: { after: PT5S } }
      catch: { errors: { with: { status: 408 } }, do: [ { handle: { set: { a: '${ $error.instance }' } } } ] }
"#,
        json!(null),
        &[r#"fire"#],
        expect![[r#"
            timer +5s
            call /do/0/try/try/0/slow/do/0/a/fork/branches/0/b x.b {}
            timer +60s
            > fire
            drop timer
            cancel b
            finish {"a":"/do/0/try/try/0/slow"}
        "#]],
    );
}

#[test]
fn emit_sends_an_event_and_gives_it() {
    check(
        r#"do:
  - tell: { emit: { event: { with: { type: com.example.greeted, data: { name: '${ .name }' } } } } }
"#,
        json!({"name": "Ann"}),
        &[],
        expect![[r#"
            emit {"data":{"name":"Ann"},"id":"r1-1","source":"/flows/test/flow","specversion":"1.0","time":"1970-01-01T00:16:40.000Z","type":"com.example.greeted"}
            finish {"data":{"name":"Ann"},"id":"r1-1","source":"/flows/test/flow","specversion":"1.0","time":"1970-01-01T00:16:40.000Z","type":"com.example.greeted"}
        "#]],
    );
}

#[test]
fn listen_to_one() {
    check(
        r#"do:
  - wait: { listen: { to: { one: { with: { type: com.example.done, data: '${ .ok }' } } } } }
"#,
        json!(null),
        &[
            r#"event {"type": "com.example.other"}"#,
            r#"event {"type": "com.example.done", "data": {"ok": false}}"#,
            r#"event {"type": "com.example.done", "data": {"ok": true, "n": 1}}"#,
        ],
        expect![[r#"
            listen /do/0/wait [{"type":"com.example.done"}]
            > event {"type": "com.example.other"}
            > event {"type": "com.example.done", "data": {"ok": false}}
            > event {"type": "com.example.done", "data": {"ok": true, "n": 1}}
            unlisten
            finish [{"n":1,"ok":true}]
        "#]],
    );
}

#[test]
fn listen_to_all_correlated() {
    check(
        r#"do:
  - wait:
      listen:
        to:
          all:
            - with: { type: a }
              correlate: { room: { from: .room } }
            - with: { type: b }
              correlate: { room: { from: .room } }
        read: envelope
"#,
        json!(null),
        &[
            r#"event {"type": "a", "room": 1}"#,
            r#"event {"type": "b", "room": 2}"#,
            r#"event {"type": "b", "room": 1}"#,
        ],
        expect![[r#"
            listen /do/0/wait [{"type":"a"},{"type":"b"}]
            > event {"type": "a", "room": 1}
            > event {"type": "b", "room": 2}
            > event {"type": "b", "room": 1}
            unlisten
            finish [{"room":1,"type":"a"},{"room":1,"type":"b"}]
        "#]],
    );
}

#[test]
fn listen_to_any_until_a_condition_with_something_to_do_for_each() {
    check(
        r#"do:
  - wait:
      listen: { to: { any: [ { with: { type: 'com\.example\..*' } } ], until: 'length >= 2' } }
      foreach:
        item: event
        at: i
        do:
          - handle: { call: a.b, with: { n: '${ $event.n }', i: '${ $i }' } }
          - keep: { set: { n: '${ $event.n }', got: '${ . }' } }
        output: { as: '.got' }
        export: { as: '{ last: $output }' }
  - last: { set: '${ {all: ., context: $context} }' }
"#,
        json!(null),
        &[
            r#"event {"type": "com.example.x", "data": {"n": 1}}"#,
            r#"event {"type": "com.example.y", "data": {"n": 2}}"#,
            r#"ok handle "one""#,
            r#"ok handle "two""#,
        ],
        expect![[r#"
            listen /do/0/wait [{}]
            > event {"type": "com.example.x", "data": {"n": 1}}
            call /do/0/wait/foreach/do/0/handle a.b {"i":0,"n":1}
            > event {"type": "com.example.y", "data": {"n": 2}}
            > ok handle "one"
            call /do/0/wait/foreach/do/0/handle a.b {"i":1,"n":2}
            > ok handle "two"
            unlisten
            finish {"all":["one","two"],"context":{"last":"two"}}
        "#]],
    );
}

#[test]
fn listen_to_any_until_another_event() {
    check(
        r#"do:
  - wait:
      listen: { to: { any: [ { with: { type: tick } } ], until: { one: { with: { type: stop } } } } }
"#,
        json!(null),
        &[r#"event {"type": "tick", "data": 1}"#, r#"event {"type": "tick", "data": 2}"#, r#"event {"type": "stop"}"#],
        expect![[r#"
            listen /do/0/wait [{"type":"tick"},{"type":"stop"}]
            > event {"type": "tick", "data": 1}
            > event {"type": "tick", "data": 2}
            > event {"type": "stop"}
            unlisten
            finish [1,2]
        "#]],
    );
}

#[test]
fn a_function_is_carried_out_where_it_is_called() {
    check(
        r#"use:
  functions:
    twice: { do: [ { ask: { call: a.b, with: { n: '${ .n }' } } }, { double: { set: '${ . * 2 }' } } ] }
do:
  - one: { call: twice, with: { n: '${ .x }' } }
  - two: { set: { got: '${ . }' } }
"#,
        json!({"x": 4}),
        &[r#"ok ask 21"#],
        expect![[r#"
            call /use/functions/twice/do/0/ask a.b {"n":4}
            > ok ask 21
            finish {"got":42}
        "#]],
    );
}

#[test]
fn a_subflow() {
    check(
        r#"do:
  - sub: { run: { workflow: { namespace: test, name: other, version: '1.0.0', input: { a: '${ .a }' } } } }
  - last: { set: { got: '${ . }' } }
"#,
        json!({"a": 1}),
        &[r#"ok sub 2"#],
        expect![[r#"
            call /do/0/sub {"name":"other","namespace":"test","target":"workflow","version":"1.0.0"} {"a":1}
            > ok sub 2
            finish {"got":2}
        "#]],
    );
}

#[test]
fn a_subflow_that_nobody_waits_for() {
    check(
        r#"do:
  - sub: { run: { workflow: { namespace: test, name: other, version: '1.0.0' }, await: false } }
  - last: { set: { a: '${ .a }' } }
"#,
        json!({"a": 1}),
        &[],
        expect![[r#"
            call /do/0/sub {"name":"other","namespace":"test","target":"workflow","version":"1.0.0"} {} detached
            finish {"a":1}
        "#]],
    );
}

#[test]
fn an_a2a_agent_by_url_and_an_http_request_with_a_query() {
    check(
        r#"use: { secrets: [token], authentications: { key: { bearer: { use: token } } } }
do:
  - ask: { call: a2a, with: { method: message/send, agentCard: { endpoint: 'https://example.com/card.json' }, parameters: { message: { parts: [ { kind: text, text: '${ .q }' } ] } } } }
  - get: { call: http, with: { method: get, endpoint: { uri: '${ "https://example.com/" + .id }', authentication: { use: key } }, query: { page: '1' }, output: response, redirect: true } }
"#,
        json!({"q": "Hi"}),
        &[r#"ok ask {"id": "7"}"#, r#"ok get {"statusCode": 200}"#],
        expect![[r#"
            call /do/0/ask {"authentication":null,"is_card":true,"method":"message/send","target":"a2a","uri":"https://example.com/card.json"} {"message":{"parts":[{"kind":"text","text":"Hi"}]}}
            > ok ask {"id": "7"}
            call /do/1/get {"authentication":{"use":"key"},"method":"GET","output":"response","redirect":true,"target":"http","uri":"https://example.com/7"} {"query":{"page":"1"}}
            > ok get {"statusCode": 200}
            finish {"statusCode":200}
        "#]],
    );
}

#[test]
fn secrets_are_read_by_input_from_only() {
    check(
        r#"use: { secrets: [token] }
do:
  - one: { input: { from: '{ key: $secrets.token }' }, call: a.b, with: { key: '${ .key }' } }
"#,
        json!(null),
        &[r#"ok one 1"#],
        expect![[r#"
            call /do/0/one a.b {"key":"s3cret"}
            > ok one 1
            finish 1
        "#]],
    );
}

#[test]
fn questions_are_asked_one_at_a_time() {
    check(
        r#"do:
  - both: { fork: { branches: [ { a: { call: x.a } }, { b: { call: x.b } } ] } }
"#,
        json!(null),
        &[r#"ask a "name?""#, r#"ask b "age?""#, r#"answer "Ann""#, r#"ok a 1"#, r#"answer 42"#, r#"ok b 2"#],
        expect![[r#"
            call /do/0/both/fork/branches/0/a x.a {}
            call /do/0/both/fork/branches/1/b x.b {}
            > ask a "name?"
            ask a /do/0/both/fork/branches/0/a "name?"
            > ask b "age?"
            > answer "Ann"
            answer a "Ann"
            ask b /do/0/both/fork/branches/1/b "age?"
            > ok a 1
            > answer 42
            answer b 42
            > ok b 2
            finish [1,2]
        "#]],
    );
}

#[test]
fn a_question_of_a_call_that_ends_is_taken_back() {
    check(
        r#"do:
  - race: { fork: { compete: true, branches: [ { a: { call: x.a } }, { b: { call: x.b } }, { c: { call: x.c } } ] } }
"#,
        json!(null),
        &[r#"ask a "name?""#, r#"ask b "age?""#, r#"fail a 500"#, r#"ok c 3"#],
        expect![[r#"
            call /do/0/race/fork/branches/0/a x.a {}
            call /do/0/race/fork/branches/1/b x.b {}
            call /do/0/race/fork/branches/2/c x.c {}
            > ask a "name?"
            ask a /do/0/race/fork/branches/0/a "name?"
            > ask b "age?"
            > fail a 500
            unask
            ask b /do/0/race/fork/branches/1/b "age?"
            > ok c 3
            cancel b
            unask
            finish 3
        "#]],
    );
}

#[test]
fn a_cancel_ends_everything_at_once_and_nothing_is_caught() {
    check(
        r#"do:
  - try: { try: [ { both: { fork: { branches: [ { a: { call: x.a } }, { b: { wait: PT1H } } ] } } } ], catch: { do: [ { handle: { set: { a: 1 } } } ] } }
"#,
        json!(null),
        &[r#"cancel"#],
        expect![[r#"
            call /do/0/try/try/0/both/fork/branches/0/a x.a {}
            timer +3600s
            > cancel
            drop timer
            cancel a
            canceled
        "#]],
    );
}

#[test]
fn the_descriptors() {
    check(
        r#"do:
  - one: { set: { name: '${ $task.name }', at: '${ $task.reference }', run: '${ $workflow.id }', flow: '${ $workflow.definition.document.name }', began: '${ $workflow.startedAt.iso8601 }', runtime: '${ $runtime.name }' } }
"#,
        json!(null),
        &[],
        expect![[r#"
            finish {"at":"/do/0/one","began":"1970-01-01T00:16:40.000Z","flow":"flow","name":"one","run":"r1","runtime":"bobbinet"}
        "#]],
    );
}

#[test]
fn a_hostile_expression_is_an_error_that_can_be_caught() {
    check(
        r#"do:
  - try: { try: [ { bad: { set: { a: '${ [range(1e12)] }' } } } ], catch: { do: [ { handle: { set: { was: '${ $error.detail }' } } } ] } }
"#,
        json!(null),
        &[r#"fire"#],
        expect![[r#"
            timer +0ns
            > fire
            finish {"was":"the expression was stopped: it works for too long"}
        "#]],
    );
}

#[test]
fn a_function_that_calls_itself_is_too_deep() {
    check(
        r#"use: { functions: { f: { call: f } } }
do:
  - one: { call: f }
"#,
        json!(null),
        &[],
        expect![[r#"
            fail {"detail":"steps stand in one another at most 64 deep","instance":"/use/functions/f","status":500,"title":"Runtime Error","type":"https://open-workflow-specification.org/spec/1.0.0/errors/runtime"}
        "#]],
    );
}

#[test]
fn a_loop_without_end_takes_turns_and_has_an_end() {
    check(
        r#"do:
  - one: { set: { n: '${ (.n // 0) + 1 }' } }
  - again: { switch: [ { more: { when: '.n < 1200', then: one } } ] }
"#,
        json!(null),
        &[r#"fire"#, r#"fire"#],
        expect![[r#"
            timer +0ns
            > fire
            timer +0ns
            > fire
            finish {"n":1200}
        "#]],
    );
}
