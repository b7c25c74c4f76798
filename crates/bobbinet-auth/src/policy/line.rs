//! One line of a policy: a CEL expression that says what is allowed, read once and then asked again and again.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bobbinet_core::AgentName;
use cel::{
    Context, Env, ExecutionError, Value,
    common::ast::{IdedExpr, SourceInfo},
    parser::{ParseErrors, Parser},
};

use super::{
    cost::{self, Found, LINE_LENGTH_MAX, NESTING_MAX},
    facts::{FactsOf, Wanted},
};

/// Why a line cannot be used, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LineFault {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the text, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
}

/// A line that can be asked.
pub struct PolicyLine {
    /// Where it stands, for the log.
    place: String,
    /// The agents that it is about; none for all.
    on: BTreeSet<AgentName>,
    expression: IdedExpr,
    pub(super) found: Found,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// It could not be asked, for this reason.
    Fault(String),
}

impl PolicyLine {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is not CEL, asks for what there is not, or could take too long.
    pub fn parse(
        place: impl Into<String>,
        allow: &str,
        on: impl IntoIterator<Item = AgentName>,
    ) -> Result<Self, LineFault> {
        let (expression, source) = parse(allow)?;
        let found = cost::look(&expression).map_err(|wrong| {
            let start = source.offset_for(wrong.node).map_or(0, |(start, _)| start);
            let (line, column) = position(allow, usize::try_from(start).unwrap_or_default());
            LineFault { message: wrong.message, hint: Some(wrong.hint), line, column }
        })?;
        Ok(Self { place: place.into(), on: on.into_iter().collect(), expression, found })
    }

    /// Where it stands.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The steps that it may take at most.
    pub fn cost(&self) -> u64 {
        self.found.cost
    }

    /// Whether it is about this agent, or about what is no agent's.
    pub(super) fn is_on(&self, agent: Option<&AgentName>) -> bool {
        self.on.is_empty() || agent.is_some_and(|agent| self.on.contains(agent))
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.found.wanted
    }

    /// Asks it.
    pub(super) fn ask(&self, env: &Arc<Env>, facts: &FactsOf<'_>) -> Answer {
        let mut context = Context::with_env(env.clone());
        context.set_variable_resolver(facts);
        // The interpreter is not ours: one that gives up has not said yes.
        let asked = catch_unwind(AssertUnwindSafe(|| match Value::resolve_val(&self.expression, &context) {
            Ok(value) => match value.downcast_ref::<cel::common::types::CelBool>().map(|flag| *flag.inner()) {
                Some(true) => Answer::Yes,
                Some(false) => Answer::No,
                None => Answer::Fault("it is neither true nor false".to_owned()),
            },
            Err(error) => Answer::Fault(facts.facts.fault().map_or_else(|| in_words(&error), str::to_owned)),
        }));
        asked.unwrap_or_else(|_| Answer::Fault("the interpreter gave up".to_owned()))
    }
}

impl fmt::Debug for PolicyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyLine").field("place", &self.place).field("on", &self.on).finish_non_exhaustive()
    }
}

/// What went wrong, for the log. The interpreter's own words have the values in them, which may be anybody's secrets.
#[expect(clippy::wildcard_enum_match_arm, reason = "it is not ours, and may grow: all else is told alike")]
fn in_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(name) => shortened(&format!("there is no {name}")),
        ExecutionError::NoSuchOverload(overload) => shortened(&overload.to_string()),
        ExecutionError::UndeclaredReference(name) => format!("{name} is not known"),
        ExecutionError::IndexOutOfBounds(_) => "a list is shorter".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        _ => "its values do not fit together".to_owned(),
    }
}

/// Characters of an error that are shown.
const ERROR_LENGTH_MAX: usize = 200;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR_LENGTH_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn parse(text: &str) -> Result<(IdedExpr, SourceInfo), LineFault> {
    let fault = |message: String, (line, column)| LineFault { message, hint: None, line, column };
    if text.trim().is_empty() {
        return Err(fault("it says nothing".to_owned(), (1, 1)));
    }
    if text.chars().nth(LINE_LENGTH_MAX).is_some() {
        return Err(fault(format!("it is longer than {LINE_LENGTH_MAX} characters"), (1, 1)));
    }
    if let Some(at) = too_deep(text) {
        return Err(fault(format!("it is nested deeper than {NESTING_MAX} levels"), position(text, at)));
    }
    let parsed = catch_unwind(|| Parser::default().max_recursion_depth(NESTING_MAX).parse_with_source_info(text));
    match parsed {
        Ok(Ok(parsed)) => Ok(parsed),
        Ok(Err(errors)) => Err(of_errors(text, &errors)),
        Err(_) => Err(fault("it cannot be read".to_owned(), (1, 1))),
    }
}

/// Where brackets are nested deeper than they may be, whatever they are: looked at before any parser works on them.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_u16;
    text.chars().position(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > NESTING_MAX
    })
}

fn of_errors(text: &str, errors: &ParseErrors) -> LineFault {
    let Some(first) = errors.errors.first() else {
        return LineFault { message: "it is not CEL".to_owned(), hint: None, line: 1, column: 1 };
    };
    let place = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    let (line, column) = match first.pos {
        (line, _) if line < 1 => position(text, text.chars().count()),
        (line, column) => (place(line), place(column)),
    };
    let words = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    let hint = text.contains('=').then(|| "for example caller.principal == 'crypto' && skill == 'sign'".to_owned());
    LineFault { message: format!("it is not CEL: {}", shortened(words)), hint, line, column }
}

/// The line and the character of this place in a text, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before: String = text.chars().take(at).collect();
    let line = before.matches('\n').count() + 1;
    (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
}
