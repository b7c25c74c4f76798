//! Spans of time.

use std::{sync::Arc, time::Duration};

use serde_json::Value as Json;

use crate::{
    expression::{Program, Variables},
    limits::Limits,
    reader::{Place, Reader},
    tree::{Node, Value},
};

/// A span of time.
#[derive(Clone, Debug)]
pub enum Span {
    /// This long.
    Fixed(Duration),
    /// What this gives: ISO 8601, or a map of days, hours, minutes, seconds and milliseconds.
    Computed(Arc<Program>),
}

impl Span {
    /// How long it is.
    pub(crate) fn length(&self, input: &Json, variables: &dyn Variables, limits: &Limits) -> Result<Duration, String> {
        match self {
            Self::Fixed(length) => Ok(*length),
            Self::Computed(program) => {
                let value = program.evaluate(input, variables, limits).map_err(|fault| fault.to_string())?;
                from_json(&value)
            }
        }
    }
}

const UNITS: [(&str, u64); 5] =
    [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000), ("milliseconds", 1)];

/// A span of time as the DSL writes it: ISO 8601, or a map of units.
pub fn from_json(value: &Json) -> Result<Duration, String> {
    match value {
        Json::String(text) => from_iso(text),
        Json::Object(units) => {
            let mut millis = 0_u64;
            for (name, count) in units {
                let Some((_, unit)) = UNITS.iter().find(|(unit, _)| unit == name) else {
                    return Err(format!("a duration has no {name:?}"));
                };
                let count = count.as_u64().ok_or_else(|| format!("{name} is a whole number, 0 or more"))?;
                millis = millis.saturating_add(count.saturating_mul(*unit));
            }
            Ok(Duration::from_millis(millis))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
            Err("a duration is a text such as PT30S, or a map such as {seconds: 30}".to_owned())
        }
    }
}

/// `P1DT2H30M5.5S`. Years and months have no fixed length.
fn from_iso(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration of ISO 8601, such as PT30S or P1DT2H");
    let rest = text.strip_prefix('P').ok_or_else(wrong)?;
    let (days, clock) = rest.split_once('T').map_or((rest, None), |(days, clock)| (days, Some(clock)));
    if days.is_empty() && clock.is_none_or(str::is_empty) || clock.is_some_and(str::is_empty) {
        return Err(wrong());
    }
    let mut millis = 0_f64;
    for (part, units) in [
        (days, [('W', 604_800_000.0), ('D', 86_400_000.0), ('\0', 0.0)].as_slice()),
        (clock.unwrap_or_default(), [('H', 3_600_000.0), ('M', 60_000.0), ('S', 1_000.0)].as_slice()),
    ] {
        let mut number = String::new();
        for c in part.chars() {
            if c.is_ascii_digit() || c == '.' {
                number.push(c);
                continue;
            }
            if std::ptr::eq(part, days) && matches!(c, 'Y' | 'M') {
                return Err("years and months have no fixed length: write days".to_owned());
            }
            let unit = units.iter().find(|(unit, _)| *unit == c).map(|(_, millis)| *millis).ok_or_else(wrong)?;
            millis += number.parse::<f64>().map_err(|_| wrong())? * unit;
            number.clear();
        }
        if !number.is_empty() {
            return Err(wrong());
        }
    }
    Ok(Duration::from_millis(millis as u64))
}

impl Reader<'_> {
    /// A span of time.
    pub(crate) fn span(&mut self, node: &Node, what: &str, place: Place) -> Option<Span> {
        if let Some(text) = node.text()
            && let Some((program, start)) = crate::template::unwrapped(text)
        {
            return self.program(node, program, start, place).map(Span::Computed);
        }
        if let Value::Map(_) = node.value {
            let names: Vec<&str> = UNITS.iter().map(|(name, _)| *name).collect();
            let fields = self.fields(node, what, &names)?;
            if !fields.are_all_of(&names) {
                return None;
            }
        }
        match from_json(&node.json()) {
            Ok(length) => Some(Span::Fixed(length)),
            Err(message) => {
                self.fault(node, format!("{what}: {message}"), "write it as PT30S or as {seconds: 30}");
                None
            }
        }
    }
}
