//! Talking to agents from the command line.

mod arguments;
mod card;
mod fault;
mod follow;
mod list;
pub(crate) mod parts;
mod progress;
mod question;
mod render;
mod resolve;
mod send;
mod show;
mod task;

use crate::{
    cli::{Call, Card, Global, Send, Task},
    failure::Failure,
    output::Output,
};

pub(crate) use resolve::Resolver;

/// What every command here goes by.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    output: Output,
    bearer: Option<crate::cli::Secret>,
}

impl Client {
    /// As the options for every command say.
    pub(crate) fn new(global: &Global) -> Self {
        Self { output: Output { format: global.output, is_verbose: global.verbose }, bearer: global.bearer.clone() }
    }

    /// `weft card …`
    pub(crate) async fn card(&self, command: Card) -> Result<(), Failure> {
        let Card::Get { url, mut target } = command;
        target.agent = url.or(target.agent);
        let agent = self.resolver(target).agent()?;
        card::get(self.output, &agent).await
    }

    /// `weft send …`
    pub(crate) async fn send(&self, command: Send) -> Result<(), Failure> {
        send::send(self, command).await
    }

    /// `weft call …`
    pub(crate) async fn call(&self, command: Call) -> Result<(), Failure> {
        send::call(self, command).await
    }

    /// `weft task …`
    pub(crate) async fn task(&self, command: Task) -> Result<(), Failure> {
        task::run(self, command).await
    }

    fn resolver(&self, target: crate::cli::Target) -> Resolver {
        Resolver::new(target, self.bearer.clone())
    }
}
