//! What operators do with values, and what it costs.

use std::rc::Rc;

use jaq_core::ops::Math;
use jaq_json::Num;

use super::{
    meter,
    value::{Fault, Map, Sized, ValR, Value, pay, whole},
};

impl std::ops::Add for Value {
    type Output = ValR;

    fn add(self, other: Self) -> ValR {
        pay(1)?;
        match (self, other) {
            (Self::Null, value) | (value, Self::Null) => Ok(value),
            (Self::Number(a), Self::Number(b)) => Self::number(a + b),
            (Self::Text(mut a), Self::Text(b)) => {
                let copied = if Rc::strong_count(&a) > 1 { a.len() + b.len() } else { b.len() };
                if meter::spend_bytes(copied) && meter::may_hold(a.len() + b.len(), 0) {
                    Rc::make_mut(&mut a).push_str(&b);
                }
                Ok(Self::Text(a))
            }
            (Self::List(mut a), Self::List(b)) => {
                let is_shared = Rc::strong_count(&a) > 1;
                let copied = b.items.len() + if is_shared { a.items.len() } else { 0 };
                let bytes = a.bytes.saturating_add(b.bytes);
                let depth = a.depth.max(b.depth);
                if meter::spend(1 + copied as u64 / 4) && meter::may_hold(bytes, depth) {
                    let sum = Rc::make_mut(&mut a);
                    sum.items.extend(b.items.iter().cloned());
                    (sum.bytes, sum.depth) = (bytes, depth);
                }
                Ok(Self::List(a))
            }
            (Self::Map(mut a), Self::Map(b)) => {
                let is_shared = Rc::strong_count(&a) > 1;
                let copied = b.items.len() + if is_shared { a.items.len() } else { 0 };
                // What is replaced still counts: too much, never too little.
                let bytes = a.bytes.saturating_add(b.bytes);
                let depth = a.depth.max(b.depth);
                if !meter::spend(1 + copied as u64) {
                    return Ok(Self::Null);
                }
                let sum = Rc::make_mut(&mut a);
                sum.items.extend(b.items.iter().map(|(key, value)| (key.clone(), value.clone())));
                if meter::may_hold(bytes, depth) {
                    (sum.bytes, sum.depth) = (bytes, depth);
                    return Ok(Self::Map(a));
                }
                Ok(Self::Null)
            }
            (a, b) => Err(Fault::math(a.shown(), Math::Add, b.shown())),
        }
    }
}

impl std::ops::Sub for Value {
    type Output = ValR;

    fn sub(self, other: Self) -> ValR {
        pay(1)?;
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::number(a - b),
            (Self::List(a), Self::List(b)) => {
                meter::spend_bytes(b.bytes.saturating_add(a.bytes).saturating_mul(4));
                let gone: std::collections::BTreeSet<_> = b.items.iter().collect();
                Ok(Self::list(Self::into_items(a).into_iter().filter(|item| !gone.contains(item)).collect()))
            }
            (a, b) => Err(Fault::math(a.shown(), Math::Sub, b.shown())),
        }
    }
}

/// Two maps in one, and the maps in them likewise.
fn merged(a: Rc<Sized<Map>>, b: Rc<Sized<Map>>) -> Value {
    let mut sum = Value::into_entries(a);
    for (key, new) in Value::into_entries(b) {
        let old = sum.get_mut(&key).map(|old| std::mem::replace(old, Value::Null));
        let new = match (old, new) {
            (Some(Value::Map(old)), Value::Map(new)) => merged(old, new),
            (_, new) => new,
        };
        sum.insert(key, new);
    }
    Value::map(sum)
}

impl std::ops::Mul for Value {
    type Output = ValR;

    fn mul(self, other: Self) -> ValR {
        pay(1)?;
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::number(a * b),
            (Self::Text(text), Self::Number(times)) | (Self::Number(times), Self::Text(text)) => {
                let times = whole(&times).and_then(|times| usize::try_from(times).ok()).unwrap_or(0);
                let bytes = text.len().saturating_mul(times);
                if times == 0 || !meter::may_hold(bytes, 0) || !meter::spend_bytes(bytes) {
                    return Ok(Self::Null);
                }
                Ok(Self::Text(Rc::new(text.repeat(times))))
            }
            (Self::Map(a), Self::Map(b)) => Ok(merged(a, b)),
            (a, b) => Err(Fault::math(a.shown(), Math::Mul, b.shown())),
        }
    }
}

impl std::ops::Div for Value {
    type Output = ValR;

    fn div(self, other: Self) -> ValR {
        pay(1)?;
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::number(a / b),
            (Self::Text(text), Self::Text(between)) => {
                meter::spend_bytes(text.len());
                Ok(match (text.is_empty(), between.is_empty()) {
                    (true, _) => Self::list(Vec::new()),
                    (false, true) => text.chars().map(|c| Self::text(c.to_string())).collect(),
                    (false, false) => text.split(between.as_str()).map(Self::text).collect(),
                })
            }
            (a, b) => Err(Fault::math(a.shown(), Math::Div, b.shown())),
        }
    }
}

impl std::ops::Rem for Value {
    type Output = ValR;

    fn rem(self, other: Self) -> ValR {
        pay(1)?;
        match (self, other) {
            (Self::Number(_), Self::Number(Num::Int(0))) => Err(Fault::str("cannot divide by zero")),
            (Self::Number(a), Self::Number(b)) => Self::number(a % b),
            (a, b) => Err(Fault::math(a.shown(), Math::Rem, b.shown())),
        }
    }
}

impl std::ops::Neg for Value {
    type Output = ValR;

    fn neg(self) -> ValR {
        match self {
            Self::Number(number) => Self::number(-number),
            other @ (Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Map(_)) => {
                Err(Fault::typ(other.shown(), "number"))
            }
        }
    }
}
