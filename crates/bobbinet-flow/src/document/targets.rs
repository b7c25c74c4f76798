//! What a definition may reach: all of it is known before the first step, except addresses that are computed.

use super::{CallTarget, Definition, Kind, Task, Uri};

/// Something that a step reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach<'d> {
    /// A skill of an agent of the mesh.
    Skill {
        /// The agent.
        agent: &'d str,
        /// The skill.
        skill: &'d str,
    },
    /// An A2A agent by URL; a template, or nothing if the address is computed.
    A2a(Option<&'d str>),
    /// An HTTP server by URL; likewise.
    Http(Option<&'d str>),
    /// An MCP server by URL; likewise.
    Mcp(Option<&'d str>),
    /// An MCP server that the step starts.
    Command,
    /// Another flow.
    Workflow {
        /// Its namespace.
        namespace: &'d str,
        /// Its name.
        name: &'d str,
        /// Its version, or `latest`.
        version: &'d str,
    },
    /// Those who hear an event.
    Events,
}

impl Definition {
    /// What each step may reach, with the step: what a policy is asked about before a definition of somebody else's begins.
    pub fn reaches(&self) -> impl Iterator<Item = (&Task, Reach<'_>)> {
        self.tasks.iter().filter_map(|task| Some((task, reach(task)?)))
    }
}

fn reach(task: &Task) -> Option<Reach<'_>> {
    match &task.kind {
        Kind::Call(call) => match &call.target {
            CallTarget::Skill { agent, skill } => Some(Reach::Skill { agent, skill }),
            CallTarget::A2a { endpoint, .. } => Some(Reach::A2a(address(&endpoint.uri))),
            CallTarget::Http { endpoint, .. } => Some(Reach::Http(address(&endpoint.uri))),
            CallTarget::Mcp { endpoint: Some(endpoint), .. } => Some(Reach::Mcp(address(&endpoint.uri))),
            CallTarget::Mcp { endpoint: None, .. } => Some(Reach::Command),
            CallTarget::Workflow { namespace, name, version, waits: _ } => {
                Some(Reach::Workflow { namespace, name, version })
            }
            CallTarget::Function(..) => None,
        },
        Kind::Emit(_) => Some(Reach::Events),
        Kind::Do(_)
        | Kind::Set(_)
        | Kind::Switch(_)
        | Kind::For(_)
        | Kind::Fork { .. }
        | Kind::Raise(_)
        | Kind::Try { .. }
        | Kind::Wait(_)
        | Kind::Listen(_) => None,
    }
}

/// The address, unless its origin is known only later: a host that is filled in is as good as computed.
fn address(uri: &Uri) -> Option<&str> {
    match uri {
        Uri::Template(template) => has_fixed_origin(template).then_some(template.as_str()),
        Uri::Computed(_) => None,
    }
}

/// Whether scheme, host and port stand in the template as they are.
fn has_fixed_origin(template: &str) -> bool {
    let Some((scheme, rest)) = template.split_once("://") else { return false };
    let origin = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // `https://example.com{x}` may become `https://example.com.evil.org`.
    !scheme.contains('{') && !origin.contains('{') && !origin.is_empty()
}
