//! What a skill is at its server, by the protocol's own word a feature of it: a tool, its resources, or a prompt; and so which
//! request a call of it is.

use bobbinet_core::Json;

use crate::{completion_skill, json_object::JsonObject, mailbox::RpcError, prompts, resources};

/// MCP's code for a resource that is not there, up to 2025-11-25. It has another meaning elsewhere.
const RESOURCE_NOT_FOUND: i64 = -32002;

/// JSON-RPC's code for wrong parameters, which is that of such a resource from 2026-07-28 on.
const INVALID_PARAMS: i64 = -32602;

/// What a skill is at its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerFeature {
    Tool,
    /// All resources: which one is read, an argument says.
    Resource,
    /// What its resources are, page by page.
    ResourceList,
    Prompt,
    /// What an argument of a prompt, or a name in a resource's address, may be.
    Completion,
}

impl ServerFeature {
    /// What a skill is by its name alone, if it is not listed any more. A tool that is called so comes before.
    pub(crate) fn by_name(skill: &str) -> Self {
        match skill {
            resources::READ => Self::Resource,
            resources::LIST => Self::ResourceList,
            completion_skill::SKILL => Self::Completion,
            name if name.starts_with(prompts::PREFIX) => Self::Prompt,
            _ => Self::Tool,
        }
    }

    /// By which request it is called.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Resource => "resources/read",
            Self::ResourceList => "resources/list",
            Self::Prompt => "prompts/get",
            Self::Completion => "completion/complete",
        }
    }

    /// The parameters of that request.
    pub(crate) fn params(self, skill: &str, arguments: &Json) -> JsonObject {
        let mut params = JsonObject::default();
        match self {
            Self::Tool => {
                params.set("name", Json::of(skill));
                params.set("arguments", arguments.clone());
            }
            Self::Resource => {
                let uri = JsonObject::read(arguments).and_then(|fields| fields.get("uri").cloned());
                params.set("uri", uri.unwrap_or_else(|| Json::of("")));
            }
            Self::ResourceList => {
                let cursor = JsonObject::read(arguments).and_then(|fields| fields.get("cursor").cloned());
                cursor.into_iter().for_each(|cursor| params.set("cursor", cursor));
            }
            Self::Completion => params = completion_skill::params(arguments),
            Self::Prompt => {
                params.set("name", Json::of(skill.strip_prefix(prompts::PREFIX).unwrap_or(skill)));
                params.set("arguments", arguments.clone());
            }
        }
        params
    }

    /// Under which name its result has what is content of it.
    pub(crate) fn content_field(self) -> &'static str {
        match self {
            Self::Tool => "content",
            Self::Resource => "contents",
            Self::ResourceList => "resources",
            Self::Prompt => "messages",
            Self::Completion => "completion",
        }
    }

    /// An error of its server, in the words of the newest revision.
    pub(crate) fn error(self, error: RpcError) -> RpcError {
        match self {
            Self::Resource if error.code == RESOURCE_NOT_FOUND => RpcError { code: INVALID_PARAMS, ..error },
            Self::Resource | Self::ResourceList | Self::Tool | Self::Prompt | Self::Completion => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_the_request_of_what_it_calls() {
        let check = |skill: &str, arguments: &str, expected: &str| {
            let feature = ServerFeature::by_name(skill);
            let params = feature.params(skill, &Json::parse(arguments).unwrap()).to_json();
            assert_eq!(format!("{} {}", feature.method(), params.as_str()), expected);
        };
        check("sum", r#"{"a":1.0}"#, r#"tools/call {"name":"sum","arguments":{"a":1.0}}"#);
        check("resource:read", r#"{"uri":"u:\u0061"}"#, r#"resources/read {"uri":"u:\u0061"}"#);
        check("prompt:a:b c", r#"{"x":"1"}"#, r#"prompts/get {"name":"a:b c","arguments":{"x":"1"}}"#);
        check("resource:list", r#"{"cursor":"2"}"#, r#"resources/list {"cursor":"2"}"#);
        let error = |code| RpcError { code, ..RpcError::own(String::new()) };
        assert_eq!(ServerFeature::Resource.error(error(-32002)).code, -32602);
        assert_eq!(ServerFeature::Tool.error(error(-32002)).code, -32002);
    }
}
