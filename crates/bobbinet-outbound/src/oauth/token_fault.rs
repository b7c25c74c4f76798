//! Why an authorization server has given nothing, in words that say what to do.

use std::io;

use http::StatusCode;
use serde::Deserialize;

use crate::OutboundError;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// There is no secret to show.
    #[error("the client's secret cannot be read")]
    Secret(#[source] io::Error),
    /// There is no key to sign with.
    #[error("the client's key cannot be used")]
    Key(#[source] io::Error),
    /// It is not asked, or does not answer.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It gives none.
    #[error("it answers {status}{}", advice(code.as_deref()))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The standard's code for why (RFC 6749 section 5.2, RFC 8707 section 2). What else it says may have secrets in it.
        code: Option<String>,
    },
    /// It says something else.
    #[error("its answer has no bearer token")]
    Unreadable,
    /// It does not say by what name it knows the client now.
    #[error("its answer has no client_id")]
    NoClient,
}

/// What a code means, and what to do.
fn advice(code: Option<&str>) -> String {
    let Some(code) = code else { return String::new() };
    let what = match code {
        "invalid_client" => ": it does not know the client by this id and secret",
        "unauthorized_client" | "unsupported_grant_type" => {
            ": allow it this grant there (client_credentials, or authorization_code and refresh_token for a login), or write another client"
        }
        "invalid_scope" => ": write a scope that the client may have",
        "invalid_target" => ": it gives out no token for this server",
        "invalid_redirect_uri" => ": it does not let browsers come back to this node's URL",
        _ => "",
    };
    format!(" ({code}){what}")
}

/// The code of a refusal, if it is one of the standards': any other may be anything.
pub(super) fn code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    const KNOWN: [&str; 10] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "invalid_redirect_uri",
        "invalid_client_metadata",
        "unapproved_software_statement",
    ];
    let Refusal { error } = serde_json::from_slice(body).ok()?;
    KNOWN.contains(&error.as_str()).then_some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do_and_nothing_that_the_server_made_up() {
        let said = |body: &str| {
            TokenFault::Refused { status: StatusCode::BAD_REQUEST, code: code(body.as_bytes()) }.to_string()
        };
        assert!(said(r#"{"error":"invalid_client"}"#).contains("(invalid_client): it does not know the client"));
        assert_eq!(said(r#"{"error":"s3cret","error_description":"s3cret"}"#), "it answers 400 Bad Request");
        assert_eq!(said("s3cret"), "it answers 400 Bad Request");
    }
}
