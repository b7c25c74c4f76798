//! What a policy line can ask about: the caller, the agent, and, of a call, what is to be called with which arguments; of an event, the
//! event.
//!
//! Only what some line names is read, once for all of them, and no more of it than the bounds here: a caller chooses his arguments, and
//! must not choose how long it takes to refuse them. Of arguments whose members the lines name one by one only those are read, so a file
//! of megabytes beside a path costs one pass over its text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::OnceLock,
};

use bobbinet_core::{Caller, Json, Principal};
use cel::{
    common::{
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};
use serde::{
    Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::Action;

/// Bytes of a caller's claims, or of those of a call's arguments that lines ask about.
pub const FACTS_BYTES_MAX: usize = 16 << 10;

/// Values in them, at whatever depth: a line that goes through a list goes through no more than these.
pub const FACTS_VALUES_MAX: usize = 1_000;

/// How deep they may be nested.
pub const FACTS_DEPTH_MAX: usize = 32;

/// Which of a call's arguments lines ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// These members, each by its name.
    Members(BTreeSet<String>),
    /// The arguments as a whole: their names, or one that is computed.
    All,
}

impl Wanted {
    pub(super) fn also(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Members(names), Self::Members(more)) => names.extend(more.iter().cloned()),
            (Self::All, Self::Members(_) | Self::All) | (Self::Members(_), Self::All) => *self = Self::All,
        }
    }
}

/// What is known when lines are asked.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    caller: &'a Caller,
    action: Action<'a>,
    wanted: &'a Wanted,
    arguments: OnceLock<Result<Box<dyn Val>, String>>,
    claims: OnceLock<Box<dyn Val>>,
}

/// The same under the name of one operation.
#[derive(Debug)]
pub(super) struct FactsOf<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) operation: &'static str,
}

impl<'a> Facts<'a> {
    pub(super) fn new(caller: &'a Caller, action: Action<'a>, wanted: &'a Wanted) -> Self {
        Self { caller, action, wanted, arguments: OnceLock::new(), claims: OnceLock::new() }
    }

    /// Why the arguments could not be read, if a line has asked about them.
    pub(super) fn fault(&self) -> Option<&str> {
        self.arguments.get()?.as_ref().err().map(String::as_str)
    }

    fn arguments(&self) -> Option<&dyn Val> {
        let arguments = match self.action {
            Action::Call(_, call) | Action::Plan(_, call) => call.arguments.as_ref(),
            Action::Publish(event) => Some(event),
            Action::Listen => return None,
            Action::Send(_)
            | Action::Get(_)
            | Action::List(_)
            | Action::Cancel(_)
            | Action::Subscribe(_)
            | Action::Upload(_) => return None,
        };
        let read = || match arguments {
            Some(arguments) => members(arguments, self.wanted),
            None => Err("the call has no arguments of its own".to_owned()),
        };
        self.arguments.get_or_init(read).as_ref().ok().map(AsRef::as_ref)
    }

    fn claims(&self) -> &dyn Val {
        let read = || {
            let claims = self.caller.claims.as_ref().map(|claims| members(claims, &Wanted::All));
            // What cannot be read says nothing: a line that needs it does not find it.
            claims.and_then(Result::ok).unwrap_or_else(|| map([]))
        };
        self.claims.get_or_init(read).as_ref()
    }
}

impl VariableResolver for FactsOf<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Facts { caller, action, .. } = self.facts;
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        match variable {
            "operation" => text(self.operation),
            "agent" => match action.agent() {
                Some(agent) => text(agent.as_str()),
                // Of an event, neither this nor a skill is known: what a line says of them allows nothing.
                None => None,
            },
            "skill" => match action {
                Action::Call(_, call) | Action::Plan(_, call) => match &call.skill {
                    Some(skill) => text(skill.as_str()),
                    None => Some(CowVal::owned(CelNull)),
                },
                Action::Publish(_)
                | Action::Listen
                | Action::Send(_)
                | Action::Get(_)
                | Action::List(_)
                | Action::Cancel(_)
                | Action::Subscribe(_)
                | Action::Upload(_) => None,
            },
            "arguments" => self.facts.arguments().map(CowVal::Borrowed),
            "caller.principal" => text(caller.principal.as_str()),
            "caller.tenant" => text(caller.tenant.as_str()),
            "caller.issuer" => text(caller.issuer.as_deref().unwrap_or_default()),
            "caller.claims" => Some(CowVal::Borrowed(self.facts.claims())),
            "caller.scopes" => Some(CowVal::Owned(list(caller.scopes.iter().map(String::as_str)))),
            "caller.chain" => Some(CowVal::Owned(list(caller.chain.iter().map(Principal::as_str)))),
            _ => None,
        }
    }
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Box<dyn Val> {
    let texts: Vec<Box<dyn Val>> =
        texts.map(|text| Box::new(CelString::from(text.to_owned())) as Box<dyn Val>).collect();
    Box::new(CelList::from(texts))
}

fn map<const N: usize>(entries: [(String, Box<dyn Val>); N]) -> Box<dyn Val> {
    entries.into_iter().collect::<Entries>().into_val()
}

/// The members of a map on their way to CEL.
struct Entries(Vec<(CelMapKey<'static>, Box<dyn Val>)>);

impl FromIterator<(String, Box<dyn Val>)> for Entries {
    fn from_iter<I: IntoIterator<Item = (String, Box<dyn Val>)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(name, value)| (CelMapKey::from(name), value)).collect())
    }
}

impl Entries {
    #[expect(clippy::disallowed_types, reason = "the interpreter's own maps are; nothing goes by their order")]
    fn into_val(self) -> Box<dyn Val> {
        Box::new(CelMap::from(self.0.into_iter().collect::<std::collections::HashMap<_, _>>()))
    }
}

/// Those members of an object that are wanted, as CEL has them.
fn members(object: &Json, wanted: &Wanted) -> Result<Box<dyn Val>, String> {
    let text = object.as_str();
    let mut room = Room { bytes: FACTS_BYTES_MAX, values: FACTS_VALUES_MAX };
    match wanted {
        Wanted::All => room.read(text),
        Wanted::Members(names) => {
            let picked = serde_json::Deserializer::from_str(text).deserialize_map(Picked(names));
            let picked = picked.map_err(|error| error.to_string())?;
            let read = |(name, raw): (String, &RawValue)| Ok((name, room.read(raw.get())?));
            picked.into_iter().map(read).collect::<Result<Entries, String>>().map(Entries::into_val)
        }
    }
}

/// How much may still be read.
struct Room {
    bytes: usize,
    values: usize,
}

impl Room {
    fn read(&mut self, text: &str) -> Result<Box<dyn Val>, String> {
        let bytes = self.bytes.checked_sub(text.len());
        self.bytes = bytes.ok_or_else(|| format!("what the lines ask about is longer than {FACTS_BYTES_MAX} bytes"))?;
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        self.val(value, FACTS_DEPTH_MAX)
    }

    fn val(&mut self, value: Value, depth: usize) -> Result<Box<dyn Val>, String> {
        let many = || format!("what the lines ask about has more than {FACTS_VALUES_MAX} values");
        self.values = self.values.checked_sub(1).ok_or_else(many)?;
        let deep = || format!("what the lines ask about is nested deeper than {FACTS_DEPTH_MAX} levels");
        Ok(match value {
            Value::Null => Box::new(CelNull),
            Value::Bool(flag) => Box::new(CelBool::from(flag)),
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), _, _) => Box::new(CelInt::from(number)),
                (None, Some(number), _) => Box::new(CelUInt::from(number)),
                (None, None, number) => Box::new(CelDouble::from(number.unwrap_or(f64::NAN))),
            },
            Value::String(text) => Box::new(CelString::from(text)),
            Value::Array(items) => {
                let depth = depth.checked_sub(1).ok_or_else(deep)?;
                let items: Result<Vec<_>, _> = items.into_iter().map(|item| self.val(item, depth)).collect();
                Box::new(CelList::from(items?))
            }
            Value::Object(members) => {
                let depth = depth.checked_sub(1).ok_or_else(deep)?;
                let member = |(name, value)| Ok((name, self.val(value, depth)?));
                members.into_iter().map(member).collect::<Result<Entries, String>>()?.into_val()
            }
        })
    }
}

/// Reads the members of these names, and passes over all others.
struct Picked<'n>(&'n BTreeSet<String>);

impl<'de> Visitor<'de> for Picked<'_> {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = BTreeMap::new();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if !self.0.contains(&*name) {
                map.next_value::<IgnoredAny>()?;
            } else if picked.insert(name.to_string(), map.next_value()?).is_some() {
                // Another reader could take the other one.
                return Err(A::Error::custom(format!("{name:?} is there twice")));
            }
        }
        Ok(picked)
    }
}
