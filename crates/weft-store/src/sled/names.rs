//! Texts that many streams share, kept once: a tenant, an owner, an agent, a context.

use std::{collections::BTreeMap, sync::Arc};

/// A text's number, for as long as something names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) u32);

/// Within nothing: the scope of tenants.
pub(super) const ROOT: Name = Name(u32::MAX);

/// The texts by number. A text within one tenant is another one than the same text within another.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<Name, BTreeMap<Arc<str>, Name>>,
    slots: Vec<Slot>,
    free: Vec<Name>,
}

#[derive(Debug)]
struct Slot {
    scope: Name,
    text: Arc<str>,
    uses: u32,
}

impl Names {
    pub(super) fn find(&self, scope: Name, text: &str) -> Option<Name> {
        self.known.get(&scope)?.get(text).copied()
    }

    pub(super) fn text(&self, name: Name) -> &str {
        &self.slots[name.0 as usize].text
    }

    /// Uses a text in another one's place, if there was one. Nothing happens if it is the same.
    pub(super) fn change(&mut self, scope: Name, old: Option<Name>, text: &str) -> Name {
        if let Some(old) = old {
            let slot = &self.slots[old.0 as usize];
            if slot.scope == scope && *slot.text == *text {
                return old;
            }
        }
        let new = self.enter(scope, text);
        if let Some(old) = old {
            self.leave(old);
        }
        new
    }

    /// Uses a text once more.
    fn enter(&mut self, scope: Name, text: &str) -> Name {
        if let Some(name) = self.find(scope, text) {
            self.slots[name.0 as usize].uses += 1;
            return name;
        }
        let text: Arc<str> = Arc::from(text);
        let slot = Slot { scope, text: text.clone(), uses: 1 };
        let name = match self.free.pop() {
            Some(name) => {
                self.slots[name.0 as usize] = slot;
                name
            }
            None => {
                self.slots.push(slot);
                Name(u32::try_from(self.slots.len() - 1).expect("fewer names than streams"))
            }
        };
        self.known.entry(scope).or_default().insert(text, name);
        name
    }

    /// Uses it once less; the last one takes the text away.
    pub(super) fn leave(&mut self, name: Name) {
        let slot = &mut self.slots[name.0 as usize];
        slot.uses -= 1;
        if slot.uses > 0 {
            return;
        }
        let text = std::mem::replace(&mut slot.text, Arc::from(""));
        if let Some(within) = self.known.get_mut(&slot.scope) {
            within.remove(&text);
            if within.is_empty() {
                self.known.remove(&slot.scope);
            }
        }
        self.free.push(name);
    }
}
