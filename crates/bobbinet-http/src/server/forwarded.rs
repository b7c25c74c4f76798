//! Where a proxy says that a request came to: the `Forwarded` header (RFC 7239), or the older `X-Forwarded-*`. Only proxies that the
//! node is told of are believed, and no proxy in both ways if they differ: then it writes the one, and passes the other on as a caller
//! has sent it.

use http::{HeaderMap, HeaderValue, header, uri::Authority};

const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// The URL that the proxy next to us was asked at, without a slash at the end; `own_scheme` where it does not say. `None` if it says
/// nothing of that. Where several proxies have written their word one after the other, the last is of the one that we are told of.
pub(super) fn origin(headers: &HeaderMap, host: Option<&str>, own_scheme: &str) -> Option<String> {
    let element = last(headers, header::FORWARDED.as_str());
    let parameter = |name| element.and_then(|element| parameter(element, name));
    let standard = Said { host: parameter("host"), proto: parameter("proto") };
    let older = Said { host: last(headers, FORWARDED_HOST), proto: last(headers, FORWARDED_PROTO) };
    let Said { host: named_host, proto } = match (standard.is_silent(), older.is_silent()) {
        (true, true) => return None,
        (false, true) => standard,
        (true, false) => older,
        (false, false) if standard.is(&older) => standard,
        (false, false) => return None,
    };
    let host = named_host.or(host).filter(|host| is_host(host))?;
    let scheme = match proto {
        Some(proto) => ["http", "https"].into_iter().find(|known| proto.eq_ignore_ascii_case(known))?,
        None => own_scheme,
    };
    let prefix = last(headers, FORWARDED_PREFIX).filter(|prefix| is_prefix(prefix)).unwrap_or_default();
    Some(format!("{scheme}://{}{}", host.to_ascii_lowercase(), prefix.trim_end_matches('/')))
}

/// What one kind of header says.
struct Said<'a> {
    host: Option<&'a str>,
    proto: Option<&'a str>,
}

impl Said<'_> {
    fn is_silent(&self) -> bool {
        self.host.is_none() && self.proto.is_none()
    }

    fn is(&self, other: &Self) -> bool {
        let same = |one: Option<&str>, other: Option<&str>| match (one, other) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            (one, other) => one == other,
        };
        same(self.host, other.host) && same(self.proto, other.proto)
    }
}

fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let last = values.next_back()?.rsplit(',').next()?.trim();
    (!last.is_empty()).then_some(last)
}

/// A parameter of an element such as `for=192.0.2.60;proto=https;host="a.example:8443"`.
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().trim_matches('"'))
}

fn is_host(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// A path as URLs have it, with nothing in it that a URL would have to escape.
fn is_prefix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    text.starts_with('/') && !text.contains("//") && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn the_proxy_next_to_us_says_where_it_was_asked() {
        let check = |said: &[(&'static str, &str)], expected: Option<&str>| {
            let headers: HeaderMap = said
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
                .collect();
            assert_eq!(origin(&headers, Some("own.example:80"), "http").as_deref(), expected, "{said:?}");
        };
        check(&[], None);
        check(&[("forwarded", "for=1.2.3.4;proto=https;host=A.example")], Some("https://a.example"));
        check(
            &[("forwarded", "host=evil.example, for=1.2.3.4;host=\"a.example:8443\";proto=https")],
            Some("https://a.example:8443"),
        );
        check(&[("forwarded", "for=1.2.3.4")], None);
        check(&[("x-forwarded-proto", "https")], Some("https://own.example:80"));
        check(&[("x-forwarded-host", "evil.example, a.example")], Some("http://a.example"));
        let all = [("x-forwarded-host", "a.example"), ("x-forwarded-proto", "HTTPS"), ("x-forwarded-prefix", "/mesh/")];
        check(&all, Some("https://a.example/mesh"));
        let one = ("forwarded", "host=A.example;proto=https");
        check(&[one, ("x-forwarded-host", "a.example"), ("x-forwarded-proto", "https")], Some("https://a.example"));
        check(&[one, ("x-forwarded-host", "b.example"), ("x-forwarded-proto", "https")], None);
        check(&[one, ("x-forwarded-proto", "https")], None);
        check(&[("forwarded", "for=1.2.3.4"), ("x-forwarded-host", "b.example")], Some("http://b.example"));
        check(&[("x-forwarded-host", "user@a.example")], None);
        check(&[("x-forwarded-host", "a.example"), ("x-forwarded-proto", "gopher")], None);
        check(&[("x-forwarded-host", "a.example"), ("x-forwarded-prefix", "/a\"b")], Some("http://a.example"));
    }
}
