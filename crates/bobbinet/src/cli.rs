//! What can be typed. The flags that the A2A project's CLI specification has are spelled as it spells them.

mod blob;
mod card;
mod flow;
mod key;
mod login;
mod mcp;
mod peers;
mod push;
mod push_config;
mod send;
mod store;
mod task;
mod token;
mod values;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use bobbinet_core::{AgentName, Secret};
use bobbinet_http::client::{Origin, ServiceParameter};
use bobbinet_mcp::{Isolation, ProtocolEra};
use bobbinet_wire::{Transport, Version};
use clap::{
    ArgAction, Args, Parser, Subcommand,
    builder::{FalseyValueParser, Styles, styling::AnsiColor},
};
use clap_complete::Shell;
use ipnet::IpNet;

use crate::{demo_servers, format::Format};
use values::{address, duration, era, isolation, network, positive_duration, transport, version};

pub(crate) use blob::Blob;
pub(crate) use card::Card;
pub(crate) use flow::{Flow, FlowCheck, FlowGraph, FlowRun};
pub(crate) use key::{Key, KeyCreate, KeyRevoke, Policy, PolicyTest};
pub(crate) use login::{ServerLogin, ServerLogout};
pub(crate) use mcp::{Mcp, McpHost};
pub(crate) use peers::{PeerAdd, PeerAuthArgs, PeerPlace, Peers};
pub(crate) use push::Push;
pub(crate) use push_config::{PushConfig, PushConfigCreate};
pub(crate) use send::{Call, Delivery, Ending, Send, Waiting};
pub(crate) use store::{DataDir, Store};
pub(crate) use task::{Task, TaskList};
pub(crate) use token::Token;

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
    Agent(Box<Agent>),
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
    /// What is too large for a task or a message: upload a file, fetch what a task refers to
    #[command(subcommand)]
    Blob(Blob),
    /// Look for mistakes in a configuration without starting anything
    Check(Check),
    /// Write a bobbinet.yaml with the MCP servers that another program knows
    Import(Import),
    /// Run, check and draw flows: files in the Open Workflow DSL that say which agent does what, and in which order
    #[command(subcommand)]
    Flow(Flow),
    /// Log in with a browser at the MCP server elsewhere that an agent of a node is, for all who may call the agent
    Login(ServerLogin),
    /// Take such a login away from an agent
    Logout(ServerLogout),
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
    /// Print a completion script: `source <(bobbinet completion bash)`; agents, skills and arguments come from the nodes that run
    #[command(visible_alias = "completions")]
    Completion {
        /// For which shell
        shell: Shell,
    },
    /// What the last of these words of `bobbinet call` may be: for completion scripts
    #[command(hide = true)]
    CompleteCall {
        /// What was typed behind it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
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
    /// The agent's name [default: after the command or the URL]
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
    /// A server that runs elsewhere, in place of a command: its MCP endpoint
    #[arg(long, value_name = "URL", env = "BOBBINET_URL", hide_env_values = true, conflicts_with_all = ["command", "cwd", "env"])]
    pub(crate) url: Option<String>,
    /// What goes along with every request to it; a secret by its name alone: 'Authorization=Bearer ${env:MCP_TOKEN}'
    #[arg(long = "header", value_name = "NAME=VALUE", conflicts_with = "command")]
    pub(crate) headers: Vec<String>,
    /// Where the server runs, or `own`: in a folder of its own in the data folder [default: here]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cwd: Option<PathBuf>,
    /// A variable for the server; with a name alone, the one that is set here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Whether the server is kept from seeing this node's keys and store: auto, required or off
    #[arg(long, value_name = "WORD", env = "BOBBINET_ISOLATION", hide_env_values = true, value_parser = isolation)]
    pub(crate) isolation: Option<Isolation>,
    /// How the server is started
    #[arg(last = true, required_unless_present = "url", value_name = "COMMAND")]
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

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A bobbinet.yaml or an mcp.json [default: the first that is there]
    pub(crate) file: Option<PathBuf>,
    /// Take a server of an mcp.json that cannot be started for an error, and not for a warning
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// claude-desktop, claude-code, cursor, vscode, cline, or a file [default: show which are here]
    pub(crate) from: Option<String>,
    /// The file to write; - prints it
    #[arg(long, value_name = "FILE", default_value = "bobbinet.yaml")]
    pub(crate) to: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub(crate) force: bool,
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
pub(crate) enum Config {
    /// Show each setting, its value and where that comes from: a flag, the environment, a file or the default
    Show,
}
