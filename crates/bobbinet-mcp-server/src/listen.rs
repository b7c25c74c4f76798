//! Who listens for changes: the stream of a session (GET), and `subscriptions/listen` of the newest revision. What a caller may not call
//! is nothing that changes for him.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bobbinet_core::{Caller, Description, Json};
use bobbinet_engine::{Offers, watched};
use bobbinet_gateway::{Gateway, Share};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::Request,
    door::{Door, Outgoing},
    notes::Notes,
    object::Object,
    result,
    rpc::{self, RpcError},
    sessions::Session,
    task_watch::TaskWatch,
    tasks, tools,
    watch::Watch,
};

/// The key under which a notification says which subscription it is of.
const SUBSCRIPTION_KEY: &str = "io.modelcontextprotocol/subscriptionId";

/// The kinds of lists: what a filter calls them, and how their change is told.
const KINDS: [(&str, &str); 3] = [
    ("toolsListChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "notifications/prompts/list_changed"),
    ("resourcesListChanged", "notifications/resources/list_changed"),
];

/// Which kinds somebody wants to hear of.
type Wanted = [bool; 3];

/// What the lists of a caller are known by, each kind by its own.
type Fingerprints = [u64; 3];

/// One who listens.
pub(crate) struct Listener {
    pub(crate) door: Arc<Door>,
    pub(crate) caller: Arc<Caller>,
    wanted: Wanted,
    /// What its notifications say beside.
    meta: Option<Object>,
    /// What it is told beside changes of lists.
    notes: Arc<Notes>,
    pub(crate) out: mpsc::Sender<Outgoing>,
    /// Told when it is to end without a word.
    pub(crate) ended: CancellationToken,
    /// Its place among those who listen, and among its caller's.
    _room: (OwnedSemaphorePermit, Share),
}

impl Request {
    /// Tells of changes until it is taken back.
    pub(crate) async fn subscribe(self) -> Option<Outgoing> {
        match self.listener().await {
            Ok((listener, granted, watches, tasks)) => {
                let id = self.id.clone();
                let closing = Object::default().with(SUBSCRIPTION_KEY, &id);
                let server = self.door.server.clone();
                let work = async move {
                    let params = Object::default().with_some("_meta", listener.meta.clone());
                    let params = params.with("notifications", &granted);
                    let ack = rpc::notification("notifications/subscriptions/acknowledged", &params);
                    if listener.out.send(Outgoing::plain(ack)).await.is_err() {
                        return;
                    }
                    let ended = CancellationToken::new();
                    let _ends = ended.clone().drop_guard();
                    for watch in watches {
                        let telling = watch.tell(listener.notes.clone(), listener.meta.clone(), ended.clone());
                        listener.door.server.work().spawn(watched("MCP resource", telling));
                    }
                    for watch in tasks {
                        let telling = watch.tell(listener.notes.clone(), listener.meta.clone(), ended.clone());
                        listener.door.server.work().spawn(watched("MCP task status", telling));
                    }
                    if listener.tell(|| {}).await {
                        let closed = result::stateless(Object::default(), closing).to_json();
                        listener.out.send(Outgoing::result(&id, &closed, None)).await.ok();
                    }
                };
                server.work().spawn(watched("MCP subscription", work));
                None
            }
            Err(error) => Some(Outgoing::error(&self.id, &error)),
        }
    }

    async fn listener(&self) -> Result<(Listener, Object, Vec<Watch>, Vec<TaskWatch>), RpcError> {
        let filter: BTreeMap<String, Json> = self.params.required("notifications")?;
        if filter.contains_key("taskIds")
            && let Some(error) = tasks::unknown_to(self.client)
        {
            return Err(error);
        }
        let wanted = KINDS.map(|(name, _)| filter.get(name).is_some_and(|value| value.as_str() == "true"));
        let granted = KINDS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        let granted = granted.fold(Object::default(), |granted, ((name, _), _)| granted.with(name, &true));
        let (mut watches, mut uris) = (Vec::new(), Vec::new());
        for uri in self.names(&filter, "resourceSubscriptions")? {
            // What cannot be followed is left out of what is granted.
            match Watch::begin(&self.door, &self.caller, None, &uri, self.client.revision).await {
                Ok(watch) => {
                    watches.push(watch);
                    uris.push(uri);
                }
                Err(error) => tracing::debug!(why = error.text(), "a resource is not followed"),
            }
        }
        let granted = granted.with_some("resourceSubscriptions", (!uris.is_empty()).then_some(uris));
        let (mut tasks, mut ids) = (Vec::new(), Vec::new());
        for id in self.names(&filter, "taskIds")? {
            let watch = TaskWatch::begin(&self.door, &self.caller, self.client, id.clone()).await;
            if let Some(watch) = watch {
                tasks.push(watch);
                ids.push(id);
            }
        }
        let granted = granted.with_some("taskIds", (!ids.is_empty()).then_some(ids));
        let meta = Object::default().with(SUBSCRIPTION_KEY, &self.id);
        let (door, caller) = (self.door.clone(), self.caller.clone());
        let told = (Arc::default(), self.out.clone());
        let listener = Listener::new(door, caller, wanted, Some(meta), told, self.canceled.clone())?;
        Ok((listener, granted, watches, tasks))
    }

    /// The names of what is to be followed, of one kind.
    fn names(&self, filter: &BTreeMap<String, Json>, kind: &str) -> Result<Vec<String>, RpcError> {
        let Some(names) = filter.get(kind) else { return Ok(Vec::new()) };
        let unfit = |_| RpcError::invalid_params(&format!("`{kind}` is a list of texts"));
        let names: Vec<String> = names.read().map_err(unfit)?;
        let max = self.door.limits.watched_max;
        match names.len() <= max {
            true => Ok(names),
            false => {
                let text = format!("one stream follows {max} of `{kind}` at the most (watched_max)");
                Err(RpcError::invalid_params(&text))
            }
        }
    }

    /// Tells the session of each change of a resource, from now on.
    pub(crate) async fn watch(&self) -> Result<Json, RpcError> {
        let uri: String = self.params.required("uri")?;
        let Some(session) = &self.session else { return Err(RpcError::invalid_request("that is for sessions")) };
        let ended = CancellationToken::new();
        if !session.watch(&uri, &ended, self.door.limits.watched_max) {
            let max = self.door.limits.watched_max;
            return Err(RpcError::invalid_params(&format!(
                "one session follows {max} resources at the most (watched_max)"
            )));
        }
        match Watch::begin(&self.door, &self.caller, Some(session), &uri, self.client.revision).await {
            Ok(watch) => {
                let telling = watch.tell(session.notes.clone(), None, ended);
                self.door.server.work().spawn(watched("MCP resource", telling));
                Ok(Object::default().to_json())
            }
            Err(error) => {
                session.unwatch(&uri);
                Err(error)
            }
        }
    }

    /// Tells the session no more of a resource.
    pub(crate) fn unwatch(&self) -> Result<Json, RpcError> {
        let uri: String = self.params.required("uri")?;
        if let Some(session) = &self.session {
            session.unwatch(&uri);
        }
        Ok(Object::default().to_json())
    }
}

impl Listener {
    /// One who hears of everything.
    pub(crate) fn of_session(
        door: Arc<Door>,
        caller: Arc<Caller>,
        session: &Session,
        out: mpsc::Sender<Outgoing>,
    ) -> Result<Self, RpcError> {
        let told = (session.notes.clone(), out);
        let mut listener = Self::new(door, caller, [true; 3], None, told, CancellationToken::new())?;
        // Only one that there is room for takes the place of the older one.
        listener.ended = session.listen();
        Ok(listener)
    }

    fn new(
        door: Arc<Door>,
        caller: Arc<Caller>,
        wanted: Wanted,
        meta: Option<Object>,
        (notes, out): (Arc<Notes>, mpsc::Sender<Outgoing>),
        ended: CancellationToken,
    ) -> Result<Self, RpcError> {
        let room = door.listeners.clone().try_acquire_owned().map_err(|_| {
            let max = door.limits.listeners_max;
            let text = format!("{max} streams listen for changes already: try again later (listeners_max)");
            RpcError::at_the_door(&text, http::StatusCode::SERVICE_UNAVAILABLE)
        })?;
        let share = door.listeners_of.take(&caller, 1);
        let share = share.map_err(|full| {
            let max = door.limits.listeners_per_caller_max;
            let text = format!("You listen with {max} streams already: end one of them (listeners_per_caller_max)");
            RpcError::of(&door.server.fault_of_full(full).with_message(text))
        })?;
        Ok(Self { door, caller, wanted, meta, notes, out, ended, _room: (room, share) })
    }

    /// Tells what changes, until nobody listens; whether it is the node that ends it. `lives` is called now and then.
    pub(crate) async fn tell(&self, lives: impl Fn()) -> bool {
        let _heard = self.notes.hear();
        let gateway = self.door.server.gateway();
        let mut seen = seen(gateway);
        let mut known = fingerprints(gateway, &self.caller);
        loop {
            tokio::select! {
                biased;
                () = self.out.closed() => return false,
                () = self.ended.cancelled() => return false,
                () = self.door.server.stop().cancelled() => return true,
                note = self.notes.next() => {
                    if self.out.send(Outgoing::plain(note)).await.is_err() {
                        return false;
                    }
                    continue;
                }
                () = sleep(self.door.limits.list_watch) => {}
            }
            lives();
            let now = self::seen(gateway);
            if now.is_same(&seen) {
                continue;
            }
            seen = now;
            let lists = fingerprints(gateway, &self.caller);
            let changed = known.iter().zip(&lists).map(|(before, now)| before != now);
            let told = KINDS.iter().zip(self.wanted).zip(changed);
            for (((_, method), _), _) in told.filter(|((_, wanted), changed)| *wanted && *changed) {
                let params = Object::default().with_some("_meta", self.meta.clone());
                if self.out.send(Outgoing::plain(rpc::notification(method, &params))).await.is_err() {
                    return false;
                }
            }
            known = lists;
        }
    }
}

/// What all agents say of themselves, and whether they take calls, under which policy: as long as it is the same, no list has changed.
struct Seen(Vec<(Arc<Description>, Arc<Offers>, bool)>, u64);

impl Seen {
    fn is_same(&self, other: &Self) -> bool {
        self.1 == other.1
            && self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(one, two)| {
                (Arc::ptr_eq(&one.0, &two.0) || one.0 == two.0)
                    && (Arc::ptr_eq(&one.1, &two.1) || one.1 == two.1)
                    && one.2 == two.2
            })
    }
}

fn seen(gateway: &Gateway) -> Seen {
    let agents = gateway.agents().filter_map(|name| gateway.agent(name));
    let seen = agents.map(|agent| (agent.describe(), agent.offers(), agent.ready().is_ok() && !agent.is_starting()));
    Seen(seen.collect(), gateway.policy_generation())
}

fn fingerprints(gateway: &Gateway, caller: &Caller) -> Fingerprints {
    let mut hashes = [DefaultHasher::new(), DefaultHasher::new(), DefaultHasher::new()];
    for known in tools::known_now(gateway, caller).into_iter().filter(|known| known.unavailable.is_none()) {
        let offers = gateway.agent(&known.name).map(|agent| agent.offers()).unwrap_or_default();
        let [tools, prompts, resources] = &mut hashes;
        for hash in [&mut *tools, &mut *prompts, &mut *resources] {
            known.name.as_str().hash(hash);
        }
        for skill in &known.description.skills {
            let is_prompt = offers.prompts.iter().any(|(prompt, _)| *prompt == skill.id);
            let schema = |schema: &Option<Json>| schema.as_ref().map(|schema| schema.as_str().to_owned());
            let said =
                (skill.id.as_str(), &skill.name, &skill.description, schema(&skill.input), schema(&skill.output));
            said.hash(if is_prompt { &mut *prompts } else { &mut *tools });
        }
        offers.tools.iter().for_each(|(id, said)| (id.as_str(), said.as_str()).hash(tools));
        offers.prompts.iter().for_each(|(_, listed)| listed.as_str().hash(prompts));
        offers.resources.iter().chain(&offers.templates).for_each(|listed| listed.as_str().hash(resources));
    }
    hashes.map(|hash| hash.finish())
}
