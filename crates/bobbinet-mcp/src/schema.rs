//! A JSON Schema that came from a server: compiled once, never trusted with our time, never followed into the network.

use std::collections::{BTreeMap, BTreeSet};

use bobbinet_core::Json;
use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use serde::Serialize;
use serde_json::Value;

use crate::rpc_message;

/// How deep a schema may be nested. Its compiler goes down by recursion.
const DEPTH_MAX: usize = 64;

/// How often one value may come to be checked at most: references can make a small schema endlessly much work.
const WEIGHT_MAX: u64 = 10_000;

/// How often a pattern may go back on itself before it counts as not matching. Only patterns with look-around or
/// back-references do so at all; every other is matched in time that grows with the text alone.
const BACKTRACK_MAX: usize = 10_000;

/// Bytes of a compiled pattern: what one character of a text can cost.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// What a pattern counts for beside the schemas that are checked: so much dearer it may be, character by character.
const PATTERN_WEIGHT: u64 = 1_000;

/// The same for patterns that go back on themselves.
const BACKTRACKING_WEIGHT: u64 = 10_000;

/// Bytes times weight that are checked at once, on a thread that serves everybody: a few milliseconds at the worst.
const LIGHT_WORK_MAX: u64 = 4 << 20;

/// Bytes times weight that are checked at all: some seconds on a thread of their own.
const WORK_MAX: u64 = 1 << 30;

/// How much work a check is, by the size of the value and what the schema makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Done at once.
    Light,
    /// Not for a thread that serves everybody.
    Heavy,
    /// More than is done: the value counts as fitting, and the server checks it itself.
    TooMuch,
}

/// Faults that are told of one value. Nobody mends more at a time.
const VIOLATIONS_MAX: usize = 20;

/// Bytes of one fault's text: it quotes the value.
const VIOLATION_TEXT_MAX: usize = 300;

/// A schema, and what checks against it.
#[derive(Debug)]
pub(crate) struct Schema {
    /// As it came.
    pub(crate) json: Json,
    value: Value,
    validator: Option<Validator>,
    /// What one byte of a value may cost.
    weight: u64,
    /// Why nothing is checked, if nothing is.
    pub(crate) unchecked: Option<String>,
}

/// One way in which a value does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// JSON pointer to the place.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) text: String,
    /// Whether it is only that something required is not there.
    pub(crate) is_missing: bool,
}

impl Schema {
    /// Compiles a schema. One that cannot be compiled, or should not be, checks nothing and says why.
    pub(crate) fn new(json: Json, bytes_max: usize) -> Self {
        let is_readable = !rpc_message::is_deeper_than(json.as_str(), DEPTH_MAX);
        let value = if is_readable { json.to_value() } else { Value::Bool(true) };
        let compiled = if !is_readable {
            Err(format!("it is nested deeper than {DEPTH_MAX}"))
        } else if json.as_str().len() > bytes_max {
            Err(format!("it is longer than {bytes_max} bytes"))
        } else {
            match heaviest(&value) {
                weight if weight > WEIGHT_MAX => {
                    Err(format!("one value would be checked more than {WEIGHT_MAX} times"))
                }
                weight => {
                    compile(&value).map(|(validator, backtracks)| (validator, weight + patterns(&value, backtracks)))
                }
            }
        };
        let (validator, weight, unchecked) = match compiled {
            Ok((validator, weight)) => (Some(validator), weight, None),
            Err(why) => (None, 0, Some(why)),
        };
        Self { json, value, validator, weight, unchecked }
    }

    /// How much work it is to check a value whose JSON has so many bytes.
    pub(crate) fn work(&self, bytes: usize) -> Work {
        match self.weight.saturating_mul(bytes as u64) {
            ..=LIGHT_WORK_MAX => Work::Light,
            work if work <= WORK_MAX => Work::Heavy,
            _ => Work::TooMuch,
        }
    }

    /// What is wrong with a value, where that is soon known. `None`: it is not.
    pub(crate) fn check_light(&self, json: &Json) -> Option<Vec<Violation>> {
        (self.work(json.as_str().len()) == Work::Light).then(|| self.check(&json.to_value()))
    }

    /// What is wrong with a value. Empty: nothing. How long that may take, [`Schema::work`] says.
    pub(crate) fn check(&self, value: &Value) -> Vec<Violation> {
        let Some(validator) = &self.validator else { return Vec::new() };
        validator.iter_errors(value).take(VIOLATIONS_MAX).map(|error| violation(&error)).collect()
    }

    /// The schema itself, with a reference at its root followed.
    fn root(&self) -> &Value {
        follow(&self.value, &self.value)
    }

    /// The properties it names, in the order of their names.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        let properties = self.root().get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// What a property must be like, as far as the schema says so by the property's name.
    pub(crate) fn property(&self, name: &str) -> Option<&Value> {
        self.root().get("properties")?.get(name)
    }

    /// Whether a property is named, or any may be there because none is.
    pub(crate) fn has_property(&self, name: &str) -> bool {
        self.property(name).is_some() || self.properties().next().is_none()
    }

    /// The properties that must be there.
    pub(crate) fn required(&self) -> Vec<&str> {
        let required = self.root().get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The types that a property may have: JSON Schema's words. Empty if any may be there.
    pub(crate) fn types(&self, property: &str) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        if let Some(schema) = self.property(property) {
            collect_types(&self.value, schema, &mut types, DEPTH_MAX);
        }
        types
    }

    /// The types that a part of this schema wants. Empty if any may be there.
    pub(crate) fn types_of(&self, part: &Value) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        collect_types(&self.value, part, &mut types, DEPTH_MAX);
        types
    }

    /// What the schema's part says of the values inside: of a property of this name, or, without a name, of an item.
    pub(crate) fn inside<'a>(&'a self, part: &'a Value, name: Option<&str>) -> Option<&'a Value> {
        let part = follow(&self.value, part);
        match name {
            Some(name) => part.get("properties")?.get(name),
            None => part.get("items").filter(|items| items.is_object()),
        }
    }

    /// The property that plain text can only be meant for: the one that is required, or the only one there is, if it
    /// is a text.
    pub(crate) fn only_text(&self) -> Option<&str> {
        let required = self.required();
        let all = self.properties().map(|(name, _)| name).collect::<Vec<_>>();
        let only = match (required.as_slice(), all.as_slice()) {
            ([only], _) | ([], [only]) => *only,
            _ => return None,
        };
        let types = self.types(only);
        (types.contains("string") && types.iter().all(|word| word == "string" || word == "null")).then_some(only)
    }

    /// What a property is for, by its own words.
    pub(crate) fn description(&self, property: &str) -> Option<&str> {
        self.property(property)?.get("description")?.as_str()
    }

    /// The schema of these properties alone, all of them required.
    pub(crate) fn only(&self, names: &[String]) -> Json {
        let root = self.root();
        let mut properties = serde_json::Map::new();
        for (name, schema) in names.iter().filter_map(|name| Some((name, self.property(name)?))) {
            properties.insert(name.to_owned(), schema.clone());
        }
        let mut part = serde_json::json!({"type": "object", "properties": properties, "required": names});
        for definitions in ["$defs", "definitions", "$schema"] {
            if let Some(found) = self.value.get(definitions).or_else(|| root.get(definitions)) {
                part[definitions] = found.clone();
            }
        }
        Json::from(&part)
    }
}

/// The validator of a schema, and whether its patterns go back on themselves.
fn compile(schema: &Value) -> Result<(Validator, bool), String> {
    let linear = || PatternOptions::regex().size_limit(PATTERN_BYTES_MAX);
    let backtracking = || PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(PATTERN_BYTES_MAX);
    let build = |schema: &Value| {
        let first = jsonschema::options().offline().with_pattern_options(linear()).build(schema);
        first.map(|validator| (validator, false)).or_else(|_| {
            let second = jsonschema::options().offline().with_pattern_options(backtracking()).build(schema);
            second.map(|validator| (validator, true)).map_err(|error| shorten(&error.to_string()))
        })
    };
    build(schema).or_else(|why| {
        // A dialect that nobody knows is read as the newest: most say the same.
        let mut plain = schema.clone();
        match plain.as_object_mut().and_then(|fields| fields.remove("$schema")) {
            Some(_) => build(&plain),
            None => Err(why),
        }
    })
}

fn violation(error: &ValidationError<'_>) -> Violation {
    let place = error.instance_path().as_str().to_owned();
    if let ValidationErrorKind::Required { property } = error.kind() {
        let name = property.as_str().unwrap_or_default();
        let text = format!("{name:?} is required");
        return Violation { path: format!("{place}/{}", escape(name)), text, is_missing: true };
    }
    Violation { path: place, text: shorten(&error.to_string()), is_missing: false }
}

/// A name as a JSON pointer writes it (RFC 6901).
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn shorten(text: &str) -> String {
    rpc_message::shorten(text, VIOLATION_TEXT_MAX).into_owned()
}

/// The schema that a local reference points to, if `schema` is one.
fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut found = schema;
    for _ in 0..DEPTH_MAX {
        let target = found.get("$ref").and_then(Value::as_str).and_then(|reference| local(root, reference));
        match target {
            Some(target) => found = target,
            None => return found,
        }
    }
    found
}

fn local<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

fn collect_types(root: &Value, schema: &Value, types: &mut BTreeSet<String>, depth: usize) {
    if depth == 0 {
        return;
    }
    let schema = follow(root, schema);
    match schema.get("type") {
        Some(Value::String(word)) => {
            types.insert(word.clone());
        }
        Some(Value::Array(words)) => types.extend(words.iter().filter_map(Value::as_str).map(str::to_owned)),
        _ => {}
    }
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"));
    types.extend(listed.map(|value| type_of(value).to_owned()));
    for word in ["anyOf", "oneOf", "allOf"] {
        for branch in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            collect_types(root, branch, types, depth - 1);
        }
    }
}

/// JSON Schema's word for what a value is.
pub(crate) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// What the patterns of a schema add to its weight. They are counted wherever they stand: too many rather than too few.
fn patterns(schema: &Value, backtracks: bool) -> u64 {
    let each = if backtracks { BACKTRACKING_WEIGHT } else { PATTERN_WEIGHT };
    let mut weight = 0_u64;
    let mut next = vec![schema];
    while let Some(part) = next.pop() {
        match part {
            Value::Object(fields) => {
                let own = u64::from(fields.get("pattern").is_some_and(Value::is_string));
                let names = fields.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
                weight = weight.saturating_add(each.saturating_mul(own.saturating_add(names as u64)));
                next.extend(fields.values());
            }
            Value::Array(items) => next.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    weight
}

/// How many schemas the heaviest subschema applies to one and the same value.
fn heaviest(schema: &Value) -> u64 {
    let mut known = BTreeMap::new();
    let mut heaviest = 0;
    let mut next = vec![schema];
    while let Some(part) = next.pop() {
        heaviest = heaviest.max(weigh(schema, part, &mut known, &mut Vec::new()));
        match part {
            Value::Object(fields) => next.extend(fields.values()),
            Value::Array(items) => next.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    heaviest
}

fn weigh(root: &Value, schema: &Value, known: &mut BTreeMap<String, u64>, path: &mut Vec<String>) -> u64 {
    let Value::Object(fields) = schema else { return 1 };
    let mut weight = 1_u64;
    if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
        let target = match (known.get(reference), local(root, reference)) {
            (Some(weight), _) => *weight,
            // A value that is checked against itself: without an end.
            (None, Some(_)) if path.iter().any(|on_path| on_path == reference) => u64::MAX,
            (None, Some(target)) => {
                path.push(reference.to_owned());
                let weight = weigh(root, target, known, path);
                path.pop();
                known.insert(reference.to_owned(), weight);
                weight
            }
            (None, None) => 1,
        };
        weight = weight.saturating_add(target);
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for branch in fields.get(word).and_then(Value::as_array).into_iter().flatten() {
            weight = weight.saturating_add(weigh(root, branch, known, path));
        }
    }
    for word in ["not", "if", "then", "else"] {
        if let Some(branch) = fields.get(word) {
            weight = weight.saturating_add(weigh(root, branch, known, path));
        }
    }
    weight
}

/// Violations as callers are told of them: `[{"path": "/a", "message": …}]`.
pub(crate) fn errors(violations: &[Violation]) -> Json {
    #[derive(Serialize)]
    struct Error<'a> {
        path: &'a str,
        message: &'a str,
    }
    Json::of(&violations.iter().map(|it| Error { path: &it.path, message: &it.text }).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(value: &Value) -> Schema {
        Schema::new(Json::from(value), 256 << 10)
    }

    fn check(name: &str, of: &Value, value: &Value, expected: &[&str]) {
        let found = schema(of).check(value);
        let found = found.iter().map(|it| format!("{}{}", it.path, if it.is_missing { "?" } else { "!" }));
        assert_eq!(found.collect::<Vec<_>>(), expected, "{name}");
    }

    #[test]
    fn values_are_checked_by_either_dialect() {
        let numbers =
            json!({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"number"}},"required":["a","b"]});
        check("fits", &numbers, &json!({"a":1,"b":2.5}), &[]);
        check("missing", &numbers, &json!({"a":1}), &["/b?"]);
        check("wrong", &numbers, &json!({"a":1.5,"b":"x"}), &["/a!", "/b!"]);
        let old = json!({"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"n":{"type":"integer"}},
            "properties":{"a/b":{"$ref":"#/definitions/n"}},"required":["a/b"]});
        check("draft 7", &old, &json!({"a/b":"x"}), &["/a~1b!"]);
        check("pointer", &old, &json!({}), &["/a~1b?"]);
        let odd = json!({"$schema":"https://example.com/mine","type":"object"});
        check("unknown dialect", &odd, &json!(1), &["!"]);
    }

    #[test]
    fn what_should_not_be_compiled_is_not() {
        let mut bomb = json!({"$defs":{"d0":{"type":"string"}}, "properties":{"x":{"$ref":"#/$defs/d40"}}});
        for n in 1..=40 {
            let below = format!("#/$defs/d{}", n - 1);
            bomb["$defs"][format!("d{n}")] = json!({"anyOf":[{"$ref":below},{"$ref":below}]});
        }
        let deep = (0..100).fold(json!({}), |inner, _| json!({"not": inner}));
        let long = json!({"description": "x".repeat(300 << 10)});
        let circle = json!({"$ref":"#/$defs/a","$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}}});
        let remote = json!({"$ref":"http://127.0.0.1:1/x.json"});
        for bad in [bomb, deep, long, circle, remote] {
            let schema = schema(&bad);
            assert!(schema.unchecked.is_some(), "{:.80}", schema.json.as_str());
            assert_eq!(schema.check(&json!({"x":1})), []);
        }
    }

    #[test]
    fn types_are_found_behind_references_and_choices() {
        let found = schema(&json!({"$defs":{"E":{"enum":["a",1]}},"properties":{
            "plain":{"type":"string"},"maybe":{"anyOf":[{"type":"integer"},{"type":"null"}]},
            "list":{"type":["array","null"]},"ref":{"$ref":"#/$defs/E"},"any":{}}}));
        let types = |name: &str| found.types(name).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(types("plain"), "string");
        assert_eq!(types("maybe"), "integer null");
        assert_eq!(types("list"), "array null");
        assert_eq!(types("ref"), "integer string");
        assert_eq!(types("any"), "");
        assert_eq!(types("none"), "");
    }

    #[test]
    fn plain_text_is_meant_for_the_one_property_that_can_take_it() {
        let only = |value: Value| schema(&value).only_text().map(str::to_owned);
        let text = json!({"type":"string"});
        assert_eq!(only(json!({"properties":{"m":text}})), Some("m".to_owned()));
        assert_eq!(only(json!({"properties":{"m":text,"n":text},"required":["n"]})), Some("n".to_owned()));
        assert_eq!(only(json!({"properties":{"m":text,"n":text}})), None);
        assert_eq!(only(json!({"properties":{"m":text,"n":text},"required":["m","n"]})), None);
        assert_eq!(only(json!({"properties":{"m":{"type":"integer"}},"required":["m"]})), None);
        assert_eq!(only(json!({})), None);
    }

    #[test]
    fn a_part_of_a_schema_still_knows_its_definitions() {
        let whole = schema(
            &json!({"$defs":{"n":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/n"},"b":{}},"required":["a","b"]}),
        );
        let part = Schema::new(whole.only(&["a".to_owned()]), 1 << 20);
        assert_eq!(part.required(), ["a"]);
        assert_eq!(part.check(&json!({"a":1})), []);
        assert_eq!(part.check(&json!({"a":"x"})).len(), 1);
    }
}
