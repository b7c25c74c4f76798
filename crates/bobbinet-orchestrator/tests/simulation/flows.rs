//! Flows by chance, and what they must give.

use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::{Value, json};

/// A step that calls something, and the tool that it calls.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) tool: &'static str,
    pub(crate) id: String,
}

/// A flow: its document, what it gives, and what its steps write.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) output: Value,
    pub(crate) steps: Vec<Written>,
}

/// Tools of each effect class.
const TOOLS: [&str; 4] = ["look", "set", "put", "post"];

/// Makes one.
pub(crate) fn make(number: usize, chance: &mut Rng) -> Made {
    let name = format!("flow{number}");
    let mut text = format!("document: {{ dsl: '1.0.3', namespace: tests, name: {name}, version: '1.0.0' }}\ndo:\n");
    let (mut output, mut steps) = (json!({}), Vec::new());
    for step in 0..chance.usize(3..9) {
        let label = format!("s{step}");
        let export = format!("export: {{ as: '$context + {{ {label}: . }}' }}");
        let mut written = |part: &str, chance: &mut Rng, tool: Option<&'static str>| {
            let tool = tool.unwrap_or_else(|| *chance.choice(TOOLS.iter()).unwrap());
            let id = format!("{name}/{label}{part}");
            steps.push(Written { tool, id: id.clone() });
            (format!("call: tools.{tool}, with: {{ id: {id} }}"), json!({ "did": id }))
        };
        match chance.u8(0..7) {
            0 | 1 => {
                let (call, gives) = written("", chance, None);
                writeln!(text, "  - {label}: {{ {call}, {export} }}").unwrap();
                output[&label] = gives;
            }
            2 => {
                let count = chance.usize(2..5);
                let branches: Vec<_> = (0..count).map(|branch| written(&format!("-{branch}"), chance, None)).collect();
                writeln!(text, "  - {label}:\n      fork:\n        branches:").unwrap();
                for (branch, (call, _)) in branches.iter().enumerate() {
                    writeln!(text, "          - b{branch}: {{ {call} }}").unwrap();
                }
                writeln!(text, "      {export}").unwrap();
                output[&label] = branches.into_iter().map(|(_, gives)| gives).collect();
            }
            3 => {
                let count = chance.usize(1..4);
                for round in 0..count {
                    drop(written(&format!("-{round}"), chance, Some("put")));
                }
                let id = format!("${{ \"{name}/{label}-\" + ($n | tostring) }}");
                writeln!(text, "  - {label}:\n      for: {{ each: n, in: '[range({count})]' }}").unwrap();
                writeln!(text, "      do: [ {{ it: {{ call: tools.put, with: {{ id: '{id}' }} }} }} ]\n      {export}")
                    .unwrap();
                output[&label] = json!({ "did": format!("{name}/{label}-{}", count - 1) });
            }
            4 => writeln!(text, "  - {label}: {{ wait: {{ milliseconds: {} }} }}", chance.u32(1..400)).unwrap(),
            5 => {
                let (call, gives) = written("", chance, Some("ask"));
                writeln!(text, "  - {label}: {{ {call}, {export} }}").unwrap();
                output[&label] = gives;
            }
            _ => {
                let (call, gives) = written("", chance, Some("fail"));
                writeln!(
                    text,
                    "  - {label}:\n      try: [ {{ it: {{ {call} }} }} ]\n      catch: {{ retry: {{ delay: {{ milliseconds: 30 }}, \
                     backoff: {{ constant: {{}} }}, limit: {{ attempt: {{ count: 9 }} }} }} }}\n      {export}"
                )
                .unwrap();
                output[&label] = gives;
            }
        }
    }
    writeln!(text, "  - last: {{ set: '${{ $context }}' }}").unwrap();
    Made { name, text, output, steps }
}
