//! What is asked of a webhook, alike in both packages and as in the JSON of both versions.

use bobbinet_core::{PushAuthentication, PushConfig, Secret};
use bobbinet_wire::push::{checked_id, checked_scheme, checked_secret, checked_url};

use crate::{
    faults::{At, Faults},
    rules,
};

/// A webhook as a package has it.
#[derive(Debug)]
pub(crate) struct PushFields {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) authentication: Option<AuthenticationFields>,
}

/// How we authenticate to its receiver, as a package has it.
#[derive(Debug)]
pub(crate) struct AuthenticationFields {
    pub(crate) scheme: String,
    pub(crate) credentials: String,
    /// What the package calls the scheme.
    pub(crate) scheme_name: &'static str,
}

/// A webhook of these fields, whose receiver is sent what this version of A2A says.
pub(crate) fn config(fields: PushFields, dialect: &str, at: At<'_>, faults: &mut Faults) -> Option<PushConfig> {
    let id = checked(fields.id, at.field("id"), faults, checked_id);
    let token = checked(fields.token, at.field("token"), faults, checked_secret);
    let authentication =
        fields.authentication.and_then(|given| authentication(given, at.field("authentication"), faults));
    let url = rules::required(fields.url, at.field("url"), faults)?;
    let url = checked(url, at.field("url"), faults, checked_url)?;
    Some(PushConfig { id, url, token: token.map(Secret::new), authentication, dialect: dialect.into() })
}

fn authentication(given: AuthenticationFields, at: At<'_>, faults: &mut Faults) -> Option<PushAuthentication> {
    let AuthenticationFields { scheme, credentials, scheme_name } = given;
    let credentials = checked(credentials, at.field("credentials"), faults, checked_secret).map(Secret::new);
    match checked_scheme(&scheme) {
        Ok(()) => Some(PushAuthentication { scheme, credentials }),
        Err(why) => {
            faults.wrong(at.field(scheme_name), why);
            None
        }
    }
}

/// How many webhooks a page may have. Zero is as many as there may be (AIP-158).
pub(crate) fn page_size(size: i32, at: At<'_>, faults: &mut Faults) -> Option<u32> {
    let size = u32::try_from(size);
    if size.is_err() {
        faults.wrong(at, "may not be negative");
    }
    size.ok().filter(|size| *size > 0)
}

fn checked(
    text: String,
    at: At<'_>,
    faults: &mut Faults,
    check: impl FnOnce(String) -> Result<String, String>,
) -> Option<String> {
    match check(rules::given(text)?) {
        Ok(text) => Some(text),
        Err(why) => {
            faults.wrong(at, format!("cannot be read: {why}"));
            None
        }
    }
}
