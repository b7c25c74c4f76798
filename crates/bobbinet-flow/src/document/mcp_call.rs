//! `call: mcp`: one request to an MCP server that no agent is made of.

use serde_json::json;

use super::{CallTarget, draft::Draft, duration::Span};
use crate::{
    reader::{Place, Reader},
    template::Template,
    tree::{Node, Value},
};

/// What can be asked of a server.
const METHODS: [&str; 7] = [
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/read",
    "resources/templates/list",
];

/// How such a call looks.
const EXAMPLE: &str = "for example with: { method: tools/call, parameters: { name: search, arguments: {} }, transport: { http: { endpoint: https://… } } }";

impl Reader<'_> {
    /// The call, and what goes with it: `parameters`, and `headers` or the words of `stdio`.
    pub(super) fn mcp(&mut self, node: &Node, with: Option<&Node>, draft: &Draft) -> Option<(CallTarget, Template)> {
        let Some(with) = with else {
            self.fault(node, "this call says no server", EXAMPLE);
            return None;
        };
        let known = ["method", "parameters", "transport", "protocolVersion", "timeout", "client"];
        let fields = self.fields(with, "with", &known)?;
        let method =
            self.required(with, &fields, "with", "method").and_then(|node| self.one_of(node, "method", &METHODS));
        let timeout = match fields.get("timeout") {
            None => None,
            Some(node) => match self.span(node, "timeout", Place::Body)? {
                Span::Fixed(length) => Some(length),
                Span::Computed(_) => {
                    self.fault(node, "the time of this call is computed", "write it as it is: timeout: PT30S");
                    return None;
                }
            },
        };
        let version = match fields.get("protocolVersion") {
            Some(node) => Some(self.text(node, "protocolVersion")?),
            None => None,
        };
        let mut arguments = Vec::new();
        if let Some(node) = fields.get("parameters") {
            arguments.push(("parameters".to_owned(), self.template(node, Place::Body)));
        }
        arguments.extend(version.map(|version| ("protocolVersion".to_owned(), Template::fixed(json!(version)))));
        let transport = self.required(with, &fields, "with", "transport")?;
        let ways = self.fields(transport, "transport", &["http", "stdio", "options"])?;
        let endpoint = match (ways.get("http"), ways.get("stdio")) {
            (Some(http), None) => {
                let fields = self.fields(http, "http", &["endpoint", "headers"])?;
                if let Some(node) = fields.get("headers") {
                    arguments.push(("headers".to_owned(), self.map_template(node, "headers")?));
                }
                let endpoint = self.required(http, &fields, "http", "endpoint")?;
                Some(self.endpoint(endpoint, draft)?)
            }
            (None, Some(stdio)) => {
                let fields = self.fields(stdio, "stdio", &["command", "arguments", "environment"])?;
                let command = self.required(stdio, &fields, "stdio", "command")?;
                let mut words = vec![("command".to_owned(), self.template(command, Place::Body))];
                if let Some(node) = fields.get("arguments") {
                    words.push(("arguments".to_owned(), self.template(node, Place::Body)));
                }
                if let Some(node) = fields.get("environment") {
                    words.push(("environment".to_owned(), self.map_template(node, "environment")?));
                }
                arguments.push(("stdio".to_owned(), Template::map(words)));
                None
            }
            (Some(_), Some(_)) => {
                self.fault(transport, "this call says two servers", "say http or stdio");
                return None;
            }
            (None, None) => {
                self.fault(transport, "this call says no server", EXAMPLE);
                return None;
            }
        };
        let target = CallTarget::Mcp { method: method?.to_owned(), endpoint, timeout };
        Some((target, Template::map(arguments)))
    }

    fn map_template(&mut self, node: &Node, name: &str) -> Option<Template> {
        if !matches!(node.value, Value::Map(_)) {
            let message = format!("{name} is a map, and here is {}", node.kind());
            self.fault(node, message, "write it as names with values");
            return None;
        }
        Some(self.template(node, Place::Body))
    }
}
