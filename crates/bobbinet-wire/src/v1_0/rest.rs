//! REST of 1.0 (specification section 11): which operation a path means, and what a request says.

use std::{borrow::Cow, collections::BTreeMap};

use bobbinet_core::{Json, Operation, PushOperation};
use serde_json::value::RawValue;

use super::{names::Method, request};
use crate::{
    error::Error,
    rest::{self, HttpMethod, RouteFault, Target},
};

/// An operation at its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method of JSON-RPC that does the same.
    pub method: Method,
    /// The tenant that the path begins with.
    tenant: Option<String>,
    /// What the path names: fields of the parameters.
    named: Vec<(&'static str, String)>,
}

/// What is at a path below an agent's URL, given by its segments.
///
/// # Errors
/// If there is nothing, or not by this method.
pub fn route(http_method: HttpMethod, segments: &[String]) -> Result<Route, RouteFault> {
    let found = at(http_method, segments);
    match (found, segments) {
        (Err(RouteFault::NotFound), [tenant, rest @ ..]) => {
            at(http_method, rest).map(|route| Route { tenant: Some(tenant.clone()), ..route })
        }
        (found, _) => found,
    }
}

fn at(http_method: HttpMethod, segments: &[String]) -> Result<Route, RouteFault> {
    use HttpMethod::{Delete, Get, Post};
    let route = |method, named| Ok(Route { method, tenant: None, named });
    let Some(target) = rest::target(segments) else {
        let is_card = matches!(segments, [word] if word == "extendedAgentCard");
        return match (is_card, http_method) {
            (true, Get) => route(Method::GetExtendedAgentCard, Vec::new()),
            (true, Post | Delete) => Err(RouteFault::NotAllowed("GET, HEAD")),
            (false, _) => Err(RouteFault::NotFound),
        };
    };
    match (target, http_method) {
        (Target::Send, Post) => route(Method::SendMessage, Vec::new()),
        (Target::Stream, Post) => route(Method::SendStreamingMessage, Vec::new()),
        (Target::Send | Target::Stream, Get | Delete) => Err(RouteFault::NotAllowed("POST")),
        (Target::Tasks, Get) => route(Method::ListTasks, Vec::new()),
        (Target::Task(id), Get) => route(Method::GetTask, vec![("id", id)]),
        (Target::Tasks | Target::Task(_), Post | Delete) => Err(RouteFault::NotAllowed("GET, HEAD")),
        (Target::Cancel(id), Post) => route(Method::CancelTask, vec![("id", id)]),
        (Target::Cancel(_), Get | Delete) => Err(RouteFault::NotAllowed("POST")),
        // The specification's text says POST, its proto file GET.
        (Target::Subscribe(id), Get | Post) => route(Method::SubscribeToTask, vec![("id", id)]),
        (Target::Subscribe(_), Delete) => Err(RouteFault::NotAllowed("GET, HEAD, POST")),
        (Target::PushConfigs(task), Post) => route(Method::CreateTaskPushNotificationConfig, vec![("taskId", task)]),
        (Target::PushConfigs(task), Get) => route(Method::ListTaskPushNotificationConfigs, vec![("taskId", task)]),
        (Target::PushConfigs(_), Delete) => Err(RouteFault::NotAllowed("GET, HEAD, POST")),
        (Target::PushConfig(task, id), Get) => {
            route(Method::GetTaskPushNotificationConfig, vec![("taskId", task), ("id", id)])
        }
        (Target::PushConfig(task, id), Delete) => {
            route(Method::DeleteTaskPushNotificationConfig, vec![("taskId", task), ("id", id)])
        }
        (Target::PushConfig(..), Post) => Err(RouteFault::NotAllowed("GET, HEAD, DELETE")),
    }
}

impl Route {
    /// What the request says, as JSON-RPC would say it in `params`.
    ///
    /// # Errors
    /// If the body is no JSON object, or the query cannot be read.
    pub fn params<'a>(&self, query: Option<&str>, body: &'a [u8]) -> Result<Cow<'a, str>, Error> {
        let is_send = matches!(self.method, Method::SendMessage | Method::SendStreamingMessage);
        if is_send {
            // It may be large, and is passed on as it is.
            return rest::object_text(body).map(Cow::Borrowed);
        }
        let mut fields: BTreeMap<String, Json> = rest::fields(body)?;
        rest::query(query, &mut fields)?;
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
        let params: &RawValue =
            serde_json::from_str(params).map_err(|error| Error::invalid_field("", error.to_string()))?;
        let mut operation = request::decode(self.method, Some(params))?;
        if let Some(tenant) = &self.tenant {
            set_tenant(&mut operation, tenant);
        }
        Ok(operation)
    }
}

/// The path's tenant, where the operation knows of one.
fn set_tenant(operation: &mut Operation, tenant: &str) {
    let place = match operation {
        Operation::Send(params) | Operation::SendStreaming(params) => &mut params.tenant,
        Operation::Get(params) => &mut params.tenant,
        Operation::List(params) => &mut params.tenant,
        Operation::Cancel(params) => &mut params.tenant,
        Operation::Subscribe(params) => &mut params.tenant,
        Operation::ExtendedCard(params) => &mut params.tenant,
        Operation::PushConfig(PushOperation::Create(params)) => &mut params.tenant,
        Operation::PushConfig(PushOperation::Get(params)) => &mut params.tenant,
        Operation::PushConfig(PushOperation::List(params)) => &mut params.tenant,
        Operation::PushConfig(PushOperation::Delete(params)) => &mut params.tenant,
    };
    *place = Some(tenant.to_owned());
}
