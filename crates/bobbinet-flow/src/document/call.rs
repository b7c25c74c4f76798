//! Calls, and what is not called from here.

use bobbinet_text::Position;
use std::collections::BTreeMap;

use super::{Call, CallTarget, Endpoint, HttpOutput, Kind, Uri, draft::Draft};
use crate::{
    reader::{Place, Reader},
    template::Template,
    tree::{Node, Value},
};

/// The methods of A2A 0.3, by which the DSL calls agents.
const METHODS: [&str; 11] = [
    "message/send",
    "message/stream",
    "tasks/get",
    "tasks/list",
    "tasks/cancel",
    "tasks/resubscribe",
    "tasks/pushNotificationConfig/set",
    "tasks/pushNotificationConfig/get",
    "tasks/pushNotificationConfig/list",
    "tasks/pushNotificationConfig/delete",
    "agent/getAuthenticatedExtendedCard",
];

/// What else the DSL can call, and what to do instead.
const REFUSED: [(&str, &str, &str); 3] = [
    (
        "openapi",
        "OpenAPI services are not called from flows",
        "use call: http, or wrap the service as an MCP server and call its skills",
    ),
    ("grpc", "gRPC services are not called from flows", "wrap the service as an MCP server, and call its skills"),
    (
        "asyncapi",
        "AsyncAPI services are not called from flows",
        "use emit and listen, or wrap the service as an MCP server",
    ),
];

impl Reader<'_> {
    pub(crate) fn call(&mut self, node: &Node, with: Option<&Node>, draft: &mut Draft) -> Option<Kind> {
        let name = self.text(node, "call")?;
        if let Some((_, message, hint)) = REFUSED.iter().find(|(refused, ..)| *refused == name) {
            self.fault(node, *message, *hint);
            return None;
        }
        let arguments_at = with.map(places).unwrap_or_default();
        let (target, with) = match name.as_str() {
            "http" => self.http(node, with, draft)?,
            "a2a" => self.a2a(node, with, draft)?,
            "mcp" => self.mcp(node, with, draft)?,
            _ => {
                let target = self.mesh_target(node, &name, draft)?;
                if let Some(with) = with
                    && !matches!(with.value, Value::Map(_))
                {
                    let message = format!("with is a map of arguments, and here is {}", with.kind());
                    self.fault(with, message, "write it as names with values");
                    return None;
                }
                let with = with
                    .map_or_else(|| Template::fixed(serde_json::json!({})), |with| self.template(with, Place::Body));
                (target, with)
            }
        };
        Some(Kind::Call(Box::new(Call { target, at: node.at, arguments_at, with })))
    }

    /// A function of this definition, or `agent.skill`.
    fn mesh_target(&mut self, node: &Node, name: &str, draft: &Draft) -> Option<CallTarget> {
        let functions: Vec<&str> = draft.reuse.function_names.iter().map(String::as_str).collect();
        if functions.contains(&name) {
            return Some(CallTarget::Function(name.to_owned(), None));
        }
        // A skill may have a colon in its name, as `prompt:NAME` and `resource:read` have; an agent may not.
        let (agent, _) = name.split_once('.').unwrap_or((name, ""));
        if name.contains("://") || name.contains('@') || agent.contains(':') {
            let hint = "call a skill of an agent (call: agent.skill), or write the function under use.functions";
            self.fault(node, format!("the function {name:?} would have to be fetched from a catalog"), hint);
            return None;
        }
        if let Some((agent, skill)) = name.split_once('.')
            && !agent.is_empty()
            && !skill.is_empty()
        {
            return Some(CallTarget::Skill { agent: agent.to_owned(), skill: skill.to_owned() });
        }
        let known: Vec<&str> = functions.into_iter().chain(["http", "a2a", "mcp"]).collect();
        let hint = match self.meant(name, &known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("a skill is called with its agent's name: call: AGENT.{name}"),
        };
        self.fault(node, format!("there is no function {name:?}"), hint);
        None
    }

    fn http(&mut self, node: &Node, with: Option<&Node>, draft: &Draft) -> Option<(CallTarget, Template)> {
        let Some(with) = with else {
            self.fault(node, "this call says no address", "add with: { method: get, endpoint: https://… }");
            return None;
        };
        let known = ["method", "endpoint", "headers", "body", "query", "output", "redirect"];
        let fields = self.fields(with, "with", &known)?;
        let method = self.required(with, &fields, "with", "method").and_then(|node| self.text(node, "method"));
        let endpoint = self.required(with, &fields, "with", "endpoint");
        let endpoint = endpoint.and_then(|node| self.endpoint(node, draft));
        let output = fields
            .get("output")
            .map_or(Some("content"), |node| self.one_of(node, "output", &["raw", "content", "response"]));
        let redirect = fields.get("redirect").map_or(Some(false), |node| self.flag(node, "redirect"));
        let mut arguments = Vec::new();
        for name in ["headers", "query", "body"] {
            if let Some(node) = fields.get(name) {
                let is_text = node.text().is_some_and(|text| crate::template::unwrapped(text).is_none());
                if name != "body" && is_text {
                    self.fault(node, format!("{name} is a map, and here is a text"), "write it as names with values");
                }
                arguments.push((name.to_owned(), self.template(node, Place::Body)));
            }
        }
        let output = match output? {
            "raw" => HttpOutput::Raw,
            "response" => HttpOutput::Response,
            _ => HttpOutput::Content,
        };
        let method = method?.to_ascii_uppercase();
        let target = CallTarget::Http { method, endpoint: endpoint?, output, redirect: redirect? };
        Some((target, Template::map(arguments)))
    }

    fn a2a(&mut self, node: &Node, with: Option<&Node>, draft: &Draft) -> Option<(CallTarget, Template)> {
        let Some(with) = with else {
            self.fault(
                node,
                "this call says no agent",
                "add with: { method: message/send, server: https://…, parameters: … }",
            );
            return None;
        };
        let fields = self.fields(with, "with", &["agentCard", "server", "method", "parameters"])?;
        let method =
            self.required(with, &fields, "with", "method").and_then(|node| self.one_of(node, "method", &METHODS));
        let (endpoint, is_card) = match (fields.get("agentCard"), fields.get("server")) {
            (Some(card), _) => {
                let inner = self.fields(card, "agentCard", &["name", "endpoint"])?;
                let endpoint = self.required(card, &inner, "agentCard", "endpoint")?;
                (self.endpoint(endpoint, draft), true)
            }
            (None, Some(server)) => (self.endpoint(server, draft), false),
            (None, None) => {
                self.fault(
                    with,
                    "this call says no agent",
                    "add server: https://… or agentCard: { endpoint: https://… }",
                );
                return None;
            }
        };
        let parameters = fields
            .get("parameters")
            .map_or_else(|| Template::fixed(serde_json::json!({})), |node| self.template(node, Place::Body));
        Some((CallTarget::A2a { method: method?.to_owned(), endpoint: endpoint?, is_card }, parameters))
    }

    pub(super) fn endpoint(&mut self, node: &Node, draft: &Draft) -> Option<Endpoint> {
        if let Value::Map(_) = node.value {
            let fields = self.fields(node, "endpoint", &["uri", "authentication"])?;
            let uri = self.required(node, &fields, "endpoint", "uri").and_then(|node| self.uri(node));
            let authentication = match fields.get("authentication") {
                Some(node) => Some(self.authentication(node, &draft.reuse)?),
                None => None,
            };
            return Some(Endpoint { uri: uri?, authentication });
        }
        self.uri(node).map(|uri| Endpoint { uri, authentication: None })
    }

    fn uri(&mut self, node: &Node) -> Option<Uri> {
        let text = self.text(node, "an address")?;
        if let Some((program, start)) = crate::template::unwrapped(&text) {
            return self.program(node, program, start, Place::Body).map(Uri::Computed);
        }
        if !text.starts_with("http://") && !text.starts_with("https://") && !text.starts_with('{') {
            self.fault(node, format!("{text:?} is no address"), "it begins with https:// or http://");
            return None;
        }
        Some(Uri::Template(text))
    }

    /// `run: {workflow}`.
    pub(crate) fn run(&mut self, node: &Node) -> Option<Kind> {
        let fields = self.fields(node, "run", &["workflow", "container", "script", "shell", "await", "return"])?;
        for (name, what) in [("container", "containers"), ("script", "scripts"), ("shell", "shell commands")] {
            if fields.has(name) {
                let hint = "wrap it as an MCP server, and call its skills: call: agent.skill";
                self.fault(node, format!("{what} are not run from flows"), hint);
                return None;
            }
        }
        let workflow = self.required(node, &fields, "run", "workflow")?;
        let waits = fields.get("await").map_or(Some(true), |node| self.flag(node, "run.await"));
        let inner = self.fields(workflow, "run.workflow", &["namespace", "name", "version", "input"])?;
        let mut word = |name: &str| {
            let found = self.required(workflow, &inner, "run.workflow", name)?;
            self.text(found, name)
        };
        let (namespace, name) = (word("namespace"), word("name"));
        let version = inner.get("version").map_or(Some("latest".to_owned()), |node| self.text(node, "version"));
        let with = inner
            .get("input")
            .map_or_else(|| Template::fixed(serde_json::json!({})), |node| self.template(node, Place::Body));
        let at = inner.get("name").map_or(workflow.at, |node| node.at);
        let arguments_at = inner.get("input").map(places).unwrap_or_default();
        let target = CallTarget::Workflow { namespace: namespace?, name: name?, version: version?, waits: waits? };
        Some(Kind::Call(Box::new(Call { target, at, arguments_at, with })))
    }
}

/// Where the names of arguments stand.
fn places(with: &Node) -> BTreeMap<String, Position> {
    match &with.value {
        Value::Map(entries) => entries.iter().map(|(key, _)| (key.text.clone(), key.at)).collect(),
        Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => BTreeMap::new(),
    }
}
