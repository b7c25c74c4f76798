//! What a server may ask of us: to answer a ping, to ask a user, and what to work with, if that is configured. Nothing else is
//! offered to it.

use std::{path::PathBuf, sync::Arc};

use bobbinet_core::Json;
use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CustomRequest, CustomResult, ElicitationCapability, ErrorCode,
        FormElicitationCapability, Implementation, ProtocolVersion, RootsCapabilities, UrlElicitationCapability,
    },
    service::RequestContext,
};
use tokio::sync::oneshot;

use crate::{in_flight::InFlight, roots, rpc_channel::RawParams};

/// Answers what a server asks while the protocol library serves its session.
#[derive(Debug)]
pub(crate) struct ElicitationHandler {
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) roots: Vec<PathBuf>,
}

/// Who we say we are, and what we offer.
pub(crate) fn client_config(roots: &[PathBuf]) -> ClientConfig {
    let elicitation = ElicitationCapability::new()
        .with_form(FormElicitationCapability::default())
        .with_url(UrlElicitationCapability::default());
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation = Some(elicitation);
    capabilities.roots = (!roots.is_empty()).then(RootsCapabilities::default);
    let mut config = ClientConfig::new(capabilities, Implementation::new("bobbinet", env!("CARGO_PKG_VERSION")));
    config.protocol_version = ProtocolVersion::V_2025_11_25;
    config
}

impl ClientHandler for ElicitationHandler {
    fn get_info(&self) -> ClientConfig {
        client_config(&self.roots)
    }

    /// Every request but the ping arrives here (`rpc_channel`).
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method == roots::METHOD && !self.roots.is_empty() {
            return Ok(self.answer(&context, roots::answer(&self.roots)));
        }
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
        Ok(self.answer(&context, answer))
    }
}

impl ElicitationHandler {
    fn answer(&self, context: &RequestContext<RoleClient>, answer: Json) -> CustomResult {
        let result = CustomResult::new(answer.to_value());
        // The library sorts the fields and changes numbers; the transport writes what was kept instead.
        self.in_flight.answer(&context.id, answer);
        result
    }
}

fn action(word: &str) -> Json {
    Json::from(&serde_json::json!({ "action": word }))
}
