//! Bounds by their names: a number, a size such as `4MiB`, or, without the `_ms` of its name, a time such as `10m`.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{reader::Reader, tree::Node};

/// What a bound's name ends in when it is a time.
const MILLIS: &str = "_ms";

/// A set of bounds that is being changed by name.
pub(crate) struct Bounds(Map<String, Value>);

impl Bounds {
    /// The bounds as they stand.
    pub(crate) fn of<T: Serialize>(limits: &T) -> Self {
        match serde_json::to_value(limits) {
            Ok(Value::Object(map)) => Self(map),
            other => unreachable!("bounds are a map of numbers, and not {other:?}"),
        }
    }

    /// The names that a configuration may use, the short ones of times first.
    pub(crate) fn names(&self) -> Vec<&str> {
        let short = self.0.keys().filter_map(|name| name.strip_suffix(MILLIS));
        short.chain(self.0.keys().map(String::as_str)).collect()
    }

    /// Takes a value that the configuration gives, if the bound is one of these.
    pub(crate) fn take(&mut self, reader: &mut Reader<'_>, name: &str, node: &Node) {
        let (name, number) = if self.0.contains_key(name) {
            (name.to_owned(), reader.parsed(node, name, size))
        } else {
            let full = format!("{name}{MILLIS}");
            if !self.0.contains_key(&full) {
                return;
            }
            (full, reader.parsed(node, name, millis))
        };
        if let Some(number) = number {
            self.0.insert(name, Value::from(number));
        }
    }

    /// The bounds as they stand now.
    ///
    /// # Panics
    /// If a bound cannot hold what it was given, which the reading of numbers rules out.
    pub(crate) fn into_limits<T: DeserializeOwned>(self) -> T {
        serde_json::from_value(Value::Object(self.0)).expect("bounds are whole numbers of 64 bits")
    }
}

/// A whole number, or a size with its unit.
pub(super) fn size(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    match unit {
        Some((number, shift)) => number.trim().parse::<u64>().ok()?.checked_mul(1 << shift),
        None => text.replace('_', "").parse().ok(),
    }
}

/// A time with its unit.
fn millis(text: &str) -> Option<u64> {
    u64::try_from(humantime::parse_duration(text).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        assert_eq!(size("4MiB"), Some(4 << 20));
        assert_eq!(size("10_000"), Some(10_000));
        assert_eq!(size("-1"), None);
        assert_eq!(size("99999999999GiB"), None);
        assert_eq!(millis("10m"), Some(600_000));
        assert_eq!(millis("10"), None);
    }

    #[test]
    fn a_bound_goes_by_its_name_with_and_without_its_unit() {
        let bounds = Bounds::of(&bobbinet_core::Limits::default());
        let names = bounds.names();
        assert!(names.contains(&"run_limit") && names.contains(&"run_limit_ms") && names.contains(&"history_max"));
        assert_eq!(bounds.into_limits::<bobbinet_core::Limits>(), bobbinet_core::Limits::default());
    }
}
