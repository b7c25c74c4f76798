//! Any MCP server as an agent: what it offers becomes skills, its calls survive its deaths, and nothing of it outlives us.
//!
//! Begin with [`McpAgent`] (`agent`): what the engine sees. From there,
//!
//! - **what is called**: `plan_message` makes a message a checked call, or the question that is missing for one (`skill_request`,
//!   `arguments`, `parameter_headers`, `schema`, `convert`, `answer`), from what `catalog` and `server_profile` know;
//! - **what it must not become unseen**: `pinned_tools` remembers what was said of each tool (`tool_definition`) and withholds those of which
//!   something else is said, `tool_question` is the question that shows the difference, `owner_question` puts it to the node's owner;
//! - **what is offered**: `listing` reads a server's lists, each by `paged_list`: tools, `resources`, `prompts`, `completion_skill`; `server_feature` says
//!   which request a skill is;
//! - **the call**: `call` takes it from its durable intent to its outcome, `call_attempt` to where it is made, `call_listener` hears
//!   one request of it out, `server_questions` are what its server wants to know, `sampling` what it wants a model to say, `task_follower` follows what has become a
//!   `server_task`, `call_checkpoint` is what the next run goes on with; `exclusive_tools` says who may call at the same time as whom, `result` makes artifacts of what came back;
//! - **what is followed**: `resource_follower` is a task that does, `watched_resources` count who follows what in a session, and
//!   `resource_watcher` subscribes to it once;
//! - **what callers share**: `sharing` is the operator's word on it, `write_lanes` says which calls run one at a time,
//!   `scoped_sessions` which sessions belong to whom;
//! - **the sessions**: `pool` holds them by a key, `supervised_session` begins each again after its end, `session` is one
//!   from its `handshake` on, with the capabilities that its server declared;
//! - **the messages**: `rpc_channel` passes them between the protocol library and a transport, `in_flight` knows whose a
//!   reply, a progress or a question is;
//! - **the transport**: `transport` says what a session needs of one. `transport::stdio` is a child process behind a small
//!   program of ours ([`exec_mcp`]), so that its whole tree dies with us, in a folder of its own if it is configured so; `transport::http` is a server that runs elsewhere;
//! - **what a server is shown**: `authorization` gets the token of one server and gets it anew, by itself or through somebody's browser;
//!   `login_desk` is where all browsers come back, `login_record` what is kept of a login, `login` what tasks say of one, `agent_logins` what
//!   the node's owner has to do with them.
//!
//! No two modules use each other, by whatever way round. Must not know: A2A's wire, HTTP as we serve it, the store. Nothing
//! above `transport::stdio` starts, watches or ends a process.

mod agent;
mod agent_logins;
mod answer;
mod argument_completion;
mod arguments;
mod authorization;
mod block;
mod borrowed_result;
mod breaker;
mod cache_config;
mod call;
mod call_again;
mod call_attempt;
mod call_by_address;
mod call_checkpoint;
mod call_key;
mod call_listener;
mod call_once;
mod caller_client;
mod catalog;
#[cfg(test)]
mod chain_echo;
mod completion_skill;
mod config;
mod contract;
mod convert;
mod crash_history;
mod digest;
mod elicitation;
mod elicitation_handler;
mod exclusive_tools;
mod fallback;
mod finished_call;
mod handshake;
mod hidden_results;
mod hidden_words;
mod idle_time;
mod in_flight;
mod input_requests;
mod json_object;
mod known_tools;
mod last_words;
mod list_call;
mod listed_entry;
mod listing;
mod listing_pace;
mod login;
mod login_desk;
mod login_place;
mod login_record;
mod lost_session;
mod mailbox;
mod opening;
mod owner_question;
mod paged_list;
mod parameter_headers;
mod pinned_tools;
mod plan_message;
mod pool;
mod process_limits;
mod prompts;
mod read_cache;
mod read_once;
mod references;
mod remembered_tools;
mod resource_follower;
mod resource_watcher;
mod resources;
mod result;
mod retry_budget;
mod roots;
mod rpc_channel;
mod rpc_message;
mod salvage;
mod sampling;
mod schema;
mod schema_check;
mod scoped_sessions;
mod secrets;
mod server_auth;
mod server_changes;
mod server_feature;
mod server_log;
mod server_profile;
mod server_questions;
mod server_task;
mod session;
mod sharing;
mod shown_offers;
mod skill_request;
mod supervised_session;
mod task_follower;
mod tool_definition;
mod tool_hints;
mod tool_meta;
mod tool_question;
mod transport;
mod uploads;
mod watched_resources;
mod write_lanes;

pub use agent::McpAgent;
pub use agent_logins::LoginBegun;
pub use authorization::LoginStanding;
pub use cache_config::{CacheConfig, CachedTools};
pub use call_by_address::{McpCallAgent, ServerCredentials};
pub use call_key::drop_old_call_keys;
pub use config::{
    CallerLends, HttpTransportKind, Isolation, McpConfig, McpLimits, PinPolicy, ProtocolEra, Sampling, ServerAddress,
    ServerCommand, ServerUrl, SkillNotes, StartPolicy, WorkFolder,
};
pub use known_tools::remembered;
pub use login_desk::{LoginDesk, LoginReturn};
pub use login_place::LoginAddress;
pub use owner_question::ask_owner;
pub use process_limits::ProcessLimits;
pub use server_auth::{LoginConfig, OAuthClientConfig, ServerAuth, TokenAuthority};
pub use sharing::{LostSession, SessionScope, Sharing, WriteSharing};
pub use transport::stdio::{FreshEnv, Launcher, adopt_orphans, exec_mcp};

/// What a log filter should say of the protocol library, which logs whole messages at `info`.
pub const LOG_DIRECTIVE: &str = "rmcp=warn";
