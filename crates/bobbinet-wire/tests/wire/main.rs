//! The wire, tested from outside: tables of requests, golden files of answers, and properties of both.
#![allow(clippy::unwrap_used, reason = "a test")]

mod card;
mod client;
mod envelope;
mod fixture;
mod golden;
mod older;
mod properties;
mod push;
mod requests;
mod rest;
mod signed_card;
mod spoken;
mod spoken_proto;
