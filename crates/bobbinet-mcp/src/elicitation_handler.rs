//! What a server may ask of us: to answer a ping, to ask a user, and what to work with, if that is configured. Nothing else is
//! offered to it.

use std::{path::PathBuf, sync::Arc};

use bobbinet_core::Json;
use bobbinet_engine::CANCEL_GRACE;
use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CustomRequest, CustomResult, ElicitationCapability, ErrorCode,
        FormElicitationCapability, Implementation, ProtocolVersion, RootsCapabilities, UrlElicitationCapability,
    },
    service::RequestContext,
};
use tokio::sync::oneshot;

use crate::{
    config::{CallerLends, McpConfig},
    in_flight::{self, InFlight},
    json_object::JsonObject,
    mailbox::Asks,
    roots,
    rpc_channel::RawParams,
    sampling, server_task,
};

/// Answers what a server asks while the protocol library serves its session.
#[derive(Debug)]
pub(crate) struct ElicitationHandler {
    in_flight: Arc<InFlight>,
    roots: Vec<PathBuf>,
    lends: CallerLends,
    config: ClientConfig,
}

impl ElicitationHandler {
    pub(crate) fn new(config: &McpConfig, in_flight: Arc<InFlight>) -> Self {
        Self { in_flight, roots: config.roots.clone(), lends: config.lends, config: client_config(config) }
    }
}

/// MCP's code for a model that was not asked.
const SAMPLING_REFUSED: ErrorCode = ErrorCode(-1);

/// Who we say we are, and what we offer.
pub(crate) fn client_config(config: &McpConfig) -> ClientConfig {
    let elicitation = ElicitationCapability::new()
        .with_form(FormElicitationCapability::default())
        .with_url(UrlElicitationCapability::default());
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation = Some(elicitation);
    capabilities.roots = (!config.roots.is_empty() || config.lends.roots).then(RootsCapabilities::default);
    capabilities.sampling = sampling::capability(config);
    server_task::offer(&mut capabilities);
    let mut config = ClientConfig::new(capabilities, Implementation::new("bobbinet", env!("CARGO_PKG_VERSION")));
    config.protocol_version = ProtocolVersion::V_2025_11_25;
    config
}

/// What is offered to every server of this configuration, as it is said with a request.
pub(crate) fn offered(config: &McpConfig) -> serde_json::Value {
    serde_json::to_value(client_config(config).capabilities).unwrap_or_default()
}

impl ClientHandler for ElicitationHandler {
    fn get_info(&self) -> ClientConfig {
        self.config.clone()
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
        let asks = match request.method.as_str() {
            "elicitation/create" => Asks::User,
            sampling::METHOD if self.config.capabilities.sampling.is_some() => Asks::Model,
            roots::METHOD if self.lends.roots => Asks::Roots,
            _ => return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, request.method, None)),
        };
        // The extensions were moved into the context on the way here.
        let params = context.extensions.get::<RawParams>().and_then(|params| params.0.clone());
        let params = params.or_else(|| (asks == Asks::Roots).then(|| JsonObject::default().to_json()));
        let Some(params) = params else {
            return Err(ErrorData::invalid_params(format!("{} without parameters", request.method), None));
        };
        let is_of_task = in_flight::related_task(&params).is_some();
        let (answer, answered) = oneshot::channel();
        let (code, member) = match asks {
            Asks::User => (ErrorCode::INTERNAL_ERROR, None),
            Asks::Model => (SAMPLING_REFUSED, Some("role")),
            Asks::Roots => (ErrorCode::INTERNAL_ERROR, Some("roots")),
        };
        if let Some(member) = member {
            let said = match self.in_flight.question(asks, params, answer) {
                false => None,
                true => tokio::select! {
                    biased;
                    said = answered => said.ok(),
                    () = context.ct.cancelled() => None,
                },
            };
            return match said {
                Some(said) => match sampling::refusal(&said, member) {
                    Some(why) => Err(ErrorData::new(code, why, None)),
                    None => Ok(self.answer(&context, said)),
                },
                None => Err(ErrorData::new(code, "nobody knows for which call that is", None)),
            };
        }
        let answer = match self.in_flight.question(asks, params, answer) {
            false => action("decline"),
            true => tokio::select! {
                biased;
                answer = answered => match answer {
                    Ok(answer) => answer,
                    Err(_) => {
                        // Where the node stops, a task of the server's goes on without it: nobody has said no to its question.
                        if is_of_task {
                            tokio::time::sleep(CANCEL_GRACE).await;
                        }
                        action("cancel")
                    }
                },
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
