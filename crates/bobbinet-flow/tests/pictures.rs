//! Flows as pictures. The files beside the flows are what came out and was looked at; `UPDATE_EXPECT=1` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

use bobbinet_flow::{document::Definition, limits::Limits, svg::svg};
use expect_test::{ExpectFile, expect_file};

fn draw(text: &str) -> String {
    let reading = Definition::read("flow.yaml", text, &Limits::default());
    let findings: Vec<String> = reading.findings.iter().map(ToString::to_string).collect();
    svg(&reading.definition.unwrap_or_else(|| panic!("{}", findings.join("\n"))))
}

#[track_caller]
fn check(flow: &str, expected: ExpectFile) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(flow);
    let picture = draw(&std::fs::read_to_string(path).unwrap());
    well_formed(&picture);
    expected.assert_eq(&picture);
}

/// That each element is closed in its turn, and that no text opens one.
#[track_caller]
fn well_formed(picture: &str) {
    let mut open = Vec::new();
    for tag in picture.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap();
        let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert!(!text.contains('>') && !text.contains('\u{202e}'), "{text}");
        let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
        for (at, _) in text.match_indices('&') {
            assert!(entities.iter().any(|entity| text[at..].starts_with(entity)), "{text}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn a_flow_with_everything_but_events() {
    check("triage.yaml", expect_file!["./pictures/triage.svg"]);
}

#[test]
fn a_flow_that_listens_and_goes_back() {
    check("watch.yaml", expect_file!["./pictures/watch.svg"]);
}

#[test]
fn what_a_flow_says_is_text() {
    let name = "</text><script>alert(1)</script>\\u202e\\u0007&amp; \\\" ' ]]>";
    let flow = format!(
        "document: {{ dsl: '1.0.3', namespace: a, name: b, version: '1.0.0', title: \"{name}\" }}\ndo:\n  - \"{name}\": {{ if: '.a < 1 and .b > 2 & 3 == 1', call: http, with: {{ method: \"{name}\", endpoint: 'https://x.y/<z>' }} }}\n  - s: {{ switch: [ {{ \"{name}\": {{ when: .x, then: s }} }} ] }}\n",
    );
    // `&` is no operator of jq.
    let flow = flow.replace(" & 3 == 1", "");
    let picture = draw(&flow);
    well_formed(&picture);
    assert!(!picture.contains("<script") && !picture.contains('\u{7}'));
    assert_eq!(picture, draw(&flow));
}

/// A large flow is drawn in no time, and a deep one on the stack of a worker.
#[test]
fn large_flows() {
    let head = "document: { dsl: '1.0.3', namespace: a, name: b, version: '1.0.0' }\ndo:\n";
    let jumps: String = (0..1_000)
        .map(|n| format!("  - s{n}: {{ if: .x, set: {{ a: 1 }}, then: s{} }}\n", (n * 7 + 3) % 1_000))
        .collect();
    let deep = (0..19)
        .fold("[ { one: { set: { a: 1 } } } ]".to_owned(), |inner, n| format!("[ {{ d{n}: {{ do: {inner} }} }} ]"));
    for flow in [format!("{head}{jumps}"), format!("{}do: {deep}\n", head.trim_end_matches("do:\n"))] {
        let started = std::time::Instant::now();
        let draw = move || well_formed(&draw(&flow));
        std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(draw).unwrap().join().unwrap();
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}
