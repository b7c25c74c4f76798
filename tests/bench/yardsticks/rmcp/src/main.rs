//! The tool `echo` over streamable HTTP, on the official Rust SDK of MCP: what a host pays that reaches a server without a node.

use std::sync::Arc;

use axum::{Router, routing::get, serve::ListenerExt};
use rmcp::{
    ServerHandler,
    handler::server::wrapper::Parameters,
    model::{CallToolResult, ContentBlock},
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;

#[derive(Clone, Debug)]
struct Echo;

#[derive(Debug, Deserialize, schemars::JsonSchema)]
struct Said {
    /// What to say.
    text: String,
}

#[tool_router]
impl Echo {
    #[tool(description = "Says what was said.", annotations(read_only_hint = true, idempotent_hint = true))]
    async fn echo(&self, Parameters(said): Parameters<Said>) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text(said.text)])
    }
}

#[tool_handler]
impl ServerHandler for Echo {}

#[tokio::main]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("its address"));
    // As quick as it goes: one JSON answer, no session.
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let service = StreamableHttpService::new(|| Ok(Echo), Arc::new(LocalSessionManager::default()), config);
    let app = Router::new().route("/readyz", get(|| async {})).nest_service("/mcp", service);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await.expect("serving");
}
