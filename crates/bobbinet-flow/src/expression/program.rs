//! One jq program: compiled once, evaluated often.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, OnceLock},
};

use bobbinet_text::nearest;
use jaq_core::{
    Ctx, Filter, Vars,
    compile::Undefined,
    load::{Arena, File, Lexer, Loader, Parser, parse::Def},
};

use super::{
    convert, inspect, instrument,
    meter::{self, Bound},
    natives::{self, Kind},
};
use crate::limits::Limits;

/// A compiled program.
pub struct Program {
    text: String,
    filter: Filter<Kind>,
    /// The variables that it names, in the order in which it takes their values.
    variables: Vec<String>,
    /// Whether a function of its own calls itself, for which the caller's stack may be too small.
    recurs: bool,
}

/// Why a program cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileFault {
    /// The byte of the program's text.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Why an evaluation gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluateFault {
    /// It ran into a bound.
    Bound(Bound),
    /// It failed, with this value as its error.
    Failed(serde_json::Value),
}

impl fmt::Display for EvaluateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound(bound) => write!(f, "the expression was stopped: {bound}"),
            Self::Failed(serde_json::Value::String(text)) => f.write_str(text),
            Self::Failed(value) => write!(f, "{value}"),
        }
    }
}

/// The values of variables, by name without the `$`.
pub trait Variables {
    /// The value of one.
    fn get(&self, name: &str) -> Option<Arc<serde_json::Value>>;
}

/// The stack of a program that recurs by itself: some thousand calls within one another.
const RECURSION_STACK: usize = 16 * 1024 * 1024;

/// The name under which a program stands among the definitions that it uses.
const ENTRY: &str = "bobbinet__entry";

impl Program {
    /// Compiles a program that may name these variables, without their `$`.
    pub fn compile(text: &str, variables: &BTreeSet<String>, limits: &Limits) -> Result<Self, CompileFault> {
        if text.len() > limits.expression_bytes {
            let message =
                format!("an expression has at most {} bytes, and this one {}", limits.expression_bytes, text.len());
            return Err(CompileFault { offset: 0, message, hint: Some("split it over several set steps".into()) });
        }
        let term = parsed(text)?;
        if inspect::depth(&term) > limits.expression_depth {
            let message = "this expression is nested too deeply".to_owned();
            return Err(CompileFault { offset: 0, message, hint: Some("split it over several set steps".into()) });
        }
        if let Some(name) = inspect::wrapping_recursion(&term) {
            let message = format!("{name} calls itself, and takes a filter as its argument");
            let hint = "give it a value instead ($x), or use recurse, until, while, reduce or foreach";
            return Err(CompileFault { offset: offset(text, name), message, hint: Some(hint.into()) });
        }
        let mut names = inspect::Names::default();
        inspect::names(&term, &mut names);
        let named: Vec<String> =
            variables.iter().filter(|name| names.variables.contains(format!("${name}").as_str())).cloned().collect();
        let recurs = inspect::recurs(&term);
        let filter = compiled(text, term, &names, &named, variables)?;
        Ok(Self { text: text.to_owned(), filter, variables: named, recurs })
    }

    /// The program as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it names this variable, without its `$`.
    pub fn names(&self, variable: &str) -> bool {
        self.variables.iter().any(|name| name == variable)
    }

    /// Its first output; null if it has none.
    pub fn evaluate(
        &self,
        input: &serde_json::Value,
        variables: &dyn Variables,
        limits: &Limits,
    ) -> Result<serde_json::Value, EvaluateFault> {
        let values: Vec<_> = self.variables.iter().map(|name| variables.get(name)).collect();
        let (result, work) = self.evaluate_somewhere(input, &values, limits);
        meter::count(work);
        result
    }

    fn evaluate_somewhere(
        &self,
        input: &serde_json::Value,
        values: &[Option<Arc<serde_json::Value>>],
        limits: &Limits,
    ) -> (Result<serde_json::Value, EvaluateFault>, u64) {
        if !self.recurs {
            return self.run(input, values, limits);
        }
        // A thread costs some 30 µs, and the few programs that recur by themselves pay them.
        let limits = Limits { expression_stack: RECURSION_STACK / 2, ..*limits };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(RECURSION_STACK);
            let run = || self.run(input, values, &limits);
            match thread.spawn_scoped(scope, run).map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(_)) | Err(_) => (Err(EvaluateFault::Failed("the expression could not be evaluated".into())), 0),
            }
        })
    }

    fn run(
        &self,
        input: &serde_json::Value,
        values: &[Option<Arc<serde_json::Value>>],
        limits: &Limits,
    ) -> (Result<serde_json::Value, EvaluateFault>, u64) {
        let (result, reached, work) = meter::metered(limits, || {
            let values = values.iter().map(|value| match value {
                Some(value) => convert::from_json(value),
                None => convert::from_json(&serde_json::Value::Null),
            });
            let ctx = Ctx::<Kind>::new(&self.filter.lut, Vars::new(values));
            let first = self.filter.id.run((ctx, convert::from_json(input))).next();
            match first {
                None => Ok(serde_json::Value::Null),
                Some(Ok(value)) => Ok(convert::to_json(&value)),
                Some(Err(stopped)) => Err(match stopped.get_err() {
                    Ok(error) => convert::to_json(&error.into_val()),
                    // Either a bound was reached, which is told below, or a `break` left its label, which compiling rules out.
                    Err(_) => serde_json::Value::String("the expression was stopped".into()),
                }),
            }
        });
        let result = match reached {
            Some(bound) => Err(EvaluateFault::Bound(bound)),
            None => result.map_err(EvaluateFault::Failed),
        };
        (result, work)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({})", self.text)
    }
}

fn parsed(text: &str) -> Result<jaq_core::load::parse::Term<&str>, CompileFault> {
    let tokens = Lexer::new(text).lex().map_err(|faults| {
        let (expected, at) = faults.first().expect("a fault of the lexer says what it is");
        let message = format!("this is not jq: {} expected", article(expected.as_str()));
        CompileFault { offset: offset(text, at), message, hint: None }
    })?;
    Parser::new(&tokens).parse(|parser| parser.term()).map_err(|faults| {
        let (expected, found) = faults.first().expect("a fault of the parser says what it is");
        let (at, found) = match found {
            Some(token) => (offset(text, token.0), format!("{:?} found", shortened(token.0))),
            None => (text.len(), "the expression ends here".to_owned()),
        };
        let message = format!("this is not jq: {} expected, {found}", article(expected.as_str()));
        CompileFault { offset: at, message, hint: None }
    })
}

fn article(expected: &str) -> String {
    match expected {
        "term" => "a value, a path or a function".to_owned(),
        "nothing" => "an operator or the end".to_owned(),
        word if word.len() > 2 && word.chars().all(|c| c.is_ascii_alphabetic()) => format!("{word:?}"),
        other => other.to_owned(),
    }
}

fn shortened(token: &str) -> String {
    const SHOWN_MAX: usize = 24;
    match token.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &token[..end]),
        None => token.to_owned(),
    }
}

/// Where a part of this text begins in it.
fn offset(whole: &str, part: &str) -> usize {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if start <= whole.len() { start } else { 0 }
}

fn library() -> &'static [Def<&'static str>] {
    static LIBRARY: OnceLock<Vec<Def<&'static str>>> = OnceLock::new();
    LIBRARY.get_or_init(natives::definitions)
}

fn compiled<'s>(
    text: &'s str,
    term: jaq_core::load::parse::Term<&'s str>,
    names: &inspect::Names<'s>,
    named: &[String],
    variables: &BTreeSet<String>,
) -> Result<Filter<Kind>, CompileFault> {
    let mut functions = names.functions.clone();
    // The interpreter itself calls these.
    functions.extend(["empty", "tostring"]);
    let needed = inspect::needed(library(), &functions);
    let globals: Vec<String> = named.iter().map(|name| format!("${name}")).collect();
    let entry = Def { name: ENTRY, args: Vec::new(), body: term };
    let definitions = needed.into_iter().chain([entry]).map(instrument::counted_def);
    let arena = Arena::default();
    let modules = Loader::<_, (), _>::new(definitions)
        .load(&arena, File { code: ENTRY, path: () })
        .map_err(|_| CompileFault { offset: 0, message: "this is not jq".into(), hint: None })?;
    let compiler = jaq_core::Compiler::default().with_funs(natives::functions());
    let compiled = compiler.with_global_vars(globals.iter().map(String::as_str)).compile(modules);
    compiled.map_err(|faults| {
        let first = faults.first().and_then(|(_, undefined)| undefined.first());
        let Some((name, undefined)) = first else {
            return CompileFault { offset: 0, message: "this is not jq".into(), hint: None };
        };
        undefined_fault(offset(text, name), name, undefined, variables)
    })
}

fn undefined_fault(offset: usize, name: &str, undefined: &Undefined, variables: &BTreeSet<String>) -> CompileFault {
    match undefined {
        Undefined::Var => {
            let bare = name.trim_start_matches('$');
            let known: Vec<&str> = variables.iter().map(String::as_str).collect();
            let hint = match (bare, nearest(bare, &known)) {
                ("ENV" | "__prog_args", _) => "pass what it needs as an input or as a secret".to_owned(),
                (_, Some(meant)) => format!("did you mean ${meant}?"),
                (_, None) => {
                    let names: Vec<String> = known.iter().map(|name| format!("${name}")).collect();
                    format!("here is {}", names.join(", "))
                }
            };
            CompileFault { offset, message: format!("there is no {name} here"), hint: Some(hint) }
        }
        Undefined::Filter(arity) => {
            let absent = natives::ABSENT.iter().find(|(absent, _)| *absent == name);
            let of_library = library().iter().map(|def| def.name);
            let known: Vec<&str> = of_library
                .chain(natives::functions().map(|(name, ..)| name))
                .filter(|name| !name.ends_with('!'))
                .collect();
            let hint = match absent {
                Some((_, hint)) => Some((*hint).to_owned()),
                None if known.contains(&name) => Some(format!("{name} takes another number of arguments")),
                None => nearest(name, &known)
                    .map(|meant| format!("did you mean {meant}?"))
                    .or_else(|| Some(format!("if {name:?} is meant as a text, put it in double quotes"))),
            };
            CompileFault { offset, message: format!("there is no function {name}/{arity}"), hint }
        }
        Undefined::Label => CompileFault { offset, message: format!("there is no label {name}"), hint: None },
        Undefined::Mod => CompileFault { offset, message: format!("there is no module {name}"), hint: None },
        _ => CompileFault { offset, message: format!("there is no {name}"), hint: None },
    }
}
