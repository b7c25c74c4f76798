//! Taking a definition apart: all that is wrong with it, each with its place.

use bobbinet_text::{Position, nearest};
use std::{collections::BTreeSet, sync::Arc};

use crate::{
    expression::Program,
    finding::{Finding, Findings, Severity},
    limits::Limits,
    template::Template,
    tree::{Key, Node, Value},
};

/// Where an expression stands: that decides which variables it sees (the specification's table "Runtime expression arguments").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The workflow's `input.from`.
    WorkflowInput,
    /// The workflow's `output.as`.
    WorkflowOutput,
    /// A task's `if`.
    If,
    /// A task's `input.from`.
    Input,
    /// Whatever else a task says.
    Body,
    /// A task's `output.as`.
    Output,
    /// A task's `export.as`.
    Export,
    /// A schedule, which no run sees.
    Outside,
}

impl Place {
    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::WorkflowInput => &["secrets", "workflow", "runtime"],
            Self::WorkflowOutput => &["context", "workflow", "runtime"],
            Self::If => &["context", "task", "workflow", "runtime"],
            Self::Input => &["context", "secrets", "task", "workflow", "runtime"],
            Self::Body | Self::Output => &["context", "input", "task", "workflow", "runtime", "authorization"],
            Self::Export => &["context", "input", "output", "task", "workflow", "runtime", "authorization"],
            Self::Outside => &["runtime"],
        }
    }
}

/// Reads one definition's tree, and notes down what it finds.
pub(crate) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    pub(crate) limits: &'a Limits,
    pub(crate) findings: Findings,
    /// The names that `for`, `catch` and `foreach` around this place give to what they go through.
    pub(crate) names: Vec<String>,
}

/// The properties of a map.
pub(crate) struct Fields<'n> {
    entries: &'n [(Key, Node)],
}

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// Whether there are no others than these.
    pub(crate) fn are_all_of(&self, known: &[&str]) -> bool {
        self.entries.iter().all(|(key, _)| known.contains(&key.text.as_str()))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str, limits: &'a Limits) -> Self {
        Self { file, text, limits, findings: Findings::default(), names: Vec::new() }
    }

    fn find(&mut self, severity: Severity, at: Position, pointer: &str, message: String, hint: Option<String>) {
        if !self.findings.are_enough(severity) {
            self.findings.add(Finding::new(severity, (self.file, self.text), at, pointer, message, hint));
        }
    }

    /// The word that was meant; none if nobody would be told.
    pub(crate) fn meant<'k>(&self, written: &str, known: &[&'k str]) -> Option<&'k str> {
        if self.findings.are_enough(Severity::Error) { None } else { nearest(written, known) }
    }

    /// Something that must be mended.
    pub(crate) fn fault(&mut self, node: &Node, message: impl Into<String>, hint: impl Into<String>) {
        self.find(Severity::Error, node.at, &node.pointer(), message.into(), Some(hint.into()));
    }

    /// The same, at a place of its own.
    pub(crate) fn fault_at(
        &mut self,
        at: Position,
        pointer: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.find(Severity::Error, at, pointer, message.into(), Some(hint.into()));
    }

    /// Something that somebody should look at.
    pub(crate) fn warn_at(&mut self, at: Position, pointer: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.find(Severity::Warning, at, pointer, message.into(), Some(hint.into()));
    }

    /// Named values, none of them twice.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [(Key, Node)]> {
        let Value::Map(entries) = &node.value else {
            self.fault(node, format!("{what} is a map, and here is {}", node.kind()), "write it as names with values");
            return None;
        };
        let mut once = BTreeSet::new();
        for (key, value) in entries {
            if !once.insert(&key.text) {
                self.fault_at(
                    key.at,
                    &value.pointer(),
                    format!("{:?} stands here twice", key.text),
                    "take one of them out",
                );
            }
        }
        Some(entries)
    }

    /// The properties of a map, of which only these are known.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node, what)?;
        for (key, value) in entries {
            if !known.contains(&key.text.as_str()) {
                let hint = match self.meant(&key.text, known) {
                    Some(name) => format!("did you mean {name:?}?"),
                    None => format!("there is {}", known.join(", ")),
                };
                self.fault_at(key.at, &value.pointer(), format!("{what} has no property {:?}", key.text), hint);
            }
        }
        Some(Fields { entries })
    }

    /// A property that must be there.
    pub(crate) fn required<'n>(
        &mut self,
        node: &Node,
        fields: &Fields<'n>,
        what: &str,
        name: &str,
    ) -> Option<&'n Node> {
        let found = fields.get(name);
        // One that is misspelt was told already.
        let is_misspelt =
            fields.entries.iter().any(|(key, _)| key.text != name && nearest(&key.text, &[name]).is_some());
        if found.is_none() && !is_misspelt {
            self.fault(node, format!("{what} says no {name:?}"), format!("add {name}: …"));
        }
        found
    }

    /// Nodes in order.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                let hint = "write each item on a line of its own, after a dash";
                self.fault(node, format!("{what} is a list, and here is {}", node.kind()), hint);
                &[]
            }
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Number(_) | Value::Flag(_) => {
                self.fault(node, format!("{what} is a text, and here is {}", node.kind()), "put it in quotes");
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.fault(node, format!("{what} is a text, and here is {}", node.kind()), "write one word or text");
                None
            }
        }
    }

    /// True or false.
    pub(crate) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Value::Flag(flag) = node.value {
            return Some(flag);
        }
        self.fault(node, format!("{what} is true or false, and here is {}", node.kind()), "write true or false");
        None
    }

    /// A whole number that is not negative.
    pub(crate) fn whole(&mut self, node: &Node, what: &str) -> Option<u64> {
        let number = if let Value::Number(number) = &node.value { number.as_u64() } else { None };
        if number.is_none() {
            let found =
                if let Value::Number(number) = &node.value { number.to_string() } else { node.kind().to_owned() };
            self.fault(
                node,
                format!("{what} is a whole number, and here is {found}"),
                "write a whole number, 0 or more",
            );
        }
        number
    }

    /// One of these words.
    pub(crate) fn one_of<'w>(&mut self, node: &Node, what: &str, words: &[&'w str]) -> Option<&'w str> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let hint = match self.meant(&text, words) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            self.fault(node, format!("{what} cannot be {text:?}"), hint);
        }
        found
    }

    /// An expression, with or without `${ }`.
    pub(crate) fn expression(&mut self, node: &Node, what: &str, place: Place) -> Option<Arc<Program>> {
        let Some(text) = node.text() else {
            let hint = "write it in quotes: \".count > 3\"";
            self.fault(node, format!("{what} is an expression, and here is {}", node.kind()), hint);
            return None;
        };
        let (program, start) = crate::template::unwrapped(text).unwrap_or((text, 0));
        self.program(node, program, start, place)
    }

    /// Compiles a program that stands in this node's text from this byte on.
    pub(crate) fn program(&mut self, node: &Node, program: &str, start: usize, place: Place) -> Option<Arc<Program>> {
        let variables: BTreeSet<String> =
            place.variables().iter().map(|name| (*name).to_owned()).chain(self.names.iter().cloned()).collect();
        match Program::compile(program, &variables, self.limits) {
            Ok(program) => Some(Arc::new(program)),
            // Finding the place takes time.
            Err(_) if self.findings.are_enough(Severity::Error) => None,
            Err(fault) => {
                let at = self.inside(node, start + fault.offset);
                let is_secret = fault.message.contains("$secrets");
                let hint = if is_secret { Some("secrets can only be read in input.from".into()) } else { fault.hint };
                let message = format!("{} in the expression {:?}", fault.message, shortened(program.trim()));
                self.find(
                    Severity::Error,
                    at,
                    &node.pointer(),
                    message,
                    hint.or_else(|| Some("see jq's manual".into())),
                );
                None
            }
        }
    }

    /// The place of a byte of a node's text. Exact where the text stands in the file as it is; else the line of a block, or the
    /// text's beginning.
    pub(crate) fn inside(&self, node: &Node, offset: usize) -> Position {
        let Some(text) = node.text() else { return node.at };
        // What is wrong at the end is wrong behind the last word.
        let offset = offset.min(text.trim_end().len());
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count();
        let written = self.text.get(node.span.clone()).unwrap_or_default();
        if line == 0
            && let Some(start) = written.find(text.lines().next().unwrap_or_default())
            && !written[..start].contains('\n')
        {
            let column = node.at.column + written[..start].chars().count() + before.chars().count();
            return Position { line: node.at.line, column };
        }
        // A block: its place is that of its sign or of its first line.
        if let Some(meant) = text.lines().nth(line).map(str::trim_end)
            && !meant.trim().is_empty()
        {
            for number in [node.at.line + line, node.at.line + line + 1] {
                let Some(in_file) = number.checked_sub(1).and_then(|index| self.text.lines().nth(index)) else {
                    continue;
                };
                if let Some(indent) = in_file.find(meant) {
                    let inside = before.rsplit('\n').next().unwrap_or_default().chars().count();
                    return Position { line: number, column: in_file[..indent].chars().count() + inside + 1 };
                }
            }
        }
        node.at
    }

    /// A value in which texts of the form `${ … }` are expressions.
    pub(crate) fn template(&mut self, node: &Node, place: Place) -> Template {
        match &node.value {
            Value::Null | Value::Flag(_) | Value::Number(_) => Template::fixed(node.json()),
            Value::Text(text) => match crate::template::unwrapped(text) {
                Some((program, start)) => {
                    let program = self.program(node, program, start, place);
                    program.map_or_else(|| Template::fixed(node.json()), Template::Program)
                }
                None => {
                    if text.contains("${") {
                        let at = self.inside(node, text.find("${").unwrap_or(0));
                        let hint = "an expression is the whole of a text: ${ \"Hello \\(.name)\" }";
                        let message = "the ${ in this text begins no expression, as there is text around it";
                        self.warn_at(at, &node.pointer(), message, hint);
                    } else if is_forgotten(text) {
                        let message = format!("{text:?} is a text, and looks like an expression");
                        self.warn_at(node.at, &node.pointer(), message, format!("if it is one, write ${{ {text} }}"));
                    }
                    Template::fixed(node.json())
                }
            },
            Value::List(items) => Template::list(items.iter().map(|item| self.template(item, place)).collect()),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| (key.text.clone(), self.template(value, place)));
                Template::map(entries.collect())
            }
        }
    }

    /// The same where a text is always an expression: `input.from`, `output.as`, `export.as`.
    pub(crate) fn filter(&mut self, node: &Node, what: &str, place: Place) -> Option<Template> {
        match &node.value {
            Value::Text(_) => self.expression(node, what, place).map(Template::Program),
            Value::Map(_) | Value::List(_) => Some(self.template(node, place)),
            Value::Null | Value::Flag(_) | Value::Number(_) => {
                self.fault(node, format!("{what} is an expression, and here is {}", node.kind()), "write it as a text");
                None
            }
        }
    }
}

/// Whether a text is a path that begins with one of the variables.
fn is_forgotten(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('$') else { return false };
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    matches!(&rest[..end], "context" | "input" | "output" | "error" | "item" | "task" | "workflow" | "secrets")
        && !rest.contains(char::is_whitespace)
}

fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
