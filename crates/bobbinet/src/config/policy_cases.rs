//! A file of cases that a policy is tested with: who wants what, and what the policy is to say.

use std::path::{Path, PathBuf};

use bobbinet_core::{AgentName, Json, SkillId};
use bobbinet_text::nearest;

use super::{
    finding::Finding,
    reader::{MapSettings, Reader},
    tree::{Node, Value},
};

const FILE_KEYS: [&str; 2] = ["policy", "cases"];
const CASE_KEYS: [&str; 7] = ["caller", "agent", "operation", "skill", "arguments", "expect", "by"];
const CALLER_KEYS: [&str; 7] = ["principal", "issuer", "subject", "tenant", "scopes", "chain", "claims"];

/// What can be wanted.
pub(crate) const OPERATIONS: [&str; 9] =
    ["send", "call", "get", "list", "cancel", "subscribe", "upload", "events.publish", "events.listen"];

/// A file of cases.
#[derive(Debug, Default)]
pub(crate) struct PolicyCases {
    /// The configuration whose policy is tested, if the file says which.
    pub(crate) policy: Option<PathBuf>,
    pub(crate) cases: Vec<PolicyCase>,
}

/// What a policy is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    Allow,
    Deny,
}

/// Somebody who wants something.
#[derive(Debug)]
pub(crate) struct PolicyCase {
    /// The line of the file that it begins at.
    pub(crate) line: usize,
    pub(crate) caller: CaseCaller,
    /// None for events.
    pub(crate) agent: Option<AgentName>,
    /// One of [`OPERATIONS`].
    pub(crate) operation: &'static str,
    pub(crate) skill: Option<SkillId>,
    pub(crate) arguments: Option<Json>,
    pub(crate) expected: Expectation,
    /// The line of the configuration that must be the one that allows it.
    pub(crate) by: Option<usize>,
}

/// Who that is: by the name of a principal, or as a token would say it.
#[derive(Debug, Default)]
pub(crate) struct CaseCaller {
    pub(crate) principal: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) chain: Vec<String>,
    pub(crate) claims: Option<Json>,
}

/// Reads a file of cases; what cannot be read of it is a finding.
pub(crate) fn read(path: &Path) -> (PolicyCases, Vec<Finding>) {
    let (source, root) = match super::open(path, "name a file of cases; the README shows one") {
        Ok(opened) => opened,
        Err(finding) => return (PolicyCases::default(), vec![*finding]),
    };
    let variables = super::variables(&source, &root);
    let mut reader = Reader::new(&source, &variables);
    let cases = read_file(&mut reader, &root);
    (cases, reader.findings)
}

fn read_file(reader: &mut Reader<'_>, root: &Node) -> PolicyCases {
    let fields = reader.fields(root, "a file of cases", &FILE_KEYS);
    let policy = fields.get("policy").and_then(|node| reader.text(node, "policy"));
    let policy = policy.map(|path| reader.source().folder.join(path));
    let mut cases = Vec::new();
    match fields.get("cases").map(|node| (&node.value, node)) {
        Some((Value::List(items), _)) => cases.extend(items.iter().filter_map(|item| read_case(reader, item))),
        Some((_, node)) => reader.fault(node.at, format!("cases is a list, and here is {}", node.kind())),
        None => {
            let hint =
                "for example:\n    cases:\n      - { caller: ci, agent: files, skill: read_text_file, expect: allow }";
            reader.fault_with_hint(fields.at, "there are no cases", hint);
        }
    }
    PolicyCases { policy, cases }
}

fn read_case(reader: &mut Reader<'_>, item: &Node) -> Option<PolicyCase> {
    let fields = reader.fields(item, "a case", &CASE_KEYS);
    let skill = fields.get("skill").and_then(|node| reader.parsed(node, "skill", |text| SkillId::parse(text).ok()));
    let arguments = fields.get("arguments").map(|node| Json::of(&json(node)));
    let is_call = skill.is_some() || arguments.is_some();
    let operation = match fields.get("operation") {
        Some(node) => {
            let known = |text: &str| OPERATIONS.iter().find(|operation| **operation == text).copied();
            let text = reader.word(node, "operation")?;
            let Some(operation) = known(&text) else {
                let hint = match nearest(&text, &OPERATIONS) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("there is {}", OPERATIONS.join(", ")),
                };
                reader.fault_with_hint(node.at, format!("there is no operation {text:?}"), hint);
                return None;
            };
            operation
        }
        None if is_call => "call",
        None => "send",
    };
    let is_of_events = operation.starts_with("events.");
    let agent = fields.get("agent").and_then(|node| reader.parsed(node, "agent", |text| AgentName::parse(text).ok()));
    if agent.is_none() && !is_of_events && fields.get("agent").is_none() {
        reader.fault_with_hint(fields.at, "a case names no agent", "agent: files");
        return None;
    }
    let caller = match fields.get("caller") {
        Some(node) => read_caller(reader, node)?,
        None => {
            reader.fault_with_hint(fields.at, "a case names no caller", "caller: ci, a name of principals");
            return None;
        }
    };
    let expect = |text: &str| match text {
        "allow" => Some(Expectation::Allow),
        "deny" => Some(Expectation::Deny),
        _ => None,
    };
    let Some(expected) = fields.get("expect") else {
        reader.fault_with_hint(fields.at, "a case expects nothing", "expect: allow, or expect: deny");
        return None;
    };
    let expected = reader.parsed(expected, "expect", expect)?;
    let by = fields.get("by").and_then(|node| reader.parsed(node, "by", |text| text.parse().ok()));
    // What could not be read has been told, and is no case without it.
    let is_whole = agent.is_some() || is_of_events;
    is_whole.then_some(PolicyCase { line: item.at.line, caller, agent, operation, skill, arguments, expected, by })
}

fn read_caller(reader: &mut Reader<'_>, node: &Node) -> Option<CaseCaller> {
    if !node.is_map() {
        return Some(CaseCaller { principal: Some(reader.word(node, "caller")?), ..CaseCaller::default() });
    }
    let fields: MapSettings<'_> = reader.fields(node, "a caller", &CALLER_KEYS);
    let mut text = |name: &str| fields.get(name).and_then(|node| reader.word(node, name));
    let (principal, issuer) = (text("principal"), text("issuer"));
    let (subject, tenant) = (text("subject"), text("tenant"));
    let mut words = |name: &str| fields.get(name).map(|node| reader.words(node, name)).unwrap_or_default();
    let (scopes, chain) = (words("scopes"), words("chain"));
    let claims = fields.get("claims").map(|node| Json::of(&json(node)));
    let is_named = principal.is_some() != (issuer.is_some() && subject.is_some());
    if !is_named {
        reader.fault_with_hint(
            node.at,
            "a caller is a principal, or the subject of an issuer",
            "principal: ci, or issuer: https://idp.example.com and subject: u1",
        );
        return None;
    }
    Some(CaseCaller { principal, issuer, subject, tenant, scopes, chain, claims })
}

/// A value as JSON.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null(_) => serde_json::Value::Null,
        Value::Flag(flag, _) => (*flag).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.text.clone(), json(value))).collect(),
    }
}
