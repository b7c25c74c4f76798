//! A peer: its card, its replicas, and clients of it.

use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bobbinet_http::{
    Client, ClientError, ClientOptions,
    client::{CardFetch, FetchedCard, Outbound},
};
use bobbinet_wire::v1_0::CardView;
use reqwest::Url;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    card::{Cards, Known, Missed},
    causes::in_full,
    config::PeerConfig,
    fault,
    replicas::Replicas,
};

/// All that is known of a peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) config: PeerConfig,
    pub(crate) cards: Cards,
    pub(crate) replicas: Arc<Replicas>,
    /// Who looks at the card: one at a time.
    looks: Semaphore,
    /// When the addresses were looked up last.
    resolved: Mutex<Option<Instant>>,
}

impl Peer {
    pub(crate) fn new(config: PeerConfig) -> Self {
        let (cards, replicas) = (Cards::new(&config), Arc::default());
        Self { cards, replicas, config, looks: Semaphore::new(1), resolved: Mutex::default() }
    }

    /// Keeps the card fresh, and the addresses, until it is told to stop.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            never = self.keep_fresh() => match never {},
        }
    }

    /// Does so for as long as somebody waits for it.
    pub(crate) async fn keep_fresh(&self) -> Infallible {
        loop {
            if self.resolve_due().is_none_or(|due| Instant::now() >= due) {
                self.resolve().await;
            }
            if self.cards.due().is_none_or(|due| Instant::now() >= due) {
                // What is wrong is kept, for whoever calls.
                let _ = self.look_once().await;
            }
            let due = [self.cards.due(), self.resolve_due()].into_iter().flatten().min();
            sleep_until(due.unwrap_or_else(|| Instant::now() + self.config.limits.resolve_every)).await;
        }
    }

    pub(crate) fn resolve_due(&self) -> Option<Instant> {
        let resolved = *self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved.map(|at| at + self.config.limits.resolve_every)
    }

    /// Looks whether the card has changed; once for all who come meanwhile.
    pub(crate) async fn look_once(&self) -> Result<(), Missed> {
        let before = self.cards.looked();
        let Ok(_turn) = self.looks.acquire().await else { return Ok(()) };
        if self.cards.looked() != before {
            return self.cards.missed().map_or(Ok(()), Err);
        }
        match self.look().await {
            Ok(()) => Ok(()),
            Err(error) => Err(Missed { may_pass: may_pass(&error), why: fault::told(&error) }),
        }
    }

    /// Looks up the addresses that the peer's name has now. If nobody knows, those from before are called.
    pub(crate) async fn resolve(&self) {
        *self.resolved.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let Ok(url) = Url::parse(&self.config.url) else { return };
        match self.config.guard.addresses(&url).await {
            Ok(addresses) => self.replicas.set(&addresses),
            Err(error) => debug!(peer = %self.config.name, error = &*error as &dyn std::error::Error, "no addresses"),
        }
    }

    /// Looks whether the card has changed. What is wrong is kept, too.
    async fn look(&self) -> Result<(), ClientError> {
        let (config, before) = (&self.config, self.cards.last());
        match self.fetch(before.as_ref().map(|known| &known.fetched)).await {
            Ok(CardFetch::Same(freshness)) => {
                self.cards.keep(&freshness, &config.limits);
                Ok(())
            }
            Ok(CardFetch::New(fetched)) => {
                let is_same = before.as_ref().is_some_and(|known| known.fetched.card == fetched.card);
                match self.options(None).and_then(|options| Client::with_card(&fetched, options)) {
                    Ok(_) if is_same => {
                        self.cards.keep(&fetched.freshness, &config.limits);
                        Ok(())
                    }
                    Ok(_) => {
                        info!(peer = %config.name, url = config.url, version = fetched.card.value.version, "the peer's card");
                        self.cards.take(fetched, config);
                        Ok(())
                    }
                    Err(error) => self.miss(error),
                }
            }
            Err(error) => self.miss(error),
        }
    }

    async fn fetch(&self, known: Option<&FetchedCard>) -> Result<CardFetch, ClientError> {
        self.prepare().await?;
        // Any replica will do.
        Client::fetch_card(&self.config.url, &self.options(None)?, known).await
    }

    fn miss(&self, error: ClientError) -> Result<(), ClientError> {
        let why = fault::told(&error);
        if self.cards.failed().as_ref() != Some(&why) {
            let in_full = in_full(&error);
            warn!(peer = %self.config.name, url = self.config.url, why = in_full, "the peer's card cannot be had");
        }
        self.cards.miss(Missed { why, may_pass: may_pass(&error) }, &self.config.limits);
        Err(error)
    }

    async fn prepare(&self) -> Result<(), ClientError> {
        let credentials =
            |source: String| ClientError::Credentials { url: self.config.url.clone(), source: source.into() };
        self.config.auth.prepare().await.map_err(credentials)
    }

    /// What calls a replica, as the card says.
    pub(crate) async fn client(&self, known: &Known, address: Option<IpAddr>) -> Result<Client, ClientError> {
        self.prepare().await?;
        if let Some(client) = self.replicas.client(address, known.number) {
            return Ok(client);
        }
        let client = Client::with_card(&known.fetched, self.options(address)?)?;
        self.replicas.keep_client(address, known.number, &client);
        Ok(client)
    }

    fn options(&self, at: Option<IpAddr>) -> Result<ClientOptions, ClientError> {
        let config = &self.config;
        let credentials = config
            .auth
            .credentials()
            .map_err(|source| ClientError::Credentials { url: config.url.clone(), source: source.into() })?;
        Ok(ClientOptions {
            outbound: Outbound::Guarded { guard: config.guard.clone(), at },
            credentials,
            timeout: config.limits.answer,
            // A stream that is silent for longer is looked after; the task may well be at work.
            silence_max: ClientOptions::default().silence_max.min(config.limits.silence_max),
            // What is sent in vain is sent again by us, who know the other replicas and what may be repeated.
            retries_max: 0,
            origin: config.origin.clone(),
            card_keys: config.card_keys.clone(),
            grpc: config.grpc,
            parameters: config.auth.parameters(),
            ..ClientOptions::default()
        })
    }

    /// Whether calls can be taken, and why not if they cannot.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let config = &self.config;
        let told = |what: &str| Err(format!("peer {} at {}: {what}", config.name, config.url));
        match (self.cards.current(), self.cards.failed()) {
            (None, Some(why)) => told(&why),
            (None, None) => told("its card has not been seen yet"),
            (Some(_), _) if !self.replicas.are_up() => told("it does not answer, and is left alone for a while"),
            (Some(_), Some(why)) => {
                // Tasks that it has go on, and others are taken: what it says of itself is known.
                debug!(peer = %config.name, why, "called by a card that is not fresh");
                Ok(())
            }
            (Some(_), None) => Ok(()),
        }
    }
}

fn may_pass(error: &ClientError) -> bool {
    // A proxy in front of what is just being started.
    error.is_passing() || matches!(error, ClientError::NoCard { why, .. } if why.contains("it answers 50"))
}

/// What came of trying a peer out.
#[derive(Debug)]
pub struct PeerTest {
    /// Its card.
    pub card: CardView,
    /// How long that took to come.
    pub card_time: Duration,
    /// Where it is called.
    pub url: String,
    /// All addresses that its name has, if it has several.
    pub addresses: Vec<IpAddr>,
    /// Whether it lets this node in, and how long it took to say so; else why not.
    pub access: Result<Duration, ClientError>,
}

/// Tries a peer out: fetches its card, and asks it for a list of tasks that is empty, which changes nothing.
///
/// # Errors
/// If there is no card, or nothing can be called by it.
pub async fn test(config: PeerConfig) -> Result<PeerTest, ClientError> {
    let peer = Peer::new(config);
    peer.resolve().await;
    let begun = Instant::now();
    let fetched = match peer.fetch(None).await? {
        CardFetch::New(fetched) => fetched,
        CardFetch::Same(_) => {
            return Err(ClientError::Protocol("it says that an unknown card has not changed".to_owned()));
        }
    };
    let card_time = begun.elapsed();
    let client = Client::with_card(&fetched, peer.options(None)?)?;
    let begun = Instant::now();
    // No agent has a task of this id. One that lets us in says so.
    let asked = client.get("00000000-0000-4000-8000-000000000000", Some(0)).await;
    let access = match asked {
        Ok(_) | Err(ClientError::Rpc(_)) => Ok(begun.elapsed()),
        Err(error) => Err(error),
    };
    let access = match access {
        Ok(_) if asked_is_denied(&client).await => Err(ClientError::Unauthorized {
            message: "it knows this node, and does not let it do anything".to_owned(),
            hint: "see the policy of the peer".to_owned(),
        }),
        access => access,
    };
    let addresses = peer.replicas.addresses().into_iter().flatten().collect();
    Ok(PeerTest { card: fetched.card.value.clone(), card_time, url: client.url().to_owned(), addresses, access })
}

/// Whether the peer says in words that we may not even list.
async fn asked_is_denied(client: &Client) -> bool {
    let params = bobbinet_core::operation::ListParams { page_size: 1, ..Default::default() };
    match client.list(params).await {
        Err(ClientError::Rpc(remote)) => remote.kind == Some(bobbinet_wire::ErrorKind::PermissionDenied),
        Err(ClientError::Unauthorized { .. }) => true,
        Ok(_) | Err(_) => false,
    }
}
