//! What is no YAML, or no flow, or too much.

use bobbinet_flow::{document::Definition, limits::Limits};
use expect_test::expect;

use super::{HEAD, check};

#[test]
fn no_yaml() {
    check(
        r#"do:
  - one: { set: { a: 1 }
  - two: {}
"#,
        expect![[r#"
            broken.yaml:4:3: this is not YAML: "-" is only valid inside a block
              4 |   - two: {}
                |   ^
              hint: look at the indentation, and put texts with a colon, @ or ${ in quotes
        "#]],
    );
}

#[test]
fn a_tab() {
    check(
        r#"do:
	- one: { set: { a: 1 } }
"#,
        expect![[r#"
            broken.yaml:3:2: this is not YAML: tabs disallowed within this context (block indentation)
              3 | 	- one: { set: { a: 1 } }
                | 	^
              hint: look at the indentation, and put texts with a colon, @ or ${ in quotes
        "#]],
    );
}

#[test]
fn no_document() {
    check(
        r#"do: [ { one: { set: { a: 1 } } } ]
document: { dsl: '1.0.3', name: x, version: '1.0.0' }
"#,
        expect![[r#"
            broken.yaml:2:11: document says no "namespace" (/document)
              2 | document: { dsl: '1.0.3', name: x, version: '1.0.0' }
                |           ^
              hint: add namespace: …
        "#]],
    );
}

#[test]
fn another_dsl() {
    check(
        r#"document: { dsl: '0.8', namespace: a, name: x, version: '1.0.0' }
do: [ { one: { set: { a: 1 } } } ]
"#,
        expect![[r#"
            broken.yaml:1:18: we read the DSL 1.0.x, and not 0.8 (/document/dsl)
              1 | document: { dsl: '0.8', namespace: a, name: x, version: '1.0.0' }
                |                  ^
              hint: write dsl: '1.0.3'
        "#]],
    );
}

#[test]
fn a_bad_name() {
    check(
        r#"document: { dsl: '1.0.3', namespace: a, name: my_flow, version: '1.0.0' }
do: [ { one: { set: { a: 1 } } } ]
"#,
        expect![[r#"
            broken.yaml:1:47: document.name cannot be "my_flow" (/document/name)
              1 | document: { dsl: '1.0.3', namespace: a, name: my_flow, version: '1.0.0' }
                |                                               ^
              hint: it has up to 63 letters, digits and hyphens, and begins and ends with none of the latter
        "#]],
    );
}

#[test]
fn hostile_documents_are_refused() {
    let limits = Limits::default();
    let read = |text: &str| Definition::read("hostile.yaml", text, &limits);
    let deep = format!("{HEAD}do:\n  - one: {{ set: {{ a: {}1{} }} }}\n", "[".repeat(100_000), "]".repeat(100_000));
    let bomb = format!(
        "{HEAD}x:\n  a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n{}",
        (0..12).map(|n| { let (name, from) = (char::from(b'b' + n), char::from(b'a' + n)); format!("  {name}: &{name} [*{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}, *{from}]\n") }).collect::<String>()
    );
    let steps: String = (0..3_000).map(|n| format!("  - s{n}: {{ wait: PT1S }}\n")).collect();
    for text in [
        deep,
        bomb,
        format!("{HEAD}do:\n{steps}"),
        "a".repeat(10_000_000),
        String::new(),
        "[".repeat(200_000),
        "- ".repeat(100_000),
    ] {
        let started = std::time::Instant::now();
        let reading = read(&text);
        assert!(reading.definition.is_none());
        let first = &reading.findings[0];
        assert!(started.elapsed().as_secs() < 5, "{first}");
        println!("{:?} {}", started.elapsed(), first.message);
    }
}

#[test]
fn a_key_twice() {
    check(
        "do:\n  - one:\n      set: { a: 1 }\n      then: end\n      set: { a: 2 }\n",
        expect![[r#"
        broken.yaml:6:7: this is not YAML: duplicate mapping key: set
          6 |       set: { a: 2 }
            |       ^
          hint: take one of them out
    "#]],
    );
}

#[test]
fn a_misspelt_part() {
    check(
        "doo: []\ndo: [ { one: { set: { a: 1 } } } ]\n",
        expect![[r#"
        broken.yaml:2:1: a flow has no property "doo" (/doo)
          2 | doo: []
            | ^
          hint: did you mean "do"?
    "#]],
    );
}
