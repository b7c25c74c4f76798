//! A page of a list, read in goes: tasks weigh more in memory than what is shown of them.

use bobbinet_core::{AgentName, Caller, operation::ListParams};
use bobbinet_engine::{Engine, Filter, TaskList};

use crate::GatewayError;

/// The tasks of one page, in order, as many at a time as are not too large together.
#[derive(Debug)]
pub struct TaskPages<'a> {
    engine: &'a Engine,
    caller: &'a Caller,
    agent: &'a AgentName,
    params: ListParams,
    left: usize,
}

impl<'a> TaskPages<'a> {
    pub(crate) fn new(engine: &'a Engine, caller: &'a Caller, agent: &'a AgentName, params: ListParams) -> Self {
        let left = usize::try_from(params.page_size).unwrap_or(usize::MAX);
        Self { engine, caller, agent, params, left }
    }

    /// Where what was given so far ends, as the token of the page after it; `None` at the end of the list. The page's own token before
    /// anything was given.
    pub fn token(&self) -> Option<&str> {
        self.params.page_token.as_deref()
    }

    /// The next tasks: about `bytes_max` bytes of them at most. `None` when the page is full or the list has ended.
    ///
    /// # Errors
    /// If the page token is none of this list's, or the store cannot be read.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Option<TaskList>, GatewayError> {
        if self.left == 0 {
            return Ok(None);
        }
        let filter = Filter {
            context: self.params.context.clone(),
            state: self.params.state,
            status_since: self.params.status_timestamp_after,
            page_size: self.left,
            bytes_max,
            page_token: self.params.page_token.take(),
        };
        let list = self.engine.list(self.caller, self.agent, filter).await?;
        self.params.page_token = list.next();
        let is_last = self.params.page_token.is_none();
        self.left = if is_last { 0 } else { self.left.saturating_sub(list.tasks.len()) };
        Ok(Some(list))
    }
}
