//! Values, as they are typed.

use std::{net::SocketAddr, time::Duration};

use bobbinet_core::State;
use bobbinet_mcp::{Isolation, ProtocolEra};
use bobbinet_wire::{Transport, Version};
use ipnet::IpNet;

use crate::config::{parse_address, parse_network};

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    parse_address(text).ok_or_else(|| "write an IP address and a port, such as 127.0.0.1:7420".to_owned())
}

pub(super) fn network(text: &str) -> Result<IpNet, String> {
    parse_network(text).ok_or_else(|| "write an IP address, or a network such as 10.0.0.0/8".to_owned())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()));
    seconds.or_else(|_| humantime::parse_duration(text)).map_err(|_| "write a time such as 500ms, 30s or 5m".to_owned())
}

pub(super) fn transport(text: &str) -> Result<Transport, String> {
    match text.trim().to_lowercase().as_str() {
        "jsonrpc" | "json-rpc" => Ok(Transport::JsonRpc),
        "http+json" | "rest" => Ok(Transport::HttpJson),
        "grpc" => Ok(Transport::Grpc),
        _ => Err("there is jsonrpc, http+json and grpc".to_owned()),
    }
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    Version::ALL.into_iter().find(|version| version.name() == text.trim()).ok_or_else(|| {
        let all = Version::ALL.map(Version::name).join(" and ");
        format!("there is {all}")
    })
}

pub(super) fn isolation(text: &str) -> Result<Isolation, String> {
    let word = serde_json::Value::from(text.to_lowercase());
    serde_json::from_value(word).map_err(|_| "there is auto, required and off".to_owned())
}

pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("write a time that is longer than none, such as 30s or 5m".to_owned()),
        time => Ok(time),
    }
}

pub(super) fn era(text: &str) -> Result<ProtocolEra, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|_| "there is auto, modern and legacy".to_owned())
}

pub(super) fn state(text: &str) -> Result<State, String> {
    let simple = text.to_lowercase().replace('_', "-");
    let simple = simple.strip_prefix("task-state-").unwrap_or(&simple);
    State::ALL.into_iter().find(|state| state.as_str() == simple).ok_or_else(|| {
        let all = State::ALL.map(State::as_str).join(", ");
        format!("there is {all}")
    })
}
