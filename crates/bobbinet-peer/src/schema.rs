//! Whether arguments fit what a peer's card says of them, as far as that is soon known: the peer checks them itself.

use std::fmt;

use bobbinet_core::Json;
use jsonschema::{PatternOptions, Validator};

/// Bytes of a schema that is checked against: it is a stranger's, and may be made to take long.
const SCHEMA_MAX: usize = 16 << 10;

/// Bytes of arguments that are checked.
const ARGUMENTS_MAX: usize = 32 << 10;

/// Bytes that one pattern may take when it is compiled.
const PATTERN_MAX: usize = 1 << 20;

/// Places that are told.
const TOLD_MAX: usize = 10;

/// A schema that values can be checked against.
pub(crate) struct Check(Validator);

/// One place where arguments do not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// JSON pointer to it.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) text: String,
}

impl Check {
    /// That of a schema, if it can be checked in bounded time: patterns must be such as need no going back.
    pub(crate) fn new(schema: &Json) -> Option<Self> {
        let is_small = schema.as_str().len() <= SCHEMA_MAX && !schema.as_str().contains("\"$dynamicRef\"");
        let patterns = PatternOptions::regex().size_limit(PATTERN_MAX);
        let build = || jsonschema::options().offline().with_pattern_options(patterns).build(&schema.to_value());
        is_small.then(build)?.ok().map(Self)
    }

    /// What is wrong with arguments. Empty: nothing, or they are too long to say so here.
    pub(crate) fn check(&self, arguments: &Json) -> Vec<Violation> {
        if arguments.as_str().len() > ARGUMENTS_MAX {
            return Vec::new();
        }
        let arguments = arguments.to_value();
        let violation = |error: jsonschema::ValidationError<'_>| Violation {
            path: error.instance_path().as_str().to_owned(),
            text: error.to_string().chars().take(300).collect(),
        };
        self.0.iter_errors(&arguments).take(TOLD_MAX).map(violation).collect()
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Check")
    }
}
