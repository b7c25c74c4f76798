//! The functions that an expression may call. What reads the clock, the environment, files or other inputs, and what prints or ends
//! the process, is not among them: a program that names one does not compile.

use jaq_core::{
    Bind, DataT, Error, Exn, Lut, Native, ValT as _,
    box_iter::box_once,
    load::{parse, parse::Def},
    native::{Fun, bome, run, unary, v},
};
use jaq_json::Num;

use super::{
    convert, meter,
    value::{ValR, Value},
};

/// What the interpreter works with: our values, and nothing beside the program.
#[derive(Debug)]
pub(super) struct Kind;

impl DataT for Kind {
    type V<'a> = Value;
    type Data<'a> = &'a Lut<Self>;
}

/// Counts a step, and ends the evaluation when there is none left. No `try` catches that, unlike an error. Its name cannot be written.
pub(super) const TICK: &str = "tick!";

/// Pays for a search by a regular expression.
pub(super) const SEARCH: &str = "search!";

/// Functions of the standard library that are not here, and what to do instead.
pub(super) const ABSENT: [(&str, &str); 17] = [
    ("now", "take $workflow.startedAt or $task.startedAt: an expression gives the same whenever it is evaluated"),
    ("localtime", "use gmtime"),
    ("strflocaltime", "use strftime"),
    ("input", "the data is in . and in the variables"),
    ("inputs", "the data is in . and in the variables"),
    ("env", "pass what it needs as an input or as a secret"),
    ("debug", "set what you want to see as a step's output"),
    ("stderr", "set what you want to see as a step's output"),
    ("halt", "use then: end, or a raise step"),
    ("halt_error", "use a raise step"),
    ("input_filename", "there are no files"),
    ("input_line_number", "there are no files"),
    ("get_search_list", "there are no modules"),
    ("getpath_host", "there are no files"),
    ("debug_empty", "set what you want to see as a step's output"),
    ("stderr_empty", "set what you want to see as a step's output"),
    ("tobytes", "there are no byte strings: use @base64"),
];

fn is_absent(name: &str) -> bool {
    ABSENT.iter().any(|(absent, _)| *absent == name)
}

/// Functions made of others, before they count their steps.
pub(super) fn definitions() -> Vec<Def<&'static str>> {
    let ours = parse(include_str!("library.jq"), |parser| parser.defs()).expect("our own definitions can be read");
    jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .chain(ours)
        .filter(|def| !is_absent(def.name))
        .collect()
}

/// All others.
pub(super) fn functions() -> impl Iterator<Item = Fun<Kind>> {
    let theirs = jaq_core::funs().chain(jaq_std::base_funs()).chain(jaq_std::extra_funs());
    theirs
        .filter(|(name, ..)| !is_absent(name))
        .chain(json().into_iter().map(|function| run::<Kind>(function)))
        .chain(counting())
}

fn tick() -> Result<(), Exn<'static, Value>> {
    if meter::spend(1) && meter::may_nest() { Ok(()) } else { Err(Exn::halt(0)) }
}

fn counting() -> [Fun<Kind>; 2] {
    let tick_ = Native::new(|cv| box_once(tick().map(|()| cv.1)))
        .with_paths(|cv| {
            // A path is a linked list, and one that a program makes ever longer would be freed by as many calls within another.
            const PATH_MAX: usize = 512;
            let (value, path) = cv.1;
            if path.iter().take(PATH_MAX + 1).count() > PATH_MAX {
                meter::reach(meter::Bound::Depth);
            }
            box_once(tick().map(|()| (value, path)))
        })
        .with_update(|cv, update| match tick() {
            Ok(()) => update(cv.1),
            Err(over) => box_once(Err(over)),
        });
    let search = Native::<Kind>::new(|mut cv| {
        let pattern: Value = cv.0.pop_var();
        // The engine's time is the product of the pattern's states and the text's bytes, at worst.
        let work = states(&pattern).saturating_mul(cv.1.bytes() as u64 / 256 + 1);
        box_once(tick().and_then(|()| if meter::spend(work) { Ok(cv.1) } else { Err(Exn::halt(0)) }))
    });
    [(TICK, v(0), tick_), (SEARCH, v(1), search)]
}

/// How many states a search has at once, about: its characters, as often as its counts repeat them.
fn states(pattern: &Value) -> u64 {
    let Value::Text(text) = pattern else { return 1 };
    let counts = text.split('{').skip(1).filter_map(|rest| {
        let counts = rest.split('}').next().unwrap_or_default().split(',');
        counts.filter_map(|count| count.trim().parse::<u64>().ok()).max()
    });
    counts.fold(text.len() as u64 + 1, |states, count| states.saturating_mul(count.max(1)))
}

type Run = jaq_core::native::Filter<jaq_core::RunPtr<Kind>>;

fn json() -> [Run; 7] {
    let one = || -> Box<[Bind]> { v(1) };
    [
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("tojson", v(0), |cv| bome(Ok(Value::text(cv.1.to_json())))),
        ("length", v(0), |cv| bome(length(&cv.1))),
        ("contains", one(), |cv| unary(cv, |a, b| Ok(contains(&a, &b).into()))),
        ("has", one(), |cv| unary(cv, |value, key| value.child(&key).map(|child| child.is_some().into()))),
        ("indices", one(), |cv| unary(cv, indices)),
        ("bsearch", one(), |cv| {
            unary(cv, |list, item| match list {
                Value::List(list) => {
                    let at = list.items.binary_search(&item);
                    let at = at.map_or_else(|at| -1 - signed(at), signed);
                    Ok(Value::from(at))
                }
                other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_)) => {
                    Err(Error::str(format_args!("cannot search in {}", other.kind())))
                }
            })
        }),
    ]
}

fn signed(at: usize) -> isize {
    isize::try_from(at).unwrap_or(isize::MAX)
}

fn from_json(value: &Value) -> ValR {
    let Value::Text(text) = value else {
        return Err(Error::str(format_args!("cannot parse {} as JSON", value.kind())));
    };
    meter::spend_bytes(text.len().saturating_mul(4));
    // serde_json nests 127 times at most.
    match serde_json::from_str::<serde_json::Value>(text.trim()) {
        Ok(json) => Ok(convert::from_json(&json)),
        Err(error) => Err(Error::str(format_args!("cannot parse as JSON: {error}"))),
    }
}

fn length(value: &Value) -> ValR {
    match value {
        Value::Null => Ok(Value::from(0_usize)),
        Value::Number(Num::Int(number)) => Ok(Value::from(number.saturating_abs())),
        Value::Number(number) => {
            let negative = Value::Number(number.clone()) < Value::from(0_usize);
            let number = Value::Number(number.clone());
            if negative { -number } else { Ok(number) }
        }
        Value::Text(text) => {
            meter::spend_bytes(text.len());
            Ok(Value::from(text.chars().count()))
        }
        Value::List(list) => Ok(Value::from(list.items.len())),
        Value::Map(map) => Ok(Value::from(map.items.len())),
        Value::Bool(_) => Err(Error::str("a boolean has no length")),
    }
}

fn contains(a: &Value, b: &Value) -> bool {
    if !meter::spend(1) {
        return false;
    }
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            meter::spend_bytes(a.len());
            a.contains(b.as_str())
        }
        (Value::List(a), Value::List(b)) => b.items.iter().all(|b| a.items.iter().any(|a| contains(a, b))),
        (Value::Map(a), Value::Map(b)) => {
            b.items.iter().all(|(key, b)| a.items.get(key).is_some_and(|a| contains(a, b)))
        }
        (a, b) => a == b,
    }
}

fn indices(value: Value, sought: Value) -> ValR {
    match (&value, &sought) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Text(text), Value::Text(part)) => {
            if part.is_empty() {
                return Ok(Value::Null);
            }
            meter::spend_bytes(text.len());
            // Places that overlap count, as in jq; a match costs what lies between it and the last one.
            let mut found = Vec::new();
            let (mut from, mut characters) = (0, 0_usize);
            while let Some(at) = text[from..].find(part.as_str()) {
                meter::spend_bytes(part.len());
                characters += text[from..from + at].chars().count();
                found.push(Value::from(characters));
                let next = text[from + at..].chars().next().map_or(1, char::len_utf8);
                from += at + next;
                characters += 1;
                if !meter::spend(1) {
                    break;
                }
            }
            Ok(Value::list(found))
        }
        (Value::List(_), Value::List(_)) => value.index(&sought),
        (Value::List(list), item) => {
            let found = list.items.iter().enumerate().filter(|(_, one)| *one == item);
            Ok(Value::list(found.map(|(at, _)| Value::from(at)).collect()))
        }
        (other, _) => Err(Error::str(format_args!("cannot search in {}", other.kind()))),
    }
}
