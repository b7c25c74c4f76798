//! The document as a whole.

use bobbinet_text::Position;
use std::{sync::Arc, time::Duration};

use super::{
    CallTarget, Definition, Input, Kind, ListId, Output, Reading, Schedule, Schema, Span, Task, TaskId, Then,
    draft::Draft,
};
use crate::{
    cron::Cron,
    finding::{FINDINGS_MAX, Finding, Severity},
    limits::Limits,
    reader::{Place, Reader},
    tree::{self, Node},
};

/// The versions of the DSL that we read.
const DSL: &str = "1.0.";

/// The stack for reading a definition: values and expressions may be nested as deeply as their limits allow.
const STACK: usize = 64 * 1024 * 1024;

/// How the YAML reader's word begins that a bound of its own is reached.
const BOUND: &str = "budget breached";

/// What is scheduled more often is a loop, and keeps a node busy with nothing else.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What stands at the top.
const TOP: [&str; 8] = ["document", "input", "use", "do", "timeout", "output", "schedule", "evaluate"];

impl Definition {
    /// Reads a definition, in YAML or JSON, and gives all that is wrong with it.
    pub fn read(file: &str, text: &str, limits: &Limits) -> Reading {
        if text.len() > limits.document_bytes {
            let message =
                format!("a definition has at most {} bytes, and this one {}", limits.document_bytes, text.len());
            return unreadable(file, text, Position::default(), message, "take parts of it out as flows of their own");
        }
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK);
            let reading =
                thread.spawn_scoped(scope, || read(file, text, limits)).map(std::thread::ScopedJoinHandle::join);
            match reading {
                Ok(Ok(reading)) => reading,
                Ok(Err(_)) | Err(_) => {
                    let message = "this definition could not be read".to_owned();
                    unreadable(file, text, Position::default(), message, "this is a fault of ours: tell us")
                }
            }
        })
    }
}

fn unreadable(file: &str, text: &str, at: Position, message: String, hint: &str) -> Reading {
    let finding = Finding::new(Severity::Error, (file, text), at, "", message, Some(hint.to_owned()));
    Reading { definition: None, findings: vec![finding] }
}

fn read(file: &str, text: &str, limits: &Limits) -> Reading {
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(fault) => {
            if fault.words.starts_with(BOUND) {
                let what = if fault.words.contains("Depth") {
                    "nested too deeply"
                } else {
                    "too large once its aliases are followed"
                };
                let hint = "make a part of it a flow of its own, and call it with run: workflow";
                return unreadable(file, text, fault.at, format!("this definition is {what}"), hint);
            }
            let hint = if fault.words.contains("duplicate") {
                "take one of them out"
            } else {
                "look at the indentation, and put texts with a colon, @ or ${ in quotes"
            };
            return unreadable(file, text, fault.at, format!("this is not YAML: {}", fault.words), hint);
        }
    };
    let mut reader = Reader::new(file, text, limits);
    let definition = reader.definition(&root);
    let findings = reader.findings.sorted();
    let is_usable = !findings.iter().any(Finding::is_error);
    let definition = definition.filter(|_| is_usable);
    let definition = definition.map(|definition| Definition { file: file.to_owned(), ..definition });
    Reading { definition, findings }
}

impl Reader<'_> {
    fn definition(&mut self, root: &Node) -> Option<Definition> {
        let top = self.fields(root, "a flow", &TOP)?;
        let mut draft = Draft::default();
        if let Some(evaluate) = top.get("evaluate") {
            self.evaluate(evaluate);
        }
        let heading = self.required(root, &top, "a flow", "document").and_then(|node| self.heading(node));
        if let Some(node) = top.get("use") {
            self.reuse(node, &mut draft);
        }
        let input = top.get("input").map(|node| self.input(node, Place::WorkflowInput)).unwrap_or_default();
        let output = top.get("output").map(|node| self.output(node, Place::WorkflowOutput)).unwrap_or_default();
        let timeout = top.get("timeout").and_then(|node| self.timeout(node, &draft, Place::Outside));
        let schedule = top.get("schedule").and_then(|node| self.schedule(node));
        let main = self.required(root, &top, "a flow", "do").map(|node| self.list(node, "do", &mut draft));
        self.resolve(&mut draft);
        let (namespace, name, version, title, summary) = heading?;
        // A step that could not be read has left a finding, and its definition is not used.
        let tasks: Option<Vec<Task>> = draft.tasks.into_iter().collect();
        Some(Definition {
            file: String::new(),
            namespace,
            name,
            version,
            title,
            summary,
            json: Arc::new(root.json()),
            input,
            output,
            timeout,
            schedule,
            secrets: draft.reuse.secrets,
            authentications: draft.reuse.authentications,
            functions: draft.functions,
            main: main?,
            tasks: tasks?,
            lists: draft.lists,
        })
    }

    fn evaluate(&mut self, node: &Node) {
        let Some(fields) = self.fields(node, "evaluate", &["language", "mode"]) else { return };
        if let Some(language) = fields.get("language")
            && language.text() != Some("jq")
        {
            self.fault(
                language,
                "expressions are written in jq, and in no other language",
                "take evaluate.language out",
            );
        }
        if let Some(mode) = fields.get("mode") {
            let mode_word = self.one_of(mode, "evaluate.mode", &["strict", "loose"]);
            if mode_word == Some("loose") {
                self.fault(mode, "expressions are read strictly: only ${ … } is one", "take evaluate.mode out");
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "the parts of a heading, used once")]
    fn heading(&mut self, node: &Node) -> Option<(String, String, String, Option<String>, Option<String>)> {
        let known = ["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"];
        let fields = self.fields(node, "document", &known)?;
        if let Some(dsl) = self.required(node, &fields, "document", "dsl")
            && let Some(version) = self.text(dsl, "document.dsl")
            && !version.starts_with(DSL)
        {
            self.fault(dsl, format!("we read the DSL {DSL}x, and not {version}"), "write dsl: '1.0.3'");
        }
        let mut word = |name: &str| {
            let found = self.required(node, &fields, "document", name)?;
            let text = self.text(found, &format!("document.{name}"))?;
            if name != "version" && !is_name(&text) {
                let message = format!("document.{name} cannot be {text:?}");
                self.fault(
                    found,
                    message,
                    "it has up to 63 letters, digits and hyphens, and begins and ends with none of the latter",
                );
                return None;
            }
            if name == "version" && !is_version(&text) {
                self.fault(found, format!("document.version cannot be {text:?}"), "write a semantic version: '1.0.0'");
                return None;
            }
            Some(text)
        };
        let (namespace, name, version) = (word("namespace"), word("name"), word("version"));
        let title = fields.get("title").and_then(|node| self.text(node, "document.title"));
        let summary = fields.get("summary").and_then(|node| self.text(node, "document.summary"));
        Some((namespace?, name?, version?, title, summary))
    }

    /// `input: {schema, from}`.
    pub(crate) fn input(&mut self, node: &Node, place: Place) -> Input {
        let Some(fields) = self.fields(node, "input", &["schema", "from"]) else { return Input::default() };
        Input {
            schema: fields.get("schema").and_then(|node| self.schema(node)),
            from: fields.get("from").and_then(|node| self.filter(node, "input.from", place)),
        }
    }

    /// `output: {as, schema}`, and `export` likewise.
    pub(crate) fn output(&mut self, node: &Node, place: Place) -> Output {
        let what = if place == Place::Export { "export" } else { "output" };
        let Some(fields) = self.fields(node, what, &["schema", "as"]) else { return Output::default() };
        Output {
            schema: fields.get("schema").and_then(|node| self.schema(node)),
            filter: fields.get("as").and_then(|node| self.filter(node, &format!("{what}.as"), place)),
        }
    }

    /// `schema: {document}`.
    fn schema(&mut self, node: &Node) -> Option<Schema> {
        let fields = self.fields(node, "schema", &["format", "document", "resource"])?;
        if let Some(format) = fields.get("format")
            && !self.text(format, "schema.format")?.starts_with("json")
        {
            self.fault(format, "a schema is JSON Schema", "write format: json");
        }
        if let Some(resource) = fields.get("resource") {
            self.fault(resource, "a schema is not fetched from elsewhere", "write it here, under schema.document");
            return None;
        }
        let document = self.required(node, &fields, "schema", "document")?;
        let json = document.json();
        // Patterns of a hostile schema must not take exponential time.
        let options = jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex());
        match options.build(&json) {
            Ok(validator) => Some(Schema { json: Arc::new(json), validator: Arc::new(validator) }),
            Err(error) => {
                let hint = "look at that word; and references may only lead to definitions in this schema";
                self.fault(document, format!("this is no JSON Schema: {error}"), hint);
                None
            }
        }
    }

    fn schedule(&mut self, node: &Node) -> Option<Schedule> {
        let ways = ["every", "cron", "after", "on", "read"];
        let fields = self.fields(node, "schedule", &ways)?;
        let cron = fields.get("cron").and_then(|node| self.cron(node));
        let schedule = Schedule {
            every: fields.get("every").and_then(|node| self.interval(node, "schedule.every")),
            cron,
            after: fields.get("after").and_then(|node| self.interval(node, "schedule.after")),
            on: fields.get("on").and_then(|node| self.strategy(node, Place::Outside)),
            read: fields.get("read").and_then(|node| self.read_as(node)).unwrap_or_default(),
        };
        if !ways.iter().any(|way| fields.has(way)) {
            self.fault(node, "this schedule says no time", "add every, cron, after or on, or take schedule out");
        }
        if fields.has("read") && !fields.has("on") {
            self.fault(
                node,
                "schedule.read says how events are read, and there are none",
                "add schedule.on, or take read out",
            );
        }
        Some(schedule)
    }

    fn cron(&mut self, node: &Node) -> Option<Cron> {
        let text = self.text(node, "schedule.cron")?;
        match Cron::parse(&text) {
            Ok(cron) => Some(cron),
            Err(fault) => {
                let at = self.inside(node, fault.offset);
                self.fault_at(at, &node.pointer(), fault.message, fault.hint);
                None
            }
        }
    }

    /// A time between two runs: no run is there that could work it out, and none at all would be for ever.
    fn interval(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let length = match self.span(node, what, Place::Outside)? {
            Span::Fixed(length) => length,
            Span::Computed(_) => {
                self.fault(
                    node,
                    format!("{what} is worked out before any run, and here is an expression"),
                    "write it as PT1H or as {hours: 1}",
                );
                return None;
            }
        };
        if length < INTERVAL_MIN {
            let message = format!("{what} is at least a second, and here it is less");
            self.fault(node, message, "write a longer time, such as PT1M");
            return None;
        }
        Some(length)
    }

    /// Finds what `then` and `call` name, now that all steps are known.
    fn resolve(&mut self, draft: &mut Draft) {
        let names: Vec<Vec<(String, TaskId)>> = draft
            .lists
            .iter()
            .map(|list| {
                let named = list.iter().filter_map(|id| Some((draft.tasks[id.0].as_ref()?.name.clone(), *id)));
                named.collect()
            })
            .collect();
        let mut lost = Vec::new();
        for task in draft.tasks.iter_mut().flatten() {
            if let Kind::Call(call) = &mut task.kind
                && let CallTarget::Function(name, id) = &mut call.target
            {
                *id = draft.functions.get(name).copied();
            }
            let list = task.list;
            let of_list = list.map_or(&[][..], |ListId(list)| &names[list]);
            for then in task.directions() {
                if let Then::Go { name, to, at, pointer } = then {
                    *to = of_list.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
                    if to.is_none() {
                        lost.push((*at, pointer.clone(), name.clone(), list));
                    }
                }
            }
        }
        for (at, pointer, name, list) in lost.into_iter().take(FINDINGS_MAX) {
            let of_list = list.map_or(&[][..], |ListId(list)| &names[list]);
            let known: Vec<&str> = of_list.iter().map(|(name, _)| name.as_str()).collect();
            let elsewhere = names.iter().flatten().any(|(known, _)| *known == name);
            let hint = match self.meant(&name, &known) {
                _ if elsewhere => format!("{name} stands in another list; a step can only lead to one beside it"),
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("it is continue, exit, end, or a step of the same list: {}", known.join(", ")),
            };
            self.fault_at(at, &pointer, format!("there is no step {name:?} here"), hint);
        }
    }
}

impl Task {
    /// Each place where it says what comes next.
    fn directions(&mut self) -> Vec<&mut Then> {
        let mut all = vec![&mut self.then];
        match &mut self.kind {
            Kind::Switch(cases) => all.extend(cases.iter_mut().map(|case| &mut case.then)),
            Kind::Try { catch, .. } => all.extend(&mut catch.then),
            Kind::Do(_)
            | Kind::Set(_)
            | Kind::For(_)
            | Kind::Fork { .. }
            | Kind::Raise(_)
            | Kind::Wait(_)
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_) => {}
        }
        all
    }
}

fn is_name(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}
