//! What a server says for a log while a host waits for a call of it, told on the stream of that call: as much as the host has asked for,
//! never more than it takes, and none after the result.

use std::pin::pin;

use bobbinet_core::MessageId;
use bobbinet_engine::{CallLine, CallLines, CallName, Severity};
use uuid::Uuid;

use crate::{
    call::{Call, Work},
    door::Outgoing,
    object::Object,
    rpc, tasks,
};

/// The key under which a request says what of a log it wants to hear (2026-07-28).
pub(crate) const LEVEL_KEY: &str = "io.modelcontextprotocol/logLevel";

impl Call {
    /// Listens to the call that this work is about, if its host wants to hear of it: before it begins, so that nothing is missed; of a task
    /// that is there, once it is known to be its caller's.
    pub(crate) async fn listen(&mut self, work: &Work) -> Option<CallLines> {
        let severity = self.log?;
        let log = self.door.server.gateway().agent(&self.agent)?.call_log()?.clone();
        let name = match work {
            Work::Begin { .. } => {
                let id = MessageId::parse(&Uuid::new_v4().to_string()).ok()?;
                self.message_id = Some(id.clone());
                CallName::of_message(id)
            }
            Work::Tell { task, .. } | Work::Wait { task } => CallName::of_task(self.get(task).await.ok()?.id),
            Work::GoOn { state, .. } => {
                let (task, _) = tasks::read_state(state).ok()?;
                CallName::of_task(self.get(task).await.ok()?.id)
            }
            // Nobody waits for those.
            Work::Submit { .. } | Work::Create { .. } | Work::Update { .. } => return None,
        };
        Some(log.listen(name, severity))
    }

    /// Carries out what is waited for, and tells meanwhile what is said. A host that takes no more loses lines, and not its result.
    pub(crate) async fn telling<T>(&self, lines: &CallLines, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut lost = 0;
        loop {
            let line = tokio::select! {
                biased;
                done = work.as_mut() => {
                    // They go out before the result, which waits for the same reader.
                    for line in std::iter::from_fn(|| lines.take()).chain((lost > 0).then_some(CallLine::LeftOut(lost))) {
                        self.out.send(Outgoing::plain(notification(line))).await.ok();
                    }
                    return done;
                }
                line = lines.next() => line,
            };
            if lost > 0 && self.out.try_send(Outgoing::plain(notification(CallLine::LeftOut(lost)))).is_ok() {
                lost = 0;
            }
            let count = match &line {
                CallLine::Said(_) => 1,
                CallLine::LeftOut(count) => *count,
            };
            if lost > 0 || self.out.try_send(Outgoing::plain(notification(line))).is_err() {
                lost += count;
            }
        }
    }
}

fn notification(line: CallLine) -> bobbinet_core::Json {
    match line {
        CallLine::Said(params) => rpc::notification("notifications/message", &params),
        CallLine::LeftOut(count) => {
            let words = format!("{count} lines are left out here: there were more than could be told");
            let params = Object::default().with("level", Severity::Warning.word()).with("logger", "bobbinet");
            rpc::notification("notifications/message", &params.with("data", &words))
        }
    }
}
