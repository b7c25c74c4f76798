//! REST of 1.0 (specification section 11): which operation a path means, and what a request says.

use std::{borrow::Cow, collections::BTreeMap};

use bobbinet_core::{Json, Operation, PushOperation};
use serde_json::value::RawValue;

use super::{names::Method, request};
use crate::{
    error::Error,
    rest::{self, Asked, HttpMethod, RouteFault},
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
    let (method, named) = match rest::asked(http_method, segments, "extendedAgentCard")? {
        Asked::Send => (Method::SendMessage, Vec::new()),
        Asked::Stream => (Method::SendStreamingMessage, Vec::new()),
        Asked::List => (Method::ListTasks, Vec::new()),
        Asked::Get(id) => (Method::GetTask, vec![("id", id)]),
        Asked::Cancel(id) => (Method::CancelTask, vec![("id", id)]),
        Asked::Subscribe(id) => (Method::SubscribeToTask, vec![("id", id)]),
        Asked::CreatePush(task) => (Method::CreateTaskPushNotificationConfig, vec![("taskId", task)]),
        Asked::ListPush(task) => (Method::ListTaskPushNotificationConfigs, vec![("taskId", task)]),
        Asked::GetPush(task, id) => (Method::GetTaskPushNotificationConfig, vec![("taskId", task), ("id", id)]),
        Asked::DeletePush(task, id) => (Method::DeleteTaskPushNotificationConfig, vec![("taskId", task), ("id", id)]),
        Asked::ExtendedCard => (Method::GetExtendedAgentCard, Vec::new()),
    };
    Ok(Route { method, tenant: None, named })
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
