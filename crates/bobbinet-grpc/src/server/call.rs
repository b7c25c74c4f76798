//! One call, in either package: the gateway does what is asked. Reading and writing are the packages'.

use std::sync::Arc;

use bobbinet_core::{
    AgentName, Caller, Description, PushPage, PushView, Selection, Task,
    operation::{CancelParams, GetParams, ListParams, SendParams, SubscribeParams},
    push::{CreatePushParams, DeletePushParams, GetPushParams, ListPushParams},
};
use bobbinet_gateway::{AdmissionPermit, Answer, GatewayError, RequestContext, TaskStream, Unsupported};
use bobbinet_http::{
    Server,
    server::other_binding::{cursor, extensions, idempotency_key, skill_of, trace},
};
use bobbinet_wire::{Error, ErrorKind, v1_0::card::CardContext};
use futures::stream;
use http::HeaderMap;
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use super::{
    door::{self, Entry, Held},
    events::{self, Messages, Writer},
};
use crate::status;

/// Which version of A2A the request speaks.
const VERSION: &str = "a2a-version";

/// Which agent is meant, where a request has no field for it: those of 0.3 have none.
const TENANT: &str = "a2a-tenant";

/// The largest page, whatever the node's bound: clients of gRPC take four mebibytes if nobody tells them otherwise.
const PAGE_BYTES_MAX: usize = (4 << 20) - (16 << 10);

/// What a package is called, and which versions may be named with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Package {
    /// `lf.a2a.v1`.
    V1_0,
    /// `a2a.v1`.
    V0_3,
}

/// A request whose caller and agent are known.
pub(super) struct Call {
    server: Arc<Server>,
    caller: Arc<Caller>,
    agent: AgentName,
    headers: HeaderMap,
    entry: Entry,
    permit: AdmissionPermit,
    idempotency: Option<(String, [u8; 32])>,
}

/// The tasks of a page, and where the next one begins.
pub(super) struct Page<T> {
    pub(super) tasks: Vec<T>,
    pub(super) next: String,
    pub(super) size: u32,
    pub(super) total: usize,
}

impl Package {
    /// A request that names no version speaks that of its package. The patch number has no say, and what 1.1 adds may be left out.
    fn check(self, headers: &HeaderMap) -> Result<(), Error> {
        let Some(value) = headers.get(VERSION) else { return Ok(()) };
        let version = value.to_str().unwrap_or("unreadable").trim();
        let mut numbers = version.split('.');
        let is_ours = match self {
            Self::V1_0 => numbers.next() == Some("1"),
            Self::V0_3 => numbers.next() == Some("0") && numbers.next() == Some("3"),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if version.is_empty() || is_ours && version.split('.').all(is_number) {
            return Ok(());
        }
        let (name, spoken) = match self {
            Self::V1_0 => ("lf.a2a.v1", "1.0"),
            Self::V0_3 => ("a2a.v1", "0.3"),
        };
        let message = format!("A2A {version:?} is not spoken in {name}, which is that of {spoken}");
        Err(Error::new(ErrorKind::VersionNotSupported).with_message(message))
    }
}

impl Call {
    /// Finds out which agent is meant, and whether the caller may call that.
    pub(super) async fn enter<T>(
        server: &Arc<Server>,
        package: Package,
        request: Request<T>,
        tenant: impl Fn(&T) -> &str,
    ) -> Result<(Self, T), Status> {
        let (metadata, mut extensions, message) = request.into_parts();
        let headers = metadata.into_headers();
        package.check(&headers).map_err(|error| status::of(&error))?;
        let entry = extensions.remove::<Entry>();
        let entered = entry.and_then(|entry| entry.take_permit().map(|permit| (entry, permit)));
        let Some((entry, permit)) = entered else { return Err(status::of(&ErrorKind::Internal.into())) };
        let named = match tenant(&message) {
            "" => headers.get(TENANT).and_then(|value| value.to_str().ok()).unwrap_or_default(),
            tenant => tenant,
        };
        let Some(agent) = server.agent_of_tenant(named).cloned() else { return Err(status::of(&no_agent())) };
        entry.note(&agent);
        let caller = match server.caller_of(&agent, &headers, &extensions).await {
            Ok(caller) => caller,
            Err(rejected) => return Err(door::unauthenticated(&rejected)),
        };
        tracing::debug!(%agent, principal = %caller.principal, "request over gRPC");
        Ok((Self { server: server.clone(), caller, agent, headers, entry, permit, idempotency: None }, message))
    }

    /// Reads the key that drops repeats, and what it stands for: the method and its message, as it is written anew. To be called for a send.
    pub(super) fn note_key(&mut self, method: &str, message: &impl Message) -> Result<(), Status> {
        let key = idempotency_key(&self.headers).map_err(|error| status::of(&error))?;
        self.idempotency = key.map(|key| {
            let mut hash = Sha256::new();
            hash.update(method.as_bytes());
            hash.update([0]);
            hash.update(message.encode_to_vec());
            (key.to_owned(), hash.finalize().into())
        });
        Ok(())
    }

    /// Says something, and gives the task when it has ended or asks.
    pub(super) async fn send<R: Message>(
        self,
        params: Box<SendParams>,
        write: impl FnOnce(Answer<&Task>, Selection) -> R,
    ) -> Result<Response<R>, Status> {
        let selection = params.selection();
        let skill = skill_of(&params);
        let Self { server, caller, agent, headers, permit, idempotency, entry: _ } = self;
        let extensions = extensions(&headers);
        let context =
            RequestContext { skill, trace: trace(&headers), idempotency, ..context(&caller, &agent, &extensions) };
        let sent = server.gateway().send(&context, params, permit).await;
        let written = match sent.map_err(|error| of_gateway(&server, error))? {
            Answer::Task(task) => write(Answer::Task(&task), selection),
            Answer::Message(said) => write(Answer::Message(said), selection),
        };
        Ok(done(&server, &caller, written).await)
    }

    /// Says something, and gives all that follows.
    pub(super) async fn send_streaming<R: Send + 'static>(
        self,
        params: Box<SendParams>,
        writer: Writer<R>,
    ) -> Result<Response<Messages<R>>, Status> {
        let selection = params.selection();
        let skill = skill_of(&params);
        let Self { server, caller, agent, headers, permit, idempotency, entry: _ } = self;
        let extensions = extensions(&headers);
        let context =
            RequestContext { skill, trace: trace(&headers), idempotency, ..context(&caller, &agent, &extensions) };
        let sent = server.gateway().send_streaming(&context, params).await;
        drop(permit);
        Ok(match sent.map_err(|error| of_gateway(&server, error))? {
            Answer::Task(stream) => events::response(&server, &caller, stream, selection, writer),
            Answer::Message(said) => alone((writer.said)(&said)),
        })
    }

    /// Shows a task.
    pub(super) async fn get<R: Message>(
        self,
        params: GetParams,
        write: impl FnOnce(&Task, Selection) -> R,
    ) -> Result<Response<R>, Status> {
        let task = self.server.gateway().get(&self.context(&extensions(&self.headers)), &params).await;
        let task = task.map_err(|error| of_gateway(&self.server, error))?;
        let Self { server, caller, permit, .. } = self;
        drop(permit);
        show(&server, &caller, write(&task, Selection::history(params.history_length))).await
    }

    /// Stops a task.
    pub(super) async fn cancel<R: Message>(
        self,
        params: CancelParams,
        write: impl FnOnce(&Task, Selection) -> R,
    ) -> Result<Response<R>, Status> {
        let task = self.server.gateway().cancel(&self.context(&extensions(&self.headers)), &params).await;
        let task = task.map_err(|error| of_gateway(&self.server, error))?;
        let Self { server, caller, permit, .. } = self;
        drop(permit);
        Ok(done(&server, &caller, write(&task, Selection::ALL)).await)
    }

    /// Follows a task, from where a reader was that comes back.
    pub(super) async fn subscribe<R: Send + 'static>(
        self,
        params: SubscribeParams,
        writer: Writer<R>,
    ) -> Result<Response<Messages<R>>, Status> {
        let stream = self.follow(params).await.map_err(|error| of_gateway(&self.server, error))?;
        Ok(events::response(&self.server, &self.caller, stream, Selection::ALL, writer))
    }

    /// The same as 0.3 has it: of a task that has ended, the task is told, and nothing else.
    pub(super) async fn subscribe_or_show<R: Send + 'static>(
        self,
        params: SubscribeParams,
        writer: Writer<R>,
    ) -> Result<Response<Messages<R>>, Status> {
        let shown = GetParams { id: params.id.clone(), ..GetParams::default() };
        match self.follow(params).await {
            Ok(stream) => Ok(events::response(&self.server, &self.caller, stream, Selection::ALL, writer)),
            Err(GatewayError::Ended) => {
                let task = self.server.gateway().get(&self.context(&extensions(&self.headers)), &shown).await;
                let task = task.map_err(|error| of_gateway(&self.server, error))?;
                Ok(alone((writer.task)(&task, Selection::ALL)))
            }
            Err(error) => Err(of_gateway(&self.server, error)),
        }
    }

    async fn follow(&self, params: SubscribeParams) -> Result<TaskStream, GatewayError> {
        self.server.gateway().subscribe(&self.context(&extensions(&self.headers)), params, cursor(&self.headers)).await
    }

    /// Shows many tasks.
    pub(super) async fn list<T: Message, R: Message>(
        self,
        params: ListParams,
        write: impl Fn(&Task, Selection) -> T,
        write_page: impl FnOnce(Page<T>) -> R,
    ) -> Result<Response<R>, Status> {
        let page = self.page(params, write).await?;
        let Self { server, caller, permit, .. } = self;
        drop(permit);
        show(&server, &caller, write_page(page)).await
    }

    /// The page ends before the task that would make it too large.
    async fn page<T: Message>(
        &self,
        params: ListParams,
        write: impl Fn(&Task, Selection) -> T,
    ) -> Result<Page<T>, Status> {
        let bytes_max = self.server.limits().page_bytes_max.min(PAGE_BYTES_MAX);
        let (selection, size) = (params.selection(), params.page_size);
        let failed = |error| of_gateway(&self.server, error);
        let extensions = extensions(&self.headers);
        let context = self.context(&extensions);
        let mut pages = self.server.gateway().list(&context, params).map_err(failed)?;
        let mut page = Page { tasks: Vec::new(), next: String::new(), size, total: 0 };
        let (mut bytes, mut is_first) = (0, true);
        loop {
            page.next = pages.token().map(str::to_owned).unwrap_or_default();
            let Some(list) = pages.next(bytes_max).await.map_err(failed)? else { return Ok(page) };
            if is_first {
                page.total = list.total;
                is_first = false;
            }
            for (place, task) in list.tasks.iter().enumerate() {
                let written = write(task, selection);
                bytes += written.encoded_len();
                if bytes > bytes_max && !page.tasks.is_empty() {
                    if place > 0 {
                        page.next = list.next_before(place).unwrap_or_default();
                    }
                    return Ok(page);
                }
                page.tasks.push(written);
            }
        }
    }

    /// Adds a webhook to a task.
    pub(super) async fn create_webhook<R>(
        &self,
        params: &CreatePushParams,
        write: impl FnOnce(&PushView) -> R,
    ) -> Result<Response<R>, Status> {
        let made = self.server.gateway().create_webhook(&self.context(&extensions(&self.headers)), params).await;
        self.told(made, |made| write(&made))
    }

    /// Shows a webhook of a task.
    pub(super) async fn webhook<R>(
        &self,
        params: &GetPushParams,
        write: impl FnOnce(&PushView) -> R,
    ) -> Result<Response<R>, Status> {
        let found = self.server.gateway().webhook(&self.context(&extensions(&self.headers)), params).await;
        self.told(found, |found| write(&found))
    }

    /// Shows the webhooks of a task.
    pub(super) async fn list_webhooks<R>(
        &self,
        params: &ListPushParams,
        write: impl FnOnce(&PushPage) -> R,
    ) -> Result<Response<R>, Status> {
        let page = self.server.gateway().list_webhooks(&self.context(&extensions(&self.headers)), params).await;
        self.told(page, |page| write(&page))
    }

    /// Removes a webhook of a task.
    pub(super) async fn delete_webhook(&self, params: &DeletePushParams) -> Result<Response<()>, Status> {
        let gone = self.server.gateway().delete_webhook(&self.context(&extensions(&self.headers)), params).await;
        self.told(gone, |()| ())
    }

    fn told<T, R>(&self, done: Result<T, GatewayError>, write: impl FnOnce(T) -> R) -> Result<Response<R>, Status> {
        done.map(|done| Response::new(write(done))).map_err(|error| of_gateway(&self.server, error))
    }

    /// The card for this caller, as `write` writes it. `is_public`: where there is no more than the public one, that.
    pub(super) async fn card<R: Message>(
        self,
        is_public: bool,
        write: impl FnOnce(&Description, CardContext<'_>) -> R,
    ) -> Result<Response<R>, Status> {
        let gateway = self.server.gateway();
        gateway.await_start(&self.agent).await;
        let public = || gateway.agent(&self.agent).map(|agent| agent.describe());
        let description = match gateway.extended_card(&self.context(&extensions(&self.headers))) {
            Ok(description) => Some(description),
            Err(GatewayError::Unsupported(_)) if is_public => public(),
            Err(error) => return Err(of_gateway(&self.server, error)),
        };
        let Entry { uri, reached, .. } = &self.entry;
        let written = description.and_then(|description| {
            let write = |context: CardContext<'_>| write(&description, context);
            self.server.with_card_context(&self.agent, &description, (uri, &self.headers, reached), write)
        });
        match written {
            Some(card) => show(&self.server, &self.caller, card).await,
            None => {
                let refused = gateway.refuse(&self.context(&extensions(&self.headers)), Unsupported::ExtendedCard);
                Err(of_gateway(&self.server, refused))
            }
        }
    }

    /// For what sends nothing.
    fn context<'a>(&'a self, extensions: &'a [&'a str]) -> RequestContext<'a> {
        context(&self.caller, &self.agent, extensions)
    }
}

fn context<'a>(caller: &'a Caller, agent: &'a AgentName, extensions: &'a [&'a str]) -> RequestContext<'a> {
    RequestContext { caller, agent, skill: None, trace: None, idempotency: None, extensions }
}

/// A stream of one message.
fn alone<R: Send + 'static>(message: R) -> Response<Messages<R>> {
    Response::new(Box::pin(stream::once(async { Ok(message) })))
}

/// The answer to a read. A large one is refused if there is no room for it.
async fn show<R: Message>(server: &Server, caller: &Caller, answer: R) -> Result<Response<R>, Status> {
    let room = server.room_for(caller, answer.encoded_len()).await.map_err(|error| status::of(&error))?;
    let mut response = Response::new(answer);
    if let Some(room) = room {
        response.extensions_mut().insert(Held(Arc::new(room)));
    }
    Ok(response)
}

/// The answer to what has been done: there is no refusing it any more.
async fn done<R: Message>(server: &Server, caller: &Caller, answer: R) -> Response<R> {
    let room = server.room_for(caller, answer.encoded_len()).await.ok().flatten();
    let mut response = Response::new(answer);
    if let Some(room) = room {
        response.extensions_mut().insert(Held(Arc::new(room)));
    }
    response
}

fn of_gateway(server: &Server, error: GatewayError) -> Status {
    status::of(&server.fault_of(error))
}

fn no_agent() -> Error {
    Error::invalid_field("tenant", "must name an agent of this node: the card's interface says which")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_package_speaks_its_version() {
        let check = |package: Package, version: Option<&str>, expected: bool| {
            let headers = version.map(|version| (VERSION.parse().unwrap(), HeaderValue::from_str(version).unwrap()));
            assert_eq!(package.check(&HeaderMap::from_iter(headers)).is_ok(), expected, "{package:?} {version:?}");
        };
        for version in [None, Some(""), Some("1.0"), Some("1"), Some("1.1"), Some(" 1.0.1")] {
            check(Package::V1_0, version, true);
        }
        for version in ["0.3", "2.0", "1.x", "10", "99.0"] {
            check(Package::V1_0, Some(version), false);
        }
        for version in [None, Some(""), Some("0.3"), Some("0.3.0")] {
            check(Package::V0_3, version, true);
        }
        for version in ["1.0", "0.2", "0"] {
            check(Package::V0_3, Some(version), false);
        }
    }
}
