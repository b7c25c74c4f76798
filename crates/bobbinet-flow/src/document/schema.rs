//! JSON Schemas of a definition: compiled once, never followed into the network, and never more work than a bound says.

use std::{collections::BTreeMap, sync::Arc};

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use serde_json::Value as Json;

use crate::{limits::Limits, reader::Reader, tree::Node};

/// Bytes of a compiled pattern: what one character of a text can cost.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// What a character costs for each pattern, beside the parts of schemas that are checked. A pattern at its bound costs more, and few are.
const PATTERN_WEIGHT: u64 = 250;

/// Parts of a schema, its references followed. A few lines of it can be endlessly many.
const PARTS_MAX: u64 = 100_000;

/// Checks of a part of a value against a part of a schema that are one unit of work, as expressions count it.
const CHECKS_OF_A_UNIT: u64 = 64;

/// Characters of what is told of a value that does not fit: it quotes the value.
const FAULT_MAX: usize = 300;

/// A JSON Schema, compiled.
#[derive(Clone)]
pub struct Schema {
    /// As it is written.
    pub json: Arc<Json>,
    validator: Arc<Validator>,
    /// How many parts it has, references followed.
    parts: u64,
    patterns: u64,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Schema({})", self.json)
    }
}

impl Schema {
    /// What does not hold for this value: the first of it, with its place in the value.
    pub fn fault(&self, value: &Json, limits: &Limits) -> Option<String> {
        let (parts, bytes) = measured(value);
        let checks = self.parts.saturating_mul(parts);
        let characters = self.patterns.saturating_mul(PATTERN_WEIGHT).saturating_mul(bytes);
        let checks = checks.saturating_add(characters);
        if checks > limits.schema_checks {
            return Some("it is too large to be checked against it".to_owned());
        }
        crate::expression::count_work(checks / CHECKS_OF_A_UNIT);
        self.validator.iter_errors(value).next().map(|error| {
            let place = error.instance_path().to_string();
            let told = if place.is_empty() { error.to_string() } else { format!("{error} (at {place})") };
            match told.char_indices().nth(FAULT_MAX) {
                Some((end, _)) => format!("{}…", &told[..end]),
                None => told,
            }
        })
    }
}

/// How schemas are compiled. No pattern of theirs takes more than its text's length in time.
pub(crate) fn options<'a>() -> ValidationOptions<'a> {
    jsonschema::options().offline().with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
}

/// The parts of a value, and the bytes of its texts.
fn measured(value: &Json) -> (u64, u64) {
    let (mut parts, mut bytes) = (0_u64, 0_u64);
    let mut open = vec![value];
    while let Some(part) = open.pop() {
        parts += 1;
        match part {
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
            Json::String(text) => bytes += text.len() as u64,
            Json::Array(items) => open.extend(items),
            Json::Object(entries) => {
                bytes += entries.keys().map(|name| name.len() as u64).sum::<u64>();
                open.extend(entries.values());
            }
        }
    }
    (parts, bytes)
}

/// The words that apply several schemas to one value, or one to what others are applied to as well.
const SEVERAL: [&str; 13] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "contains",
    "unevaluatedProperties",
    "unevaluatedItems",
];

/// Counts a schema's parts.
struct Weighing<'s> {
    root: &'s Json,
    known: BTreeMap<&'s str, (u64, u64)>,
    path: Vec<&'s str>,
    patterns: u64,
    is_recursive: bool,
    /// Whether several of its parts may be applied to one part of a value.
    has_several: bool,
}

impl<'s> Weighing<'s> {
    fn parts(&mut self, part: &'s Json) -> u64 {
        match part {
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
            Json::Array(items) => items.iter().fold(1, |sum, item| sum.saturating_add(self.parts(item))),
            Json::Object(entries) => {
                let mut sum = 1_u64;
                for (name, inner) in entries {
                    self.has_several |= SEVERAL.contains(&name.as_str());
                    match (name.as_str(), inner) {
                        // They count where they are referred to.
                        ("$defs" | "definitions", _) => {}
                        ("$ref" | "$dynamicRef" | "$recursiveRef", Json::String(reference)) => {
                            // What stands beside it is applied to the same value.
                            self.has_several |= entries.len() > 1 && part != self.root;
                            sum = sum.saturating_add(self.referred(reference));
                        }
                        ("pattern", Json::String(_)) => self.patterns = self.patterns.saturating_add(1),
                        ("patternProperties", Json::Object(patterns)) => {
                            self.patterns = self.patterns.saturating_add(patterns.len() as u64);
                            sum = sum.saturating_add(self.parts(inner));
                        }
                        _ => sum = sum.saturating_add(self.parts(inner)),
                    }
                }
                sum
            }
        }
    }

    fn referred(&mut self, reference: &'s str) -> u64 {
        if let Some(known) = self.known.get(reference) {
            let (parts, patterns) = *known;
            // Patterns count as often as they are led to, as the parts do.
            self.patterns = self.patterns.saturating_add(patterns);
            return parts;
        }
        if self.path.contains(&reference) || reference == "#" {
            self.is_recursive = true;
            return 1;
        }
        let Some(target) = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else { return 1 };
        self.path.push(reference);
        let patterns = self.patterns;
        let parts = self.parts(target);
        self.path.pop();
        self.known.insert(reference, (parts, self.patterns.saturating_sub(patterns)));
        parts
    }
}

impl Reader<'_> {
    /// `schema: {document}`.
    pub(crate) fn schema(&mut self, node: &Node) -> Option<Schema> {
        let fields = self.fields(node, "schema", &["format", "document", "resource"])?;
        if let Some(format) = fields.get("format")
            && !self.text(format, "schema.format")?.starts_with("json")
        {
            self.fault(format, "a schema is JSON Schema", "write format: json");
        }
        if let Some(resource) = fields.get("resource") {
            self.fault(resource, "a schema is not fetched from elsewhere", "write it here, under schema.document");
            return None;
        }
        let document = self.required(node, &fields, "schema", "document")?;
        let json = document.json();
        let mut weighing = Weighing {
            root: &json,
            known: BTreeMap::new(),
            path: Vec::new(),
            patterns: 0,
            is_recursive: false,
            has_several: false,
        };
        let parts = weighing.parts(&json);
        let Weighing { patterns, is_recursive, has_several, .. } = weighing;
        if parts > PARTS_MAX {
            let message = "this schema is too large once its references are followed";
            self.fault(document, message, "refer to a definition less often, or say less of what is in it");
            return None;
        }
        // Each level of a value would be checked several times over by the one above: that doubles with each.
        if is_recursive && has_several {
            let message = "this schema refers to itself, and applies several schemas to one value";
            let hint = "take anyOf, allOf and their like out of it, or the reference that leads back to it";
            self.fault(document, message, hint);
            return None;
        }
        match options().build(&json) {
            Ok(validator) => Some(Schema { json: Arc::new(json), validator: Arc::new(validator), parts, patterns }),
            Err(error) => {
                let hint = "look at that word; and references may only lead to definitions in this schema";
                self.fault(document, format!("this is no JSON Schema: {error}"), hint);
                None
            }
        }
    }
}
