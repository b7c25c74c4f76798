//! What a tree of tasks has spent on models: kept with the id of its root. An answer that cannot be read, and one that
//! a cancel or a crash comes before, is not counted.

use std::{collections::BTreeSet, fmt};

use bobbinet_core::{Generation, Limits, Refused, StreamId, TaskId, Timestamp};
use bobbinet_engine::{Aggregate, EngineError};
use bobbinet_store::Summary;
use serde::{Deserialize, Serialize};

/// The first byte of their streams.
const KIND: u8 = b'k';

/// A number for their only state: none of a task's, nor of another kind's.
const CODE: u8 = 104;

/// The account of the tree under this root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AccountId(pub TaskId);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the tokens of {}", self.0)
    }
}

/// What a tree has spent, and what it was granted beyond its budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAccount {
    /// Tokens of all prompts and answers.
    pub spent: u64,
    /// Tokens beyond the budget.
    pub granted: u64,
    /// For which questions they were granted: each counts once.
    grants: BTreeSet<String>,
    version: u64,
    at: Timestamp,
}

/// What can be asked of an account.
#[derive(Clone, Debug)]
pub enum AccountCommand {
    /// So much was spent.
    Spend {
        /// Tokens.
        tokens: u64,
    },
    /// So much more may be, by the answer to this question.
    Grant {
        /// Tokens.
        tokens: u64,
        /// The question.
        question: String,
    },
}

/// What can happen to an account. On disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AccountEvent {
    /// So much was spent.
    Spent {
        /// Tokens.
        tokens: u64,
    },
    /// So much more may be.
    Granted {
        /// Tokens.
        tokens: u64,
        /// By the answer to this question.
        question: String,
    },
}

impl TokenAccount {
    /// Whether more may be spent, of so large a budget.
    pub fn has_left(&self, budget: u64) -> bool {
        self.spent < budget.saturating_add(self.granted)
    }
}

impl Aggregate for TokenAccount {
    type Id = AccountId;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Held = ();
    type Local = ();

    fn stream(id: &AccountId) -> StreamId {
        let mut bytes = [KIND; 17];
        bytes[1..].copy_from_slice(id.0.as_bytes());
        StreamId::from_bytes(&bytes)
    }

    fn id_of(stream: &StreamId) -> Option<AccountId> {
        let mut task = stream.as_bytes().to_vec();
        if task.first() != Some(&KIND) {
            return None;
        }
        task[0] = b't';
        StreamId::from_bytes(&task).as_task().map(AccountId)
    }

    fn decide(
        _: &AccountId,
        state: Option<&Self>,
        command: AccountCommand,
        _: &Limits,
    ) -> Result<Vec<AccountEvent>, EngineError> {
        match command {
            AccountCommand::Spend { tokens } => Ok(vec![AccountEvent::Spent { tokens }]),
            AccountCommand::Grant { question, .. } if state.is_some_and(|state| state.grants.contains(&question)) => {
                Err(Refused::Present.into())
            }
            AccountCommand::Grant { tokens, question } => Ok(vec![AccountEvent::Granted { tokens, question }]),
        }
    }

    fn begin(_: &AccountId, at: Timestamp, event: &AccountEvent) -> Option<Self> {
        let mut account = Self::default();
        account.apply(at, event);
        Some(account)
    }

    fn apply(&mut self, at: Timestamp, event: &AccountEvent) {
        self.version += 1;
        self.at = at;
        match event {
            AccountEvent::Spent { tokens } => self.spent = self.spent.saturating_add(*tokens),
            AccountEvent::Granted { tokens, question } => {
                self.granted = self.granted.saturating_add(*tokens);
                self.grants.insert(question.clone());
            }
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn generation(&self) -> Generation {
        Generation(0)
    }

    fn is_public(_: &AccountEvent) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.grants.iter().map(String::len).sum::<usize>()
    }

    fn summary(&self, _: &Limits) -> Summary {
        Summary::unlisted(CODE, self.at, None)
    }
}
