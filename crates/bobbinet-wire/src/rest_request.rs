//! A client's request over HTTP itself, as far as no version owns it.

use std::fmt::{Display, Write as _};

use crate::rest::HttpMethod;

/// A request as it goes to the URL of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    /// By which method.
    pub method: HttpMethod,
    /// Below the URL, without a slash before it. What is not fit for a path is encoded.
    pub path: String,
    /// The query's parameters, not encoded.
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<Vec<u8>>,
}

impl RestRequest {
    pub(crate) fn new(method: HttpMethod, path: &str) -> Self {
        Self { method, path: path.to_owned(), query: Vec::new(), body: None }
    }

    /// One about a task.
    pub(crate) fn of_task(method: HttpMethod, id: &str, then: &str) -> Self {
        Self::new(method, &format!("tasks/{}{then}", segment(id)))
    }

    pub(crate) fn add(&mut self, name: &'static str, value: Option<impl Display>) {
        self.query.extend(value.map(|value| (name, value.to_string())));
    }

    /// The same for a tenant, whose name stands before the path.
    pub(crate) fn for_tenant(mut self, tenant: Option<&str>) -> Self {
        if let Some(tenant) = tenant {
            self.path = format!("{}/{}", segment(tenant), self.path);
        }
        self
    }
}

/// One segment of a path (RFC 3986, section 3.3): ids are another's, and may have anything in them.
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(char::from(byte)),
            // Writing to a text does not fail.
            _ => drop(write!(segment, "%{byte:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment() {
        for (id, path) in
            [("t-1", "tasks/t-1:cancel"), ("a/b?c#d e", "tasks/a%2Fb%3Fc%23d%20e:cancel"), ("é", "tasks/%C3%A9:cancel")]
        {
            assert_eq!(RestRequest::of_task(HttpMethod::Post, id, ":cancel").path, path);
        }
        assert_eq!(RestRequest::new(HttpMethod::Get, "tasks").for_tenant(Some("a b")).path, "a%20b/tasks");
    }
}
