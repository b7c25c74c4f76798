//! Taking a tree apart: what a setting must be, which settings there are, and all that is wrong with it, each with its place.

use bobbinet_text::{Position, nearest};

use super::{
    finding::{Finding, Severity, Source},
    tree::{Key, Node, Value},
    variables::Variables,
};

/// Reads one file's tree, and notes down what it finds.
pub(crate) struct Reader<'a> {
    source: &'a Source,
    variables: &'a Variables,
    pub(crate) findings: Vec<Finding>,
}

/// The settings of one map.
#[derive(Debug)]
pub(crate) struct MapSettings<'n> {
    pub(crate) at: Position,
    entries: Vec<(&'n Key, &'n Node)>,
    /// What else settings are called: another word, and the one that is asked for.
    aliases: &'static [(&'static str, &'static str)],
}

impl<'n> MapSettings<'n> {
    /// The setting of this name, if it says anything.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// Whether something stands there that looks like this name misspelt.
    pub(crate) fn has_near(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.text != name && nearest(&key.text, &[name]).is_some())
    }

    /// The same with its key.
    pub(crate) fn entry(&self, name: &str) -> Option<(&'n Key, &'n Node)> {
        let of_name = |name: &str| self.entries.iter().find(|(key, _)| key.text == name).copied();
        of_name(name).or_else(|| {
            let others = self.aliases.iter().filter(|(_, meant)| *meant == name);
            others.map(|(other, _)| *other).find_map(of_name)
        })
    }

    /// The same settings, which go by these other names.
    pub(crate) fn also_called(self, aliases: &'static [(&'static str, &'static str)]) -> Self {
        Self { aliases, ..self }
    }

    /// The same settings with those of a map that stands in place of one of them.
    pub(crate) fn unfolded(self, name: &str, inner: MapSettings<'n>) -> Self {
        let others = self.entries.into_iter().filter(|(key, _)| key.text != name);
        Self { entries: inner.entries.into_iter().chain(others).collect(), ..self }
    }
}

impl<'a> Reader<'a> {
    /// A reader of this file.
    pub(crate) fn new(source: &'a Source, variables: &'a Variables) -> Self {
        Self { source, variables, findings: Vec::new() }
    }

    /// The file that is being read.
    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// Something that must be mended.
    pub(crate) fn fault(&mut self, at: Position, message: impl Into<String>) {
        self.findings.push(Finding::at(Severity::Error, self.source, at, message));
    }

    /// The same, with what to do about it.
    pub(crate) fn fault_with_hint(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding::at(Severity::Error, self.source, at, message).hint(hint));
    }

    /// Whether something that must be mended was found from here on.
    pub(crate) fn has_fault_at_or_after(&self, at: Position) -> bool {
        self.findings.iter().any(|finding| (Position { line: finding.line, column: finding.column }) >= at)
    }

    /// Something that works, and should not be so.
    pub(crate) fn warn(&mut self, at: Position, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding::at(Severity::Warning, self.source, at, message).hint(hint));
    }

    /// Something that somebody should know.
    pub(crate) fn note(&mut self, at: Position, message: impl Into<String>, hint: Option<String>) {
        let finding = Finding::at(Severity::Note, self.source, at, message);
        self.findings.push(Finding { hint, ..finding });
    }

    /// Named values, none of them twice. Nothing is an empty map.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n Key, &'n Node)> {
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null(_) => return Vec::new(),
            Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                self.fault(node.at, format!("{what} is a map, and here is {}", node.kind()));
                return Vec::new();
            }
        };
        let mut once: Vec<(&Key, &Node)> = Vec::new();
        for (key, value) in entries {
            if once.iter().any(|(known, _)| known.text == key.text) {
                self.fault(key.at, format!("{:?} stands here twice", key.text));
            } else {
                once.push((key, value));
            }
        }
        once
    }

    /// The settings of a map, of which only these are known.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> MapSettings<'n> {
        let entries = self.entries(node, what);
        for (key, _) in &entries {
            if !known.contains(&key.text.as_str()) {
                self.unknown(key, what, known);
            }
        }
        MapSettings { at: node.at, entries, aliases: &[] }
    }

    /// The settings of a map of another program's, which may have more of them than we know, under other names too. One that is
    /// nearly one of these is a slip of the pen, unless that one is there as well.
    pub(crate) fn foreign_fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        aliases: &'static [(&'static str, &'static str)],
    ) -> MapSettings<'n> {
        let fields = MapSettings { at: node.at, entries: self.entries(node, what), aliases };
        for (key, _) in &fields.entries {
            let is_known = known.contains(&key.text.as_str()) || aliases.iter().any(|(other, _)| key.text == *other);
            let meant = nearest(&key.text, known).filter(|meant| fields.entry(meant).is_none());
            if !is_known && !key.is_comment() && meant.is_some() {
                self.unknown(key, what, known);
            }
        }
        fields
    }

    /// Takes back what was found since there were so many findings, for the sake of the rest of the file: what must be mended is a
    /// warning then. Whether there was any.
    pub(crate) fn excuse(&mut self, since: usize, what: &str) -> bool {
        let mut has_faults = false;
        for finding in self.findings[since..].iter_mut().filter(|finding| finding.is_error()) {
            finding.severity = Severity::Warning;
            finding.message = format!("{what} is left out: {}", finding.message);
            has_faults = true;
        }
        has_faults
    }

    fn unknown(&mut self, key: &Key, what: &str, known: &[&str]) {
        let hint = match nearest(&key.text, known) {
            Some(name) => format!("did you mean {name:?}?"),
            None => format!("there is {}", known.join(", ")),
        };
        self.fault_with_hint(key.at, format!("{what} has no setting {:?}", key.text), hint);
    }

    /// A text, with its variables replaced.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::Text(text) => self.expanded(node.at, text),
            Value::Null(_) | Value::Flag(..) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                self.fault(node.at, format!("{what} is a text, and here is {}", node.kind()));
                None
            }
        }
    }

    /// A text that may look like something else: a port in a variable, a number among a command's words.
    pub(crate) fn word(&mut self, node: &Node, what: &str) -> Option<String> {
        match node.as_written() {
            Some(text) => self.expanded(node.at, text),
            None => {
                self.fault(node.at, format!("{what} is a text, and here is {}", node.kind()));
                None
            }
        }
    }

    /// Words in order.
    pub(crate) fn words(&mut self, node: &Node, what: &str) -> Vec<String> {
        match &node.value {
            Value::List(items) => items.iter().filter_map(|item| self.word(item, "one of its words")).collect(),
            Value::Null(_) => Vec::new(),
            Value::Flag(..) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                let hint = r#"write it as a list: ["one", "two"]"#;
                self.fault_with_hint(node.at, format!("{what} is a list of words, and here is {}", node.kind()), hint);
                Vec::new()
            }
        }
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.value {
            Value::Flag(flag, _) => Some(*flag),
            Value::Null(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                self.fault(node.at, format!("{what} is true or false, and here is {}", node.kind()));
                None
            }
        }
    }

    /// A whole number, or whatever else is read from what was written.
    pub(crate) fn parsed<T>(&mut self, node: &Node, what: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.word(node, what)?;
        let value = parse(&text);
        if value.is_none() {
            self.fault(node.at, format!("{what} cannot be {:?}", node.as_written().unwrap_or_default()));
        }
        value
    }

    fn expanded(&mut self, at: Position, text: &str) -> Option<String> {
        match self.variables.expand(text) {
            Ok(text) => Some(text),
            Err(unset) => {
                self.fault_with_hint(at, unset.message, unset.hint);
                None
            }
        }
    }
}
