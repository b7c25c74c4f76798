//! JSON into an expression's value and back.

use std::rc::Rc;

use jaq_json::Num;
use serde_json::Number;

use super::{
    meter,
    value::{Map, Value},
};

/// A value of this JSON.
pub(super) fn from_json(json: &serde_json::Value) -> Value {
    meter::converted();
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => Value::Number(from_number(number)),
        serde_json::Value::String(text) => Value::text(text.as_str()),
        serde_json::Value::Array(items) => Value::list(items.iter().map(from_json).collect()),
        serde_json::Value::Object(entries) => {
            Value::map(entries.iter().map(|(key, value)| (Rc::from(key.as_str()), from_json(value))).collect::<Map>())
        }
    }
}

fn from_number(number: &Number) -> Num {
    if let Some(whole) = number.as_i64() {
        return Num::from_integral(whole);
    }
    if let Some(whole) = number.as_u64() {
        return Num::from_integral(whole);
    }
    Num::Float(number.as_f64().unwrap_or(f64::NAN))
}

impl Value {
    /// Its JSON as text.
    pub(super) fn to_json(&self) -> String {
        meter::spend_bytes(self.bytes());
        to_json(self).to_string()
    }
}

/// The JSON of a value. What JSON has no word for is null, as in jq.
pub(super) fn to_json(value: &Value) -> serde_json::Value {
    meter::converted();
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => serde_json::Value::Bool(*flag),
        Value::Number(number) => to_number(number).map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::Text(text) => serde_json::Value::String(text.as_str().to_owned()),
        Value::List(list) => serde_json::Value::Array(list.items.iter().map(to_json).collect()),
        Value::Map(map) => {
            serde_json::Value::Object(map.items.iter().map(|(key, value)| (key.to_string(), to_json(value))).collect())
        }
    }
}

fn to_number(number: &Num) -> Option<Number> {
    match number {
        Num::Int(whole) => Some(Number::from(*whole)),
        Num::BigInt(_) | Num::Dec(_) => {
            let text = number.to_string();
            text.parse::<u64>().ok().map(Number::from).or_else(|| Number::from_f64(text.parse().ok()?))
        }
        // jq knows no difference between 3.0 and 3, and people who count with `/` expect the latter.
        Num::Float(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
            Some(Number::from(*float as i64))
        }
        Num::Float(float) => Number::from_f64(*float),
    }
}
