//! What is known of a client of MCP: by its handshake, or by its request.

use std::collections::BTreeMap;

use bobbinet_core::Json;

use crate::{object::Object, revision::Revision};

/// A client, and what it can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct McpClient {
    pub(crate) revision: Revision,
    /// Whether its user fills in forms.
    pub(crate) fills_forms: bool,
    /// Whether its user visits URLs.
    pub(crate) visits_urls: bool,
    /// Whether it takes a task for an answer (2026-07-28).
    pub(crate) takes_tasks: bool,
    /// Whether it lends its model.
    pub(crate) samples: bool,
    /// Whether it lists its folders and files.
    pub(crate) lists_roots: bool,
}

/// The extension by which a server may answer with a task.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

impl McpClient {
    /// One that can be asked nothing.
    pub(crate) fn silent(revision: Revision) -> Self {
        let (fills_forms, visits_urls, takes_tasks, samples, lists_roots) = (false, false, false, false, false);
        Self { revision, fills_forms, visits_urls, takes_tasks, samples, lists_roots }
    }

    /// What it answers of what servers ask for, as the first message of its tasks says it: whatever it can be asked in the words of MCP.
    pub(crate) fn declared(self) -> Option<Object> {
        let Self { revision, fills_forms, visits_urls: _, takes_tasks: _, samples, lists_roots } = self;
        let nothing = Object::default();
        (revision.is_stateless() || samples || lists_roots).then(|| {
            Object::default()
                .with_some("elicitation", fills_forms.then_some(&nothing))
                .with_some("sampling", samples.then_some(&nothing))
                .with_some("roots", lists_roots.then_some(&nothing))
        })
    }

    /// One with these capabilities.
    pub(crate) fn with(revision: Revision, capabilities: Option<&Json>) -> Self {
        let fields = |json: &Json| json.read::<BTreeMap<String, Json>>().ok();
        let capabilities = capabilities.and_then(fields).unwrap_or_default();
        let extensions = capabilities.get("extensions").and_then(fields).unwrap_or_default();
        let takes_tasks = revision.is_stateless() && extensions.contains_key(TASKS);
        let samples = capabilities.contains_key("sampling");
        let lists_roots = capabilities.contains_key("roots");
        let elicitation = capabilities.get("elicitation").cloned();
        let Some(elicitation) = elicitation.filter(|_| revision.has_elicitation()) else {
            return Self { takes_tasks, samples, lists_roots, ..Self::silent(revision) };
        };
        let modes = fields(&elicitation).unwrap_or_default();
        let visits_urls = modes.contains_key("url") && revision.has_url_elicitation();
        // Whoever names no mode fills in forms.
        let fills_forms = modes.contains_key("form") || !modes.contains_key("url");
        Self { revision, fills_forms, visits_urls, takes_tasks, samples, lists_roots }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_be_asked_what_it_says() {
        for (capabilities, fills_forms, visits_urls) in [
            ("{}", false, false),
            (r#"{"elicitation":{}}"#, true, false),
            (r#"{"elicitation":{"form":{}}}"#, true, false),
            (r#"{"elicitation":{"url":{}}}"#, false, true),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, true, true),
        ] {
            let capabilities = Json::parse(capabilities).unwrap();
            let client = McpClient::with(Revision::V2025_11_25, Some(&capabilities));
            assert_eq!((client.fills_forms, client.visits_urls), (fills_forms, visits_urls), "{capabilities:?}");
            let older = McpClient::with(Revision::V2025_06_18, Some(&capabilities));
            assert_eq!((older.fills_forms, older.visits_urls), (fills_forms, false));
            assert_eq!(
                McpClient::with(Revision::V2025_03_26, Some(&capabilities)),
                McpClient::silent(Revision::V2025_03_26)
            );
        }
    }
}
