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
    known: BTreeMap<(Name, Arc<str>), Name>,
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
        // The map is asked with an owned text: a list asks for a handful of names.
        self.known.get(&(scope, Arc::from(text))).copied()
    }

    pub(super) fn text(&self, name: Name) -> &str {
        &self.slots[name.0 as usize].text
    }

    /// Uses a text once more.
    pub(super) fn enter(&mut self, scope: Name, text: &str) -> Name {
        let text: Arc<str> = Arc::from(text);
        if let Some(name) = self.known.get(&(scope, text.clone())) {
            self.slots[name.0 as usize].uses += 1;
            return *name;
        }
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
        self.known.insert((scope, text), name);
        name
    }

    /// Uses it once less; the last one takes the text away.
    pub(super) fn leave(&mut self, name: Name) {
        let slot = &mut self.slots[name.0 as usize];
        slot.uses -= 1;
        if slot.uses == 0 {
            self.known.remove(&(slot.scope, std::mem::replace(&mut slot.text, Arc::from(""))));
            self.free.push(name);
        }
    }
}
