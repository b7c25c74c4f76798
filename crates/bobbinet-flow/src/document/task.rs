//! Steps.

use bobbinet_text::nearest;
use std::sync::Arc;

use super::{Case, Catch, For, Input, Kind, ListId, Output, Task, TaskId, Then, draft::Draft};
use crate::{
    reader::{Fields, Place, Reader},
    template::Template,
    tree::{Key, Node, Value},
};

/// Bytes of a step's name: it is part of the pointer of each step in it.
const NAME_MAX: usize = 256;

/// What every step may say.
const COMMON: [&str; 7] = ["if", "input", "output", "export", "timeout", "then", "metadata"];

/// What a step can do, and what else belongs to it.
const KINDS: [(&str, &[&str]); 12] = [
    ("call", &["with"]),
    ("do", &[]),
    ("emit", &[]),
    ("for", &["while", "do"]),
    ("fork", &[]),
    ("listen", &["foreach"]),
    ("raise", &[]),
    ("run", &[]),
    ("set", &[]),
    ("switch", &[]),
    ("try", &["catch"]),
    ("wait", &[]),
];

impl Reader<'_> {
    /// Steps in order: each a map of one name.
    pub(crate) fn list(&mut self, node: &Node, what: &str, draft: &mut Draft) -> ListId {
        let id = ListId(draft.lists.len());
        draft.lists.push(Vec::new());
        let mut names = std::collections::BTreeSet::new();
        let items = self.items(node, what);
        if items.is_empty() && matches!(node.value, Value::List(_)) {
            self.fault(node, format!("{what} has no steps"), "add a step: - name: { set: { … } }");
        }
        for item in items {
            let Value::Map(entries) = &item.value else {
                let message = format!("a step is a name with what it does, and here is {}", item.kind());
                self.fault(item, message, "write - name: and what it does below it, indented");
                continue;
            };
            let [(key, value)] = &entries[..] else {
                let names: Vec<&str> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
                let message = format!("a step has one name, and here are {}", names.join(", "));
                self.fault(item, message, "begin each step with a dash, and indent what it does below its name");
                continue;
            };
            if !names.insert(key.text.as_str()) {
                let message = format!("there are two steps {:?} in this list", key.text);
                self.fault_at(key.at, &value.pointer(), message, "give one of them another name");
            }
            let task = self.task(key, value, Some(id), draft);
            draft.lists[id.0].push(task);
        }
        id
    }

    /// One step.
    pub(crate) fn task(&mut self, key: &Key, node: &Node, list: Option<ListId>, draft: &mut Draft) -> TaskId {
        let id = TaskId(draft.tasks.len());
        draft.tasks.push(None);
        if id.0 == self.limits.tasks {
            let message = format!("a flow has at most {} steps", self.limits.tasks);
            self.fault_at(
                key.at,
                &node.pointer(),
                message,
                "make a part of it a flow of its own, and call it with run: workflow",
            );
        }
        if key.text.len() > NAME_MAX {
            let message = format!("the name of a step has at most {NAME_MAX} bytes, and this one {}", key.text.len());
            self.fault_at(key.at, &node.pointer(), message, "write a short name, and say more in metadata");
        } else if id.0 < self.limits.tasks {
            draft.tasks[id.0] = self.task_body(key, node, list, draft);
        }
        id
    }

    fn task_body(&mut self, key: &Key, node: &Node, list: Option<ListId>, draft: &mut Draft) -> Option<Task> {
        let entries = match &node.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                let message = format!("the step {:?} does nothing: here is {}", key.text, node.kind());
                self.fault_at(key.at, &node.pointer(), message, "say what it does: call, set, do, …");
                return None;
            }
        };
        let has = |name: &str| entries.iter().any(|(key, _)| key.text == name);
        let mut said: Vec<&(&str, &[&str])> = KINDS.iter().filter(|(kind, _)| has(kind)).collect();
        // A loop has its steps under `do`.
        if said.iter().any(|(kind, _)| *kind == "for") {
            said.retain(|(kind, _)| *kind != "do");
        }
        let (kind, own) = match said[..] {
            [(kind, own)] => (*kind, *own),
            [] => {
                self.kindless(key, node, entries);
                return None;
            }
            [..] => {
                let kinds: Vec<&str> = said.iter().map(|(kind, _)| *kind).collect();
                let message = format!("the step {:?} does several things: {}", key.text, kinds.join(", "));
                self.fault_at(key.at, &node.pointer(), message, "make each a step of its own, with a dash and a name");
                return None;
            }
        };
        let known: Vec<&str> = COMMON.iter().chain([&kind]).chain(own).copied().collect();
        let fields = self.fields(node, &format!("a {kind} step"), &known)?;
        let condition = fields.get("if").and_then(|node| self.expression(node, "if", Place::If));
        let input = fields.get("input").map_or_else(Input::default, |node| self.input(node, Place::Input));
        let timeout = fields.get("timeout").and_then(|node| self.timeout(node, draft, Place::Body));
        let then = fields.get("then").map_or(Some(Then::Continue), |node| self.then(node));
        let parsed = self.kind(kind, node, &fields, draft);
        let output = fields.get("output").map_or_else(Output::default, |node| self.output(node, Place::Output));
        let export = fields.get("export").map_or_else(Output::default, |node| self.output(node, Place::Export));
        Some(Task {
            name: key.text.clone(),
            pointer: node.pointer(),
            at: key.at,
            json: Arc::new(node.json()),
            condition,
            input,
            output,
            export,
            timeout,
            then: then?,
            list,
            kind: parsed?,
        })
    }

    /// A step that says nothing of what it does.
    fn kindless(&mut self, key: &Key, node: &Node, entries: &[(Key, Node)]) {
        let kinds: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
        let unknown: Vec<_> = entries.iter().filter(|(key, _)| !COMMON.contains(&key.text.as_str())).collect();
        let meant = unknown.iter().find_map(|(key, value)| Some((key, value, nearest(&key.text, &kinds)?)));
        match (meant, &unknown[..]) {
            (Some((key, value, meant)), _) => {
                let message = format!("a step cannot {:?}", key.text);
                self.fault_at(key.at, &value.pointer(), message, format!("did you mean {meant:?}?"));
            }
            (None, [(key, value), ..]) => {
                let message = format!("a step cannot {:?}", key.text);
                self.fault_at(key.at, &value.pointer(), message, format!("it is one of {}", kinds.join(", ")));
            }
            (None, []) => {
                let message = format!("the step {:?} does nothing", key.text);
                self.fault_at(key.at, &node.pointer(), message, format!("say what it does: {}", kinds.join(", ")));
            }
        }
    }

    /// `then`.
    fn then(&mut self, node: &Node) -> Option<Then> {
        let text = self.text(node, "then")?;
        Some(match text.as_str() {
            "continue" => Then::Continue,
            "exit" => Then::Exit,
            "end" => Then::End,
            _ => Then::Go { name: text, to: None, at: node.at, pointer: node.pointer() },
        })
    }

    fn kind(&mut self, kind: &str, node: &Node, fields: &Fields<'_>, draft: &mut Draft) -> Option<Kind> {
        let said = fields.get(kind)?;
        match kind {
            "do" => Some(Kind::Do(self.list(said, "do", draft))),
            "set" => self.set(said),
            "switch" => self.switch(said),
            "for" => self.for_(node, said, fields, draft),
            "fork" => {
                let inner = self.fields(said, "fork", &["branches", "compete"])?;
                let compete = inner.get("compete").map_or(Some(false), |node| self.flag(node, "fork.compete"));
                let branches = self.required(said, &inner, "fork", "branches")?;
                Some(Kind::Fork { branches: self.list(branches, "fork.branches", draft), compete: compete? })
            }
            "raise" => {
                let inner = self.fields(said, "raise", &["error"])?;
                let error = self.required(said, &inner, "raise", "error")?;
                let error = match &error.value {
                    Value::Text(name) => self.named(error, name, "error", "errors", &draft.reuse.errors),
                    Value::Null | Value::Flag(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                        self.error(error)
                    }
                };
                error.map(Kind::Raise)
            }
            "try" => {
                let body = self.list(said, "try", draft);
                let catch = self.required(node, fields, "a try step", "catch")?;
                let catch = self.catch(catch, draft)?;
                Some(Kind::Try { body, catch: Box::new(catch) })
            }
            "wait" => self.span(said, "wait", Place::Body).map(Kind::Wait),
            "emit" => self.emit(said),
            "listen" => self.listen(said, fields.get("foreach"), draft),
            "call" => self.call(said, fields.get("with"), draft),
            "run" => self.run(said),
            _ => None,
        }
    }

    fn set(&mut self, node: &Node) -> Option<Kind> {
        match &node.value {
            Value::Map(entries) if entries.is_empty() => {
                self.fault(node, "set gives nothing", "add the values: set: { name: value }");
                None
            }
            Value::Map(_) => Some(Kind::Set(self.template(node, Place::Body))),
            Value::Text(text) if crate::template::unwrapped(text).is_some() => {
                Some(Kind::Set(self.template(node, Place::Body)))
            }
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                let message = format!("set is a map of values or an expression, and here is {}", node.kind());
                self.fault(node, message, "write set: { name: value } or set: ${ … }");
                None
            }
        }
    }

    fn switch(&mut self, node: &Node) -> Option<Kind> {
        let mut cases: Vec<Case> = Vec::new();
        let items = self.items(node, "switch");
        if items.is_empty() && matches!(node.value, Value::List(_)) {
            self.fault(node, "this switch has no cases", "add one: - name: { when: …, then: … }");
        }
        for item in items {
            let Some([(key, value)]) = self.entries(item, "a case") else {
                if matches!(item.value, Value::Map(_)) {
                    self.fault(item, "a case has one name", "write - name: and below it, indented, when and then");
                }
                continue;
            };
            let Some(fields) = self.fields(value, "a case", &["when", "then"]) else { continue };
            let when = fields.get("when").map(|node| self.expression(node, "when", Place::Body));
            let then = self.required(value, &fields, "a case", "then").and_then(|node| self.then(node));
            if let (Some(then), Some(when)) = (then, when.map_or(Some(None), |when| when.map(Some))) {
                cases.push(Case { name: key.text.clone(), at: key.at, when, then });
            }
        }
        Some(Kind::Switch(cases))
    }

    fn for_(&mut self, node: &Node, said: &Node, fields: &Fields<'_>, draft: &mut Draft) -> Option<Kind> {
        let inner = self.fields(said, "for", &["each", "in", "at"])?;
        let each = inner.get("each").map_or(Some("item".to_owned()), |node| self.variable(node, "for.each"));
        let at = inner.get("at").map_or(Some("index".to_owned()), |node| self.variable(node, "for.at"));
        let items = self.required(said, &inner, "for", "in").and_then(|node| match &node.value {
            Value::List(_) => Some(self.template(node, Place::Body)),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                self.expression(node, "for.in", Place::Body).map(Template::Program)
            }
        });
        let (each, at) = (each?, at?);
        self.names.extend([each.clone(), at.clone()]);
        let condition = fields.get("while").map(|node| self.expression(node, "while", Place::Body));
        let body = self.required(node, fields, "a for step", "do").map(|node| self.list(node, "do", draft));
        self.names.truncate(self.names.len() - 2);
        let condition = match condition {
            Some(condition) => Some(condition?),
            None => None,
        };
        Some(Kind::For(For { each, at, items: items?, condition, body: body? }))
    }

    /// The name of a variable.
    pub(crate) fn variable(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !text.is_empty();
        let is_ours = matches!(
            text.as_str(),
            "context" | "input" | "output" | "secrets" | "authorization" | "task" | "workflow" | "runtime"
        );
        if !is_word || text.starts_with(|c: char| c.is_ascii_digit()) || is_ours {
            let hint =
                if is_ours { "that name means something already" } else { "use letters, digits and _, and no $" };
            self.fault(node, format!("{what} cannot be {text:?}"), hint);
            return None;
        }
        Some(text)
    }

    fn catch(&mut self, node: &Node, draft: &mut Draft) -> Option<Catch> {
        let known = ["errors", "as", "when", "exceptWhen", "retry", "do", "then"];
        let fields = self.fields(node, "catch", &known)?;
        let name = fields.get("as").map_or(Some("error".to_owned()), |node| self.variable(node, "catch.as"))?;
        let mut catch = Catch { name: name.clone(), ..Catch::default() };
        if let Some(errors) = fields.get("errors")
            && let Some(with) = self.fields(errors, "catch.errors", &["with"])
            && let Some(with) = with.get("with")
        {
            self.fields(with, "catch.errors.with", &["type", "status", "title", "detail", "instance"]);
            if let Value::Map(members) = &with.value {
                catch.with = members.iter().map(|(key, node)| (key.text.clone(), node.json())).collect();
            }
        }
        self.names.push(name);
        catch.when = fields.get("when").and_then(|node| self.expression(node, "catch.when", Place::Body));
        catch.except_when =
            fields.get("exceptWhen").and_then(|node| self.expression(node, "catch.exceptWhen", Place::Body));
        catch.retry = fields.get("retry").and_then(|node| match &node.value {
            Value::Text(name) => self.named(node, name, "retry policy", "retries", &draft.reuse.retries),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => self.retry_policy(node),
        });
        catch.body = fields.get("do").map(|node| self.list(node, "catch.do", draft));
        self.names.pop();
        catch.then = fields.get("then").and_then(|node| self.then(node));
        Some(catch)
    }
}
