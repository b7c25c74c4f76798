//! Where this node is for browsers that come back from a login, and where what they bring is kept.

use std::{path::PathBuf, sync::OnceLock};

use reqwest::Url;

/// What authorization servers and browsers are told of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginAddress {
    /// Where browsers come back.
    pub redirect: Url,
    /// Where the node says who it is (OAuth Client ID Metadata Document); none that is not `https`.
    pub client_metadata: Option<Url>,
    /// What people are told who wants to be let in.
    pub client_name: String,
}

/// The place of all logins of a node.
#[derive(Debug, Default)]
pub(crate) struct LoginPlace {
    address: OnceLock<LoginAddress>,
    folder: Option<PathBuf>,
}

impl LoginPlace {
    /// What is brought is kept in this folder, which must be its owner's alone.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self { address: OnceLock::new(), folder: Some(folder) }
    }

    /// It is known where the node is. The first word counts.
    pub(crate) fn open(&self, address: LoginAddress) {
        let _ = self.address.set(address);
    }

    pub(crate) fn address(&self) -> Option<&LoginAddress> {
        self.address.get()
    }

    /// The file of this login.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")))
    }
}
