//! Events: what sends them and what waits for them.

use std::sync::Arc;

use super::{Correlation, Filter, ForEach, Kind, Listen, Match, Output, ReadAs, Strategy, Until, draft::Draft};
use crate::{
    expression::Program,
    reader::{Place, Reader},
    tree::{Node, Value},
};

impl Reader<'_> {
    pub(crate) fn emit(&mut self, node: &Node) -> Option<Kind> {
        let fields = self.fields(node, "emit", &["event"])?;
        let event = self.required(node, &fields, "emit", "event")?;
        let inner = self.fields(event, "emit.event", &["with"])?;
        let with = self.required(event, &inner, "emit.event", "with")?;
        let attributes = self.entries(with, "emit.event.with")?;
        if !attributes.iter().any(|(key, _)| key.text == "type") {
            self.fault(with, "this event has no type", "add type: com.example.something-happened");
            return None;
        }
        for (key, value) in attributes {
            // CloudEvents 1.0, section 3.1: names are short and lower case, so that every protocol can carry them.
            let is_name = key.text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            if !is_name {
                let message = format!("an event has no attribute {:?}", key.text);
                self.fault_at(
                    key.at,
                    &value.pointer(),
                    message,
                    "attributes have lower case letters and digits; put the rest into data",
                );
            }
        }
        Some(Kind::Emit(self.template(with, Place::Body)))
    }

    pub(crate) fn listen(&mut self, node: &Node, each: Option<&Node>, draft: &mut Draft) -> Option<Kind> {
        let fields = self.fields(node, "listen", &["to", "read"])?;
        let to = self.required(node, &fields, "listen", "to").and_then(|node| self.strategy(node, Place::Body));
        let read = fields.get("read").map_or(Some(ReadAs::Data), |node| self.read_as(node));
        let each = match each {
            Some(node) => Some(self.for_each(node, draft)?),
            None => None,
        };
        Some(Kind::Listen(Box::new(Listen { to: to?, read: read?, each })))
    }

    fn for_each(&mut self, node: &Node, draft: &mut Draft) -> Option<ForEach> {
        let fields = self.fields(node, "foreach", &["item", "at", "do", "output", "export"])?;
        let item = fields.get("item").map_or(Some("item".to_owned()), |node| self.variable(node, "foreach.item"))?;
        let at = fields.get("at").map_or(Some("index".to_owned()), |node| self.variable(node, "foreach.at"))?;
        self.names.extend([item.clone(), at.clone()]);
        let body = fields.get("do").map(|node| self.list(node, "foreach.do", draft));
        let output = fields.get("output").map_or_else(Output::default, |node| self.output(node, Place::Output));
        let export = fields.get("export").map_or_else(Output::default, |node| self.output(node, Place::Export));
        self.names.truncate(self.names.len() - 2);
        Some(ForEach { item, at, body, output, export })
    }

    pub(crate) fn read_as(&mut self, node: &Node) -> Option<ReadAs> {
        Some(match self.one_of(node, "read", &["data", "envelope", "raw"])? {
            "envelope" => ReadAs::Envelope,
            "raw" => ReadAs::Raw,
            _ => ReadAs::Data,
        })
    }

    /// `to: {all | any | one}`.
    pub(crate) fn strategy(&mut self, node: &Node, place: Place) -> Option<Strategy> {
        let fields = self.fields(node, "what is listened to", &["all", "any", "one", "until"])?;
        let said: Vec<&str> = ["all", "any", "one"].into_iter().filter(|name| fields.has(name)).collect();
        let until = fields.get("until");
        if let (Some(node), false) = (until, fields.has("any")) {
            self.fault(node, "until belongs to any", "write any: [ … ], or take until out");
            return None;
        }
        match said[..] {
            ["all"] => self.filters(fields.get("all")?, place).map(Strategy::All),
            ["any"] => {
                let filters = self.filters(fields.get("any")?, place)?;
                let until = match until {
                    Some(node) => Some(self.until(node, place)?),
                    None => None,
                };
                Some(Strategy::Any(filters, until))
            }
            ["one"] => self.event_filter(fields.get("one")?, place).map(Strategy::One),
            [] => {
                self.fault(node, "this says no events", "write one, any or all, and what the events must have");
                None
            }
            [..] => {
                self.fault(node, format!("this says several ways to listen: {}", said.join(", ")), "keep one of them");
                None
            }
        }
    }

    fn until(&mut self, node: &Node, place: Place) -> Option<Until> {
        match &node.value {
            Value::Flag(false) => Some(Until::Never),
            Value::Map(_) => self.strategy(node, place).map(|to| Until::Events(Box::new(to))),
            Value::Null | Value::Flag(true) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                self.expression(node, "until", place).map(Until::Condition)
            }
        }
    }

    fn filters(&mut self, node: &Node, place: Place) -> Option<Vec<Filter>> {
        let items = self.items(node, "the list of events");
        if !matches!(node.value, Value::List(_)) {
            return None;
        }
        items.iter().map(|item| self.event_filter(item, place)).collect()
    }

    fn event_filter(&mut self, node: &Node, place: Place) -> Option<Filter> {
        let fields = self.fields(node, "an event", &["with", "correlate"])?;
        let with = self.required(node, &fields, "an event", "with")?;
        let mut filter = Filter { with: Vec::new(), correlate: Vec::new() };
        let entries = self.entries(with, "with")?;
        if entries.is_empty() {
            self.fault(with, "this says nothing of the event", "add its type: with: { type: … }");
            return None;
        }
        for (key, value) in entries {
            let must = self.attribute(value, place)?;
            filter.with.push((key.text.clone(), must));
        }
        if let Some(node) = fields.get("correlate") {
            for (key, value) in self.entries(node, "correlate")? {
                let inner = self.fields(value, "a correlation", &["from", "expect"])?;
                let from = self.required(value, &inner, "a correlation", "from")?;
                let from = self.expression(from, "correlate.from", place)?;
                let expect = inner.get("expect").map(|node| self.template(node, place));
                filter.correlate.push((key.text.clone(), Correlation { from, expect }));
            }
        }
        Some(filter)
    }

    /// What an attribute must be: a value, a regular expression, or an expression.
    fn attribute(&mut self, node: &Node, place: Place) -> Option<Match> {
        let Some(text) = node.text() else { return Some(Match::Equal(node.json())) };
        if let Some((program, start)) = crate::template::unwrapped(text) {
            return self.program(node, program, start, place).map(Match::Computed);
        }
        let is_pattern = text.contains(['*', '+', '?', '[', '(', '|', '^', '$', '\\']);
        if !is_pattern {
            return Some(Match::Equal(node.json()));
        }
        let pattern = serde_json::Value::String(format!("^(?:{text})$"));
        let program = Program::compile(&format!("test({pattern})"), &std::collections::BTreeSet::new(), self.limits);
        // What is no program of ours can only be meant as it is.
        Some(
            program
                .map_or_else(|_| Match::Equal(node.json()), |program| Match::Pattern(node.json(), Arc::new(program))),
        )
    }
}
