//! Which operation a path means (0.3's specification, section 3.5.3), and what a request says.

use std::{borrow::Cow, collections::BTreeMap};

use bobbinet_core::{
    Json, Operation,
    operation::{ListParams, SendParams},
};

use super::V0_3Proto;
use crate::{
    error::Error,
    faults::Author,
    from_proto::{self, FromProto},
    rest::{self, Asked, HttpMethod, RouteFault},
    v0_3::{self, Method},
};

/// What every path begins with, below an agent's URL.
pub const PREFIX: &str = "v1";

/// An operation at its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method of JSON-RPC that does the same.
    pub method: Method,
    /// What the path names: fields of the parameters.
    named: Vec<(&'static str, String)>,
}

/// What is at a path below [`PREFIX`], given by its segments.
///
/// # Errors
/// If there is nothing, or not by this method.
pub fn route(http_method: HttpMethod, segments: &[String]) -> Result<Route, RouteFault> {
    let (method, named) = match rest::asked(http_method, segments, "card")? {
        Asked::Send => (Method::SendMessage, Vec::new()),
        Asked::Stream => (Method::StreamMessage, Vec::new()),
        Asked::List => (Method::ListTasks, Vec::new()),
        Asked::Get(id) => (Method::GetTask, vec![("id", id)]),
        Asked::Cancel(id) => (Method::CancelTask, vec![("id", id)]),
        Asked::Subscribe(id) => (Method::Resubscribe, vec![("id", id)]),
        Asked::CreatePush(task) => (Method::SetPushConfig, vec![("taskId", task)]),
        Asked::ListPush(task) => (Method::ListPushConfigs, vec![("id", task)]),
        Asked::GetPush(task, id) => (Method::GetPushConfig, vec![("id", task), ("pushNotificationConfigId", id)]),
        Asked::DeletePush(task, id) => (Method::DeletePushConfig, vec![("id", task), ("pushNotificationConfigId", id)]),
        Asked::ExtendedCard => (Method::GetExtendedCard, Vec::new()),
    };
    Ok(Route { method, named })
}

impl Route {
    /// What the request says: its body, or fields as JSON-RPC would have them in `params`.
    ///
    /// # Errors
    /// If the body is no JSON object, or the query cannot be read.
    pub fn params<'a>(&self, query: Option<&str>, body: &'a [u8]) -> Result<Cow<'a, str>, Error> {
        if matches!(self.method, Method::SendMessage | Method::StreamMessage) {
            // It may be large, and is passed on as it is.
            return rest::object_text(body).map(Cow::Borrowed);
        }
        let mut fields: BTreeMap<String, Json> = rest::fields(body)?;
        // Some send the whole request of gRPC, whose `config` is what the body should be.
        if let Some(config) = fields.remove("config").and_then(|config| config.read::<BTreeMap<String, Json>>().ok()) {
            fields.extend(rest::camel(config)?);
        }
        rest::query(query, &mut fields)?;
        if self.method == Method::SetPushConfig {
            name_config(&mut fields);
        }
        for (name, value) in &self.named {
            fields.insert((*name).to_owned(), Json::of(value));
        }
        Ok(rest::params(&fields))
    }

    /// What is asked with these parameters.
    ///
    /// # Errors
    /// With all that is wrong with them.
    pub fn decode(&self, params: &str) -> Result<Operation, Error> {
        match self.method {
            Method::SendMessage => read::<Box<SendParams>>(params).map(Operation::Send),
            Method::StreamMessage => read::<Box<SendParams>>(params).map(Operation::SendStreaming),
            Method::ListTasks => read::<ListParams>(params).map(Operation::List),
            // What these say has the same names in both.
            Method::GetTask
            | Method::CancelTask
            | Method::Resubscribe
            | Method::SetPushConfig
            | Method::GetPushConfig
            | Method::ListPushConfigs
            | Method::DeletePushConfig
            | Method::GetExtendedCard => {
                let params =
                    serde_json::from_str(params).map_err(|error| Error::invalid_field("", error.to_string()))?;
                v0_3::request::decode(self.method, Some(params))
            }
        }
    }
}

/// What the request calls the webhook, beside it, is the webhook's id, as in gRPC.
fn name_config(fields: &mut BTreeMap<String, Json>) {
    let is_said = |id: &Json| !matches!(id.as_str(), "null" | "\"\"");
    let Some(id) = fields.remove("configId").filter(is_said) else { return };
    let config = fields.get("pushNotificationConfig").map(Json::read::<BTreeMap<String, Json>>);
    if let Some(Ok(mut config)) = config {
        config.insert("id".to_owned(), id);
        fields.insert("pushNotificationConfig".to_owned(), Json::of(&config));
    }
}

fn read<'de, T: FromProto<'de, V0_3Proto>>(params: &'de str) -> Result<T, Error> {
    from_proto::read::<V0_3Proto, _>(params, Author::Client).map_err(Error::invalid_params)
}
