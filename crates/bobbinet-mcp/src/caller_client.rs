//! What the client of whoever has made a call can be asked, by the word of the call's first message: so it is in the log with the call, and
//! is that task's alone.

use bobbinet_core::{Json, Message, Task};

use crate::{config::McpConfig, json_object::JsonObject, roots, sampling};

/// The name under the extension's URI in a message's metadata, where they are written as MCP has them.
const CAPABILITIES: &str = "clientCapabilities";

/// Their name in the `_meta` of a request (2026-07-28).
const META: &str = "io.modelcontextprotocol/clientCapabilities";

/// What a caller's client has declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallerClient {
    /// Whether it has declared anything: then it takes several requests in one question.
    pub(crate) takes_several: bool,
    samples: bool,
    lists_roots: bool,
}

impl CallerClient {
    /// That of a task's caller.
    pub(crate) fn of(task: &Task, config: &McpConfig) -> Self {
        task.history.first().map(|message| Self::of_message(message, config)).unwrap_or_default()
    }

    fn of_message(message: &Message, config: &McpConfig) -> Self {
        let metadata = message.metadata.as_ref().filter(|_| !config.extension_uri.is_empty());
        let declared = metadata.and_then(|metadata| {
            let ours = JsonObject::read(JsonObject::read(metadata)?.get(config.extension_uri)?)?;
            JsonObject::read(ours.get(CAPABILITIES)?)
        });
        match declared {
            None => Self::default(),
            Some(declared) => Self {
                takes_several: true,
                samples: declared.get("sampling").is_some_and(Json::is_object),
                lists_roots: declared.get("roots").is_some_and(Json::is_object),
            },
        }
    }

    /// Whether a request of this method goes to it: by its own word, and by the operator's.
    pub(crate) fn answers(self, method: &str, config: &McpConfig) -> bool {
        match method {
            sampling::METHOD => self.samples && config.lends.sampling,
            roots::METHOD => self.lists_roots && config.lends.roots,
            _ => false,
        }
    }

    /// What a request of its call offers to a server that is told so with each (2026-07-28), where that is not the same for all: what
    /// this client answers, of what is lent to the server.
    pub(crate) fn meta(
        task: &Task,
        config: &McpConfig,
        offered: impl FnOnce() -> serde_json::Value,
    ) -> Option<(&'static str, serde_json::Value)> {
        if !config.lends.is_anything() {
            return None;
        }
        let (client, mut offered) = (Self::of(task, config), offered());
        for (capability, method, is_lent) in
            [("sampling", sampling::METHOD, config.lends.sampling), ("roots", roots::METHOD, config.lends.roots)]
        {
            if let Some(fields) = offered.as_object_mut().filter(|_| is_lent && !client.answers(method, config)) {
                fields.remove(capability);
            }
        }
        Some((META, offered))
    }
}

#[cfg(test)]
mod tests {
    use bobbinet_core::{MessageId, Part};

    use super::*;

    #[test]
    fn a_client_is_asked_what_it_says_and_what_the_operator_lends() {
        let client = |metadata: &str| CallerClient::of_message(&message(metadata), &config(true));
        let both = r#"{"https://x":{"skill":"s","clientCapabilities":{"sampling":{},"roots":{}}}}"#;
        assert!(client(both).answers(sampling::METHOD, &config(true)));
        assert!(client(both).answers(roots::METHOD, &config(true)));
        assert!(!client(both).answers(sampling::METHOD, &config(false)), "the operator has not said so");
        assert!(!client(both).answers("elicitation/create", &config(true)));
        let none = client(r#"{"https://x":{"clientCapabilities":{"sampling":null}}}"#);
        assert!(none.takes_several && !none.answers(sampling::METHOD, &config(true)));
        for nothing in [r#"{"https://x":"s"}"#, r#"{"https://y":{"clientCapabilities":{"sampling":{}}}}"#] {
            assert_eq!(client(nothing), CallerClient::default(), "{nothing}");
        }
    }

    fn message(metadata: &str) -> Message {
        let message = Message::from_agent(MessageId::parse("m").unwrap(), vec![Part::text("x")]);
        Message { metadata: Some(Json::parse(metadata).unwrap()), ..message }
    }

    fn config(lends: bool) -> McpConfig {
        let mut config = McpConfig::new("a", "x", &[]);
        config.extension_uri = "https://x";
        (config.lends.sampling, config.lends.roots) = (lends, lends);
        config
    }
}
