//! The load over gRPC: HTTP/2 by prior knowledge, by tonic's own client.

use anyhow::{Context, Result, bail, ensure};
use bobbinet_grpc::pb::v1_0::{
    GetTaskRequest, Message, Part, Role, SendMessageRequest, Task, TaskState, a2a_service_client::A2aServiceClient,
    part::Content, send_message_response::Payload,
};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    a2a::{Endpoint, Shown},
    asker::{Chance, Sayings},
    events::Streamed,
    load::{self, Ask, Shape, Work},
    measure::Channels,
    sample::Sample,
};

/// Puts the load on a server and says what came of it: `shape.connections` that ask one thing at a time.
pub(crate) async fn measure(
    endpoint: &Endpoint,
    server: u32,
    work: &Work,
    channels: Channels,
    shape: Shape,
) -> Result<Sample> {
    let shared = match channels {
        Channels::One => Some(open(endpoint).await?),
        Channels::Many => None,
    };
    let mut workers = Vec::with_capacity(shape.connections);
    for number in 0..shape.connections {
        let channel = match &shared {
            Some(channel) => channel.clone(),
            None => open(endpoint).await?,
        };
        workers.push(Worker::new(endpoint, channel, work, number)?);
    }
    load::watch(server, shape, workers).await
}

async fn open(endpoint: &Endpoint) -> Result<Channel> {
    let url = format!("http://{}", endpoint.address);
    let channel = Channel::from_shared(url).context("naming the server")?;
    channel.connect().await.context("connecting over HTTP/2")
}

/// One that asks, and the stream that it has.
#[derive(Debug)]
struct Worker {
    client: A2aServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
    work: Work,
    sayings: Sayings,
    chance: Chance,
}

impl Worker {
    fn new(endpoint: &Endpoint, channel: Channel, work: &Work, number: usize) -> Result<Self> {
        let authorization = match &endpoint.shown {
            Shown::Nothing => None,
            Shown::This(token) => Some(format!("Bearer {token}").parse().context("writing a token")?),
            Shown::New(_) => bail!("over gRPC no new token is shown with each request"),
        };
        let (client, work) = (A2aServiceClient::new(channel), work.clone());
        Ok(Self { client, authorization, work, sayings: Sayings::of(number), chance: Chance::of(number) })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("a2a-version", MetadataValue::from_static("1.0"));
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        request
    }

    async fn send(&mut self) -> Result<()> {
        self.sayings.say_new();
        let text = &self.sayings.text;
        let part = Part { content: Some(Content::Text(text.clone())), ..Part::default() };
        let message =
            Message { message_id: text.clone(), role: Role::User.into(), parts: vec![part], ..Message::default() };
        let request = self.request(SendMessageRequest { message: Some(message), ..SendMessageRequest::default() });
        let answer = self.client.send_message(request).await.context("sending a message")?.into_inner();
        match answer.payload.context("an answer of nothing")? {
            Payload::Task(task) => {
                let is_echo = is_completed(&task) && said_in(&task).any(|said| *said == self.sayings.text);
                ensure!(is_echo, "no echo: {task:?}");
                Ok(())
            }
            Payload::Message(message) => bail!("a message, and no task: {message:?}"),
        }
    }

    async fn get(&mut self, id: String) -> Result<()> {
        let request = self.request(GetTaskRequest { id: id.clone(), ..GetTaskRequest::default() });
        let task = self.client.get_task(request).await.context("getting a task")?.into_inner();
        ensure!(task.id == id && is_completed(&task) && said_in(&task).count() == 1, "not the task: {task:?}");
        Ok(())
    }
}

fn is_completed(task: &Task) -> bool {
    task.status.as_ref().is_some_and(|status| status.state() == TaskState::Completed)
}

/// The texts of its artifacts.
fn said_in(task: &Task) -> impl Iterator<Item = &String> {
    let parts = task.artifacts.iter().flat_map(|artifact| &artifact.parts);
    parts.filter_map(|part| match &part.content {
        Some(Content::Text(text)) => Some(text),
        Some(Content::Raw(_) | Content::Url(_) | Content::Data(_)) | None => None,
    })
}

impl Ask for Worker {
    async fn ask(&mut self) -> Result<Option<Streamed>> {
        match &self.work {
            Work::Send(_) => self.send().await?,
            Work::Get(ids) => {
                let id = self.chance.pick(ids).clone();
                self.get(id).await?;
            }
            Work::Stream | Work::List(_) => bail!("over gRPC there are no streams and lists here"),
        }
        Ok(None)
    }

    /// The channel connects again by itself.
    async fn begin_again(&mut self) -> Result<()> {
        Ok(())
    }
}
