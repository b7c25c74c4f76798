//! What a flow asks of an agent by its URL: a request in the words of A2A 0.3, whatever the agent speaks.

use std::collections::BTreeMap;

use bobbinet_core::{
    Effect, Fault, Json, Message, MessageId,
    chain::{Chain, ChainFault},
    operation::{Operation, SendParams},
};
use bobbinet_engine::Run;
use bobbinet_wire::v0_3::{Method, request};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A request, as it stands in the message that its task begins with. How it authenticates does not.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct A2aRequest {
    method: String,
    /// The agent's URL, or its card's.
    pub(crate) uri: String,
    parameters: Json,
    /// The call of the run that knows how to authenticate, if that is wanted.
    #[serde(default)]
    pub(crate) authenticated: Option<u64>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) operation: Operation,
}

/// Characters of a URL in the path of a call.
const URL_SHOWN_MAX: usize = 200;

/// What a message is called until it is known which run sends it.
const UNNAMED: &str = "unnamed-by-its-flow";

impl A2aRequest {
    /// Reads what is asked.
    pub(crate) fn read(&self) -> Result<Asked, Fault> {
        let Some(method) = Method::from_name(&self.method) else {
            return Err(Fault::new("bad-arguments", format!("A2A has no method {:?}", self.method)));
        };
        let parameters = with_defaults(method, &self.parameters);
        let raw = serde_json::from_str::<&RawValue>(parameters.as_str()).ok();
        let operation = request::decode(method, raw).map_err(|error| {
            let told: Vec<String> = error.violations().iter().map(ToString::to_string).collect();
            Fault::new("bad-arguments", format!("the parameters of {} do not fit: {}", self.method, told.join("; ")))
        })?;
        let refused = |what: &str| Err(Fault::new("not-supported", format!("{what} from a flow")));
        match &operation {
            Operation::PushConfig(_) => refused("push notifications are not asked for"),
            Operation::ExtendedCard(_) => refused("extended cards are not read"),
            Operation::Send(send) | Operation::SendStreaming(send) if send.configuration.push_config.is_some() => {
                refused("push notifications are not asked for")
            }
            Operation::Send(_)
            | Operation::SendStreaming(_)
            | Operation::Get(_)
            | Operation::List(_)
            | Operation::Cancel(_)
            | Operation::Subscribe(_) => Ok(Asked { operation }),
        }
    }
}

/// The DSL lets out who speaks, and what the message is called.
fn with_defaults(method: Method, parameters: &Json) -> Json {
    if !matches!(method, Method::SendMessage | Method::StreamMessage) {
        return parameters.clone();
    }
    let Ok(mut fields) = parameters.read::<BTreeMap<String, Json>>() else { return parameters.clone() };
    let message = fields.get("message").and_then(|message| message.read::<BTreeMap<String, Json>>().ok());
    let Some(mut message) = message else { return parameters.clone() };
    message.entry("messageId".to_owned()).or_insert_with(|| Json::of(UNNAMED));
    message.entry("role".to_owned()).or_insert_with(|| Json::of("user"));
    fields.insert("message".to_owned(), Json::of(&message));
    Json::of(&fields)
}

impl Asked {
    /// What asking twice means, as long as nobody knows the agent.
    pub(crate) fn effect(&self) -> Effect {
        match &self.operation {
            Operation::Get(_) | Operation::List(_) | Operation::Subscribe(_) | Operation::ExtendedCard(_) => {
                Effect::ReadOnly
            }
            Operation::Cancel(_) => Effect::Idempotent,
            Operation::Send(_) | Operation::SendStreaming(_) | Operation::PushConfig(_) => Effect::AtMostOnce,
        }
    }

    /// The message that is to be sent, if it is one.
    pub(crate) fn send(&self) -> Option<&SendParams> {
        match &self.operation {
            Operation::Send(send) | Operation::SendStreaming(send) => Some(send),
            Operation::Get(_)
            | Operation::List(_)
            | Operation::Cancel(_)
            | Operation::Subscribe(_)
            | Operation::ExtendedCard(_)
            | Operation::PushConfig(_) => None,
        }
    }

    /// Whether all events are wanted, and not what comes of them.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.operation, Operation::SendStreaming(_))
    }

    /// Whether the first answer is the last: what becomes of the task is not waited for.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_stream() && self.send().is_some_and(|send| send.configuration.return_immediately)
    }

    /// How much of the task's history is wanted with it.
    pub(crate) fn history_length(&self) -> Option<u32> {
        self.send().and_then(|send| send.configuration.history_length)
    }

    /// What is sent for a run, one hop further.
    pub(crate) fn outgoing(&self, run: &Run, path_name: &str, url: &str) -> Result<SendParams, ChainFault> {
        // Two agents may be called in one chain: that is no circle.
        let url: String = url.chars().take(URL_SHOWN_MAX).collect();
        let mut chain = Chain::of(run.first_message()).passed_on_by(&format!("{path_name} {url}"))?;
        chain.by = [chain.by, run.task().deadline()].into_iter().flatten().min();
        let send = self.send().cloned().unwrap_or_else(|| unreachable!("only messages are sent"));
        let id = match send.message.id.as_str() {
            // The same for each attempt, and no other message's.
            UNNAMED => MessageId::parse(&run.key().replace('/', "-")).expect("a UUID and a number"),
            _ => send.message.id.clone(),
        };
        let metadata = Some(chain.put(send.message.metadata.as_ref()));
        Ok(SendParams { message: Message { id, metadata, ..send.message }, ..send })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, parameters: &str) -> Result<Asked, Fault> {
        let parameters = Json::parse(parameters).unwrap();
        A2aRequest { method: method.to_owned(), uri: String::new(), parameters, authenticated: None }.read()
    }

    #[test]
    fn a_message_need_not_say_who_speaks_and_what_is_not_done_is_refused() {
        let asked = read("message/send", r#"{"message":{"parts":[{"kind":"text","text":"hi"}]}}"#).unwrap();
        assert_eq!((asked.effect(), asked.is_stream(), asked.is_plain()), (Effect::AtMostOnce, false, false));
        assert_eq!(asked.send().unwrap().message.text(), "hi");
        let plain = r#"{"message":{"parts":[{"kind":"text","text":"hi"}]},"configuration":{"blocking":false}}"#;
        assert!(read("message/send", plain).unwrap().is_plain());
        assert_eq!(read("tasks/get", r#"{"id":"t"}"#).unwrap().effect(), Effect::ReadOnly);
        assert_eq!(read("tasks/cancel", r#"{"id":"t"}"#).unwrap().effect(), Effect::Idempotent);
        for (method, parameters, words) in [
            ("message/send", r#"{"message":{"parts":[{"kind":"smell"}]}}"#, "message.parts[0].kind"),
            ("message/send", "{}", "message is required"),
            ("message/send", "7", "do not fit"),
            ("tasks/get", "{}", "id is required"),
            ("tasks/pushNotificationConfig/list", r#"{"id":"t"}"#, "push notifications"),
            ("tasks/dance", "{}", "no method"),
        ] {
            let fault = read(method, parameters).unwrap_err();
            assert!(fault.text.contains(words), "{fault:?}");
        }
    }
}
