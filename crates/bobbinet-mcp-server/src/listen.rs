//! Who listens for changes: the stream of a session (GET), and `subscriptions/listen` of the newest revision. What a caller may not call
//! is nothing that changes for him.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use bobbinet_core::{Caller, Description, Json};
use bobbinet_engine::{Offers, watched};
use bobbinet_gateway::Gateway;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::Request,
    door::{Door, Outgoing},
    object::Object,
    result,
    rpc::{self, RpcError},
    tasks, tools,
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
    pub(crate) out: mpsc::Sender<Outgoing>,
    /// Told when it is to end without a word.
    pub(crate) ended: CancellationToken,
    /// Its place among those who listen.
    _room: OwnedSemaphorePermit,
}

impl Request {
    /// Tells of changes until it is taken back.
    pub(crate) fn subscribe(self) -> Option<Outgoing> {
        match self.listener() {
            Ok((listener, granted)) => {
                let id = self.id.clone();
                let closing = Object::default().with(SUBSCRIPTION_KEY, &id);
                let server = self.door.server.clone();
                let work = async move {
                    let params = Object::default().with_some("_meta", listener.meta.clone());
                    let params = params.with("notifications", &granted);
                    let ack = rpc::notification("notifications/subscriptions/acknowledged", &params);
                    if listener.out.send(Outgoing::plain(ack)).await.is_ok() && listener.tell(|| {}).await {
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

    fn listener(&self) -> Result<(Listener, Object), RpcError> {
        let filter: std::collections::BTreeMap<String, Json> = self.params.required("notifications")?;
        if filter.contains_key("taskIds")
            && let Some(error) = tasks::unknown_to(self.client)
        {
            return Err(error);
        }
        let wanted = KINDS.map(|(name, _)| filter.get(name).is_some_and(|value| value.as_str() == "true"));
        let granted = KINDS.iter().zip(wanted).filter(|(_, wanted)| *wanted);
        let granted = granted.fold(Object::default(), |granted, ((name, _), _)| granted.with(name, &true));
        let meta = Object::default().with(SUBSCRIPTION_KEY, &self.id);
        let (door, caller) = (self.door.clone(), self.caller.clone());
        let listener = Listener::new(door, caller, wanted, Some(meta), self.out.clone(), self.canceled.clone())?;
        Ok((listener, granted))
    }
}

impl Listener {
    /// One who hears of everything.
    pub(crate) fn of_session(
        door: Arc<Door>,
        caller: Arc<Caller>,
        out: mpsc::Sender<Outgoing>,
        ended: CancellationToken,
    ) -> Result<Self, RpcError> {
        Self::new(door, caller, [true; 3], None, out, ended)
    }

    fn new(
        door: Arc<Door>,
        caller: Arc<Caller>,
        wanted: Wanted,
        meta: Option<Object>,
        out: mpsc::Sender<Outgoing>,
        ended: CancellationToken,
    ) -> Result<Self, RpcError> {
        let room = door.listeners.clone().try_acquire_owned().map_err(|_| {
            let max = door.limits.listeners_max;
            let text = format!("{max} streams listen for changes already: try again later (listeners_max)");
            RpcError::at_the_door(&text, http::StatusCode::SERVICE_UNAVAILABLE)
        })?;
        Ok(Self { door, caller, wanted, meta, out, ended, _room: room })
    }

    /// Tells what changes, until nobody listens; whether it is the node that ends it. `lives` is called now and then.
    pub(crate) async fn tell(&self, lives: impl Fn()) -> bool {
        let gateway = self.door.server.gateway();
        let mut seen = seen(gateway);
        let mut known = fingerprints(gateway, &self.caller);
        loop {
            tokio::select! {
                biased;
                () = self.out.closed() => return false,
                () = self.ended.cancelled() => return false,
                () = self.door.server.stop().cancelled() => return true,
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

/// What all agents say of themselves, and whether they take calls: as long as it is the same, no list has changed.
struct Seen(Vec<(Arc<Description>, Arc<Offers>, bool)>);

impl Seen {
    fn is_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
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
    Seen(seen.collect())
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
        offers.prompts.iter().for_each(|(_, listed)| listed.as_str().hash(prompts));
        offers.resources.iter().chain(&offers.templates).for_each(|listed| listed.as_str().hash(resources));
    }
    hashes.map(|hash| hash.finish())
}
