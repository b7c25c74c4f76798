//! Texts that many streams share, kept once: a tenant, an owner, an agent, a context.

use std::sync::Arc;

use uuid::Uuid;

use super::ranked::RankedList;

/// A text's number, for as long as something names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) u32);

/// Within nothing: the scope of tenants. No text has this number.
pub(super) const ROOT: Name = Name(u32::MAX);

/// The texts by number. A text within one tenant is another one than the same text within another.
#[derive(Debug, Default)]
pub(super) struct Interner {
    slots: Vec<TextSlot>,
    free: Vec<Name>,
    /// By scope and text.
    known: RankedList,
}

#[derive(Debug)]
struct TextSlot {
    text: Text<Arc<str>>,
    scope: Name,
    uses: u32,
}

/// A text. Most are the contexts of single tasks, and those are UUIDs, which are kept in less room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Text<T> {
    /// Written as UUIDs are: in lower case, with hyphens.
    Uuid([u8; 16]),
    Other(T),
}

impl Interner {
    pub(super) fn find(&self, scope: Name, text: &str) -> Option<Name> {
        let text = Text::of(text);
        let found = self.known.get(self.known.seek(|slot| is_before(&self.slots[slot as usize], scope, &text)))?;
        let slot = &self.slots[found as usize];
        (slot.scope == scope && slot.text.borrow() == text).then_some(Name(found))
    }

    pub(super) fn text(&self, name: Name) -> Arc<str> {
        self.slots[name.0 as usize].text.text()
    }

    /// Whether the text of this name is this one.
    pub(super) fn is(&self, name: Name, text: &str) -> bool {
        self.slots[name.0 as usize].text.borrow() == Text::of(text)
    }

    /// Uses a text in another one's place, if there was one. Nothing happens if it is the same.
    pub(super) fn change(&mut self, scope: Name, old: Option<Name>, text: &str) -> Name {
        if let Some(old) = old
            && self.slots[old.0 as usize].scope == scope
            && self.is(old, text)
        {
            return old;
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
        let slot = TextSlot { text: Text::of(text).keep(), scope, uses: 1 };
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
        let text = Text::of(text);
        self.known.insert(name.0, |slot| is_before(&self.slots[slot as usize], scope, &text));
        name
    }

    /// Uses it once less; the last one takes the text away.
    pub(super) fn leave(&mut self, name: Name) {
        let slot = &mut self.slots[name.0 as usize];
        slot.uses -= 1;
        if slot.uses > 0 {
            return;
        }
        let TextSlot { text, scope, .. } = &self.slots[name.0 as usize];
        let text = text.borrow();
        let was_known = self.known.remove(name.0, |slot| is_before(&self.slots[slot as usize], *scope, &text));
        assert!(was_known, "what has a name is known");
        self.slots[name.0 as usize].text = Text::Uuid([0; 16]);
        self.free.push(name);
    }
}

fn is_before(slot: &TextSlot, scope: Name, text: &Text<&str>) -> bool {
    (slot.scope, &slot.text.borrow()) < (scope, text)
}

impl<'a> Text<&'a str> {
    fn of(text: &'a str) -> Self {
        read_uuid(text).map_or(Self::Other(text), Self::Uuid)
    }

    fn keep(self) -> Text<Arc<str>> {
        match self {
            Self::Uuid(bytes) => Text::Uuid(bytes),
            Self::Other(text) => Text::Other(text.into()),
        }
    }
}

impl Text<Arc<str>> {
    fn borrow(&self) -> Text<&str> {
        match self {
            Self::Uuid(bytes) => Text::Uuid(*bytes),
            Self::Other(text) => Text::Other(text),
        }
    }

    fn text(&self) -> Arc<str> {
        match self {
            Self::Uuid(bytes) => write_uuid(bytes),
            Self::Other(text) => text.clone(),
        }
    }
}

/// The bytes of a UUID that is written as [`write_uuid`] writes it, to the letter.
fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let uuid = Uuid::try_parse(text).ok()?;
    let mut written = Uuid::encode_buffer();
    (uuid.as_hyphenated().encode_lower(&mut written) == text).then(|| uuid.into_bytes())
}

fn write_uuid(bytes: &[u8; 16]) -> Arc<str> {
    let uuid = Uuid::from_bytes(*bytes);
    Arc::from(&*uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_takes_little_room_and_only_if_it_is_written_like_one() {
        let check = |text: &str, is_uuid: bool| {
            assert_eq!(matches!(Text::of(text), Text::Uuid(_)), is_uuid, "{text}");
            assert_eq!(*Text::of(text).keep().text(), *text);
        };
        check("01939f3c-7d2e-7000-8000-0123456789ab", true);
        check("ffffffff-ffff-ffff-ffff-ffffffffffff", true);
        check("00000000-0000-0000-0000-000000000000", true);
        check("01939F3c-7d2e-7000-8000-0123456789ab", false);
        check("01939f3c-7d2e-7000-8000-0123456789a", false);
        check("01939f3c-7d2e-7000-8000-0123456789ag", false);
        check("01939f3c07d2e-7000-8000-0123456789ab", false);
        check("01939f3c-7d2e-7000-8000-01234567-9ab", false);
        check("01939f3c-7d2e-7000-8000-0123456789é", false);
        check("", false);
        assert_eq!(size_of::<TextSlot>(), 32);
    }

    proptest! {
        #[test]
        fn names_are_shared_and_freed(changes in proptest::collection::vec((0u32..3, 0usize..8, any::<bool>()), 1..400)) {
            let texts: Vec<String> = (0..8u8)
                .map(|text| if text % 2 == 0 { write_uuid(&[text; 16]).to_string() } else { format!("text {text}") })
                .collect();
            let mut names = Interner::default();
            let mut uses: BTreeMap<(Name, &str), (Name, u32)> = BTreeMap::new();
            for (scope, text, enters) in changes {
                let (scope, text) = (Name(u32::MAX - scope), &*texts[text]);
                if enters {
                    let name = names.change(scope, None, text);
                    let (known, count) = uses.entry((scope, text)).or_insert((name, 0));
                    prop_assert_eq!(*known, name);
                    *count += 1;
                } else if let Some((name, count)) = uses.get_mut(&(scope, text)) {
                    prop_assert_eq!(names.change(scope, Some(*name), text), *name);
                    names.leave(*name);
                    *count -= 1;
                    if *count == 0 {
                        uses.remove(&(scope, text));
                    }
                }
            }
            prop_assert_eq!(names.known.len(), uses.len());
            prop_assert_eq!(names.slots.len() - names.free.len(), uses.len());
            for scope in 0..3 {
                for text in &texts {
                    let scope = Name(u32::MAX - scope);
                    let name = uses.get(&(scope, &**text)).map(|(name, _)| *name);
                    prop_assert_eq!(names.find(scope, text), name);
                    if let Some(name) = name {
                        prop_assert_eq!(&*names.text(name), text);
                    }
                }
            }
        }
    }
}
