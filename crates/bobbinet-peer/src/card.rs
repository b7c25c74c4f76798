//! What a peer says of itself, kept for as long as it says (RFC 9111).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bobbinet_core::{Description, Effect, Skill, SkillId};
use bobbinet_http::client::{FetchedCard, Freshness};
use bobbinet_wire::v1_0::ExtensionSkill;
use tokio::{sync::Notify, time::Instant};

use crate::{
    config::{PeerConfig, PeerLimits},
    schema::Check,
};

/// The shortest time between two looks, whatever the answer says.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(5);

/// The longest: a card that says that it is good for a year may change all the same.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(60 * 60);

/// Looks in vain after which a peer is no longer about to start.
const TRIES_TO_START: u32 = 3;

/// A card, read for what we need of it.
#[derive(Debug)]
pub(crate) struct Known {
    /// Tells it apart from those before.
    pub(crate) number: u64,
    pub(crate) fetched: FetchedCard,
    pub(crate) description: Arc<Description>,
    /// How arguments are checked, by skill.
    pub(crate) checks: BTreeMap<String, Option<Check>>,
    /// Whether it knows our extension, and so what a message says under it.
    pub(crate) is_ours: bool,
    /// Whether the same message under the same key is done once.
    pub(crate) honours_keys: bool,
    /// Whether it streams.
    pub(crate) streams: bool,
}

impl Known {
    fn read(number: u64, fetched: FetchedCard, config: &PeerConfig) -> Self {
        let card = &fetched.card.value;
        let said = card.extension_skills();
        let mut skills = Vec::new();
        let mut checks = BTreeMap::new();
        for skill in &card.skills {
            let Ok(id) = SkillId::parse(&skill.id) else { continue };
            let said = said.get(&skill.id).cloned().unwrap_or_default();
            checks.insert(skill.id.clone(), said.input.as_ref().and_then(Check::new));
            skills.push(Skill {
                id,
                name: skill.name.clone(),
                description: skill.description.clone(),
                tags: skill.tags.clone().unwrap_or_default(),
                examples: skill.examples.clone().unwrap_or_default(),
                effect: effect(&said).or(config.effect).unwrap_or_default(),
                input: said.input,
                output: said.output,
            });
        }
        let description = Description {
            name: config.title.clone().unwrap_or_else(|| card.name.clone()),
            description: config.description.clone().unwrap_or_else(|| card.description.clone()),
            version: card.version.clone(),
            skills,
            ..Description::default()
        };
        let extensions = card.capabilities.extensions.iter().flatten();
        let is_ours = extensions.into_iter().any(|extension| extension.uri == bobbinet_core::agent::EXTENSION_URI);
        Self {
            number,
            description: Arc::new(description),
            checks,
            is_ours,
            honours_keys: card.honours_idempotency_keys(),
            streams: card.capabilities.streaming == Some(true),
            fetched,
        }
    }

    /// The skill of this name, if the card has it.
    pub(crate) fn skill(&self, name: &str) -> Option<&Skill> {
        self.description.skills.iter().find(|skill| skill.id.as_str() == name)
    }

    /// What calling it twice means.
    pub(crate) fn effect(&self, skill: Option<&str>, config: &PeerConfig) -> Effect {
        if self.honours_keys {
            return Effect::Keyed;
        }
        let of_skill = skill.and_then(|name| self.skill(name)).map(|skill| skill.effect);
        of_skill.or(config.effect).unwrap_or_default()
    }
}

fn effect(said: &ExtensionSkill) -> Option<Effect> {
    let all = [Effect::ReadOnly, Effect::Idempotent, Effect::Keyed, Effect::AtMostOnce];
    all.into_iter().find(|effect| said.effects.as_deref() == Some(effect.as_str()))
}

/// A look in vain.
#[derive(Clone, Debug)]
pub(crate) struct Missed {
    pub(crate) why: String,
    /// Whether the next may well do better.
    pub(crate) may_pass: bool,
}

/// The card that is known, and when it is looked at again.
#[derive(Debug)]
pub(crate) struct Cards {
    state: Mutex<State>,
    /// That something has changed.
    changed: Notify,
    unknown: Arc<Description>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Arc<Known>>,
    /// Until when it serves while no other is to be had.
    good_until: Option<Instant>,
    due: Option<Instant>,
    /// Why the last look was in vain, and how many were.
    failed: Option<Missed>,
    tries: u32,
    /// How many came to an end.
    looked: u64,
    looks: u64,
}

impl Cards {
    pub(crate) fn new(config: &PeerConfig) -> Self {
        let mut about = config.description.clone().unwrap_or_default();
        if about.is_empty() {
            // Writing to a text does not fail.
            let _ = write!(about, "An A2A agent at {}, whose card has not been seen yet.", config.url);
        }
        let unknown = Description {
            name: config.title.clone().unwrap_or_else(|| config.name.to_string()),
            description: about,
            version: "0".to_owned(),
            ..Description::default()
        };
        Self { state: Mutex::default(), changed: Notify::new(), unknown: Arc::new(unknown) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The card, while it serves.
    pub(crate) fn current(&self) -> Option<Arc<Known>> {
        let state = self.lock();
        state.known.clone().filter(|_| state.good_until.is_none_or(|until| Instant::now() < until))
    }

    /// The one that was seen last, whether it serves or not.
    pub(crate) fn last(&self) -> Option<Arc<Known>> {
        self.lock().known.clone()
    }

    pub(crate) fn description(&self) -> Arc<Description> {
        self.last().map_or_else(|| self.unknown.clone(), |known| known.description.clone())
    }

    /// Why the last look was in vain, if it was.
    pub(crate) fn failed(&self) -> Option<String> {
        self.missed().map(|missed| missed.why)
    }

    /// The same, and whether it may pass.
    pub(crate) fn missed(&self) -> Option<Missed> {
        self.lock().failed.clone()
    }

    /// How many looks have come to an end.
    pub(crate) fn looked(&self) -> u64 {
        self.lock().looked
    }

    /// Whether it was never seen, and may be in a moment.
    pub(crate) fn is_starting(&self) -> bool {
        let state = self.lock();
        state.known.is_none() && state.tries < TRIES_TO_START
    }

    /// When it is to be looked at again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.lock().due
    }

    /// Another card. One that cannot be used is not taken.
    pub(crate) fn take(&self, fetched: FetchedCard, config: &PeerConfig) {
        let number = {
            let mut state = self.lock();
            state.looks += 1;
            state.looks
        };
        // Compiling what it says of its skills takes a moment.
        let known = Arc::new(Known::read(number, fetched, config));
        let freshness = known.fetched.freshness.clone();
        let mut state = self.lock();
        state.known = Some(known);
        state.saw(&freshness, &config.limits);
        drop(state);
        self.changed.notify_waiters();
    }

    /// The same card as before.
    pub(crate) fn keep(&self, freshness: &Freshness, limits: &PeerLimits) {
        self.lock().saw(freshness, limits);
        self.changed.notify_waiters();
    }

    /// None, and why.
    pub(crate) fn miss(&self, missed: Missed, limits: &PeerLimits) {
        let mut state = self.lock();
        state.due = Some(Instant::now() + limits.pause(state.tries));
        state.tries = state.tries.saturating_add(1);
        state.looked += 1;
        state.failed = Some(missed);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Returns at the next change after `is_it` was last untrue. Safe to drop.
    pub(crate) async fn wait_until(&self, is_it: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // In line from here on, so that nothing is missed between the look and the wait.
            changed.as_mut().enable();
            if is_it(self) {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    fn saw(&mut self, freshness: &Freshness, limits: &PeerLimits) {
        let fresh_for = freshness.fresh_for.unwrap_or(limits.card_age);
        let stale = match freshness.must_revalidate {
            true => Duration::ZERO,
            false => freshness.stale_if_error.unwrap_or(limits.card_stale_max),
        };
        // An agent of ours whose server is just starting has no skills yet, and has them in a moment.
        let is_whole = self.known.as_ref().is_some_and(|known| !known.description.skills.is_empty());
        let longest = if is_whole { LOOK_EVERY_MAX } else { LOOK_EVERY_MIN };
        let next = fresh_for.clamp(LOOK_EVERY_MIN, longest);
        self.due = Some(Instant::now() + next);
        // It must serve at least until it is looked at.
        self.good_until = Some(Instant::now() + fresh_for.max(next * 2) + stale);
        (self.failed, self.tries, self.looked) = (None, 0, self.looked + 1);
    }
}
