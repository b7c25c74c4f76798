//! Lists of tasks, a page at a time.

use std::sync::Arc;

use bobbinet_core::{AgentName, Caller, ContextId, State, StreamId, Task, Timestamp};
use bobbinet_store::{Listing, Query, Version};

use crate::{Engine, EngineError, Run, engine_inner::EngineInner};

/// Bytes of the tasks of a context that a run looks at.
const IN_CONTEXT_BYTES: usize = 64 << 20;

/// Which tasks to list. A field that is `None` does not filter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this context.
    pub context: Option<ContextId>,
    /// In this state.
    pub state: Option<State>,
    /// With a status no older than this.
    pub status_since: Option<Timestamp>,
    /// How many at most.
    pub page_size: usize,
    /// How many bytes of them at most, as [`Task::bytes`] counts: the page ends with the task that reaches it, and so has one at least.
    pub bytes_max: usize,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

/// A page of tasks, newest status first.
#[derive(Debug)]
pub struct TaskList {
    /// The page.
    pub tasks: Vec<Arc<Task>>,
    /// How many there are in all.
    pub total: usize,
    listing: Listing,
    /// Which entry of the listing each task is.
    places: Vec<usize>,
    /// How many of the entries were looked at.
    read: usize,
}

impl TaskList {
    /// Where the next page begins; `None` if there is none.
    pub fn next(&self) -> Option<String> {
        self.listing.next_after(self.read)
    }

    /// Where a page begins that has this task first, which must not be the first of this page.
    pub fn next_before(&self, task: usize) -> Option<String> {
        self.listing.next_after(*self.places.get(task)?)
    }
}

impl Engine {
    /// The caller's tasks; for the node's owner, everybody's of the tenant.
    ///
    /// # Errors
    /// If the page token is none of this list's, or the store cannot be read.
    pub async fn list(&self, caller: &Caller, agent: &AgentName, filter: Filter) -> Result<TaskList, EngineError> {
        let query = Query {
            tenant: caller.tenant.as_str().to_owned(),
            owner: (!caller.is_node_owner).then(|| caller.principal.as_str().to_owned()),
            agent: Some(agent.as_str().to_owned()),
            context: filter.context.map(|context| context.as_str().to_owned()),
            state: filter.state.map(State::code),
            status_since: filter.status_since,
            page_size: filter.page_size,
            page_token: filter.page_token,
        };
        let listing = self.inner.store.list(&query).await?;
        let mut list = TaskList { tasks: Vec::new(), total: listing.total, listing, places: Vec::new(), read: 0 };
        self.inner.read_list(&mut list, filter.bytes_max).await?;
        Ok(list)
    }
}

impl Run {
    /// Other tasks of its agent in its context, of whoever asked for this one: the newest ones, so many at the most.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn others_in_context(&self, max: usize) -> Result<Vec<Arc<Task>>, EngineError> {
        let mut tasks = self.host.in_context(&self.task, max).await?;
        tasks.retain(|task| task.id != self.task.id);
        Ok(tasks)
    }
}

impl EngineInner {
    /// The newest tasks of the same owner, agent and context as this one.
    pub(crate) async fn in_context(&self, task: &Task, max: usize) -> Result<Vec<Arc<Task>>, EngineError> {
        let query = Query {
            tenant: task.tenant.as_str().to_owned(),
            owner: Some(task.owner.as_str().to_owned()),
            agent: Some(task.agent.as_str().to_owned()),
            context: Some(task.context.as_str().to_owned()),
            page_size: max,
            ..Query::default()
        };
        let listing = self.store.list(&query).await?;
        let mut list = TaskList { tasks: Vec::new(), total: listing.total, listing, places: Vec::new(), read: 0 };
        self.read_list(&mut list, IN_CONTEXT_BYTES).await?;
        Ok(list.tasks)
    }

    /// Reads the tasks of a list in their order until they are enough bytes: what they weigh is known when they are read.
    async fn read_list(&self, list: &mut TaskList, bytes_max: usize) -> Result<(), EngineError> {
        let mut bytes = 0;
        while list.read < list.listing.entries.len() && (bytes < bytes_max || list.read == 0) {
            let entries = &list.listing.entries[list.read..];
            let streams: Vec<_> = entries.iter().map(|(stream, version, _)| (stream.clone(), *version)).collect();
            for task in self.peek(&streams, bytes_max.saturating_sub(bytes)).await? {
                list.read += 1;
                // One that was forgotten between the list and here is left out.
                let Some(task) = task else { continue };
                bytes += task.bytes;
                list.tasks.push(task);
                list.places.push(list.read - 1);
                if bytes >= bytes_max {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Some tasks as they stand, at the versions that the store has told at least, without keeping them in memory: the first ones,
    /// until so many bytes are read.
    async fn peek(
        &self,
        streams: &[(StreamId, Version)],
        bytes_max: usize,
    ) -> Result<Vec<Option<Arc<Task>>>, EngineError> {
        let mut tasks = vec![None; streams.len()];
        let (mut cold, mut places) = (Vec::new(), Vec::new());
        for (place, (stream, version)) in streams.iter().enumerate() {
            let in_memory = || stream.as_task().and_then(|id| self.tasks.cache.get(&id));
            if let Some(live) = in_memory() {
                // As for everybody who asks for what the store has told of: see `find_kept`.
                live.arrived().await;
            }
            match in_memory() {
                Some(live) => {
                    tasks[place] = self.or_damaged(stream, self.tasks.at_least(&live, *version).await).await?;
                }
                None => {
                    cold.push(stream.clone());
                    places.push(place);
                }
            }
        }
        let read = self.store.load_all(&cold, bytes_max).await;
        if let Some(end) = places.get(read.len()) {
            tasks.truncate(*end);
        }
        for ((place, stream), loaded) in places.into_iter().zip(&cold).zip(read) {
            let Some(id) = stream.as_task() else { continue };
            let folded = match loaded {
                Ok(loaded) => loaded.map(|loaded| self.tasks.fold(&id, &loaded)).transpose(),
                Err(error) => Err(error.into()),
            };
            tasks[place] = self.or_damaged(stream, folded).await?;
        }
        Ok(tasks)
    }

    /// A task that was read, or in the place of one that cannot be what is still known of it: one damaged task keeps nobody
    /// from the others of its list.
    async fn or_damaged(
        &self,
        stream: &StreamId,
        read: Result<Option<Arc<Task>>, EngineError>,
    ) -> Result<Option<Arc<Task>>, EngineError> {
        match (read, stream.as_task()) {
            (Err(EngineError::Corrupt(why)), Some(id)) => self.view_damaged(&id, why).await.map(Some),
            (read, _) => read,
        }
    }
}
