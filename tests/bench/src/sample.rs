//! What one measurement found, and how several are put together.

use std::time::Duration;

use serde::Serialize;

/// Waiting times, each one kept: a minute of load is a few million numbers, and no bucket rounds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The quantiles, in milliseconds; `None` of nothing.
    pub(crate) fn quantiles(mut self) -> Option<Quantiles> {
        self.0.sort_unstable();
        let last = self.0.len().checked_sub(1)?;
        let at = |numerator: usize| self.0[last * numerator / 1000] as f64 / 1e6;
        Some(Quantiles { p50: at(500), p90: at(900), p99: at(990), max: at(1000) })
    }
}

/// Waiting times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

/// One measurement of one server.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Right answers a second.
    pub(crate) per_second: f64,
    /// From the request to the end of its answer.
    pub(crate) latency: Option<Quantiles>,
    /// From the request to its first event; of streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_event: Option<Quantiles>,
    /// How many events a stream had; of streams only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events_per_stream: Option<f64>,
    /// The server's processor time for each right answer, in microseconds.
    pub(crate) server_micros: f64,
    /// How busy the load generator's core was. Near 1, the load is what was measured, not the server.
    pub(crate) load_share: f64,
    /// Answers that were wrong or did not come.
    pub(crate) errors: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_error: Option<String>,
}

/// A number that was measured several times.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) samples: usize,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, min, max, samples: sorted.len() })
    }
}

/// Bytes as they are reported.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_ends() {
        let check = |numbers: &[f64], expected: (f64, f64, f64)| {
            let spread = Spread::of(numbers.iter().copied()).unwrap();
            assert_eq!((spread.min, spread.median, spread.max), expected);
        };
        check(&[3.0], (3.0, 3.0, 3.0));
        check(&[3.0, 1.0], (1.0, 2.0, 3.0));
        check(&[9.0, 1.0, 2.0], (1.0, 2.0, 9.0));
        assert!(Spread::of([]).is_none());
    }

    #[test]
    fn quantiles_are_of_what_was_added() {
        let mut latencies = Latencies::default();
        for millis in (1..=1001).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let quantiles = latencies.quantiles().unwrap();
        assert_eq!((quantiles.p50, quantiles.p99, quantiles.max), (501.0, 991.0, 1001.0));
        assert!(Latencies::default().quantiles().is_none());
    }
}
