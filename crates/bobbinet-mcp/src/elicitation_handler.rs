//! What a server may ask of us: to answer a ping, and to ask a user. Nothing else is offered to it.

use std::sync::Arc;

use bobbinet_core::Json;
use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CustomRequest, CustomResult, ElicitationCapability, ErrorCode,
        FormElicitationCapability, Implementation, ProtocolVersion, UrlElicitationCapability,
    },
    service::RequestContext,
};
use tokio::sync::oneshot;

use crate::{in_flight::InFlight, rpc_channel::RawParams};

/// Answers what a server asks while the protocol library serves its session.
#[derive(Debug)]
pub(crate) struct ElicitationHandler {
    pub(crate) in_flight: Arc<InFlight>,
}

/// Who we say we are, and what we offer.
pub(crate) fn client_config() -> ClientConfig {
    let elicitation = ElicitationCapability::new()
        .with_form(FormElicitationCapability::default())
        .with_url(UrlElicitationCapability::default());
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation = Some(elicitation);
    let mut config = ClientConfig::new(capabilities, Implementation::new("bobbinet", env!("CARGO_PKG_VERSION")));
    config.protocol_version = ProtocolVersion::V_2025_11_25;
    config
}

impl ClientHandler for ElicitationHandler {
    fn get_info(&self) -> ClientConfig {
        client_config()
    }

    /// Every request but the ping arrives here (`rpc_channel`).
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method != "elicitation/create" {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None));
        }
        // The extensions were moved into the context on the way here.
        let params = context.extensions.get::<RawParams>().and_then(|params| params.0.clone());
        let Some(params) = params else {
            return Err(ErrorData::invalid_params("elicitation/create without parameters", None));
        };
        let (answer, answered) = oneshot::channel();
        let answer = match self.in_flight.question(params, answer) {
            false => action("decline"),
            true => tokio::select! {
                biased;
                answer = answered => answer.unwrap_or_else(|_| action("cancel")),
                () = context.ct.cancelled() => action("cancel"),
            },
        };
        let result = CustomResult::new(answer.to_value());
        // The library sorts the fields and changes numbers; the transport writes what was kept instead.
        self.in_flight.answer(&context.id, answer);
        Ok(result)
    }
}

fn action(word: &str) -> Json {
    Json::from(&serde_json::json!({ "action": word }))
}
