//! A definition: the document as the DSL 1.0.3 has it, read into types, each step with its JSON Pointer and its place in the text.
//!
//! Steps stand in one list and name each other by [`TaskId`], so a run's state can name them too. What is not in our subset is
//! refused while reading, with what to do instead.

mod call;
mod card;
mod draft;
mod duration;
mod events;
mod mcp_call;
mod read;
mod reuse;
mod schema;
mod targets;
mod task;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bobbinet_text::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{cron::Cron, expression::Program, finding::Finding, template::Template};

pub use duration::{Span, from_json as duration_from_json};
pub use schema::Schema;
pub(crate) use schema::options as schema_options;
pub use targets::Reach;

/// A definition that can be run.
#[derive(Debug)]
pub struct Definition {
    /// What the file is called.
    pub file: String,
    /// `document.namespace`.
    pub namespace: String,
    /// `document.name`: the agent's name.
    pub name: String,
    /// `document.version`.
    pub version: String,
    /// `document.title`.
    pub title: Option<String>,
    /// `document.summary`: the agent's description.
    pub summary: Option<String>,
    /// The whole document.
    pub json: Arc<Json>,
    /// The workflow's input.
    pub input: Input,
    /// The workflow's output.
    pub output: Output,
    /// How long a run may take.
    pub timeout: Option<Span>,
    /// What starts runs by itself.
    pub schedule: Option<Schedule>,
    /// The names of the secrets that it may read.
    pub secrets: Vec<String>,
    /// Named authentications, as they are written.
    pub authentications: BTreeMap<String, Template>,
    /// Named steps to call.
    pub functions: BTreeMap<String, TaskId>,
    /// The steps of the main `do`.
    pub main: ListId,
    /// Every step.
    pub tasks: Vec<Task>,
    /// Every list of steps.
    pub lists: Vec<Vec<TaskId>>,
}

/// What reading a text gave.
#[derive(Debug)]
pub struct Reading {
    /// The definition, if nothing must be mended.
    pub definition: Option<Definition>,
    /// All that is wrong, in the order of the text.
    pub findings: Vec<Finding>,
}

/// A step, by its place in [`Definition::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub usize);

/// A list of steps, by its place in [`Definition::lists`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ListId(pub usize);

/// What a workflow or a step takes.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// What the raw input must be.
    pub schema: Option<Schema>,
    /// What becomes of it.
    pub from: Option<Template>,
}

/// What a workflow or a step gives.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// What becomes of the raw output.
    pub filter: Option<Template>,
    /// What the result must be.
    pub schema: Option<Schema>,
}

/// One step.
#[derive(Debug)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// Its JSON Pointer: `/do/0/fetch`.
    pub pointer: String,
    /// Where its name stands.
    pub at: Position,
    /// As it is written.
    pub json: Arc<Json>,
    /// Whether it runs at all.
    pub condition: Option<Arc<Program>>,
    /// What it takes.
    pub input: Input,
    /// What it gives.
    pub output: Output,
    /// What becomes of the context.
    pub export: Output,
    /// How long it may take.
    pub timeout: Option<Span>,
    /// What comes after it.
    pub then: Then,
    /// The list that it stands in; a function stands in none.
    pub list: Option<ListId>,
    /// What it does.
    pub kind: Kind,
}

/// What comes after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next one.
    Continue,
    /// The end of the list that it stands in.
    Exit,
    /// The end of the run.
    End,
    /// This one of the same list.
    Go {
        /// Its name, as it is written.
        name: String,
        /// Itself. A name that nothing bears is a finding, so a definition that runs has none of them.
        to: Option<TaskId>,
        /// Where the name stands.
        at: Position,
        /// The same as a pointer.
        pointer: String,
    },
}

/// What a step does.
#[derive(Debug)]
pub enum Kind {
    /// One step after the other.
    Do(ListId),
    /// Gives a value.
    Set(Template),
    /// Chooses what comes next.
    Switch(Vec<Case>),
    /// Does the same for each item.
    For(For),
    /// Does several things at once.
    Fork {
        /// Each is one step.
        branches: ListId,
        /// Whether the first to finish is the only one that counts.
        compete: bool,
    },
    /// Fails.
    Raise(ErrorTemplate),
    /// Does what may fail.
    Try {
        /// What is tried.
        body: ListId,
        /// What becomes of failures.
        catch: Box<Catch>,
    },
    /// Does nothing for a while.
    Wait(Span),
    /// Sends an event; its attributes.
    Emit(Template),
    /// Waits for events.
    Listen(Box<Listen>),
    /// Calls something.
    Call(Box<Call>),
}

/// One way out of a `switch`.
#[derive(Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub at: Position,
    /// When it is taken; always, if nothing is said.
    pub when: Option<Arc<Program>>,
    /// Where it leads.
    pub then: Then,
}

/// A loop.
#[derive(Debug)]
pub struct For {
    /// What an item is called.
    pub each: String,
    /// What its number is called.
    pub at: String,
    /// The items.
    pub items: Template,
    /// Whether there is another round.
    pub condition: Option<Arc<Program>>,
    /// One round.
    pub body: ListId,
}

/// An error to be made.
#[derive(Clone, Debug)]
pub struct ErrorTemplate {
    /// Its type.
    pub kind: Template,
    /// Its status.
    pub status: Template,
    /// Its other members, by name.
    pub others: Vec<(String, Template)>,
}

/// What becomes of failures.
#[derive(Debug, Default)]
pub struct Catch {
    /// The members that a failure must have.
    pub with: Vec<(String, Json)>,
    /// What it is called.
    pub name: String,
    /// When it is caught.
    pub when: Option<Arc<Program>>,
    /// When it is not.
    pub except_when: Option<Arc<Program>>,
    /// How it is tried again.
    pub retry: Option<Retry>,
    /// What is done about it.
    pub body: Option<ListId>,
    /// What comes after it.
    pub then: Option<Then>,
}

/// How something is tried again.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    /// When it is.
    pub when: Option<Arc<Program>>,
    /// When it is not.
    pub except_when: Option<Arc<Program>>,
    /// How long to wait between two attempts.
    pub delay: Option<Span>,
    /// How the wait grows.
    pub backoff: Backoff,
    /// How many attempts after the first.
    pub attempts: Option<u64>,
    /// How long one attempt may take.
    pub attempt_limit: Option<Span>,
    /// How long all of them may take.
    pub limit: Option<Span>,
    /// What is added to the wait by chance: from, to.
    pub jitter: Option<(Span, Span)>,
}

/// How a wait grows from attempt to attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backoff {
    /// Not at all.
    #[default]
    Constant,
    /// By the delay each time.
    Linear,
    /// Twofold each time.
    Exponential,
}

/// What waits for events.
#[derive(Debug)]
pub struct Listen {
    /// Which ones.
    pub to: Strategy,
    /// What is kept of them.
    pub read: ReadAs,
    /// What is done for each.
    pub each: Option<ForEach>,
}

/// What is done for each event that is heard.
#[derive(Debug)]
pub struct ForEach {
    /// What it is called.
    pub item: String,
    /// What its number is called.
    pub at: String,
    /// What is done.
    pub body: Option<ListId>,
    /// What becomes of the result.
    pub output: Output,
    /// What becomes of the context.
    pub export: Output,
}

/// What is kept of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAs {
    /// Its data.
    #[default]
    Data,
    /// All of it.
    Envelope,
    /// Its data as it came.
    Raw,
}

/// Which events are waited for.
#[derive(Clone, Debug)]
pub enum Strategy {
    /// One for each of these filters.
    All(Vec<Filter>),
    /// The first that passes any of these, or all that do until something happens. No filter lets every event pass.
    Any(Vec<Filter>, Option<Until>),
    /// The first that passes.
    One(Filter),
}

/// When listening ends.
#[derive(Clone, Debug)]
pub enum Until {
    /// When this holds after an event; `.` is the events so far.
    Condition(Arc<Program>),
    /// When these were heard.
    Events(Box<Strategy>),
    /// Never: until the run ends.
    Never,
}

/// What an event must be.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The attributes that it must have.
    pub with: Vec<(String, Match)>,
    /// What must be the same in all events of one wait.
    pub correlate: Vec<(String, Correlation)>,
}

/// What an attribute must be.
#[derive(Clone, Debug)]
pub enum Match {
    /// This.
    Equal(Json),
    /// A text that this expression of ours finds to match.
    Pattern(Json, Arc<Program>),
    /// What this gives: `true` or the value itself. `.` is the event's data for `data`, else the attribute.
    Computed(Arc<Program>),
}

/// What must be the same.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// What is taken from an event.
    pub from: Arc<Program>,
    /// What it must be; the first event's, if nothing is said.
    pub expect: Option<Template>,
}

/// A call.
#[derive(Debug)]
pub struct Call {
    /// What is called.
    pub target: CallTarget,
    /// Where the target's name stands.
    pub at: Position,
    /// Where the names of the arguments stand.
    pub arguments_at: BTreeMap<String, Position>,
    /// The arguments.
    pub with: Template,
}

/// What is called.
#[derive(Debug)]
pub enum CallTarget {
    /// A skill of an agent of the mesh.
    Skill {
        /// The agent.
        agent: String,
        /// The skill.
        skill: String,
    },
    /// One of this definition's functions.
    Function(String, Option<TaskId>),
    /// An A2A agent by URL.
    A2a {
        /// The JSON-RPC method, as A2A 0.3 calls it.
        method: String,
        /// Where.
        endpoint: Endpoint,
        /// Whether the address is that of its card.
        is_card: bool,
    },
    /// A request to an MCP server.
    Mcp {
        /// The request's method.
        method: String,
        /// Where the server is, if it is called over HTTP; else it is started, by words that are arguments of the call.
        endpoint: Option<Endpoint>,
        /// How long it may take, if that is said.
        timeout: Option<std::time::Duration>,
    },
    /// An HTTP request.
    Http {
        /// The method, in capitals.
        method: String,
        /// Where.
        endpoint: Endpoint,
        /// What becomes of the answer.
        output: HttpOutput,
        /// Whether a redirection is an answer and no failure.
        redirect: bool,
    },
    /// Another flow.
    Workflow {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Whether its end is waited for.
        waits: bool,
    },
}

/// What becomes of an answer over HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpOutput {
    /// The content, read as what it is.
    #[default]
    Content,
    /// The content in base64.
    Raw,
    /// Status, headers and content.
    Response,
}

/// An address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// A URI template, or an expression.
    pub uri: Uri,
    /// How to authenticate there: a policy, or `{use: name}`.
    pub authentication: Option<Template>,
}

/// A URI.
#[derive(Clone, Debug)]
pub enum Uri {
    /// `https://host/{name}`: names are the input's top-level properties.
    Template(String),
    /// What this gives.
    Computed(Arc<Program>),
}

/// What starts runs.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// At this interval.
    pub every: Option<Duration>,
    /// At these times, in UTC.
    pub cron: Option<Cron>,
    /// So long after the last one's end.
    pub after: Option<Duration>,
    /// When these events were heard.
    pub on: Option<Strategy>,
    /// What is kept of them.
    pub read: ReadAs,
}

impl Definition {
    /// A step.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.0]
    }

    /// The steps of a list.
    pub fn list(&self, id: ListId) -> &[TaskId] {
        &self.lists[id.0]
    }

    /// The step after this one in its list.
    pub fn next(&self, id: TaskId) -> Option<TaskId> {
        let list = self.list(self.task(id).list?);
        let at = list.iter().position(|one| *one == id)?;
        list.get(at + 1).copied()
    }
}
