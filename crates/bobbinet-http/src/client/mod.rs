//! Calling an agent: finding its card, sending, following, coming back.

mod body;
mod card;
mod connect;
mod credentials;
mod discovery;
mod error;
mod grpc;
mod http;
mod jwks;
mod origin;
mod outbound;
mod pinned;
mod speech;
mod stream;
mod way;

use std::{sync::Arc, time::Duration};

use bobbinet_core::{
    Json, PushOperation, PushPage, PushView,
    operation::{CancelParams, GetParams, ListParams, Operation, SendParams, SubscribeParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_outbound::ClientTls;
use bobbinet_wire::{
    ErrorKind, Protocol, Transport, Version,
    v1_0::CardView,
    view::{PageView, Sent, TaskView},
};

pub use bobbinet_auth::CardKeys;
pub use card::{CardFetch, FetchedCard, Freshness};
pub use connect::with_scheme;
pub use credentials::{Credentials, Mint, ServiceParameter};
pub use discovery::DiscoveredJwks;
pub use error::ClientError;
pub use grpc::{CarryGrpc, GrpcChannel, GrpcRequest};
pub use jwks::{HttpJwks, JwksUrlFault};
pub use origin::{Detour, Origin};
pub use outbound::Outbound;
pub use pinned::covered_by;
pub use stream::{Event, TaskStream};
pub use way::Way;

use http::{Told, Ways};

/// How a client behaves. The defaults suit a person at a terminal.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Through what its requests go out.
    pub outbound: Outbound,
    /// How it shows who it is.
    pub credentials: Credentials,
    /// What else goes with each request.
    pub parameters: Vec<ServiceParameter>,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For the answer to a request that does not wait for a task.
    pub timeout: Duration,
    /// For the answer to a blocking send; `None` for as long as it takes.
    pub wait_timeout: Option<Duration>,
    /// How long a stream may be silent, without even a comment, before it counts as broken. Over gRPC, where there are none, it may be
    /// for as long as HTTP/2 pings are answered.
    pub silence_max: Duration,
    /// How often in a row a broken stream, or a send that may be repeated, is tried again before it is given up.
    pub retries_max: u32,
    /// Over what it is called, the preferred first, whatever its card prefers; if empty, as the card says.
    pub transports: Vec<Transport>,
    /// In which version of A2A, and no other, whatever its card prefers.
    pub version: Option<Version>,
    /// What carries calls over gRPC; without it, gRPC is not spoken.
    pub grpc: Option<CarryGrpc>,
    /// Where the agent is called, at the path that its card says, if not where its card says.
    pub origin: Option<Origin>,
    /// Whether the agent's card may send us, and our credentials, to another origin than its own.
    pub is_other_origin_allowed: bool,
    /// Whether to believe any certificate: whoever stands in between can read and change everything.
    pub is_any_certificate_believed: bool,
    /// Whose certificates are believed, and which one is shown, where no guard says so.
    pub tls: ClientTls,
    /// The keys of which one must have signed the agent's card, if they are known.
    pub card_keys: Option<CardKeys>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            outbound: Outbound::Straight,
            credentials: Credentials::None,
            parameters: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            wait_timeout: None,
            silence_max: Duration::from_secs(60),
            retries_max: 12,
            transports: Vec::new(),
            version: None,
            grpc: None,
            origin: None,
            is_other_origin_allowed: false,
            is_any_certificate_believed: false,
            tls: ClientTls::default(),
            card_keys: None,
        }
    }
}

/// What goes with a message, beside its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Under this key the agent drops repeats, if its card says so: then the client itself repeats a send that broke.
    pub idempotency_key: Option<String>,
    /// Whether to wait for the answer of a send that does not wait for the task as long as for one that does: an agent may
    /// know of no other way than to answer when all is done.
    pub is_patient: bool,
    /// The trace that the caller is in (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The only way that it goes, where it may have been taken before: what an agent knows a repeat by is how it was said, too.
    /// [`ClientError::OutcomeUnknown`] says which it was.
    pub way: Option<Way>,
}

/// What an agent has answered, as a value, and with it the JSON that it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithJson<T> {
    /// What was read of it.
    pub value: T,
    /// The whole of it, unknown fields too.
    pub json: Json,
}

/// An agent that can be called. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    ways: Arc<Ways>,
    card: Arc<WithJson<CardView>>,
    detour: Option<Detour>,
}

impl ClientOptions {
    /// What calls a URL as the agent is called, beside the agent: an authorization server, say. Without a guard.
    pub fn builder_for(&self, url: &reqwest::Url) -> reqwest::ClientBuilder {
        connect::client_builder(url, self)
    }
}

impl Client {
    /// Fetches the card of the agent at `url`, its own or the card's, or reads it from a file, and gets ready to call it as the card says.
    ///
    /// # Errors
    /// If nobody answers there, or no card is to be had, or the card names nothing that we speak or nowhere that we may go.
    pub async fn connect(url: &str, options: ClientOptions) -> Result<Self, ClientError> {
        connect::connect(url, options).await
    }

    /// Fetches the card of the agent at `url`, or reads it from a file, whether the agent can be called or not.
    ///
    /// # Errors
    /// If nobody answers there, or no card is to be had.
    pub async fn card_at(url: &str, options: &ClientOptions) -> Result<WithJson<CardView>, ClientError> {
        connect::card(url, options).await
    }

    /// The bytes of the card of the agent at `url`, or in a file, and where they are from: whether they are those of a card or not.
    ///
    /// # Errors
    /// If nobody answers there, or there is nothing.
    pub async fn card_bytes_at(url: &str, options: &ClientOptions) -> Result<(String, Vec<u8>), ClientError> {
        connect::card_bytes(url, options).await
    }

    /// Fetches the card of the agent at `url` unless it is the one that is known, as RFC 9111 says.
    ///
    /// # Errors
    /// If nobody answers there, or no card is to be had.
    pub async fn fetch_card(
        url: &str,
        options: &ClientOptions,
        known: Option<&FetchedCard>,
    ) -> Result<CardFetch, ClientError> {
        connect::fetch(url, options, known).await
    }

    /// Gets ready to call the agent of a card that has been fetched, as the card says. Nothing goes out.
    ///
    /// # Errors
    /// If the card names nothing that we speak, or nowhere that we may go.
    pub fn with_card(card: &FetchedCard, options: ClientOptions) -> Result<Self, ClientError> {
        connect::with_card(card, options)
    }

    /// That the agent is called elsewhere than its card says, if it is.
    pub fn detour(&self) -> Option<&Detour> {
        self.detour.as_ref()
    }

    /// The agent's card.
    pub fn card(&self) -> &WithJson<CardView> {
        &self.card
    }

    /// Where its requests go.
    pub fn url(&self) -> &str {
        self.ways.open().url.as_str()
    }

    /// The agent's URL over HTTP, also where it is called over gRPC: for whom tokens are made, and where a node has what A2A has no call for.
    pub fn http_url(&self) -> &str {
        &self.ways.open().audience
    }

    /// All ways that it may be called, the one that its card prefers first.
    pub fn ways(&self) -> Vec<Way> {
        self.ways.names()
    }

    /// The one that was open last: a new message tries it first, and then those that come after it, round and round.
    pub fn way(&self) -> Way {
        self.ways.open().way()
    }

    /// What is spoken there.
    pub fn protocol(&self) -> Protocol {
        self.ways.open().protocol
    }

    /// A task of the agent as one event of its stream has it: for those who show what the agent says as it is.
    pub fn event_of(&self, task: &Json) -> Json {
        speech::as_event(speech::form(self.protocol()), task.clone())
    }

    /// Says something, and waits until the task has ended or asks, unless `params` say not to.
    ///
    /// # Errors
    /// As [`ClientError`] says. One that was sent and broke is repeated only under a key, and only if the agent's card says that keys
    /// are honoured; else it is [`ClientError::OutcomeUnknown`].
    pub async fn send(&self, params: SendParams, options: &SendOptions) -> Result<WithJson<Sent>, ClientError> {
        let timeout = match params.configuration.return_immediately && !options.is_patient {
            true => Some(self.ways.options.timeout),
            false => self.ways.options.wait_timeout,
        };
        let operation = Operation::Send(Box::new(params));
        let course = self.ways.course(&operation, options)?;
        let Told { form, json } = self.ways.call_with(&operation, timeout, options, &course).await?;
        speech::sent(form, json).map_err(|error| self.ways.outcome_unknown(&operation, options, &course, error))
    }

    /// Says something, and hears all that follows.
    ///
    /// # Errors
    /// As [`Client::send`]; once there is an event, the stream itself comes back after what breaks it.
    pub async fn send_streaming(&self, params: SendParams, options: &SendOptions) -> Result<TaskStream, ClientError> {
        TaskStream::open(self.clone(), Operation::SendStreaming(Box::new(params)), options).await
    }

    /// Shows a task.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get(&self, id: &str, history_length: Option<u32>) -> Result<WithJson<TaskView>, ClientError> {
        let params = GetParams { id: id.to_owned(), history_length, tenant: None };
        let Told { form, json } = self.call(&Operation::Get(params)).await?;
        speech::task(form, json)
    }

    /// Shows a page of tasks.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn list(&self, params: ListParams) -> Result<WithJson<PageView>, ClientError> {
        let mut listed = self.call(&Operation::List(params)).await;
        if let Err(ClientError::Rpc(remote)) = &mut listed
            && matches!(remote.kind, Some(ErrorKind::MethodNotFound | ErrorKind::UnsupportedOperation))
            && self.protocol().version == Version::V0_3
        {
            remote.hint = Some("most agents of A2A 0.3 list no tasks: name a task by its id".to_owned());
        }
        let Told { form, json } = listed?;
        speech::page(form, json)
    }

    /// Stops a task.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn cancel(&self, id: &str) -> Result<WithJson<TaskView>, ClientError> {
        let params = CancelParams { id: id.to_owned(), metadata: None, tenant: None };
        let Told { form, json } = self.call(&Operation::Cancel(params)).await?;
        speech::task(form, json)
    }

    /// Has the agent tell a receiver all that follows in a task, or changes what it is told.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn create_push_config(&self, params: CreatePushParams) -> Result<WithJson<PushView>, ClientError> {
        let Told { form, json } = self.call_push(PushOperation::Create(Box::new(params))).await?;
        speech::push_config(form, json)
    }

    /// Shows one webhook of a task, without what is secret in it.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn get_push_config(&self, params: GetPushParams) -> Result<WithJson<PushView>, ClientError> {
        let Told { form, json } = self.call_push(PushOperation::Get(params)).await?;
        speech::push_config(form, json)
    }

    /// Shows the webhooks of a task, without what is secret in them: a page, where the version of A2A has pages.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn list_push_configs(&self, params: ListPushParams) -> Result<WithJson<PushPage>, ClientError> {
        let Told { form, json } = self.call_push(PushOperation::List(params)).await?;
        speech::push_configs(form, json)
    }

    /// Removes a webhook of a task; what is answered says nothing.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn delete_push_config(&self, params: DeletePushParams) -> Result<Json, ClientError> {
        self.call_push(PushOperation::Delete(params)).await.map(|told| told.json)
    }

    /// Hears all that follows in a task: after the event with the id `after`, or after the task as it stands.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn subscribe(&self, id: &str, after: Option<&str>) -> Result<TaskStream, ClientError> {
        TaskStream::subscribe(self.clone(), id, after).await
    }

    async fn call_push(&self, operation: PushOperation) -> Result<Told, ClientError> {
        let Told { form, json } = self.call(&Operation::PushConfig(operation)).await?;
        Ok(Told { form, json: speech::shown(&json) })
    }

    async fn call(&self, operation: &Operation) -> Result<Told, ClientError> {
        self.ways.call(operation, Some(self.ways.options.timeout)).await
    }
}

fn subscription(id: &str) -> Operation {
    Operation::Subscribe(SubscribeParams { id: id.to_owned(), tenant: None })
}
