//! A server's tools as it lists them, page by page, within bounds.

use std::sync::Arc;

use bobbinet_core::Json;
use serde::{Deserialize, Serialize};

use crate::{
    config::McpLimits,
    mailbox::{Reply, RpcError},
    session::Link,
};

/// JSON-RPC's code for a method that is not there.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;

/// One tool as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawTool {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) input_schema: Option<Json>,
    #[serde(default)]
    pub(crate) output_schema: Option<Json>,
    #[serde(default)]
    pub(crate) annotations: Option<Hints>,
    #[serde(default)]
    pub(crate) execution: Option<Execution>,
}

/// What the server says of a tool's nature. Hints: they count only where the operator says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hints {
    pub(crate) title: Option<String>,
    pub(crate) read_only_hint: Option<bool>,
    pub(crate) idempotent_hint: Option<bool>,
}

/// How a tool can be called (2025-11-25).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Execution {
    pub(crate) task_support: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    tools: Vec<Json>,
    #[serde(default)]
    next_cursor: Option<String>,
}

/// Reads all pages. An error says why the listing cannot be used.
pub(crate) async fn read(link: &Arc<Link>, limits: &McpLimits) -> Result<Vec<RawTool>, String> {
    let mut tools = Vec::new();
    let mut bytes = 0;
    let mut cursor = None::<String>;
    for _ in 0..limits.list_pages_max {
        let params = match &cursor {
            Some(cursor) => Json::from(&serde_json::json!({ "cursor": cursor })),
            None => Json::from(&serde_json::json!({})),
        };
        let reply = tokio::time::timeout(limits.start_patience(), link.request("tools/list", params)).await;
        let page = match reply {
            Err(_) => return Err(format!("it did not list its tools within {:?}", limits.start_patience())),
            Ok(Reply::Error(RpcError { code: METHOD_NOT_FOUND, .. })) => return Ok(tools),
            Ok(Reply::Error(error)) => {
                return Err(format!("it did not list its tools: {} ({})", error.message, error.code));
            }
            Ok(Reply::NotSent(broken) | Reply::Broken(broken)) => return Err(broken.to_string()),
            Ok(Reply::Unreadable(why)) => return Err(why),
            Ok(Reply::Result(page)) => page,
        };
        bytes += page.as_str().len();
        if bytes > limits.list_bytes_max {
            return Err(format!("its tool list is longer than {} bytes", limits.list_bytes_max));
        }
        let page = page.read::<Page>().map_err(|error| format!("its tool list cannot be read: {error}"))?;
        for tool in page.tools {
            match tool.read::<RawTool>() {
                Ok(tool) => tools.push(tool),
                Err(error) => tracing::warn!(%error, "a tool is left out: its description cannot be read"),
            }
        }
        if tools.len() > limits.list_tools_max {
            return Err(format!("it has more than {} tools", limits.list_tools_max));
        }
        match page.next_cursor.filter(|next| !next.is_empty()) {
            Some(next) => cursor = Some(next),
            None => return Ok(tools),
        }
    }
    Err(format!("its tool list has more than {} pages", limits.list_pages_max))
}
