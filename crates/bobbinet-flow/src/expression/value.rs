//! The values that expressions work on. Each knows how large it is as a tree and how deeply it is nested, and whoever makes, copies
//! or compares one pays for it. So a value whose parts are shared cannot become exponentially large without anybody noticing.

use std::{cmp::Ordering, fmt, rc::Rc};

use indexmap::IndexMap;
use jaq_core::{ValR as Result_, ValX, box_iter::BoxIter, path::Opt, val};
use jaq_json::Num;

use super::meter;

pub(super) type ValR<T = Value> = Result_<T, Value>;
pub(super) type Fault = jaq_core::Error<Value>;
pub(super) type Map = IndexMap<Rc<str>, Value>;

/// Digits of a whole number, at most: a product of large ones costs more than it is worth.
const DIGITS_MAX: usize = 1_000;

/// What an expression works on.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Num),
    Text(Rc<String>),
    List(Rc<Sized<Vec<Value>>>),
    Map(Rc<Sized<Map>>),
}

/// A collection with its measures.
#[derive(Clone, Debug)]
pub(super) struct Sized<T> {
    pub(super) items: T,
    pub(super) bytes: usize,
    pub(super) depth: usize,
}

impl Value {
    /// A list; nothing in place of one that would be too large, and the evaluation ends then.
    pub(super) fn list(items: Vec<Self>) -> Self {
        let bytes = items.iter().fold(16_usize, |sum, item| sum.saturating_add(item.bytes()));
        let depth = items.iter().map(Self::depth).max().unwrap_or(0) + 1;
        if !meter::may_hold(bytes, depth) {
            return Self::Null;
        }
        Self::List(Rc::new(Sized { items, bytes, depth }))
    }

    /// A map, likewise.
    pub(super) fn map(items: Map) -> Self {
        let bytes = items.iter().fold(16_usize, |sum, (key, item)| sum.saturating_add(16 + key.len() + item.bytes()));
        let depth = items.values().map(Self::depth).max().unwrap_or(0) + 1;
        if !meter::may_hold(bytes, depth) {
            return Self::Null;
        }
        Self::Map(Rc::new(Sized { items, bytes, depth }))
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if !meter::spend_bytes(text.len()) || !meter::may_hold(text.len(), 0) {
            return Self::Null;
        }
        Self::Text(Rc::new(text))
    }

    /// A number, if it is not absurdly long.
    pub(super) fn number(number: Num) -> ValR {
        let digits = match &number {
            Num::Int(_) | Num::Float(_) => 0,
            Num::Dec(text) => text.len(),
            Num::BigInt(whole) => usize::try_from(whole.bits()).unwrap_or(usize::MAX) / 3,
        };
        if digits > DIGITS_MAX {
            return Err(Fault::str(format_args!("a number has more than {DIGITS_MAX} digits")));
        }
        pay(1 + digits as u64)?;
        Ok(Self::Number(number))
    }

    /// Bytes, about, as if no part were shared.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 16,
            Self::Text(text) => 16 + text.len(),
            Self::List(list) => list.bytes,
            Self::Map(map) => map.bytes,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => 0,
            Self::List(list) => list.depth,
            Self::Map(map) => map.depth,
        }
    }

    /// Takes a list apart, paying for it.
    pub(super) fn into_items(list: Rc<Sized<Vec<Self>>>) -> Vec<Self> {
        meter::spend(1 + list.items.len() as u64 / 4);
        Rc::try_unwrap(list).map_or_else(|shared| shared.items.clone(), |owned| owned.items)
    }

    pub(super) fn into_entries(map: Rc<Sized<Map>>) -> Map {
        meter::spend(1 + map.items.len() as u64);
        Rc::try_unwrap(map).map_or_else(|shared| shared.items.clone(), |owned| owned.items)
    }

    /// The child at this key; nothing if there may be one and is not.
    pub(super) fn child(self, key: &Self) -> ValR<Option<Self>> {
        match (&self, key) {
            (Self::Null, Self::Text(_) | Self::Number(_) | Self::Null) => Ok(None),
            (Self::Map(map), Self::Text(key)) => Ok(map.items.get(key.as_str()).cloned()),
            (Self::List(list), Self::Number(number)) => {
                Ok(position(number, list.items.len()).and_then(|at| list.items.get(at).cloned()))
            }
            (Self::List(_) | Self::Text(_) | Self::Null, Self::Map(range)) => {
                let (start, end) = (range.items.get("start"), range.items.get("end"));
                val::ValT::range(self, start..end).map(Some)
            }
            (Self::List(list), Self::List(part)) => {
                meter::spend((list.items.len() * part.items.len().max(1)) as u64);
                let width = part.items.len().max(1);
                let found = list.items.windows(width).enumerate().filter(|(_, window)| *window == &part.items[..]);
                Ok(Some(Self::list(found.map(|(at, _)| Self::from(at)).collect())))
            }
            _ => Err(Fault::index(self.shown(), key.clone().shown())),
        }
    }

    /// What an error may hold of it: its text is made when somebody catches it, and nobody counts that.
    pub(super) fn shown(self) -> Self {
        const SHOWN_MAX: usize = 256;
        if self.bytes() <= SHOWN_MAX { self } else { Self::Text(Rc::new(format!("{} (…)", self.kind()))) }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Map(_) => "object",
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::Text(_) => 3,
            Self::List(_) => 4,
            Self::Map(_) => 5,
        }
    }
}

/// Takes so much of the work that is left. The error ends loops of the interpreter's own, such as `last(range(1e12))`; the next
/// term that is entered ends the evaluation.
pub(super) fn pay(work: u64) -> ValR<()> {
    if meter::spend(work) { Ok(()) } else { Err(Fault::str("the expression was stopped")) }
}

/// A number as a place in something of this length; from its end, if negative.
fn position(number: &Num, length: usize) -> Option<usize> {
    let at = whole(number)?;
    if at < 0 { length.checked_sub(at.unsigned_abs()) } else { usize::try_from(at).ok() }
}

pub(super) fn whole(number: &Num) -> Option<isize> {
    match number {
        Num::Int(at) => Some(*at),
        Num::BigInt(_) => number.as_isize(),
        Num::Float(at) => Some(at.floor() as isize),
        Num::Dec(at) => at.parse::<f64>().ok().map(|at| at.floor() as isize),
    }
}

/// Both ends of a range within this length.
fn ends(range: &val::Range<&Value>, length: usize) -> ValR<(usize, usize)> {
    let end = |end: Option<&Value>, default: usize| match end {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Number(number)) => {
            let at = whole(number).unwrap_or(isize::MAX);
            let at = if at < 0 { length.saturating_sub(at.unsigned_abs()) } else { at.unsigned_abs() };
            Ok(at.min(length))
        }
        Some(other) => Err(Fault::typ(other.clone().shown(), "integer")),
    };
    let (start, end) = (end(range.start, 0)?, end(range.end, length)?);
    Ok((start, end.max(start)))
}

/// The byte at which this character begins.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
}

impl val::ValT for Value {
    fn from_num(text: &str) -> ValR {
        if text.len() > DIGITS_MAX {
            return Err(Fault::str(format_args!("a number has more than {DIGITS_MAX} digits")));
        }
        let number = Num::from_str_radix(text, 10).unwrap_or_else(|| Num::from_dec_str(text));
        Self::number(number)
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(entries: I) -> ValR {
        let mut map = Map::new();
        for (key, value) in entries {
            let Self::Text(key) = key else {
                return Err(Fault::typ(key.shown(), "key of an object"));
            };
            if !meter::spend(1) {
                break;
            }
            map.insert(Rc::from(key.as_str()), value);
        }
        Ok(Self::map(map))
    }

    fn key_values(self) -> BoxIter<'static, ValR<(Self, Self)>> {
        match self {
            Self::List(list) => {
                let items = Self::into_items(list).into_iter().enumerate();
                Box::new(items.map(|(at, item)| Ok((Self::from(at), item))))
            }
            Self::Map(map) => Box::new(
                Self::into_entries(map)
                    .into_iter()
                    .map(|(key, value)| Ok((Self::Text(Rc::new(key.to_string())), value))),
            ),
            other @ (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_)) => {
                Box::new(std::iter::once(Err(Fault::typ(other.shown(), "iterable (array or object)"))))
            }
        }
    }

    fn values(self) -> Box<dyn Iterator<Item = ValR>> {
        match self {
            Self::List(list) => {
                if let Err(over) = pay(list.items.len() as u64) {
                    return Box::new(std::iter::once(Err(over)));
                }
                Box::new(Self::into_items(list).into_iter().map(Ok))
            }
            Self::Map(map) => Box::new(Self::into_entries(map).into_values().map(Ok)),
            other @ (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_)) => {
                Box::new(std::iter::once(Err(Fault::typ(other.shown(), "iterable (array or object)"))))
            }
        }
    }

    fn index(self, key: &Self) -> ValR {
        pay(1)?;
        self.child(key).map(|child| child.unwrap_or(Self::Null))
    }

    fn range(self, range: val::Range<&Self>) -> ValR {
        match self {
            Self::Null => Ok(Self::Null),
            Self::List(list) => {
                let (start, end) = ends(&range, list.items.len())?;
                meter::spend((end - start) as u64);
                Ok(Self::list(list.items[start..end].to_vec()))
            }
            Self::Text(text) => {
                meter::spend_bytes(text.len());
                let (start, end) = ends(&range, text.chars().count())?;
                Ok(Self::text(&text[byte_of(&text, start)..byte_of(&text, end)]))
            }
            other @ (Self::Bool(_) | Self::Number(_) | Self::Map(_)) => {
                Err(Fault::typ(other.shown(), "rangeable (array or string)"))
            }
        }
    }

    fn map_values<'a, I: Iterator<Item = ValX<'a, Self>>>(self, opt: Opt, f: impl Fn(Self) -> I) -> ValX<'a, Self> {
        match self {
            Self::List(list) => Self::into_items(list).into_iter().flat_map(f).collect(),
            Self::Map(map) => {
                let mut kept = Map::new();
                for (key, value) in Self::into_entries(map) {
                    if let Some(value) = f(value).next() {
                        kept.insert(key, value?);
                    }
                }
                Ok(Self::map(kept))
            }
            other @ (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_)) => {
                opt.fail(other, |other| Fault::typ(other.shown(), "iterable (array or object)").into())
            }
        }
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        key: &Self,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match (self, key) {
            (whole @ (Self::List(_) | Self::Text(_)), Self::Map(range)) => {
                let (start, end) = (range.items.get("start"), range.items.get("end"));
                whole.map_range(start..end, opt, f)
            }
            (this @ (Self::Map(_) | Self::Null), Self::Text(key)) => {
                let mut map = if let Self::Map(map) = this { Self::into_entries(map) } else { Map::new() };
                let key: Rc<str> = Rc::from(key.as_str());
                let old = map.get_mut(&key).map(|old| std::mem::replace(old, Self::Null));
                match f(old.unwrap_or(Self::Null)).next().transpose()? {
                    Some(new) => {
                        map.insert(key, new);
                    }
                    None => {
                        map.shift_remove(&key);
                    }
                }
                Ok(Self::map(map))
            }
            (this @ (Self::List(_) | Self::Null), Self::Number(number)) => {
                let mut list = if let Self::List(list) = this { Self::into_items(list) } else { Vec::new() };
                let Some(at) = position(number, list.len()).filter(|at| *at <= list.len() + FILL_MAX) else {
                    return opt
                        .fail(Self::list(list), |_| Fault::str(format_args!("index {number} out of bounds")).into());
                };
                let old = list.get_mut(at).map(|old| std::mem::replace(old, Self::Null));
                match f(old.unwrap_or(Self::Null)).next().transpose()? {
                    Some(new) => {
                        if at >= list.len() {
                            meter::spend((at - list.len()) as u64);
                            list.resize(at + 1, Self::Null);
                        }
                        list[at] = new;
                    }
                    None if at < list.len() => {
                        list.remove(at);
                    }
                    None => {}
                }
                Ok(Self::list(list))
            }
            (other, key) => opt.fail(other, |other| Fault::index(other.shown(), key.clone().shown()).into()),
        }
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a, Self>>>(
        self,
        range: val::Range<&Self>,
        opt: Opt,
        f: impl Fn(Self) -> I,
    ) -> ValX<'a, Self> {
        match self {
            Self::List(list) => {
                let mut items = Self::into_items(list);
                let (start, end) = ends(&range, items.len())?;
                let part = Self::list(items[start..end].to_vec());
                let new = match f(part).next().transpose()? {
                    Some(Self::List(new)) => Self::into_items(new),
                    Some(other) => return Err(Fault::typ(other.shown(), "array").into()),
                    None => Vec::new(),
                };
                items.splice(start..end, new);
                Ok(Self::list(items))
            }
            other @ (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Map(_)) => {
                opt.fail(other, |other| Fault::typ(other.shown(), "array").into())
            }
        }
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text),
            other @ (Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Map(_)) => {
                Self::text(other.to_json())
            }
        }
    }
}

/// How far beyond its end a list is filled up with nothing: `.[9] = 1`.
const FILL_MAX: usize = 10_000;

impl jaq_std::ValT for Value {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self {
            Self::List(list) => {
                // What takes a list as a whole sorts it, groups it or joins it: it looks at everything in it.
                meter::spend_bytes(list.bytes);
                Ok(Self::into_items(list).into_iter().collect())
            }
            other @ (Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Map(_)) => Err(other),
        }
    }

    fn is_int(&self) -> bool {
        matches!(self, Self::Number(Num::Int(_) | Num::BigInt(_)))
    }

    fn as_isize(&self) -> Option<isize> {
        if let Self::Number(number) = self { number.as_isize() } else { None }
    }

    fn as_f64(&self) -> Option<f64> {
        let Self::Number(number) = self else { return None };
        Some(match number {
            Num::Int(whole) => *whole as f64,
            Num::BigInt(_) | Num::Dec(_) => number.to_string().parse().unwrap_or(f64::NAN),
            Num::Float(float) => *float,
        })
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        let Self::Text(text) = self else { return None };
        meter::spend_bytes(text.len());
        Some(text.as_bytes())
    }

    fn as_sub_str(&self, part: &[u8]) -> Self {
        Self::text(String::from_utf8_lossy(part))
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        Self::text(String::from_utf8_lossy(bytes.as_ref()))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<isize> for Value {
    fn from(number: isize) -> Self {
        Self::Number(Num::Int(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(Num::from_integral(number))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(Num::Float(number))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<val::Range<Self>> for Value {
    fn from(range: val::Range<Self>) -> Self {
        let ends = [("start", range.start), ("end", range.end)];
        Self::map(ends.into_iter().filter_map(|(key, end)| Some((Rc::from(key), end?))).collect())
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<T: IntoIterator<Item = Self>>(items: T) -> Self {
        let mut list = Vec::new();
        let mut bytes = 16;
        for item in items {
            bytes += item.bytes();
            // What is not taken is not made: this is what stops `[range(1e12)]` before its memory is gone.
            if !meter::spend(1) || !meter::may_hold(bytes, 0) {
                return Self::Null;
            }
            list.push(item);
        }
        Self::list(list)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => {
                meter::spend_bytes(a.len().min(b.len()));
                a.cmp(b)
            }
            (Self::List(a), Self::List(b)) => {
                meter::spend(1 + a.items.len().min(b.items.len()) as u64 / 4);
                a.items.cmp(&b.items)
            }
            (Self::Map(a), Self::Map(b)) => {
                meter::spend((1 + a.items.len() + b.items.len()) as u64);
                let sorted = |map: &Sized<Map>| {
                    let mut keys: Vec<Rc<str>> = map.items.keys().cloned().collect();
                    keys.sort_unstable();
                    keys
                };
                let (of_a, of_b) = (sorted(a), sorted(b));
                of_a.cmp(&of_b).then_with(|| {
                    let mut orders = of_a.iter().map(|key| a.items[key].cmp(&b.items[key]));
                    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
                })
            }
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}
