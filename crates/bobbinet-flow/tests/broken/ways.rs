//! Steps that lead nowhere.

use expect_test::expect;

use super::{check, findings};

#[test]
fn a_step_that_is_never_reached() {
    check(
        r#"do:
  - one: { set: { a: 1 }, then: three }
  - two: { set: { a: 2 } }
  - three: { set: { a: 3 } }
"#,
        expect![[r#"
            broken.yaml:4:5: the step "two" is never reached (/do/1/two)
              4 |   - two: { set: { a: 2 } }
                |     ^
              hint: lead to it by a then, or take it out
        "#]],
    );
}

#[test]
fn a_loop_without_a_way_out() {
    check(
        r#"do:
  - one: { set: { a: 1 } }
  - two: { set: { a: 2 }, then: one }
"#,
        expect![[r#"
            broken.yaml:3:5: from "one" on this goes round for ever (/do/0/one)
              3 |   - one: { set: { a: 1 } }
                |     ^
              hint: add a switch with a case that leads out: then: exit
        "#]],
    );
}

#[test]
fn a_try_that_catches_nothing() {
    check(
        r#"do:
  - one: { try: [ { two: { set: { a: 1 } } } ], catch: { do: [ { three: { set: { a: 2 } } } ] } }
"#,
        expect![[r#"
            broken.yaml:3:5: nothing in this try can fail, so it catches nothing (/do/0/one)
              3 |   - one: { try: [ { two: { set: { a: 1 } } } ], catch: { do: [ { three: { set: { a: 2 } } } ] } }
                |     ^
              hint: take the try away, and keep its steps
        "#]],
    );
}

#[test]
fn a_branch_that_leads_to_another() {
    check(
        r#"do:
  - both: { fork: { branches: [ { a: { call: files.list, then: b } }, { b: { call: files.list } } ] } }
"#,
        expect![[r#"
            broken.yaml:3:64: a branch leads to no other step, and here is "b" (/do/0/both/fork/branches/0/a/then)
              3 |   - both: { fork: { branches: [ { a: { call: files.list, then: b } }, { b: { call: files.list } } ] } }
                |                                                                ^
              hint: put both steps into one branch, under do
        "#]],
    );
}

#[test]
fn what_is_right_gives_none() {
    for flow in [
        "do:\n  - find: { call: search.query, with: { q: a } }\n  - read: { call: files.read, with: { path: '${ .hits[0].path }' } }\n",
        "do:\n  - find: { call: search.query, with: { q: '${ .anything }', limit: '${ .count | tonumber }' } }\n",
        "do:\n  - one: { set: { a: 1 } }\n  - two: { switch: [ { out: { when: '.a > 3', then: exit } } ], then: one }\n",
        "do:\n  - one: { set: { a: no, b: on, c: yes } }\n",
    ] {
        let found = findings(flow);
        assert!(found.is_empty(), "{flow}: {}", found[0]);
    }
}

#[test]
fn all_faults_are_found_at_once() {
    let found = findings(
        "do:\n  - one: { set: { a: '${ .x | lenght }' }, than: end }\n  - two: { wait: soon }\n  - two: { cal: x }\n",
    );
    assert_eq!(found.len(), 5, "{found:#?}");
}

#[test]
fn a_case_behind_one_that_is_always_taken() {
    check(
        "do:\n  - one:\n      switch:\n        - any: { then: two }\n        - many: { when: '.n > 9', then: exit }\n  - two: { set: { a: 1 } }\n",
        expect![[r#"
            broken.yaml:6:11: the case "many" is never taken: "any" before it always is (/do/0/one/switch/1/many)
              6 |         - many: { when: '.n > 9', then: exit }
                |           ^
              hint: put the case without when last
        "#]],
    );
}
