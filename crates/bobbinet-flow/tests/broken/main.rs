//! Broken flows: each gives one finding, with its line, its pointer and what to do.
#![allow(clippy::unwrap_used, reason = "a test")]

use bobbinet_flow::{
    check::{Catalog, KnownFlow, KnownSkill, check_in},
    document::Definition,
    finding::Finding,
    limits::Limits,
};
use expect_test::Expect;
use serde_json::json;

mod calls;
mod expressions;
mod mesh;
mod schedule;
mod steps;
mod ways;
mod yaml;

struct Mesh;

impl Catalog for Mesh {
    fn agents(&self) -> Vec<String> {
        vec!["files".into(), "search".into(), "asleep".into()]
    }

    fn skills(&self, agent: &str) -> Option<Vec<String>> {
        match agent {
            "files" => Some(vec!["read".into(), "write".into(), "list".into()]),
            "search" => Some(vec!["query".into()]),
            _ => None,
        }
    }

    fn skill(&self, agent: &str, skill: &str) -> Option<KnownSkill> {
        let text = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
        Some(match (agent, skill) {
            ("files", "read") => KnownSkill {
                input: Some(text("path")),
                output: Some(
                    json!({"type": "object", "properties": {"text": {"type": "string"}, "size": {"type": "integer"}}}),
                ),
                effect: bobbinet_core::Effect::ReadOnly,
            },
            ("files", "write") => KnownSkill { input: Some(text("path")), ..KnownSkill::default() },
            ("files", "list") => KnownSkill {
                input: Some(json!({"type": "object", "additionalProperties": false})),
                ..KnownSkill::default()
            },
            ("search", "query") => KnownSkill {
                input: Some(
                    json!({"type": "object", "properties": {"q": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}}, "required": ["q"]}),
                ),
                output: Some(
                    json!({"type": "object", "properties": {"hits": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}, "path": {"type": "string"}}}}}}),
                ),
                effect: bobbinet_core::Effect::ReadOnly,
            },
            _ => return None,
        })
    }

    fn flows(&self) -> Option<Vec<KnownFlow>> {
        let flow = |namespace: &str, name: &str, version: &str| KnownFlow {
            namespace: namespace.into(),
            name: name.into(),
            version: version.into(),
            input: Some(json!({"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]})),
            output: Some(json!({"type": "object", "properties": {"total": {"type": "number"}}})),
        };
        Some(vec![flow("shop", "bill", "1.0.0"), flow("shop", "ship", "2.1.0")])
    }
}

const HEAD: &str = "document: { dsl: '1.0.3', namespace: test, name: broken, version: '1.0.0' }\n";

fn findings(flow: &str) -> Vec<Finding> {
    let has_head = flow.lines().any(|line| line.starts_with("document:"));
    let text = if has_head { flow.to_owned() } else { format!("{HEAD}{flow}") };
    let reading = Definition::read("broken.yaml", &text, &Limits::default());
    let mut findings = reading.findings;
    if let Some(definition) = &reading.definition {
        findings.extend(check_in(definition, "broken.yaml", &text, &Mesh));
    }
    findings
}

#[track_caller]
fn check(flow: &str, expected: Expect) {
    let findings = findings(flow);
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&format!("{}\n", text.join("\n")));
    let [finding] = &findings[..] else { panic!("{} findings", findings.len()) };
    assert!(finding.at.line > 0 && finding.hint.is_some() && finding.excerpt.is_some(), "{finding:?}");
}
