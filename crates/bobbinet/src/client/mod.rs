//! Talking to agents from the command line.

mod arguments;
mod blob;
mod brief;
mod card;
mod completing;
mod fault;
mod follow;
mod kept_tokens;
mod list;
mod login;
mod mcp;
mod oauth;
mod owner;
mod progress;
mod push;
mod push_config;
mod question;
mod readiness;
mod render;
mod resolve;
mod save;
mod send;
mod server_login;
mod show;
mod task;
mod tree;
mod verify;

use std::{path::PathBuf, time::Duration};

use bobbinet_auth::NODE_OWNER;
use bobbinet_core::Secret;
use bobbinet_http::client::{Origin, ServiceParameter};
use bobbinet_mcp_server::NodeDoor;
use bobbinet_outbound::{ClientTls, ClientTlsFiles};
use bobbinet_wire::{Transport, Version};

use clap::{Arg, CommandFactory};

use crate::{
    cli::{Auth, Blob, Call, Card, Cli, Delivery, Global, Push, Send, ServerLogin, ServerLogout, Target, Task, Token},
    config::DATA,
    failure::{Code, Failure},
    keys::{self, TokenFor},
    node::Running,
    output::Output,
    remark::{Remark, remark},
};

pub(crate) use resolve::Resolver;

/// How long a node may take to say that it lives.
const PROBE_ANSWER_MAX: Duration = Duration::from_secs(5);

/// What every command here goes by.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    output: Output,
    options: Options,
}

/// How agents are called, whichever it is.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    bearer: Option<Secret>,
    api_key: Option<Secret>,
    parameters: Vec<ServiceParameter>,
    origin: Option<Origin>,
    transports: Vec<Transport>,
    version: Option<Version>,
    is_insecure: bool,
    tls: ClientTls,
}

fn is_flag(argument: &Arg, typed: &str) -> bool {
    match (typed.strip_prefix("--"), typed.strip_prefix('-')) {
        (Some(long), _) => argument.get_long_and_visible_aliases().is_some_and(|names| names.contains(&long)),
        (None, Some(short)) => argument.get_short().is_some_and(|name| short == name.to_string()),
        (None, None) => false,
    }
}

fn tls(global: &Global) -> Result<ClientTls, Failure> {
    let files = ClientTlsFiles {
        ca: global.ca_file.clone(),
        identity: global.client_cert.clone().zip(global.client_key.clone()),
    };
    files.read().map_err(|fault| Failure::of(Code::Usage, &fault))
}

impl Client {
    /// As the options for every command say.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        if global.insecure {
            let text = "certificates are not checked (--insecure): whoever stands in between can read and change \
                        everything, credentials too";
            remark(Remark::Warning, text);
        }
        let options = Options {
            bearer: global.bearer.clone(),
            api_key: global.api_key.clone(),
            parameters: global.svc_param.clone(),
            origin: global.origin.clone(),
            transports: global.transport.clone(),
            version: global.a2a_version,
            is_insecure: global.insecure,
            tls: tls(global)?,
        };
        Ok(Self { output: Output { format: global.output, is_verbose: global.verbose }, options })
    }

    /// `bobbinet card …`
    pub(crate) async fn card(&self, command: Card) -> Result<(), Failure> {
        match command {
            Card::Get { url, validate, mut target } => {
                target.agent = url.or(target.agent);
                let agent = self.resolver(target).await.agent()?;
                match validate {
                    true => card::validate(self.output, &agent).await,
                    false => card::get(self.output, &agent).await,
                }
            }
            Card::Verify { url, keys, thumbprint, mut target } => {
                target.agent = url.or(target.agent);
                let agent = self.resolver(target).await.agent()?;
                verify::verify(self.output, &agent, keys, thumbprint).await
            }
        }
    }

    /// `bobbinet probe …`
    pub(crate) async fn probe(&self, node: &str) -> Result<(), Failure> {
        let url = format!("{}/livez", node.trim_end_matches('/'));
        let builder = reqwest::Client::builder()
            .timeout(PROBE_ANSWER_MAX)
            .tls_danger_accept_invalid_certs(self.options.is_insecure);
        let http = self.options.tls.apply(builder).build().map_err(|error| Failure::of(Code::Internal, &error))?;
        let answer = http.get(&url).send().await.and_then(reqwest::Response::error_for_status);
        answer.map(drop).map_err(|error| Failure::of(Code::Unreachable, &error))
    }

    /// `bobbinet auth …`
    pub(crate) async fn auth(&self, command: Auth) -> Result<(), Failure> {
        match command {
            Auth::Login(login) => {
                let agent = self.resolver(login.target.clone()).await.agent()?;
                login::login(self.output, &agent, &login).await
            }
            Auth::Logout { target } => login::logout(self.output, &self.resolver(target).await.agent()?),
        }
    }

    /// `bobbinet complete-call …`
    pub(crate) async fn complete_call(&self, words: &[String]) -> Result<(), Failure> {
        let cli = Cli::command();
        let call = cli.find_subcommand("call").expect("there is such a command");
        let is_valued = |flag: &str| {
            let mut all = call.get_arguments().chain(cli.get_arguments());
            all.any(|argument| is_flag(argument, flag) && argument.get_action().takes_values())
        };
        for word in completing::words(self, words, is_valued).await {
            self.output.line(word)?;
        }
        Ok(())
    }

    /// `bobbinet login …`
    pub(crate) async fn server_login(&self, command: ServerLogin) -> Result<(), Failure> {
        server_login::login(self, command).await
    }

    /// `bobbinet logout …`
    pub(crate) async fn server_logout(&self, command: ServerLogout) -> Result<(), Failure> {
        server_login::logout(self, command).await
    }

    /// `bobbinet token …`
    pub(crate) async fn token(&self, command: Token) -> Result<(), Failure> {
        let Token::Mint { audience, named, sub, ttl, target } = command;
        let (audience, data) = match audience {
            Some(audience) => {
                // One who has a name is this folder's node's, whichever node he is to call.
                let own = named.as_ref().map(|_| PathBuf::from(DATA)).filter(|data| data.is_dir());
                let data = target.data_dir.or(own).or_else(|| Running::of(&audience).map(|node| node.data));
                (audience, data)
            }
            None => {
                let data = target.data_dir.clone();
                let agent = self.resolver(target).await.agent()?;
                (agent.url_with_scheme(), agent.data().or(data))
            }
        };
        let subject = match (&named, &sub) {
            (Some(name), _) => TokenFor::Named(name),
            (None, Some(subject)) if subject != NODE_OWNER => TokenFor::Subject(subject),
            (None, Some(_) | None) => TokenFor::Owner,
        };
        keys::mint_token(self.output, &audience, subject, ttl, data)
    }

    /// `bobbinet send …`
    pub(crate) async fn send(&self, command: Send) -> Result<(), Failure> {
        send::send(self, command).await
    }

    /// `bobbinet call …`
    pub(crate) async fn call(&self, command: Call) -> Result<(), Failure> {
        send::call(self, command).await
    }

    /// What `bobbinet flow run` says to the agent of its flow.
    pub(crate) async fn run_flow(
        &self,
        target: Target,
        input: &str,
        answers: &[String],
        delivery: &Delivery,
    ) -> Result<(), Failure> {
        send::run_flow(self, target, input, answers, delivery).await
    }

    /// `bobbinet task …`
    pub(crate) async fn task(&self, command: Task) -> Result<(), Failure> {
        task::run(self, command).await
    }

    /// `bobbinet blob …`
    pub(crate) async fn blob(&self, command: Blob) -> Result<(), Failure> {
        blob::run(self, command).await
    }

    /// `bobbinet push …`
    pub(crate) async fn push(&self, command: Push) -> Result<(), Failure> {
        push::run(self, command).await
    }

    /// The way to a node's MCP server: that of this URL, or the one node that is meant.
    pub(crate) async fn mcp_door(&self, url: Option<String>, data_dir: Option<PathBuf>) -> Result<NodeDoor, Failure> {
        mcp::door(self, url, data_dir).await
    }

    async fn resolver(&self, target: Target) -> Resolver {
        Resolver::new(target, self.options.clone(), self.output).await
    }
}
