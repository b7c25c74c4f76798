//! How steps authenticate, from the run that has evaluated it to the agent that makes the request: in memory only, since a child's
//! message is kept, and a secret must not be.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bobbinet_core::TaskId;
use bobbinet_flow::run::Id;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

/// How long a request waits for the run that knows how to authenticate: after a crash that must be taken up first.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the requests of runs of this process authenticate with, by the run's task and the call.
#[derive(Default)]
pub struct CredentialsInHand {
    known: Mutex<BTreeMap<(TaskId, Id), Arc<Value>>>,
    changed: Notify,
}

impl CredentialsInHand {
    /// Gives a call what it authenticates with, until what this returns is dropped.
    pub(crate) fn give(self: &Arc<Self>, flow: TaskId, call: Id, authentication: &Value) -> InHand {
        let (of, how) = ((flow, call), Arc::new(authentication.clone()));
        self.lock().insert(of, how.clone());
        self.changed.notify_waiters();
        InHand { all: self.clone(), of, how }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TaskId, Id), Arc<Value>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of a call, once its run is there. `None` if it does not come.
    pub async fn of(&self, flow: TaskId, call: Id) -> Option<Arc<Value>> {
        let known = async {
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                let known = self.lock().get(&(flow, call)).cloned();
                match known {
                    Some(known) => return known,
                    None => changed.await,
                }
            }
        };
        timeout(PATIENCE, known).await.ok()
    }
}

/// What one call authenticates with. Dropped, it is forgotten, unless a later run has given it anew.
pub(crate) struct InHand {
    all: Arc<CredentialsInHand>,
    of: (TaskId, Id),
    how: Arc<Value>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut known = self.all.lock();
        if known.get(&self.of).is_some_and(|how| Arc::ptr_eq(how, &self.how)) {
            known.remove(&self.of);
        }
    }
}

/// An authentication, or the one of the document that it names, with the secret that it names in place of the name: `bearer: { use: token }`. A secret that is a text is the
/// token of a bearer, and the password of anything else.
pub(crate) fn resolved(authentication: &Value, document: &Value, secrets: &BTreeMap<String, Value>) -> Value {
    let named = authentication.get("use").and_then(Value::as_str);
    let authentication =
        named.and_then(|name| document.get("use")?.get("authentications")?.get(name)).unwrap_or(authentication);
    let Value::Object(schemes) = authentication else { return authentication.clone() };
    let resolve = |(scheme, how): (&String, &Value)| {
        let secret = how.get("use").and_then(Value::as_str).and_then(|name| secrets.get(name));
        let how = match secret {
            Some(Value::String(text)) if scheme == "bearer" => json!({ "token": text }),
            Some(Value::String(text)) => json!({ "password": text }),
            Some(secret) => secret.clone(),
            None => how.clone(),
        };
        (scheme.clone(), how)
    };
    Value::Object(schemes.iter().map(resolve).collect())
}

impl std::fmt::Debug for CredentialsInHand {
    /// Without any of them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialsInHand").finish_non_exhaustive()
    }
}
