//! What a client of OAuth 2.0 must know to get a token by itself: what a server asks for, where tokens are given out, and the request
//! for one. Nothing here is remembered: when to ask, and for whom, is its caller's business.

mod challenge;
mod metadata;
mod token;

pub use challenge::BearerChallenge;
pub use metadata::{
    ClientAuthMethod, IssuerMetadata, MetadataFault, ResourceMetadata, canonical_resource, issuer_metadata_urls,
    may_carry_secrets, resource_metadata_urls,
};
pub use token::{IssuedToken, OAuthClient, TokenFault, request_token};
