//! What a node's connections begin with: `tls` of a `bobbinet.yaml`, and of a peer.

use bobbinet_http::TlsFiles;
use bobbinet_outbound::ClientTlsFiles;

use super::{
    reader::{MapSettings, Reader},
    tree::{Node, Value},
};

const KEYS: [&str; 4] = ["cert", "key", "client_ca", "client"];
const CLIENT_KEYS: [&str; 3] = ["ca", "cert", "key"];

const HINT: &str =
    "for example tls: { cert: ./tls.crt, key: ./tls.key }; or tls: off, where a proxy or a mesh before the node has it";

/// What a node's connections begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum TlsSettings {
    /// Nobody has said: plain, where nobody else can reach it.
    #[default]
    Unsaid,
    /// Plain, as somebody has said.
    Off,
    /// TLS, with these files.
    Files(TlsFiles),
}

/// Reads what a node says of it.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<TlsSettings> {
    match &node.value {
        Value::Flag(false, _) => Some(TlsSettings::Off),
        Value::Text(word) if word == "off" => Some(TlsSettings::Off),
        Value::Map(_) => read_files(reader, node).map(TlsSettings::Files),
        Value::Flag(true, _) | Value::Null(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
            reader.fault_with_hint(node.at, "tls cannot be that", HINT);
            None
        }
    }
}

fn read_files(reader: &mut Reader<'_>, node: &Node) -> Option<TlsFiles> {
    let fields = reader.fields(node, "tls", &KEYS);
    let certificate = file(reader, &fields, "cert");
    let key = file(reader, &fields, "key");
    let client_ca = file(reader, &fields, "client_ca");
    let client = fields.get("client").and_then(|node| {
        // "off" is a flag to some who write YAML.
        let word = if matches!(node.value, Value::Flag(false, _)) {
            Some("off".to_owned())
        } else {
            reader.word(node, "client")
        };
        let is_known = word.as_deref().is_some_and(|word| ["off", "optional", "required"].contains(&word));
        if !is_known {
            let hint = "there is off, optional and required";
            reader.fault_with_hint(node.at, "client cannot be that", hint);
        }
        word
    });
    let client_ca = match (client.as_deref(), client_ca) {
        (Some("off"), _) => None,
        (Some(_), None) => {
            let hint = "name the authorities whose certificates callers may show: client_ca: ./ca.crt";
            reader.fault_with_hint(
                fields.at,
                "callers may show certificates, and nobody is trusted to have signed them",
                hint,
            );
            None
        }
        (_, client_ca) => client_ca,
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Some(TlsFiles { certificate, key, client_ca, is_client_required: client.as_deref() == Some("required") })
        }
        _ => {
            if !["cert", "key"].iter().any(|key| fields.has_near(key))
                || fields.get("cert").is_none() != fields.get("key").is_none()
            {
                reader.fault_with_hint(fields.at, "tls has a cert and a key", HINT);
            }
            None
        }
    }
}

/// Reads what is said of a peer's certificate, and of ours for it.
pub(super) fn read_client(reader: &mut Reader<'_>, fields: &MapSettings<'_>) -> ClientTlsFiles {
    let Some(node) = fields.get("tls") else { return ClientTlsFiles::default() };
    let fields = reader.fields(node, "tls", &CLIENT_KEYS);
    let files = ClientTlsFiles {
        ca: file(reader, &fields, "ca"),
        identity: file(reader, &fields, "cert").zip(file(reader, &fields, "key")),
    };
    if fields.get("cert").is_some() != fields.get("key").is_some() {
        reader.fault_with_hint(
            fields.at,
            "a certificate that is shown has a cert and a key",
            "say tls: { cert: ./tls.crt, key: ./tls.key }",
        );
    }
    if let Err(fault) = files.read() {
        reader.fault_with_hint(fields.at, fault.to_string(), "name files in PEM");
        return ClientTlsFiles::default();
    }
    files
}

fn file(reader: &mut Reader<'_>, fields: &MapSettings<'_>, name: &'static str) -> Option<std::path::PathBuf> {
    let node = fields.get(name)?;
    Some(reader.source().folder.join(reader.text(node, name)?))
}
