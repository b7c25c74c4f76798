//! Definitions that mean harm: refused or read, either in bounded time and memory.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::{Duration, Instant};

use bobbinet_flow::{
    check::{Catalog, KnownSkill, check_in},
    document::{Definition, Reading},
    graph::mermaid,
    limits::Limits,
    svg::svg,
};
use serde_json::json;

const HEAD: &str = "document: { dsl: '1.0.3', namespace: test, name: hostile, version: '1.0.0' }\n";

/// Many agents with many skills of large schemas.
struct Mesh;

impl Catalog for Mesh {
    fn agents(&self) -> Vec<String> {
        (0..50).map(|n| format!("agent-{n}")).collect()
    }

    fn skills(&self, _: &str) -> Option<Vec<String>> {
        Some((0..200).map(|n| format!("skill_{n}")).collect())
    }

    fn skill(&self, _: &str, skill: &str) -> Option<KnownSkill> {
        let properties: serde_json::Map<_, _> = (0..300)
            .map(|n| (format!("argument_{n}"), json!({"type": "string", "description": "x".repeat(100)})))
            .collect();
        let schema = json!({"type": "object", "properties": properties});
        (skill != "skill_x").then_some(KnownSkill {
            input: Some(schema.clone()),
            output: Some(schema),
            ..KnownSkill::default()
        })
    }
}

/// Kilobytes of memory that the process has now, where the system says so.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Reads, checks and draws it, and says what was found.
#[track_caller]
fn read(what: &str, text: &str) -> Reading {
    let started = Instant::now();
    let reading = Definition::read("hostile.yaml", text, &Limits::default());
    let mut told = reading.findings.clone();
    if let Some(definition) = &reading.definition {
        told.extend(check_in(definition, "hostile.yaml", text, &Mesh));
        assert!(mermaid(definition).len() + svg(definition).len() < 40_000_000, "{what}");
    }
    let words: usize = told.iter().map(|finding| finding.to_string().len()).sum();
    let json: usize = told.iter().map(|finding| serde_json::to_string(finding).unwrap().len()).sum();
    let took = started.elapsed();
    let first = told.first().map_or("", |finding| finding.message.as_str());
    println!("{took:>10.1?} {} findings, {words} bytes; {:?} kB at most; {what}: {first:.90}", told.len(), memory());
    assert!(took < Duration::from_secs(5), "{what} took {took:?}");
    assert!(words < 2_000_000 && json < 2_000_000, "{what} says {words} bytes, {json} in JSON");
    if let Some(memory) = memory() {
        assert!(memory < 600_000, "{what} took {memory} kB");
    }
    reading
}

#[test]
fn hostile_documents_are_bounded() {
    let long = "n".repeat(60_000);
    let ones = "1,".repeat(80_000);
    read("a long name above many values", &format!("{HEAD}do: [ {{ ? {long} : {{ set: {{ x: [{ones}] }} }} }} ]\n"));
    let steps: String = (0..1_900).map(|n| format!("{{ s{n}: {{ wait: PT1S }} }}, ")).collect();
    read("a long name above many steps", &format!("{HEAD}do: [ {{ ? {long} : {{ do: [ {steps} ] }} }} ]\n"));
    read(
        "a long name above many faults",
        &format!("{HEAD}do: [ {{ ? {long} : {{ set: {{ x: [{}] }} }} }} ]\n", "'${ . | nope }',".repeat(8_000)),
    );
    let text = "t".repeat(100_000);
    read(
        "a long text many times",
        &format!(
            "{HEAD}use: &u {{ secrets: [ &t {text} ] }}\ndo: [ {{ one: {{ set: {{ x: [{}] }} }} }} ]\n",
            "*t,".repeat(30_000)
        ),
    );
    let faults: String = (0..6_000).map(|n| format!("  - x{n}: {{ whait: PT1S }}\n")).collect();
    read("many faults", &format!("{HEAD}do:\n{faults}"));
    let one_line: String = (0..1_900).map(|n| format!("{{ x{n}: {{ cal: y, wiht: {{}} }} }}, ")).collect();
    read("many faults in one line", &format!("{HEAD}do: [ {one_line} ]\n"));
    let jumps: String =
        (0..1_990).map(|n| format!("  - step-number-{n}: {{ set: {{ a: 1 }}, then: stop-numer-{n} }}\n")).collect();
    read("many jumps to nowhere", &format!("{HEAD}do:\n{jumps}"));
    let functions: String = (0..900).map(|n| format!("    function-{n}: {{ wait: PT1S }}\n")).collect();
    let calls: String = (0..1_000).map(|n| format!("  - c{n}: {{ call: funktion{n}-{n} }}\n")).collect();
    read("many calls of no function", &format!("{HEAD}use:\n  functions:\n{functions}do:\n{calls}"));
    let cases: String = (0..6_000).map(|n| format!("{{ c{n}: {{ when: .x, then: s{n} }} }}, ")).collect();
    read("a switch of many cases", &format!("{HEAD}do: [ {{ one: {{ switch: [ {cases} ] }} }} ]\n"));
    let cases: String = (0..4_000).map(|n| format!("{{ c{n}: {{ when: .x, then: s{} }} }}, ", n % 500)).collect();
    let steps: String = (0..500).map(|n| format!(", {{ s{n}: {{ set: {{ a: 1 }} }} }}")).collect();
    let reading =
        read("a switch to many steps", &format!("{HEAD}do: [ {{ one: {{ switch: [ {cases} ] }} }}{steps} ]\n"));
    assert!(reading.definition.is_some(), "{}", reading.findings[0]);
    let nested = (0..19).fold("[ { one: { set: { a: 1 } } } ]".to_owned(), |inner, n| {
        format!("[ {{ d{n}: {{ do: {inner} }} }}, {{ e{n}: {{ set: {{ a: 1 }}, then: exit }} }}, {{ f{n}: {{ set: {{ a: 1 }} }} }} ]")
    });
    assert!(read("deep", &format!("{HEAD}do: {nested}\n")).definition.is_some());
    let schema = "{ anyOf: [ ".repeat(15) + "{}" + &" ] }".repeat(15);
    read(
        "a deep schema",
        &format!("{HEAD}input: {{ schema: {{ document: {schema} }} }}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n"),
    );
    let pattern = "(a+)+".repeat(20_000);
    read(
        "a pattern",
        &format!(
            "{HEAD}input: {{ schema: {{ document: {{ pattern: '{pattern}$' }} }} }}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n"
        ),
    );
    let counted = "(((((a{1,50}){1,50}){1,50}){1,50}){1,50}){1,50}";
    read(
        "a counting pattern",
        &format!(
            "{HEAD}input: {{ schema: {{ document: {{ pattern: '{counted}' }} }} }}\ndo: [ {{ one: {{ set: {{ a: 1 }} }} }} ]\n"
        ),
    );
    let words: String = (0..4_000).map(|n| format!("w{n}: {{ type: string }}, ")).collect();
    let steps: String = (0..1_500).map(|n| format!("  - s{n}: {{ input: {{ from: . }}, wait: PT1S }}\n")).collect();
    read(
        "a large schema through many steps",
        &format!(
            "{HEAD}input: {{ schema: {{ document: {{ type: object, properties: {{ {words} }} }} }} }}\ndo:\n{steps}"
        ),
    );
    let calls: String =
        (0..1_900).map(|n| format!("  - c{n}: {{ call: agemt-{n}.skill_1, with: {{ argumemt_1: 1 }} }}\n")).collect();
    read("many calls of no agent", &format!("{HEAD}do:\n{calls}"));
    let calls: String = (0..1_500)
        .map(|n| {
            format!(
                "  - c{n}: {{ call: agent-{}.skill_{}, with: {{ argumemt_{n}: 1, argument_{}: 2 }} }}\n",
                n % 5,
                n % 20,
                n % 300
            )
        })
        .collect();
    read("many arguments that do not fit", &format!("{HEAD}do:\n{calls}"));
    let expressions: String =
        (0..1_900).map(|n| format!("  - s{n}: {{ set: {{ a: '${{ .a | map(. + 1) | add }}' }} }}\n")).collect();
    assert!(read("many expressions", &format!("{HEAD}do:\n{expressions}")).definition.is_some());
}
