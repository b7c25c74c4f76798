//! Asks who is there, and greets. It asks as the client's generation of MCP allows.

use std::collections::BTreeMap;

use rmcp::{
    ErrorData, RoleServer, ServerHandler, elicit_safe,
    handler::server::tool::InputResponses,
    model::{
        CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ElicitationSchema,
        InputRequest, InputRequiredResult, ProtocolVersion,
    },
    service::{ElicitationError, RequestContext},
    tool, tool_handler, tool_router,
};
use schemars::JsonSchema;
use serde::Deserialize;

const QUESTION: &str = "Who is there?";

/// The name under which the question is asked and answered.
const KEY: &str = "who";

/// An MCP server whose tool asks its user for a name.
#[derive(Clone, Debug)]
pub(super) struct Greeter;

#[derive(Debug, Deserialize, JsonSchema)]
struct Guest {
    /// Your name.
    name: String,
}

elicit_safe!(Guest);

#[tool_router]
impl Greeter {
    #[tool(
        description = "Asks for a name, and greets.",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn greet(
        &self,
        InputResponses(answers): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let asks_in_its_result = context.protocol_version().is_some_and(|it| it >= ProtocolVersion::V_2026_07_28);
        if !asks_in_its_result {
            return match context.peer.elicit::<Guest>(QUESTION).await {
                Ok(Some(guest)) => Ok(greeting(&guest)),
                Ok(None) | Err(ElicitationError::UserDeclined | ElicitationError::UserCancelled) => Ok(nobody()),
                Err(error) => Err(ErrorData::internal_error(error.to_string(), None)),
            };
        }
        let Some(answer) = answers.as_ref().and_then(|answers| answers.get(KEY)) else {
            return Ok(question()?.into());
        };
        let guest = answer.get("content").and_then(|content| serde_json::from_value::<Guest>(content.clone()).ok());
        Ok(guest.map_or_else(nobody, |guest| greeting(&guest)))
    }
}

fn greeting(guest: &Guest) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(format!("Hello, {}!", guest.name))]).into()
}

fn nobody() -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text("Hello, whoever you are!")]).into()
}

fn question() -> Result<InputRequiredResult, ErrorData> {
    let schema = ElicitationSchema::from_type::<Guest>();
    let requested_schema = schema.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let params =
        ElicitRequestParams::FormElicitationParams { meta: None, message: QUESTION.to_owned(), requested_schema };
    let requests = BTreeMap::from([(KEY.to_owned(), InputRequest::Elicitation(ElicitRequest::new(params)))]);
    Ok(InputRequiredResult::new(Some(requests), None))
}

#[tool_handler(name = "greeter", version = "1.0.0", instructions = "Greets people by their names.")]
impl ServerHandler for Greeter {}
