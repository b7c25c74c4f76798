//! What can be typed. The flags that the A2A project's CLI specification has are spelled as it spells them.

mod flow;
mod key;
mod mcp;
mod push_config;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use bobbinet_core::{AgentName, ContextId, Secret, State};
use bobbinet_http::client::{Origin, ServiceParameter};
use bobbinet_mcp::{Isolation, ProtocolEra};
use bobbinet_wire::{Transport, Version};
use clap::{
    ArgAction, Args, Parser, Subcommand,
    builder::{FalseyValueParser, Styles, styling::AnsiColor},
};
use clap_complete::Shell;
use ipnet::IpNet;
use tokio::time::Instant;

use crate::{
    config::{parse_address, parse_network},
    demo_servers,
    format::Format,
    parts::Parts,
};

pub(crate) use flow::{Flow, FlowCheck, FlowGraph, FlowRun};
pub(crate) use key::{Key, KeyCreate, KeyRevoke, Policy, PolicyTest};
pub(crate) use mcp::{Mcp, McpHost};
pub(crate) use push_config::{PushConfig, PushConfigCreate};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  bobbinet demo                                    see it survive a kill -9
  bobbinet up mcp.json                             every server of the file becomes an agent
  bobbinet agent --name files -- npx -y @modelcontextprotocol/server-filesystem ./docs
  bobbinet call files.list_directory path=.        call a tool of the node that was started in this folder
  bobbinet task list -o table                      what became of it";

/// Any MCP server becomes a durable A2A agent.
#[derive(Debug, Parser)]
#[command(name = "bobbinet", version, styles = STYLES, after_long_help = EXAMPLES, max_term_width = 110)]
#[command(disable_version_flag = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What goes with every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
pub(crate) struct Global {
    /// What results look like
    #[arg(short, long, global = true, value_enum, default_value_t, env = "A2ACLI_OUTPUT", hide_env = true)]
    pub(crate) output: Format,
    /// Show a bearer token of yours instead of one made with the key of a node on this machine. Others on the machine
    /// can see what is typed here: the variable is safer
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "TOKEN",
        env = "A2ACLI_BEARER",
        hide_env_values = true
    )]
    pub(crate) bearer: Option<Secret>,
    /// Show this API key, where the agent's card says. Others on the machine can see what is typed here: the variable
    /// is safer
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "KEY",
        env = "A2ACLI_API_KEY",
        hide_env_values = true
    )]
    pub(crate) api_key: Option<Secret>,
    /// Send this service parameter, a header, with each request; may be repeated
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "NAME:VALUE",
        env = "A2ACLI_SVC_PARAM",
        hide_env_values = true
    )]
    #[arg(value_parser = ServiceParameter::parse)]
    pub(crate) svc_param: Vec<ServiceParameter>,
    /// Call the agent at this scheme, host and port, and not where its card says. It gets your credentials
    #[arg(long, global = true, value_name = "URL", value_parser = Origin::parse)]
    pub(crate) origin: Option<Origin>,
    /// Call the agent over this, whatever its card prefers: jsonrpc, http+json or grpc; the first of several that it has
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME", env = "A2ACLI_TRANSPORT", hide_env = true)]
    #[arg(value_delimiter = ',', value_parser = transport)]
    pub(crate) transport: Vec<Transport>,
    /// Speak this version of A2A, and no other, whatever its card prefers: 1.0 or 0.3
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "VERSION",
        env = "A2ACLI_A2A_VERSION",
        hide_env = true
    )]
    #[arg(value_parser = version)]
    pub(crate) a2a_version: Option<Version>,
    /// Believe any certificate. For trying things out only: whoever stands in between can read and change everything
    #[arg(long, global = true, hide_short_help = true, env = "A2ACLI_INSECURE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(crate) insecure: bool,
    /// Believe certificates of the authorities in this file (PEM), and of no others
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE", env = "BOBBINET_CA_FILE", hide_env = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Show this certificate (PEM) to agents that ask for one
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "BOBBINET_CLIENT_CERT",
        hide_env = true,
        requires = "client_key"
    )]
    pub(crate) client_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "FILE",
        env = "BOBBINET_CLIENT_KEY",
        hide_env = true
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// Show all of what is said, and not only its gist
    #[arg(long, global = true, env = "A2ACLI_VERBOSE", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(crate) verbose: bool,
    /// Tell on standard error how it is done
    #[arg(long, global = true, hide_short_help = true, env = "A2ACLI_DEBUG", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(crate) debug: bool,
    /// Take A2ACLI_* settings from this file instead of the nearest .env
    #[arg(long, global = true, hide_short_help = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log, such as `debug` or `info,bobbinet_engine=trace`
    #[arg(long, global = true, hide_short_help = true, value_name = "FILTER", env = "BOBBINET_LOG", hide_env = true)]
    pub(crate) log: Option<String>,
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node: every MCP server of a file as an agent
    Up(Up),
    /// Run one MCP server as an agent, at the root of an address
    Agent(Agent),
    /// Be an MCP server on standard input and output whose tools are all agents of a node, for a host that starts its servers
    Mcp(Mcp),
    /// See tasks survive a kill -9, with three agents and an orchestrator
    Demo(Demo),
    /// Look at an agent's card
    #[command(subcommand)]
    Card(Card),
    /// Send a message to an agent
    Send(Box<Send>),
    /// Call a skill with arguments
    Call(Box<Call>),
    /// Look at tasks, follow, answer and cancel them
    #[command(subcommand)]
    Task(Box<Task>),
    /// Look for mistakes in a configuration without starting anything
    Check(Check),
    /// Run, check and draw flows: files in the Open Workflow DSL that say which agent does what, and in which order
    #[command(subcommand)]
    Flow(Flow),
    /// Tokens for agents elsewhere: get one as the agent's card says, and keep it
    #[command(subcommand)]
    Auth(Auth),
    /// Tokens of a node's owner
    #[command(subcommand)]
    Token(Token),
    /// The agents elsewhere that a node calls: list them, add one, try one out
    #[command(args_conflicts_with_subcommands = true)]
    Peers {
        #[command(subcommand)]
        command: Option<Peers>,
        #[command(flatten)]
        place: PeerPlace,
    },
    /// What a node of this machine has sent to webhooks in vain: list it, try it again, drop it
    ///
    /// To have an agent call a webhook in the first place, see `bobbinet task push-config`.
    #[command(subcommand)]
    Push(Push),
    /// A node's keys: those that sign its tokens, and API keys for callers that cannot renew a token
    #[command(subcommand)]
    Key(Key),
    /// Who may do what on a node
    #[command(subcommand)]
    Policy(Policy),
    /// A node's data, while the node is not running
    #[command(subcommand)]
    Store(Store),
    /// Settings: those of A2ACLI_* variables and .env files
    #[command(subcommand)]
    Config(Config),
    /// Print a completion script
    Completion {
        /// For which shell
        shell: Shell,
    },
    /// The program between a node and a server, which ends with both
    #[command(hide = true)]
    ExecMcp {
        /// What to run
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// See whether a node lives, as its probes do, which need no certificate where all else does: what `helm test` runs there
    #[command(hide = true)]
    Probe {
        /// The node's URL
        url: String,
    },
    /// One of the demo's MCP servers, on standard input and output
    #[command(hide = true)]
    DemoServer(demo_servers::Args),
}

/// Where a node listens and keeps its data.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where to listen [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS", env = "BOBBINET_LISTEN", hide_env_values = true, value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to keep tasks and keys [default: ./bobbinet-data]
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The node's certificate (PEM): then it is reached by https. Read anew as it changes
    #[arg(
        long,
        value_name = "FILE",
        env = "BOBBINET_TLS_CERT",
        hide_env_values = true,
        conflicts_with = "no_tls",
        requires = "tls_key"
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", env = "BOBBINET_TLS_KEY", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Authorities (PEM) whose certificates callers may show
    #[arg(long, value_name = "FILE", env = "BOBBINET_TLS_CLIENT_CA", hide_env_values = true, requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// Take no caller without a certificate, but probes
    #[arg(long, env = "BOBBINET_TLS_CLIENT_REQUIRED", hide_env_values = true, requires_if("true", "tls_client_ca"), value_parser = FalseyValueParser::new())]
    pub(crate) tls_client_required: bool,
    /// Listen without TLS at an address that others can reach: a proxy or a mesh before the node has it
    #[arg(long, env = "BOBBINET_NO_TLS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) no_tls: bool,
    /// What callers know the node by, if not by its address, such as `https://agents.example.com`
    #[arg(long, value_name = "URL", env = "BOBBINET_PUBLIC_URL", hide_env_values = true)]
    pub(crate) public_url: Option<String>,
    /// A proxy before the node, or a network of them such as 10.0.0.0/8: it stands for many callers; may be repeated
    #[arg(long, value_name = "ADDRESS", env = "BOBBINET_PROXY", hide_env_values = true, value_delimiter = ',', value_parser = network)]
    pub(crate) proxy: Vec<IpNet>,
    /// Let pages of this origin call the agents from a browser, such as `https://ui.example.com`; may be repeated
    #[arg(long, value_name = "ORIGIN", env = "BOBBINET_CORS", hide_env_values = true, value_delimiter = ',')]
    pub(crate) cors: Vec<String>,
    /// How long to go on taking work after a SIGTERM, so that those who route to the node can turn away
    #[arg(long, value_name = "TIME", env = "BOBBINET_PRE_STOP_DELAY", hide_env_values = true, value_parser = duration)]
    pub(crate) pre_stop_delay: Option<Duration>,
    /// How long running calls may take to end after a SIGTERM
    #[arg(long, value_name = "TIME", env = "BOBBINET_GRACE", hide_env_values = true, value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// Where to send traces, such as `http://127.0.0.1:4318`
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub(crate) otlp: Option<String>,
}

/// How the demo is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Demo {
    /// Leave the folder with the tasks, notes and logs in place
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// A bobbinet.yaml or an mcp.json [default: the first that is there]
    pub(crate) file: Option<PathBuf>,
    /// Start nothing if one of the servers of an mcp.json cannot be started, in place of leaving it out
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The agent's name [default: after the command]
    #[arg(long, env = "BOBBINET_NAME", hide_env_values = true, value_parser = AgentName::parse)]
    pub(crate) name: Option<AgentName>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// A card that knows the server's tools: filesystem, memory, everything, or a file
    #[arg(long = "use", value_name = "CARD", env = "BOBBINET_USE", hide_env_values = true)]
    pub(crate) card: Option<String>,
    /// Believe what the server says of its tools: which only read, and which may be repeated
    #[arg(long, env = "BOBBINET_TRUST_HINTS", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) trust_hints: bool,
    /// What the agent is for, in place of the server's own words
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Which generation of MCP to speak with the server: modern (2026-07-28), legacy (with a handshake), or auto, which finds
    /// out and remembers it in the data folder
    #[arg(long, value_name = "ERA", default_value = "auto", env = "BOBBINET_ERA", hide_env_values = true)]
    #[arg(value_parser = era)]
    pub(crate) era: ProtocolEra,
    /// Who may call beside the node's owner: a file with `trust`, `principals` and `policy`, as a bobbinet.yaml has them
    #[arg(long, value_name = "FILE", env = "BOBBINET_CALLERS", hide_env_values = true)]
    pub(crate) callers: Option<PathBuf>,
    /// How long a call may go without a word of the server: a result, progress or a question [default: 1h]
    #[arg(long, value_name = "TIME", env = "BOBBINET_IDLE", hide_env_values = true, value_parser = positive_duration)]
    pub(crate) idle: Option<Duration>,
    /// How long the server may take to start, instead of as long as it shows life and 15m at most
    #[arg(long, value_name = "TIME", env = "BOBBINET_START_TIMEOUT", hide_env_values = true, value_parser = positive_duration)]
    pub(crate) start_timeout: Option<Duration>,
    /// Where the server runs [default: here]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cwd: Option<PathBuf>,
    /// A variable for the server; with a name alone, the one that is set here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Whether the server is kept from seeing this node's keys and store: auto, required or off
    #[arg(long, value_name = "WORD", env = "BOBBINET_ISOLATION", hide_env_values = true, value_parser = isolation)]
    pub(crate) isolation: Option<Isolation>,
    /// How the server is started
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// The agent that a command is about.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// The agent: its URL, its name on a node of this machine, or a file with its card [default: the one there is]
    #[arg(short, long = "agent-card", value_name = "AGENT", env = "A2ACLI_AGENT_CARD", hide_env_values = true)]
    #[arg(visible_alias = "agent")]
    pub(crate) agent: Option<String>,
    /// The data folder of the node, if it is not found by itself
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How to wait for a task.
#[derive(Clone, Debug, Args)]
pub(crate) struct Waiting {
    /// How long to wait before giving up; the task goes on
    #[arg(long, value_name = "TIME", env = "A2ACLI_TIMEOUT", hide_env = true, value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// How often to look, where an agent cannot stream
    #[arg(long, value_name = "TIME", hide_short_help = true, env = "A2ACLI_POLL_INTERVAL", hide_env = true, default_value = "2s", value_parser = duration)]
    pub(crate) poll_interval: Duration,
}

impl Waiting {
    /// When to give up, counted from now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| Instant::now() + timeout)
    }
}

/// What to do with what a task comes to.
#[derive(Clone, Debug, Args)]
pub(crate) struct Ending {
    /// Say by the exit code how the task stands
    ///
    /// 0 completed, 10 failed, 11 rejected, 12 canceled, 13 not ended: it asks, or is at work. Without this the exit
    /// code says only whether the command did its job.
    #[arg(long)]
    pub(crate) fail: bool,
    /// Write the files that the task has made into this folder; nothing is overwritten
    #[arg(long, value_name = "FOLDER")]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Card {
    /// Fetch a card and show it
    Get {
        /// The agent: its URL, its name on a node of this machine, or a file with its card
        url: Option<String>,
        /// Say all that is wrong with it, and where, in place of showing it
        #[arg(long)]
        validate: bool,
        #[command(flatten)]
        target: Target,
    },
    /// See whether a card is signed, and by whom
    Verify {
        /// The agent: its URL, its name on a node of this machine, or a file with its card
        url: Option<String>,
        /// A file with the JWK set that its key must be in [default: the keys of its node, if that is on this machine]
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// The thumbprint (RFC 7638, SHA-256) that its key must have; may be repeated
        #[arg(long, value_name = "HASH", conflicts_with = "keys")]
        thumbprint: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
}

/// How to send, and what to do then.
#[derive(Clone, Debug, Args)]
pub(crate) struct Delivery {
    /// Follow what happens, as it happens
    #[arg(long, conflicts_with = "is_async")]
    pub(crate) stream: bool,
    /// Do not wait for the task to end or to ask
    #[arg(long = "async", visible_alias = "no-wait", env = "A2ACLI_ASYNC", hide_env = true, value_parser = FalseyValueParser::new())]
    pub(crate) is_async: bool,
    /// Wait for the task to end or to ask, which is the default
    #[arg(long, conflicts_with = "is_async", hide_short_help = true)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    #[command(flatten)]
    pub(crate) ending: Ending,
    /// How many messages of the history to show
    #[arg(long, value_name = "N", env = "A2ACLI_HISTORY", hide_env = true)]
    pub(crate) history: Option<u32>,
    /// A key under which a repetition of this request finds the same task
    #[arg(long, value_name = "KEY", hide_short_help = true)]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) parts: Parts,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Go on with this task: answer what it asks
    #[arg(long, value_name = "ID", env = "A2ACLI_TASK_ID", hide_env = true)]
    pub(crate) task_id: Option<String>,
    /// Group the message with what has this context
    #[arg(long, value_name = "ID", env = "A2ACLI_CONTEXT_ID", hide_env = true, value_parser = ContextId::parse)]
    pub(crate) context_id: Option<ContextId>,
    /// A JSON object that goes with the message
    #[arg(long, value_name = "JSON", env = "A2ACLI_METADATA", hide_env = true, hide_short_help = true)]
    pub(crate) metadata: Option<String>,
    #[command(flatten)]
    pub(crate) delivery: Delivery,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The skill: AGENT.SKILL, or only SKILL with -a
    pub(crate) skill: String,
    /// Its arguments: NAME=VALUE, or NAME:=JSON; or all of them as one JSON object
    #[arg(value_name = "NAME=VALUE")]
    pub(crate) arguments: Vec<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Group the call with what has this context
    #[arg(long, value_name = "ID", env = "A2ACLI_CONTEXT_ID", hide_env = true, value_parser = ContextId::parse)]
    pub(crate) context_id: Option<ContextId>,
    #[command(flatten)]
    pub(crate) delivery: Delivery,
}

/// Webhooks whose receivers have not taken an event.
#[derive(Debug, Subcommand)]
pub(crate) enum Push {
    /// List the dead letters of a node of this machine, and what is tried again
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Try a webhook again: now if it waits, and from where it was given up if it is a dead letter
    Retry {
        /// The task's id
        task: String,
        /// The webhook's id
        webhook: String,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a webhook, with what it was not told
    Drop {
        /// The task's id
        task: String,
        /// The webhook's id
        webhook: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// List tasks, the newest first
    List(TaskList),
    /// Show a task
    Get {
        /// Its id
        id: String,
        /// Wait until it has ended or asks
        #[arg(long, visible_alias = "watch")]
        wait: bool,
        /// How many messages of the history to show
        #[arg(long, value_name = "N", env = "A2ACLI_HISTORY", hide_env = true)]
        history: Option<u32>,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        ending: Ending,
        #[command(flatten)]
        target: Target,
    },
    /// Show all that a node of this machine knows of a task: its log, its calls and what is known of their effects
    Show {
        /// Its id
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Follow a task until it has ended or asks
    Subscribe {
        /// Its id
        id: String,
        /// Give each event as it comes
        #[arg(long)]
        stream: bool,
        /// Go on after this event
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        ending: Ending,
        #[command(flatten)]
        target: Target,
    },
    /// Write what a task has made into files; nothing is overwritten
    Download {
        /// Its id
        id: String,
        /// Only the artifact of this id
        #[arg(long = "artifact-id", visible_alias = "artifact", value_name = "ID")]
        artifact: Option<String>,
        /// Where to
        #[arg(short = 'd', long = "dir", visible_alias = "save", value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Answer what a task asks
    Reply {
        /// Its id
        id: String,
        #[command(flatten)]
        parts: Parts,
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        delivery: Delivery,
    },
    /// Webhooks of a task, at an agent of any make: have it send what happens to a URL, list, show, delete
    ///
    /// They are A2A's push notifications. For what a node of this machine has sent in vain, see `bobbinet push`.
    #[command(subcommand)]
    PushConfig(PushConfig),
    /// Cancel a task
    Cancel {
        /// Its id
        id: String,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TaskList {
    /// Only those in this state, such as working or input-required
    #[arg(long, visible_alias = "status", value_parser = state)]
    pub(crate) state: Option<State>,
    /// Only those of this context
    #[arg(long, value_name = "ID", env = "A2ACLI_CONTEXT_ID", hide_env = true, value_parser = ContextId::parse)]
    pub(crate) context_id: Option<ContextId>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) page_size: u32,
    /// Where the page before ended
    #[arg(long, value_name = "TOKEN")]
    pub(crate) page_token: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// One task to a line, with -o json
    #[arg(long)]
    pub(crate) stream: bool,
    /// Show with each task those that its run has begun. For the owner of the node
    #[arg(long, conflicts_with = "stream")]
    pub(crate) tree: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A bobbinet.yaml or an mcp.json [default: the first that is there]
    pub(crate) file: Option<PathBuf>,
    /// Take a server of an mcp.json that cannot be started for an error, and not for a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Get a token for an agent from the authorization server that its card names; it is shown from then on
    Login(Login),
    /// Forget the token for an agent
    Logout {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What the authorization server knows this program by
    #[arg(long, value_name = "ID", env = "A2ACLI_CLIENT_ID", hide_env = true)]
    pub(crate) client_id: String,
    /// Its secret, if it has one. Others on the machine can see what is typed here: the variable is safer
    #[arg(long, value_name = "SECRET", env = "A2ACLI_CLIENT_SECRET", hide_env_values = true)]
    pub(crate) client_secret: Option<Secret>,
    /// What to ask for; may be repeated [default: all that the card names]
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// Which way, of those that the card names
    #[arg(long, value_enum)]
    pub(crate) by: Option<LoginBy>,
    /// The authorization server that the secret may be shown to, if it is not where the agent is
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
}

/// How a token is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LoginBy {
    /// By a code that is confirmed on any device
    Device,
    /// By a browser on this machine
    Browser,
    /// By the secret of the program itself
    Client,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for one agent, and print it alone
    Mint {
        /// The URL that it is for, if not that of the agent
        #[arg(long, value_name = "URL", conflicts_with = "agent")]
        audience: Option<String>,
        /// Who it is for, by his name under `principals` of the node's bobbinet.yaml [default: the node's owner]
        #[arg(long = "for", value_name = "NAME")]
        named: Option<String>,
        /// Who it is for, by a name that the node's bobbinet.yaml does not have
        #[arg(long, value_name = "NAME", conflicts_with = "named", hide_short_help = true)]
        sub: Option<String>,
        /// How long it is good for: up to 15 minutes, or to the principal's `life` [default: 5m, or that]
        #[arg(long, visible_alias = "life", value_name = "TIME", value_parser = duration)]
        ttl: Option<Duration>,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Peers {
    /// List the peers of a node, and whether each is there
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        place: PeerPlace,
    },
    /// Add an agent by its URL, or all agents of a node; kept in the node's data folder
    Add(Box<PeerAdd>),
    /// Remove one that was added
    Rm {
        /// Its URL, or its name
        peer: String,
        #[command(flatten)]
        place: PeerPlace,
    },
    /// Try one out: its card, how quick it is, and whether it lets this node in
    Test {
        /// Its name, or a URL
        peer: String,
        #[command(flatten)]
        place: PeerPlace,
        #[command(flatten)]
        auth: PeerAuthArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PeerAdd {
    /// The URL of an agent, of its card, or of a node
    pub(crate) url: String,
    /// What it is called here, if it is one agent [default: after its card]
    #[arg(long, value_parser = AgentName::parse)]
    pub(crate) name: Option<AgentName>,
    #[command(flatten)]
    pub(crate) auth: PeerAuthArgs,
    #[command(flatten)]
    pub(crate) place: PeerPlace,
}

/// How a peer is shown who calls.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerAuthArgs {
    /// Show it a token of this node (node), or nothing (none) [default: node, if the node has an issuer's name]
    #[arg(long, value_name = "WORD", conflicts_with = "auth_file")]
    pub(crate) auth: Option<String>,
    /// Show it the token in this file, which is read anew as it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
}

/// The node whose peers are meant.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerPlace {
    /// The node's bobbinet.yaml [default: the first that is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The node's data folder [default: that of the file]
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Read all of it, and say what is damaged
    Check(DataDir),
    /// Write all of it to standard output, one JSON object to a line
    Export(Export),
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) place: DataDir,
    /// Go on where something is damaged, say so in a line of its own, and read a store that does not open from a copy
    #[arg(long)]
    pub(crate) salvage: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show each setting, its value and where that comes from: a flag, the environment, a file or the default
    Show,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DataDir {
    /// The node's data folder
    #[arg(long, value_name = "FOLDER", env = "BOBBINET_DATA", hide_env_values = true, default_value = crate::config::DATA)]
    pub(crate) data_dir: PathBuf,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    parse_address(text).ok_or_else(|| "write an IP address and a port, such as 127.0.0.1:7420".to_owned())
}

fn network(text: &str) -> Result<IpNet, String> {
    parse_network(text).ok_or_else(|| "write an IP address, or a network such as 10.0.0.0/8".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()));
    seconds.or_else(|_| humantime::parse_duration(text)).map_err(|_| "write a time such as 500ms, 30s or 5m".to_owned())
}

fn transport(text: &str) -> Result<Transport, String> {
    match text.trim().to_lowercase().as_str() {
        "jsonrpc" | "json-rpc" => Ok(Transport::JsonRpc),
        "http+json" | "rest" => Ok(Transport::HttpJson),
        "grpc" => Ok(Transport::Grpc),
        _ => Err("there is jsonrpc, http+json and grpc".to_owned()),
    }
}

fn version(text: &str) -> Result<Version, String> {
    Version::ALL.into_iter().find(|version| version.name() == text.trim()).ok_or_else(|| {
        let all = Version::ALL.map(Version::name).join(" and ");
        format!("there is {all}")
    })
}

fn isolation(text: &str) -> Result<Isolation, String> {
    let word = serde_json::Value::from(text.to_lowercase());
    serde_json::from_value(word).map_err(|_| "there is auto, required and off".to_owned())
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("write a time that is longer than none, such as 30s or 5m".to_owned()),
        time => Ok(time),
    }
}

fn era(text: &str) -> Result<ProtocolEra, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|_| "there is auto, modern and legacy".to_owned())
}

fn state(text: &str) -> Result<State, String> {
    let simple = text.to_lowercase().replace('_', "-");
    let simple = simple.strip_prefix("task-state-").unwrap_or(&simple);
    State::ALL.into_iter().find(|state| state.as_str() == simple).ok_or_else(|| {
        let all = State::ALL.map(State::as_str).join(", ");
        format!("there is {all}")
    })
}
