//! What a client of OAuth 2.0 must know to get a token by itself or through somebody's browser: what a server asks for, where tokens are
//! given out, who one is there, and the request for one. Nothing here is remembered: when to ask, and for whom, is its caller's business.

mod challenge;
mod client_auth;
mod form;
mod login;
mod metadata;
mod registration;
mod token;
mod token_fault;

pub use challenge::BearerChallenge;
pub use client_auth::{ClientAuthMethod, ClientCredential, ClientKey, OAuthClient, SigningMoment};
pub use login::{LoginFault, LoginRequest, LoginResponse};
pub use metadata::{
    IssuerMetadata, MetadataFault, ResourceMetadata, canonical_resource, issuer_metadata_urls, may_carry_secrets,
    resource_metadata_urls,
};
pub use registration::{ClientMetadata, RegisteredClient, register};
pub use token::{IssuedToken, request_token};
pub use token_fault::TokenFault;
