//! `bobbinet send` and `bobbinet call`: a message to an agent, and what comes of it.

use bobbinet_core::{
    ContextId, Json, Message, MessageId, Part, Role, State,
    agent::EXTENSION_URI,
    operation::{Configuration, ListParams, SendParams},
};
use bobbinet_http::client::{Client as Connected, SendOptions};
use bobbinet_wire::view::{Sent, TaskView};
use serde_json::json;
use uuid::Uuid;

use super::{
    Client, arguments,
    follow::{Follow, Telling},
    owner::{self, owner},
    render,
    resolve::Agent,
    save::Own,
    show,
};
use crate::{
    cli::{Call, Delivery, Send, Target},
    failure::{Code, Failure},
    remark::{Remark, remark},
};

/// What is said, and where.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) parts: Vec<Part>,
    pub(super) task: Option<String>,
    pub(super) context: Option<ContextId>,
    /// Of the message: a JSON object.
    pub(super) metadata: Option<Json>,
    pub(super) extensions: Vec<&'static str>,
}

/// `bobbinet send`
pub(super) async fn send(client: &Client, command: Send) -> Result<(), Failure> {
    let Send { parts, target, task_id, context_id, metadata, delivery } = command;
    let metadata = metadata.as_deref().map(object).transpose()?;
    let parts = parts.into_parts()?;
    let resolver = client.resolver(target).await;
    let agent = match &task_id {
        Some(task) => owner(&resolver, task).await?,
        None => resolver.agent()?,
    };
    let saying = Saying { parts, task: task_id, context: context_id, metadata, extensions: Vec::new() };
    let connected = agent.connect().await?;
    say(client, &agent, &connected, saying, &delivery, Telling::Whole).await
}

/// `bobbinet call`
pub(super) async fn call(client: &Client, command: Call) -> Result<(), Failure> {
    let Call { skill, arguments, mut target, context_id, delivery } = command;
    let skill = match (&target.agent, skill.split_once('.')) {
        (None, Some((agent, skill))) => {
            target.agent = Some(agent.to_owned());
            skill.to_owned()
        }
        (Some(agent), Some((prefix, rest))) if agent == prefix => rest.to_owned(),
        (Some(_), _) => skill,
        (None, None) => {
            let failure = Failure::new(Code::Usage, format!("{skill:?} names no agent"));
            return Err(failure.hint(format!("write AGENT.{skill}, or -a AGENT {skill}")));
        }
    };
    let agent = client.resolver(target).await.agent()?;
    let connected = agent.connect().await?;
    let ours = connected.card().value.extension_skills();
    let schema = ours.get(&skill).and_then(|skill| skill.input.as_ref());
    let arguments = arguments::parse(&arguments, schema)?;
    // For an agent of ours the message names its skill by our extension; any other gets the form that most understand.
    let (data, metadata, extensions) = match ours.is_empty() {
        false => (arguments, Some(json!({ EXTENSION_URI: { "skill": skill } })), vec![EXTENSION_URI]),
        true => (json!({ "skill": skill, "arguments": arguments }), None, Vec::new()),
    };
    let metadata = metadata.as_ref().map(Json::from);
    let parts = vec![Part::data(Json::from(&data))];
    say(
        client,
        &agent,
        &connected,
        Saying { parts, task: None, context: context_id, metadata, extensions },
        &delivery,
        Telling::Whole,
    )
    .await
}

/// What `bobbinet flow run` says to the agent of its flow: the input, and the answers to what its steps ask.
pub(super) async fn run_flow(
    client: &Client,
    target: Target,
    input: &str,
    answers: &[String],
    delivery: &Delivery,
) -> Result<(), Failure> {
    let all = Target { agent: None, ..target.clone() };
    let agent = client.resolver(target).await.agent()?;
    let connected = agent.connect().await?;
    let input = Json::parse(input).map_err(|error| Failure::of(Code::Usage, &error))?;
    // The context is the task's alone, so that it is found by it: a folder that was named may have tasks of other runs.
    let key = delivery.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let context = ContextId::parse(&key).map_err(|error| Failure::of(Code::Usage, &error))?;
    let saying = |parts, task, context| Saying { parts, task, context, metadata: None, extensions: Vec::new() };
    let begin = saying(vec![Part::data(input)], None, Some(context.clone()));
    let delivery = Delivery { idempotency_key: Some(key), ..delivery.clone() };
    let mut told = say(client, &agent, &connected, begin, &delivery, Telling::Steps).await;
    if delivery.is_async {
        return told;
    }
    // A key is for the message that begins the task.
    let delivery = Delivery { idempotency_key: None, ..delivery };
    let mut answers = answers.iter();
    while let Some(task) =
        task_of(&context, &agent, &connected).await?.filter(|task| task.status.state.is_interrupted())
    {
        let Some(answer) = answers.next() else {
            let text = "the flow is not over: it waits for an answer, and its node ends here";
            remark(Remark::Warning, text);
            let hint = "say --answer ANSWER, once for each question; where answers take their time, name the flow under `flows` \
                        of a bobbinet.yaml, and start that: bobbinet up";
            remark(Remark::Hint, hint);
            told = Err(Failure::told(Code::Task(task.status.state), text));
            break;
        };
        let part = match Json::parse(answer) {
            Ok(json) if answer.trim_start().starts_with('{') => Part::data(json),
            Ok(_) | Err(_) => Part::text(answer),
        };
        told =
            say(client, &agent, &connected, saying(vec![part], Some(task.id), None), &delivery, Telling::Steps).await;
    }
    // The node of the flow is gone in a moment, and with it what its steps gave.
    if !client.output.is_json() {
        tell_steps(client, &context, &agent, &connected, all).await?;
    }
    told
}

/// The task of the flow: its context has no other.
async fn task_of(context: &ContextId, agent: &Agent, connected: &Connected) -> Result<Option<TaskView>, Failure> {
    let params = ListParams { context: Some(context.clone()), ..ListParams::default() };
    let page = connected.list(params).await.map_err(|error| agent.fault(error))?.value;
    Ok(page.tasks.into_iter().next())
}

/// Says, to whoever wants to know all, what the steps of the one task of a flow were, and what each gave.
async fn tell_steps(
    client: &Client,
    context: &ContextId,
    agent: &Agent,
    connected: &Connected,
    all: Target,
) -> Result<(), Failure> {
    let Some(task) = task_of(context, agent, connected).await? else { return Ok(()) };
    if !client.output.is_verbose {
        if task.status.state == State::Failed {
            remark(Remark::Hint, "--verbose shows what each step gave");
        }
        return Ok(());
    }
    let tree = show::fetch(agent, connected, &format!("{}/tree", task.id)).await?;
    let resolver = client.resolver(all).await;
    for step in tree["children"].as_array().into_iter().flatten() {
        client.output.line("")?;
        client.output.field("Step", step["name"].as_str().unwrap_or_default())?;
        // One that an internal agent carried out, or of a flow within the flow.
        if let Ok((_, _, task)) = owner::find(&resolver, step["id"].as_str().unwrap_or_default(), Some(0)).await {
            render::task(client.output, &task.value)?;
        }
    }
    Ok(())
}

/// Sends, and waits or follows as is wanted.
pub(super) async fn say(
    client: &Client,
    agent: &Agent,
    connected: &Connected,
    saying: Saying,
    delivery: &Delivery,
    telling: Telling,
) -> Result<(), Failure> {
    // A key of its own makes a send that broke safe to repeat, if the agent says that it honours keys. The message goes by the same
    // name, so that the same command under the same key is the same message.
    let key = delivery.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let id = MessageId::parse(&key)
        .map_err(|error| Failure::of(Code::Usage, &error).hint("--idempotency-key takes what has no blanks"))?;
    let message = Message {
        id,
        role: Role::User,
        parts: saying.parts,
        metadata: saying.metadata,
        extensions: saying.extensions.into_iter().map(Into::into).collect(),
        reference_tasks: Vec::new(),
    };
    let configuration = Configuration {
        history_length: delivery.history,
        return_immediately: delivery.is_async,
        ..Configuration::default()
    };
    let params =
        SendParams { message, context: saying.context, task: saying.task, configuration, metadata: None, tenant: None };
    let options = SendOptions { idempotency_key: Some(key), ..SendOptions::default() };
    if delivery.is_async {
        let sent = connected.send(params, &options).await.map_err(|error| agent.fault(error))?;
        match (client.output.is_json(), &sent.value) {
            (true, _) => client.output.raw(sent.json.as_str())?,
            (false, Sent::Task(task)) => render::task(client.output, task)?,
            (false, Sent::Message(message)) => render::reply(client.output, message)?,
        }
        return match &sent.value {
            Sent::Task(task) => {
                let own = Own { agent, url: connected.http_url() };
                delivery.ending.apply(client.output, task, own).await
            }
            Sent::Message(_) => Ok(()),
        };
    }
    let follow = Follow {
        agent,
        client: connected,
        output: client.output,
        waiting: &delivery.waiting,
        ending: &delivery.ending,
        deadline: delivery.waiting.deadline(),
        telling: if delivery.stream { Telling::Live } else { telling },
        history: delivery.history,
        is_send: true,
    };
    follow.send(params, &options).await
}

fn object(text: &str) -> Result<Json, Failure> {
    match Json::parse(text) {
        Ok(json) if json.is_object() => Ok(json),
        Ok(_) => Err(Failure::new(Code::Usage, "--metadata is a JSON object")),
        Err(error) => Err(Failure::new(Code::Usage, format!("--metadata is not JSON: {error}"))),
    }
}
