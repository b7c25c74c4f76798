//! sled's errors, in words.

use std::fmt;

/// An error of sled's. What sled itself says of damaged data ends in a backtrace, which tells a person nothing.
pub(super) struct SledError(::sled::Error);

impl fmt::Display for SledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ::sled::Error::Corruption { at: Some(at), .. } => {
                write!(f, "what lies at {at} of its file is not what was written")
            }
            ::sled::Error::Corruption { at: None, .. } => f.write_str("what lies in its file is not what was written"),
            ::sled::Error::ReportableBug(what) => write!(f, "sled found what it did not expect: {what}"),
            error @ (::sled::Error::Io(_) | ::sled::Error::Unsupported(_) | ::sled::Error::CollectionNotFound(_)) => {
                write!(f, "{error}")
            }
        }
    }
}

impl fmt::Debug for SledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SledError {}

impl From<::sled::Error> for SledError {
    fn from(error: ::sled::Error) -> Self {
        Self(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_in_a_sentence() {
        let error = ::sled::Error::Corruption { at: None, bt: () };
        assert!(error.to_string().contains("backtrace"), "sled says it so: {error}");
        let told = SledError::from(error);
        for said in [told.to_string(), format!("{told:?}")] {
            assert_eq!(said, "what lies in its file is not what was written");
        }
    }
}
