//! One call in any binding: the gateway does what is asked, and the binding writes the answer.

use std::sync::Arc;

use bobbinet_core::{
    Operation, PushOperation, Selection, SkillId, Task,
    agent::skill_named_in,
    operation::{ListParams, SendParams},
};
use bobbinet_gateway::{AdmissionPermit, Answer, GatewayError, RequestContext, Resume};
use bobbinet_push::WebhookError;
use bobbinet_wire::{
    Error, Pieces, Sink,
    page::{TaskPage, WrittenTasks},
};
use http::request::Parts;

use super::{
    a2a_server::{Mounted, Server},
    binding::Binding,
    fault,
    stream::Events,
    unsent::Room,
};

/// Room for an answer of an ordinary task.
const ANSWER_CAPACITY: usize = 1 << 10;

/// An answer of more bytes is counted as long as its reader has not taken it.
pub(super) const LARGE: usize = 64 << 10;

/// A request that has been read, at its server.
pub(super) struct Call<'a> {
    pub(super) server: &'a Arc<Server>,
    /// What the answer is written in.
    pub(super) binding: &'a Binding,
    pub(super) context: RequestContext<'a>,
    /// The request without its body.
    pub(super) parts: &'a Parts,
    /// The agent at its URL.
    pub(super) agent: &'a Mounted,
    /// Where a stream is to go on.
    pub(super) resume: Option<Resume>,
}

/// What comes of a request.
pub(super) enum CallAnswer {
    /// A whole answer, and the room that it takes until it is out if it is large.
    Whole(Pieces, Option<Room>),
    /// One after the other.
    Stream(Box<Events>),
    /// A stream of one event, which is over with it.
    Event(Pieces),
}

/// The tasks of a page, and where the next one begins.
struct Page {
    tasks: WrittenTasks,
    next: Option<String>,
    total: usize,
}

impl Call<'_> {
    /// Does it, or says why not. `permit` is given back as soon as there is nothing to do but wait.
    pub(super) async fn answer(&self, operation: Operation, permit: AdmissionPermit) -> Result<CallAnswer, Error> {
        let (gateway, context) = (&self.server.gateway, &self.context);
        match operation {
            Operation::Send(params) => {
                let selection = params.selection();
                match gateway.send(context, params, permit).await.map_err(|error| self.fault_of_send(error))? {
                    Answer::Task(task) => Ok(self.done(|out| self.binding.write_sent(out, &task, selection)).await),
                    Answer::Message(said) => Ok(self.done(|out| self.binding.write_said(out, &said)).await),
                }
            }
            Operation::SendStreaming(params) => self.send_streaming(params).await,
            Operation::Get(params) => {
                let task = gateway.get(context, &params).await.map_err(|error| self.fault(error))?;
                drop(permit);
                self.show(&task, Selection::history(params.history_length)).await
            }
            // Boxed, so that the far more frequent ones need not carry the room for it.
            Operation::List(params) => Box::pin(self.list(params, permit)).await,
            Operation::Cancel(params) => {
                let task = gateway.cancel(context, &params).await.map_err(|error| self.fault(error))?;
                drop(permit);
                Ok(self.done(|out| self.binding.write_task(out, &task, Selection::ALL)).await)
            }
            Operation::Subscribe(params) => {
                let followed = Box::pin(gateway.subscribe(context, params, self.resume)).await;
                let stream = followed.map_err(|error| self.fault(error))?;
                Ok(CallAnswer::Stream(Box::new(Events::new(self.server, self.binding, stream, Selection::ALL))))
            }
            Operation::ExtendedCard(_) => {
                drop(permit);
                Box::pin(self.extended_card()).await
            }
            Operation::PushConfig(push) => Box::pin(self.push(push, permit)).await,
        }
    }

    async fn push(&self, push: PushOperation, permit: AdmissionPermit) -> Result<CallAnswer, Error> {
        let (gateway, context) = (&self.server.gateway, &self.context);
        let fault = |error| self.fault(error);
        let mut out = Pieces::default();
        match push {
            PushOperation::Create(params) => {
                let [url, _] = self.binding.webhook_url();
                let made = gateway.create_webhook(context, &params).await;
                let made = made.map_err(|error| self.fault_of_webhook(error, url))?;
                self.binding.write_push_config(&mut out, &made);
            }
            PushOperation::Get(params) => {
                let found = gateway.webhook(context, &params).await.map_err(fault)?;
                self.binding.write_push_config(&mut out, &found);
            }
            PushOperation::List(params) => {
                let page = gateway.list_webhooks(context, &params).await.map_err(fault)?;
                self.binding.write_push_configs(&mut out, &page);
            }
            PushOperation::Delete(params) => {
                gateway.delete_webhook(context, &params).await.map_err(fault)?;
                self.binding.write_push_deleted(&mut out);
            }
        }
        drop(permit);
        Ok(CallAnswer::Whole(out, None))
    }

    /// The card for this caller.
    async fn extended_card(&self) -> Result<CallAnswer, Error> {
        self.server.gateway.await_start(&self.agent.name).await;
        let description = self.server.gateway.extended_card(&self.context).map_err(|error| self.fault(error))?;
        let Parts { headers, uri, extensions, .. } = self.parts;
        let origin = self.server.origin_of(headers, uri, extensions);
        let form = self.binding.card_form();
        let card = self.server.told(&self.agent.name).write(&description, &origin, form, &self.agent.base);
        let out = self.written(|out| self.binding.write_card(out, &card));
        let room = self.room(out.len()).await?;
        Ok(CallAnswer::Whole(out, room))
    }

    async fn send_streaming(&self, params: Box<SendParams>) -> Result<CallAnswer, Error> {
        let selection = params.selection();
        let sent = self.server.gateway.send_streaming(&self.context, params).await;
        Ok(match sent.map_err(|error| self.fault_of_send(error))? {
            Answer::Task(stream) => {
                CallAnswer::Stream(Box::new(Events::new(self.server, self.binding, stream, selection)))
            }
            Answer::Message(said) => CallAnswer::Event(self.written(|out| self.binding.write_said(out, &said))),
        })
    }

    async fn list(&self, params: ListParams, permit: AdmissionPermit) -> Result<CallAnswer, Error> {
        let page_size = params.page_size;
        let page = self.page(params).await?;
        let mut body = Pieces::default();
        let written = TaskPage {
            tasks: &page.tasks,
            next_page_token: page.next.as_deref().unwrap_or_default(),
            page_size,
            total_size: page.total,
        };
        self.binding.write_page(&mut body, written);
        drop(permit);
        let room = self.room(body.len()).await?;
        Ok(CallAnswer::Whole(body, room))
    }

    /// Writes a page, and ends it before the task that would make it too large: who lists does not know what the tasks weigh.
    async fn page(&self, params: ListParams) -> Result<Page, Error> {
        let bytes_max = self.server.limits.page_bytes_max;
        let selection = params.selection();
        let mut page = Page { tasks: WrittenTasks::default(), next: None, total: 0 };
        let mut pages = self.server.gateway.list(&self.context, params).map_err(|error| self.fault(error))?;
        let mut is_first = true;
        loop {
            page.next = pages.token().map(str::to_owned);
            let Some(list) = pages.next(bytes_max).await.map_err(|error| self.fault(error))? else { return Ok(page) };
            if is_first {
                page.total = list.total;
                is_first = false;
            }
            for (place, task) in list.tasks.iter().enumerate() {
                let before = page.tasks.len();
                self.binding.add_to_page(&mut page.tasks, task, selection);
                if page.tasks.len() > bytes_max && before > 0 {
                    page.tasks.truncate(before);
                    if place > 0 {
                        page.next = list.next_before(place);
                    }
                    return Ok(page);
                }
            }
        }
    }

    fn fault(&self, error: GatewayError) -> Error {
        fault::of_gateway(error, &self.server.limits)
    }

    fn fault_of_send(&self, error: GatewayError) -> Error {
        let [_, url] = self.binding.webhook_url();
        self.fault_of_webhook(error, url)
    }

    /// What the caller reads, with the field in which the webhook's URL came.
    fn fault_of_webhook(&self, error: GatewayError, url: &'static str) -> Error {
        if let GatewayError::Webhook(WebhookError::Url(why)) = &error {
            return Error::invalid_field(url, format!("is not called: {why}"));
        }
        self.fault(error)
    }

    /// Room for an answer, if it is large. Whoever calls has given back his request's permit: there is nothing to do but wait.
    async fn room(&self, bytes: usize) -> Result<Option<Room>, Error> {
        if bytes <= LARGE {
            return Ok(None);
        }
        let room = self.server.unsent.room(self.context.caller, bytes).await;
        room.map(Some).map_err(|full| fault::of_full(full, &self.server.limits))
    }

    /// The answer to a read. A large one is refused if there is no room for it.
    async fn show(&self, task: &Task, selection: Selection) -> Result<CallAnswer, Error> {
        let out = self.written(|out| self.binding.write_task(out, task, selection));
        let room = self.room(out.len()).await?;
        Ok(CallAnswer::Whole(out, room))
    }

    /// The answer to what has been done: there is no refusing it any more.
    async fn done(&self, result: impl FnOnce(&mut Pieces)) -> CallAnswer {
        let out = self.written(result);
        let room = self.room(out.len()).await.ok().flatten();
        CallAnswer::Whole(out, room)
    }

    fn written(&self, result: impl FnOnce(&mut Pieces)) -> Pieces {
        let mut out = Pieces::default();
        out.bytes().reserve(ANSWER_CAPACITY);
        result(&mut out);
        out
    }
}

/// The skill that the request's own metadata names under our extension; the agent reads the message's.
pub(super) fn skill_in(operation: &Operation) -> Option<SkillId> {
    let (Operation::Send(params) | Operation::SendStreaming(params)) = operation else { return None };
    skill_of(params)
}

/// The same of a message that is sent.
pub(super) fn skill_of(params: &SendParams) -> Option<SkillId> {
    params.metadata.as_ref().and_then(skill_named_in).and_then(|named| SkillId::parse(&named).ok())
}
