//! A definition as a picture: a flowchart in Mermaid's language.

use std::fmt::Write as _;

use crate::{
    document::{Definition, Kind, ListId, Task, TaskId, Then},
    labels,
};

/// A flowchart of the definition.
pub fn mermaid(definition: &Definition) -> String {
    let mut graph = Graph { definition, text: String::from("flowchart TD\n"), depth: 1 };
    graph.line("start([start])");
    graph.line("finish([end])");
    graph.list(definition.main, "finish");
    if let Some(first) = definition.list(definition.main).first() {
        graph.line(&format!("start --> {}", name(*first)));
    }
    graph.text
}

struct Graph<'a> {
    definition: &'a Definition,
    text: String,
    depth: usize,
}

fn name(id: TaskId) -> String {
    format!("t{}", id.0)
}

/// A text that Mermaid takes as it is.
fn quoted(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Graph<'_> {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{}{line}", "  ".repeat(self.depth));
    }

    /// The steps of a list, and what leads from each to the next; `after` is what comes after the list.
    fn list(&mut self, list: ListId, after: &str) {
        let definition = self.definition;
        for id in definition.list(list) {
            self.task(*id);
        }
        for id in definition.list(list) {
            self.ways(*id, after);
        }
    }

    fn task(&mut self, id: TaskId) {
        let task = self.definition.task(id);
        let label = quoted(&label(task));
        let name = name(id);
        match &task.kind {
            Kind::Switch(_) => self.line(&format!("{name}{{\"{label}\"}}")),
            Kind::Wait(_) | Kind::Listen(_) | Kind::Emit(_) | Kind::Raise(_) => {
                self.line(&format!("{name}([\"{label}\"])"));
            }
            Kind::Set(_) | Kind::Call(_) => self.line(&format!("{name}[\"{label}\"]")),
            Kind::Do(_) | Kind::For(_) | Kind::Fork { .. } | Kind::Try { .. } => {
                self.line(&format!("{name}[\"{label}\"]"));
                self.inner(id, task);
            }
        }
        if let Kind::Listen(listen) = &task.kind
            && let Some(body) = listen.each.as_ref().and_then(|each| each.body)
        {
            self.part(id, "each", "for each event", body, false);
        }
    }

    fn inner(&mut self, id: TaskId, task: &Task) {
        match &task.kind {
            Kind::Do(list) => self.part(id, "do", "do", *list, false),
            Kind::For(looped) => self.part(id, "do", &format!("for each {}", looped.each), looped.body, false),
            Kind::Fork { branches, compete } => {
                let title = if *compete { "first of" } else { "all of" };
                self.part(id, "fork", title, *branches, true);
            }
            Kind::Try { body, catch } => {
                self.part(id, "try", "try", *body, false);
                if let Some(list) = catch.body {
                    self.part(id, "catch", "catch", list, false);
                }
            }
            Kind::Set(_)
            | Kind::Switch(_)
            | Kind::Raise(_)
            | Kind::Wait(_)
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_) => {}
        }
    }

    /// A list within a step.
    fn part(&mut self, id: TaskId, what: &str, title: &str, list: ListId, is_fork: bool) {
        let definition = self.definition;
        let part = format!("{}_{what}", name(id));
        self.line(&format!("subgraph {part}[\"{}\"]", quoted(title)));
        self.depth += 1;
        let end = format!("{part}_end");
        if is_fork {
            for id in definition.list(list) {
                self.task(*id);
            }
        } else {
            self.line(&format!("{end}(( ))"));
            self.list(list, &end);
        }
        self.depth -= 1;
        self.line("end");
        let dashed = if what == "catch" { "-. failed .->" } else { "-.->" };
        let first = definition.list(list);
        let first = if is_fork { first } else { first.get(..1).unwrap_or_default() };
        for step in first {
            self.line(&format!("{} {dashed} {}", name(id), name(*step)));
        }
    }

    fn ways(&mut self, id: TaskId, after: &str) {
        let definition = self.definition;
        let task = definition.task(id);
        let to = |then: &Then| match then {
            Then::Continue => definition.next(id).map_or_else(|| after.to_owned(), name),
            Then::Exit => after.to_owned(),
            Then::End => "finish".to_owned(),
            Then::Go { to, .. } => to.map_or_else(|| after.to_owned(), name),
        };
        let from = name(id);
        match &task.kind {
            Kind::Switch(cases) => {
                for case in cases {
                    self.line(&format!("{from} -- \"{}\" --> {}", quoted(&case.name), to(&case.then)));
                }
                if !cases.iter().any(|case| case.when.is_none()) {
                    self.line(&format!("{from} --> {}", to(&task.then)));
                }
            }
            Kind::Raise(_) => {}
            Kind::Try { catch, .. } => {
                self.line(&format!("{from} --> {}", to(&task.then)));
                if let Some(then) = &catch.then {
                    self.line(&format!("{from} -- \"caught\" --> {}", to(then)));
                }
            }
            Kind::Do(_)
            | Kind::Set(_)
            | Kind::For(_)
            | Kind::Fork { .. }
            | Kind::Wait(_)
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_) => self.line(&format!("{from} --> {}", to(&task.then))),
        }
    }
}

fn label(task: &Task) -> String {
    let condition = if task.condition.is_some() { ", if" } else { "" };
    format!("{}: {}{condition}", task.name, labels::what(task))
}
