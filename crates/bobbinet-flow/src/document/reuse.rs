//! `use`: what is named once and used by its name.

use std::collections::BTreeMap;

use super::{
    Backoff, ErrorTemplate, Retry, Span, TaskId,
    draft::{Draft, Reuse},
};
use crate::{
    reader::{Place, Reader},
    template::Template,
    tree::{Node, Value},
};

/// How to authenticate, and the properties of each way.
const SCHEMES: [(&str, &[&str]); 5] = [
    ("basic", &["username", "password", "use"]),
    ("bearer", &["token", "use"]),
    ("digest", &["username", "password", "use"]),
    ("oauth2", OAUTH2),
    ("oidc", OAUTH2),
];

const OAUTH2: &[&str] = &[
    "authority",
    "grant",
    "client",
    "request",
    "issuers",
    "scopes",
    "audiences",
    "username",
    "password",
    "subject",
    "actor",
    "endpoints",
    "use",
];

impl Reader<'_> {
    pub(crate) fn reuse(&mut self, node: &Node, draft: &mut Draft) {
        let known =
            ["authentications", "errors", "extensions", "functions", "retries", "secrets", "timeouts", "catalogs"];
        let Some(fields) = self.fields(node, "use", &known) else { return };
        if let Some(extensions) = fields.get("extensions") {
            let hint = "put the steps where they belong, or into a function that you call";
            self.fault(extensions, "extensions are not carried out here", hint);
        }
        if let Some(catalogs) = fields.get("catalogs") {
            let hint = "call a skill of an agent by its name: call: agent.skill";
            self.fault(
                catalogs,
                "functions are not fetched from catalogs: the agents of the mesh are the catalog",
                hint,
            );
        }
        if let Some(secrets) = fields.get("secrets") {
            for item in self.items(secrets, "use.secrets") {
                let name = self.text(item, "the name of a secret");
                draft.reuse.secrets.extend(name);
            }
        }
        if let Some(node) = fields.get("authentications") {
            for (key, value) in self.entries(node, "use.authentications").unwrap_or_default() {
                let policy = self.authentication(value, &draft.reuse);
                draft.reuse.authentications.extend(policy.map(|policy| (key.text.clone(), policy)));
            }
        }
        if let Some(node) = fields.get("errors") {
            for (key, value) in self.entries(node, "use.errors").unwrap_or_default() {
                let error = self.error(value);
                draft.reuse.errors.extend(error.map(|error| (key.text.clone(), error)));
            }
        }
        if let Some(node) = fields.get("retries") {
            for (key, value) in self.entries(node, "use.retries").unwrap_or_default() {
                self.names.push("error".to_owned());
                let retry = self.retry_policy(value);
                self.names.pop();
                draft.reuse.retries.extend(retry.map(|retry| (key.text.clone(), retry)));
            }
        }
        if let Some(node) = fields.get("timeouts") {
            for (key, value) in self.entries(node, "use.timeouts").unwrap_or_default() {
                let timeout = self.timeout_policy(value, Place::Body);
                draft.reuse.timeouts.extend(timeout.map(|timeout| (key.text.clone(), timeout)));
            }
        }
        if let Some(node) = fields.get("functions") {
            let functions = self.entries(node, "use.functions").unwrap_or_default();
            draft.reuse.function_names = functions.iter().map(|(key, _)| key.text.clone()).collect();
            for (key, value) in functions {
                let id: TaskId = self.task(key, value, None, draft);
                draft.functions.insert(key.text.clone(), id);
            }
        }
    }

    /// `timeout: {after}`, or the name of one.
    pub(crate) fn timeout(&mut self, node: &Node, draft: &Draft, place: Place) -> Option<Span> {
        match &node.value {
            Value::Text(name) => self.named(node, name, "timeout", "timeouts", &draft.reuse.timeouts),
            Value::Null | Value::Flag(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                self.timeout_policy(node, place)
            }
        }
    }

    fn timeout_policy(&mut self, node: &Node, place: Place) -> Option<Span> {
        let fields = self.fields(node, "timeout", &["after"])?;
        let after = self.required(node, &fields, "timeout", "after")?;
        self.span(after, "timeout.after", place)
    }

    /// What is named there, if it is.
    pub(crate) fn named<T: Clone>(
        &mut self,
        node: &Node,
        name: &str,
        what: &str,
        whole: &str,
        known: &BTreeMap<String, T>,
    ) -> Option<T> {
        let found = known.get(name).cloned();
        if found.is_none() {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let hint = match self.meant(name, &names) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("add it under use.{whole}, or write the {what} here"),
            };
            self.fault(node, format!("there is no {what} {name:?}"), hint);
        }
        found
    }

    /// An error to be raised.
    pub(crate) fn error(&mut self, node: &Node) -> Option<ErrorTemplate> {
        let fields = self.fields(node, "an error", &["type", "status", "title", "detail", "instance"])?;
        let kind = self.required(node, &fields, "an error", "type");
        let status = self.required(node, &fields, "an error", "status");
        let (kind, status) = (kind?, status?);
        let is_number = matches!(status.value, Value::Number(_));
        if !is_number && status.text().is_none_or(|text| crate::template::unwrapped(text).is_none()) {
            self.fault(
                status,
                format!("the status of an error is a number, and here is {}", status.kind()),
                "write status: 400",
            );
        }
        let mut others = Vec::new();
        for name in ["title", "detail", "instance"] {
            if let Some(node) = fields.get(name) {
                others.push((name.to_owned(), self.template(node, Place::Body)));
            }
        }
        Some(ErrorTemplate {
            kind: self.template(kind, Place::Body),
            status: self.template(status, Place::Body),
            others,
        })
    }

    /// How something is tried again.
    pub(crate) fn retry_policy(&mut self, node: &Node) -> Option<Retry> {
        let known = ["when", "exceptWhen", "delay", "backoff", "limit", "jitter"];
        let fields = self.fields(node, "retry", &known)?;
        let mut retry = Retry {
            when: fields.get("when").and_then(|node| self.expression(node, "retry.when", Place::Body)),
            except_when: fields
                .get("exceptWhen")
                .and_then(|node| self.expression(node, "retry.exceptWhen", Place::Body)),
            delay: fields.get("delay").and_then(|node| self.span(node, "retry.delay", Place::Body)),
            ..Retry::default()
        };
        if let Some(node) = fields.get("backoff") {
            let ways = ["constant", "linear", "exponential"];
            let backoff = self.fields(node, "backoff", &ways)?;
            let said: Vec<&str> = ways.into_iter().filter(|way| backoff.has(way)).collect();
            retry.backoff = match said[..] {
                ["linear"] => Backoff::Linear,
                ["exponential"] => Backoff::Exponential,
                [_, _, ..] => {
                    self.fault(node, format!("backoff is one of {}", said.join(", ")), "take the others out");
                    Backoff::Constant
                }
                _ => Backoff::Constant,
            };
        }
        if let Some(node) = fields.get("limit") {
            let limit = self.fields(node, "retry.limit", &["attempt", "duration"])?;
            retry.limit = limit.get("duration").and_then(|node| self.span(node, "retry.limit.duration", Place::Body));
            if let Some(node) = limit.get("attempt") {
                let attempt = self.fields(node, "retry.limit.attempt", &["count", "duration"])?;
                retry.attempts = attempt.get("count").and_then(|node| self.whole(node, "retry.limit.attempt.count"));
                let duration = attempt.get("duration");
                retry.attempt_limit =
                    duration.and_then(|node| self.span(node, "retry.limit.attempt.duration", Place::Body));
            }
        }
        if let Some(node) = fields.get("jitter") {
            let jitter = self.fields(node, "retry.jitter", &["from", "to"])?;
            let from = self.required(node, &jitter, "retry.jitter", "from");
            let to = self.required(node, &jitter, "retry.jitter", "to");
            let from = from.and_then(|node| self.span(node, "retry.jitter.from", Place::Body));
            let to = to.and_then(|node| self.span(node, "retry.jitter.to", Place::Body));
            retry.jitter = from.zip(to);
        }
        Some(retry)
    }

    /// How to authenticate: `{use: name}`, or one of the ways.
    pub(crate) fn authentication(&mut self, node: &Node, reuse: &Reuse) -> Option<Template> {
        let mut known: Vec<&str> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
        known.push("use");
        let fields = self.fields(node, "authentication", &known)?;
        if let Some(name) = fields.get("use") {
            let text = self.text(name, "authentication.use")?;
            self.named(name, &text, "authentication", "authentications", &reuse.authentications)?;
        }
        for (scheme, properties) in SCHEMES {
            let Some(policy) = fields.get(scheme) else { continue };
            let inner = self.fields(policy, scheme, properties)?;
            if let Some(name) = inner.get("use") {
                let text = self.text(name, "the name of a secret")?;
                if !reuse.secrets.contains(&text) {
                    let known: Vec<&str> = reuse.secrets.iter().map(String::as_str).collect();
                    let hint = match self.meant(&text, &known) {
                        Some(meant) => format!("did you mean {meant:?}?"),
                        None => "add it to the list use.secrets".to_owned(),
                    };
                    self.fault(name, format!("there is no secret {text:?}"), hint);
                }
            }
        }
        if !known.iter().any(|scheme| fields.has(scheme)) {
            self.fault(
                node,
                "this says no way to authenticate",
                "write one of basic, bearer, digest, oauth2, oidc, or use: NAME",
            );
        }
        Some(self.template(node, Place::Body))
    }
}
