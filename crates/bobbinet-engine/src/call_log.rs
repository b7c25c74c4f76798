//! What an agent's server says for a log while it works on a call, for whoever waits for that call just now. Nothing of it is kept, and
//! where nobody listens it costs one look at a number.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bobbinet_core::{Json, MessageId, Task, TaskId};
use tokio::sync::Notify;

/// Lines that wait for one who listens. What is more is counted, and lost.
const LINES_MAX: usize = 64;

/// How grave a line is (RFC 5424).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What only its authors want to know.
    Debug,
    /// What goes on.
    Info,
    /// What is usual, and worth to be known.
    Notice,
    /// What may be wrong.
    Warning,
    /// What is wrong.
    Error,
    /// What a part fails of.
    Critical,
    /// What somebody has to do something about at once.
    Alert,
    /// What all of it fails of.
    Emergency,
}

impl Severity {
    /// All, from the least grave.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// The one of this word.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.word() == word)
    }
}

/// A call, as those know it who listen to it: by its task, or before there is one by the message that begins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallName {
    task: Option<TaskId>,
    message: Option<MessageId>,
}

impl CallName {
    /// The call of this task.
    pub fn of_task(task: TaskId) -> Self {
        Self { task: Some(task), message: None }
    }

    /// The call that this message is about to begin. Only who has made it up knows its id, so nobody else's call is meant.
    pub fn of_message(message: MessageId) -> Self {
        Self { task: None, message: Some(message) }
    }

    /// All names of a task's call.
    pub fn of(task: &Task) -> Self {
        Self { task: Some(task.id), message: task.history.first().map(|message| message.id.clone()) }
    }

    fn is_same(&self, other: &Self) -> bool {
        let is_named = |one: bool, other: bool| one && other;
        is_named(self.task.is_some(), self.task == other.task)
            || is_named(self.message.is_some(), self.message == other.message)
    }
}

/// Those who listen to the calls of one agent.
#[derive(Debug, Default)]
pub struct CallLog {
    count: AtomicUsize,
    listeners: Mutex<BTreeMap<u64, Arc<Listener>>>,
}

#[derive(Debug)]
struct Listener {
    call: CallName,
    severity: Severity,
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Json>,
    left_out: u64,
}

/// What one hears who listens. Dropped, he does not any more.
#[derive(Debug)]
pub struct CallLines {
    log: Arc<CallLog>,
    number: u64,
    listener: Arc<Listener>,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallLine {
    /// A line: the parameters of MCP's `notifications/message`.
    Said(Json),
    /// So many lines were too many, and are lost.
    LeftOut(u64),
}

impl CallLog {
    /// Listens to a call, from now on, for lines at least as grave as this.
    pub fn listen(self: &Arc<Self>, call: CallName, severity: Severity) -> CallLines {
        let listener = Arc::new(Listener { call, severity, waiting: Mutex::default(), bell: Notify::new() });
        let mut listeners = self.listeners();
        let number = listeners.last_key_value().map_or(0, |(number, _)| number + 1);
        listeners.insert(number, listener.clone());
        self.count.store(listeners.len(), Ordering::Release);
        drop(listeners);
        CallLines { log: self.clone(), number, listener }
    }

    /// Whether anybody listens to any call.
    pub fn is_listened(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// How grave a line of this call must be to be heard, if it is heard at all.
    pub fn wanted(&self, call: &CallName) -> Option<Severity> {
        if !self.is_listened() {
            return None;
        }
        let listeners = self.listeners();
        listeners.values().filter(|listener| listener.call.is_same(call)).map(|listener| listener.severity).min()
    }

    /// Tells those who listen to this call. Waits for nobody.
    pub fn tell(&self, call: &CallName, severity: Severity, line: &Json) {
        let listeners = self.listeners();
        let heard = listeners.values().filter(|listener| listener.severity <= severity && listener.call.is_same(call));
        for listener in heard {
            let mut waiting = listener.waiting();
            match waiting.lines.len() < LINES_MAX {
                true => waiting.lines.push_back(line.clone()),
                false => waiting.left_out += 1,
            }
            drop(waiting);
            listener.bell.notify_one();
        }
    }

    fn listeners(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallLines {
    /// What waits to be heard, if anything does.
    pub fn take(&self) -> Option<CallLine> {
        let mut waiting = self.listener.waiting();
        match waiting.lines.pop_front() {
            Some(line) => Some(CallLine::Said(line)),
            None if waiting.left_out > 0 => Some(CallLine::LeftOut(std::mem::take(&mut waiting.left_out))),
            None => None,
        }
    }

    /// The next. Safe to drop.
    pub async fn next(&self) -> CallLine {
        loop {
            match self.take() {
                Some(line) => return line,
                None => self.listener.bell.notified().await,
            }
        }
    }
}

impl Drop for CallLines {
    fn drop(&mut self) {
        let mut listeners = self.log.listeners();
        listeners.remove(&self.number);
        self.log.count.store(listeners.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> MessageId {
        MessageId::parse(id).unwrap()
    }

    fn line(number: u64) -> Json {
        Json::of(&number)
    }

    #[tokio::test]
    async fn a_line_is_heard_by_who_listens_to_its_call_and_by_nobody_else() {
        let log = Arc::new(CallLog::default());
        let task = TaskId::new(uuid::Uuid::from_u128(7));
        let call = CallName { task: Some(task), message: Some(message("m")) };
        assert!(!log.is_listened() && log.wanted(&call).is_none());
        let by_message = log.listen(CallName::of_message(message("m")), Severity::Warning);
        let by_task = log.listen(CallName::of_task(task), Severity::Debug);
        let other = log.listen(CallName::of_message(message("n")), Severity::Debug);
        assert_eq!(log.wanted(&call), Some(Severity::Debug));
        log.tell(&call, Severity::Info, &line(1));
        log.tell(&call, Severity::Error, &line(2));
        // One without a message is not the one without a task.
        log.tell(&CallName { task: None, message: None }, Severity::Error, &line(3));
        assert_eq!((by_message.next().await, by_message.take()), (CallLine::Said(line(2)), None));
        assert_eq!((by_task.next().await, by_task.next().await), (CallLine::Said(line(1)), CallLine::Said(line(2))));
        assert_eq!((by_task.take(), other.take()), (None, None));
        drop((by_message, by_task));
        assert_eq!(log.wanted(&call), None);
        drop(other);
        assert!(!log.is_listened());
    }

    #[test]
    fn of_a_flood_so_many_lines_wait_and_the_rest_is_counted() {
        let log = Arc::new(CallLog::default());
        let lines = log.listen(CallName::of_message(message("m")), Severity::Debug);
        (0..1_000).for_each(|number| log.tell(&lines.listener.call, Severity::Info, &line(number)));
        let heard: Vec<_> = std::iter::from_fn(|| lines.take()).collect();
        assert_eq!(heard.len(), LINES_MAX + 1);
        assert_eq!((&heard[0], heard.last().unwrap()), (&CallLine::Said(line(0)), &CallLine::LeftOut(936)));
    }

    #[test]
    fn words_are_those_of_syslog() {
        for severity in Severity::ALL {
            assert_eq!(Severity::read(severity.word()), Some(severity));
        }
        assert!(Severity::read("loud").is_none() && Severity::Debug < Severity::Emergency);
    }
}
