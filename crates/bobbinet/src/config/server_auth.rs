//! How this node is shown to an MCP server at a URL: `auth` beside its `url`.

use bobbinet_mcp::{LoginConfig, OAuthClientConfig, ServerAuth, TokenAuthority};
use bobbinet_outbound::{
    Origin, SecretSource,
    oauth::{ClientCredential, ClientKey, issuer_metadata_urls},
};
use reqwest::Url;

use super::{
    reader::{MapSettings, Reader},
    tree::Node,
};

const AUTH_KEYS: [&str; 4] = ["client", "login", "bearer", "file"];
const CLIENT_KEYS: [&str; 8] = ["issuer", "token_url", "id", "secret", "secret_file", "key_file", "key_id", "scope"];
const LOGIN_KEYS: [&str; 7] = ["issuer", "id", "secret", "secret_file", "key_file", "key_id", "scope"];

const AUTH_HINT: &str = "say one of auth: { client: { issuer, id, secret_file } }, { login: {} } (somebody logs in with a browser), { file: PATH } and \
                         { bearer: \"${env:NAME}\" }";
const CLIENT_HINT: &str = "for example { issuer: https://idp.example.com, id: node, secret: \"${env:MCP_SECRET}\" }; the issuer is the authorization server that has \
                           given the id, and nobody else is shown the secret";
const LOGIN_HINT: &str = "login: {} is enough where the authorization server lets clients say themselves who they are; one that wants to know this node before has \
                          given an id: { issuer: https://idp.example.com, id: node }, perhaps with a secret_file";
const REFERENCE_HINT: &str = "name a variable, such as \"${env:NAME}\", or a file";

/// Parts of a header's name that say that its value is nobody else's business.
const SECRET_NAMES: [&str; 7] = ["authorization", "cookie", "token", "key", "secret", "password", "credential"];

/// Reads how the server is shown who calls.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, server: &Url) -> Option<ServerAuth> {
    let auth = reader.fields(node, "auth", &AUTH_KEYS);
    let given: Vec<&str> = AUTH_KEYS.into_iter().filter(|key| auth.get(key).is_some()).collect();
    let [only] = given.as_slice() else {
        if given.len() > 1 || !AUTH_KEYS.iter().any(|key| auth.has_near(key)) {
            reader.fault_with_hint(node.at, "auth says one way", AUTH_HINT);
        }
        return None;
    };
    let value = auth.get(only)?;
    warn_of_plain(reader, node, "its token", server);
    match *only {
        "bearer" => secret(reader, value, "a token").map(ServerAuth::Bearer),
        "file" => file(reader, value).map(ServerAuth::Bearer),
        "login" => login(reader, value, server).map(ServerAuth::Login),
        _ => client(reader, value, server).map(ServerAuth::ClientCredentials),
    }
}

fn client(reader: &mut Reader<'_>, node: &Node, server: &Url) -> Option<OAuthClientConfig> {
    let fields = reader.fields(node, "client", &CLIENT_KEYS);
    let issuer = fields.get("issuer").and_then(|node| issuer(reader, node));
    let token_url = fields.get("token_url").and_then(|node| token_url(reader, node));
    let id = fields.get("id").and_then(|node| reader.word(node, "id"));
    let credential = credential(reader, &fields);
    let scope = fields.get("scope").and_then(|node| reader.word(node, "scope"));
    let has_both = issuer.is_some() && token_url.is_some();
    let authority = issuer.map(TokenAuthority::Issuer).or(token_url.map(TokenAuthority::TokenUrl));
    match (authority, id, credential) {
        (Some(authority), Some(id), Some(credential)) if !has_both => {
            warn_of_plain_authority(reader, node, &authority, server);
            Some(OAuthClientConfig { authority, id, credential, scope })
        }
        // What stands there and cannot be read has been told.
        _ if reader.has_fault_at_or_after(fields.at) => None,
        _ => {
            let what = "a client has an issuer or a token_url, an id, and one of secret, secret_file and key_file";
            reader.fault_with_hint(fields.at, what, CLIENT_HINT);
            None
        }
    }
}

fn login(reader: &mut Reader<'_>, node: &Node, server: &Url) -> Option<LoginConfig> {
    let fields = reader.fields(node, "login", &LOGIN_KEYS);
    let issuer = fields.get("issuer").and_then(|node| issuer(reader, node));
    let id = fields.get("id").and_then(|node| reader.word(node, "id"));
    let credential = credential(reader, &fields);
    let scope = fields.get("scope").and_then(|node| reader.word(node, "scope"));
    if reader.has_fault_at_or_after(fields.at) {
        return None;
    }
    // Who has given an id is part of it: another would be shown what is not for it.
    let is_whole = match (&issuer, &id, &credential) {
        (None, Some(_), _) | (_, None, Some(_)) => false,
        (Some(_), _, _) | (None, None, None) => true,
    };
    if !is_whole {
        reader.fault_with_hint(fields.at, "a login with an id has the issuer that gave it", LOGIN_HINT);
        return None;
    }
    if let Some(issuer) = &issuer {
        warn_of_plain_authority(reader, node, &TokenAuthority::Issuer(issuer.clone()), server);
    }
    Some(LoginConfig { issuer, client: id.map(|id| (id, credential.unwrap_or(ClientCredential::None))), scope })
}

/// What a client shows; at most one thing.
fn credential(reader: &mut Reader<'_>, fields: &MapSettings<'_>) -> Option<ClientCredential> {
    let text = fields.get("secret").and_then(|node| secret(reader, node, "a secret"));
    let in_file = fields.get("secret_file").and_then(|node| file(reader, node));
    let key_file = fields.get("key_file").and_then(|node| reader.text(node, "a file"));
    let id = fields.get("key_id").and_then(|node| reader.word(node, "key_id"));
    let folder = reader.source().folder.clone();
    let key = key_file.map(|path| ClientCredential::Key(ClientKey { file: folder.join(path), id: id.clone() }));
    let all = [text.map(ClientCredential::Secret), in_file.map(ClientCredential::Secret), key];
    let mut given = all.into_iter().flatten();
    match (given.next(), given.next()) {
        (credential, None) if id.is_none() || fields.get("key_file").is_some() => credential,
        (_, _) => {
            let what = "a client shows one of secret, secret_file and key_file, and only a key has a key_id";
            reader.fault_with_hint(fields.at, what, CLIENT_HINT);
            None
        }
    }
}

fn issuer(reader: &mut Reader<'_>, node: &Node) -> Option<String> {
    let issuer = reader.text(node, "issuer")?;
    match issuer_metadata_urls(&issuer) {
        Ok(_) => Some(issuer),
        Err(fault) => {
            reader.fault_with_hint(
                node.at,
                fault.to_string(),
                "write its name as it says it itself: https://idp.example.com",
            );
            None
        }
    }
}

fn token_url(reader: &mut Reader<'_>, node: &Node) -> Option<Url> {
    let text = reader.text(node, "token_url")?;
    let url = Url::parse(&text).map_err(|error| error.to_string());
    let url = url.and_then(|url| Origin::of(&url).map(|_| url).map_err(|refused| refused.to_string()));
    url.map_err(|why| {
        reader.fault_with_hint(
            node.at,
            format!("the token_url cannot be called: {why}"),
            "for example https://idp.example.com/token",
        );
    })
    .ok()
}

/// A secret by its name. What stands in the file itself is none.
fn secret(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<SecretSource> {
    let is_reference = node.as_written().is_some_and(is_reference);
    let text = reader.word(node, what)?;
    if !is_reference {
        reader.fault_with_hint(node.at, format!("{what} does not stand in the file itself"), REFERENCE_HINT);
        return None;
    }
    match SecretSource::Text(text).read() {
        Ok(text) => Some(SecretSource::Text(text)),
        Err(_) => {
            reader.fault(node.at, format!("{what} is one word, and the variable holds something else"));
            None
        }
    }
}

/// Whether something stands for a value that is elsewhere.
pub(crate) fn is_reference(written: &str) -> bool {
    written.contains("${") || written.contains("{env:") || written.starts_with('$')
}

fn file(reader: &mut Reader<'_>, node: &Node) -> Option<SecretSource> {
    let path = reader.text(node, "a file")?;
    Some(SecretSource::File(reader.source().folder.join(path)))
}

/// Whether a header holds what is nobody else's business: by its name, or because its value stands elsewhere.
pub(crate) fn is_secret(name: &str, written: &str) -> bool {
    is_reference(written) || SECRET_NAMES.iter().any(|part| name.to_ascii_lowercase().contains(part))
}

/// Says so where what is secret goes unencrypted to another machine.
pub(super) fn warn_of_plain(reader: &mut Reader<'_>, node: &Node, what: &str, url: &Url) {
    if is_plain(url) {
        let shown = url.origin().ascii_serialization();
        reader.warn(node.at, format!("{what} goes to {shown} unencrypted: whoever is on the way reads it"), PLAIN_HINT);
    }
}

const PLAIN_HINT: &str = "write https, or answer for the way there yourself, as within a mesh";

fn warn_of_plain_authority(reader: &mut Reader<'_>, node: &Node, authority: &TokenAuthority, server: &Url) {
    let url = match authority {
        TokenAuthority::Issuer(issuer) => Url::parse(issuer).ok(),
        TokenAuthority::TokenUrl(url) => Some(url.clone()),
    };
    // Once is enough where both are one.
    if let Some(url) = url.filter(|url| url.origin() != server.origin()) {
        warn_of_plain(reader, node, "the client's secret", &url);
    }
}

/// Whether what goes there can be read on the way.
pub(crate) fn is_plain(url: &Url) -> bool {
    url.scheme() == "http" && !Origin::of(url).is_ok_and(|origin| origin.is_loopback())
}

#[cfg(test)]
mod tests {
    use crate::config::{Severity, Strictness, read};

    /// What is found in a file whose only agent has this server; the file of a secret is `secret`.
    fn found(mcp: &str) -> Vec<(Severity, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bobbinet.yaml");
        std::fs::write(&path, format!("agents: {{ a: {{ mcp: {mcp} }} }}\n")).unwrap();
        let reading = read(&path, Strictness::Strict);
        reading.findings.into_iter().map(|finding| (finding.severity, finding.message)).collect()
    }

    fn check(mcp: &str, expected: Option<(Severity, &str)>) {
        let found = found(mcp);
        match expected {
            None => assert!(found.is_empty(), "{mcp}: {found:?}"),
            Some((severity, words)) => {
                assert!(found.len() == 1 && found[0].0 == severity && found[0].1.contains(words), "{mcp}: {found:?}");
            }
        }
    }

    #[test]
    fn how_a_node_is_shown_to_a_server_is_said_in_one_way_and_without_the_secret() {
        let error = |words| Some((Severity::Error, words));
        let client = |words: &str| format!("{{ url: https://a.example/mcp, auth: {{ client: {{ {words} }} }} }}");
        check(&client("issuer: https://i.example, id: n, secret_file: ./secret"), None);
        check(&client("issuer: https://i.example, id: n, secret: \"${PATH:-x}\", scope: a b"), None);
        check(&client("token_url: https://i.example/token, id: n, secret_file: ./secret"), None);
        check(&client("issuer: https://i.example, id: n, secret: plain"), error("does not stand in the file itself"));
        check(&client("issuer: https://i.example, id: n, secret: \"${NOT_SET:-two words}\""), error("is one word"));
        check(&client("issuer: https://i.example, id: n, key_file: ./key.pem, key_id: k"), None);
        check(
            &client("issuer: https://i.example, id: n, key_file: ./k, secret_file: ./s"),
            error("a client shows one of"),
        );
        check(
            &client("issuer: https://i.example, id: n, secret_file: ./s, key_id: k"),
            error("only a key has a key_id"),
        );
        let login = |words: &str| format!("{{ url: https://a.example/mcp, auth: {{ login: {{ {words} }} }} }}");
        check(&login(""), None);
        check(&login("scope: a b"), None);
        check(&login("issuer: https://i.example"), None);
        check(&login("issuer: https://i.example, id: n"), None);
        check(&login("issuer: https://i.example, id: n, secret_file: ./s"), None);
        check(&login("id: n"), error("has the issuer that gave it"));
        check(&login("issuer: https://i.example, secret_file: ./s"), error("has the issuer that gave it"));
        check(&client("id: n, secret_file: ./secret"), error("a client has an issuer or a token_url"));
        check(&client("issuer: https://i.example, id: n"), error("a client has an issuer or a token_url"));
        check(&client("issuer: https://i.example?x, id: n, secret_file: ./s"), error("has a query"));
        check(&client("token_url: ftp://i, id: n, secret_file: ./s"), error("token_url cannot be called"));
        check("{ url: https://a.example/mcp, auth: { file: ./token } }", None);
        check("{ url: https://a.example/mcp, auth: { bearer: abc } }", error("does not stand in the file itself"));
        check("{ url: https://a.example/mcp, auth: {} }", error("auth says one way"));
        check("{ command: [ls], auth: { file: ./token } }", error("has no auth"));
        let both = "{ url: https://a.example/mcp, headers: { Authorization: x }, auth: { file: ./token } }";
        check(both, error("the header \"authorization\" and auth"));
    }

    #[test]
    fn a_secret_that_goes_unencrypted_to_another_machine_is_warned_of() {
        let warning = |words| Some((Severity::Warning, words));
        check(
            "{ url: http://a.mesh/mcp, headers: { X-Api-Key: x } }",
            warning("a header with a secret goes to http://a.mesh"),
        );
        check("{ url: http://a.mesh/mcp, headers: { X-Where: \"${NOT_SET:-x}\" } }", warning("a header with a secret"));
        check("{ url: http://a.mesh/mcp, headers: { X-Region: eu } }", None);
        check("{ url: https://a.mesh/mcp, headers: { X-Api-Key: x } }", None);
        check("{ url: http://127.0.0.1:1/mcp, headers: { X-Api-Key: x } }", None);
        check("{ url: http://localhost:1/mcp, auth: { file: ./token } }", None);
        check(
            "{ url: http://a.mesh/mcp, auth: { file: ./token } }",
            warning("its token goes to http://a.mesh unencrypted"),
        );
        let client = "auth: { client: { issuer: http://i.mesh, id: n, secret_file: ./s } }";
        check(&format!("{{ url: https://a.mesh/mcp, {client} }}"), warning("secret goes to http://i.mesh"));
    }
}
