//! How a command fails: a code for programs, a sentence for people, what to do next, and an exit code.

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use bobbinet_core::{State, text};
use serde::Serialize;

use crate::{
    format::Format,
    remark::{Remark, remark},
};

/// What went wrong, as programs tell it apart. The names and exit codes are those of the A2A project's CLI
/// specification (appendix D); what is ours alone has a prefix of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Something typed that is no command, or not one that can be done.
    Usage,
    /// No card at the given reference.
    CardNotFound,
    /// A card that cannot be used.
    CardInvalid,
    /// Nobody answers at the address of the agent or the node.
    Unreachable,
    /// The agent wants credentials, and there are none.
    CredentialsMissing,
    /// The agent does not take these credentials.
    AuthFailed,
    /// `--timeout` is over.
    Timeout,
    /// A message was sent, and what became of it is unknown: it may have been carried out.
    OutcomeUnknown,
    /// A fault of the program or of the machine, which has no code of its own.
    Internal,
    /// A failure that the protocol has a name for, such as `TaskNotFoundError`.
    Protocol(String),
    /// A configuration that cannot be used.
    Config,
    /// Another process has the data folder open.
    StoreBusy,
    /// The data folder is damaged.
    StoreDamaged,
    /// The node cannot listen at its address.
    Listen,
    /// The person has ended the waiting.
    Interrupted,
    /// A policy says something else than a case expects.
    PolicyTest,
    /// The command did its job, and the task stands so: asked for with `--fail`.
    Task(State),
}

impl Code {
    /// The name in the error envelope.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Usage => "A2ACLI_ERR_USAGE",
            Self::CardNotFound => "A2ACLI_ERR_CARD_NOT_FOUND",
            Self::CardInvalid => "A2ACLI_ERR_CARD_INVALID",
            Self::Unreachable => "A2ACLI_ERR_UNREACHABLE",
            Self::CredentialsMissing => "A2ACLI_ERR_CREDENTIALS_MISSING",
            Self::AuthFailed => "A2ACLI_ERR_AUTH_FAILED",
            Self::Timeout => "A2ACLI_ERR_TIMEOUT",
            Self::OutcomeUnknown => "BOBBINET_ERR_OUTCOME_UNKNOWN",
            Self::Internal => "A2ACLI_ERR_INTERNAL",
            Self::Protocol(name) => name,
            Self::Config => "BOBBINET_ERR_CONFIG",
            Self::StoreBusy => "BOBBINET_ERR_STORE_BUSY",
            Self::StoreDamaged => "BOBBINET_ERR_STORE_DAMAGED",
            Self::Listen => "BOBBINET_ERR_LISTEN",
            Self::Interrupted => "BOBBINET_ERR_INTERRUPTED",
            Self::PolicyTest => "BOBBINET_ERR_POLICY_TEST",
            Self::Task(_) => "BOBBINET_ERR_TASK",
        }
    }

    /// What the process ends with: 0 to 5 as the CLI specification has it (section 11.6), 65 for damaged data as sysexits
    /// has it, and 76, which is its "remote error in protocol", where nobody knows what was done; 130 for Ctrl-C as shells
    /// have it, and with `--fail` how the task stands.
    pub(crate) fn exit(&self) -> u8 {
        match self {
            Self::Usage | Self::Config => 2,
            Self::CardNotFound | Self::Unreachable => 3,
            Self::CredentialsMissing | Self::AuthFailed => 4,
            Self::Timeout => 5,
            Self::StoreDamaged => 65,
            Self::OutcomeUnknown => 76,
            Self::Interrupted => 130,
            Self::Task(State::Completed) => 0,
            Self::Task(State::Failed) => 10,
            Self::Task(State::Rejected) => 11,
            Self::Task(State::Canceled) => 12,
            Self::Task(State::Submitted | State::Working | State::InputRequired | State::AuthRequired) => 13,
            Self::CardInvalid
            | Self::Internal
            | Self::Protocol(_)
            | Self::StoreBusy
            | Self::Listen
            | Self::PolicyTest => 1,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
    a2a_code: Option<i64>,
}

/// A command that could not do its job.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    hint: Option<String>,
    a2a_code: Option<i64>,
    /// Whether all of it has been said already; then only the exit code is left.
    is_told: bool,
}

impl Failure {
    /// A failure in a sentence.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, a2a_code: None, is_told: false }
    }

    /// One that has been printed in a form of its own.
    pub(crate) fn told(code: Code, message: impl Into<String>) -> Self {
        Self { is_told: true, ..Self::new(code, message) }
    }

    /// An error with all its causes in one line.
    pub(crate) fn of(code: Code, error: &dyn std::error::Error) -> Self {
        Self::new(code, chain(error))
    }

    /// With what to do next.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// With the number that the protocol has for it.
    pub(crate) fn a2a_code(self, code: i64) -> Self {
        Self { a2a_code: Some(code), ..self }
    }

    /// As programs tell it apart.
    pub(crate) fn code(&self) -> &Code {
        &self.code
    }

    /// What is said, and what to do next.
    pub(crate) fn sentence(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(" -> {hint}")).unwrap_or_default();
        format!("{}{hint}", self.message)
    }

    /// Whether all of it has been said already.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Says it, and gives what the process is to end with. Programs find it where they would find the result (CLI
    /// specification, appendix B), people on standard error.
    pub(crate) fn report(&self, format: Format) -> ExitCode {
        if !self.is_told {
            match format {
                // Whoever does not read any more does not want to know.
                Format::Json => drop(writeln!(io::stdout(), "{}", text::json(&self.envelope()))),
                Format::Text | Format::Table => self.print(),
            }
        }
        ExitCode::from(self.code.exit())
    }

    /// Says it of something that did its job all the same, on standard error.
    pub(crate) fn warn(&self) {
        remark(Remark::Warning, &self.message);
        if let Some(hint) = &self.hint {
            remark(Remark::Hint, hint);
        }
    }

    /// The error envelope (CLI specification, appendix B).
    fn envelope(&self) -> String {
        let Self { code, message, hint, a2a_code, is_told: _ } = self;
        let error = Envelope { code: code.name(), message, hint: hint.as_deref(), a2a_code: *a2a_code };
        let error = serde_json::to_string(&error).expect("texts and a number");
        format!("{{\"error\":{error}}}")
    }

    fn print(&self) {
        remark(Remark::Error, &self.message);
        if let Some(hint) = &self.hint {
            remark(Remark::Hint, hint);
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error and its causes, one after the other, none of them twice.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, name: &str, exit: u8) {
        assert_eq!((code.name(), code.exit()), (name, exit));
    }

    #[test]
    fn codes_and_exits_are_those_of_the_cli_specification() {
        check(Code::Usage, "A2ACLI_ERR_USAGE", 2);
        check(Code::CardNotFound, "A2ACLI_ERR_CARD_NOT_FOUND", 3);
        check(Code::CardInvalid, "A2ACLI_ERR_CARD_INVALID", 1);
        check(Code::Unreachable, "A2ACLI_ERR_UNREACHABLE", 3);
        check(Code::CredentialsMissing, "A2ACLI_ERR_CREDENTIALS_MISSING", 4);
        check(Code::AuthFailed, "A2ACLI_ERR_AUTH_FAILED", 4);
        check(Code::Timeout, "A2ACLI_ERR_TIMEOUT", 5);
        check(Code::Internal, "A2ACLI_ERR_INTERNAL", 1);
        check(Code::Protocol("TaskNotFoundError".to_owned()), "TaskNotFoundError", 1);
        check(Code::OutcomeUnknown, "BOBBINET_ERR_OUTCOME_UNKNOWN", 76);
        check(Code::Interrupted, "BOBBINET_ERR_INTERRUPTED", 130);
        check(Code::StoreDamaged, "BOBBINET_ERR_STORE_DAMAGED", 65);
    }

    #[test]
    fn the_envelope_has_every_member() {
        let failure = Failure::new(Code::Protocol("TaskNotFoundError".to_owned()), "no such task").a2a_code(-32001);
        let expected =
            r#"{"error":{"code":"TaskNotFoundError","message":"no such task","hint":null,"a2aCode":-32001}}"#;
        assert_eq!(failure.envelope(), expected);
    }
}
