//! Callers by the certificate that they show (mutual TLS). Whether an authority has vouched for it is settled where the connection is made.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bobbinet_core::{Caller, Timestamp};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, x509::X509Name};

use crate::{NamedPrincipal, Rejected};

/// The kinds of a subject's parts: their number, what they are called here (RFC 4514, RFC 4519), and what else they may be called.
const KINDS: [(&str, &str, &[&str]); 21] = [
    ("2.5.4.3", "CN", &["COMMONNAME"]),
    ("2.5.4.4", "SN", &["SURNAME"]),
    ("2.5.4.5", "SERIALNUMBER", &[]),
    ("2.5.4.6", "C", &["COUNTRYNAME"]),
    ("2.5.4.7", "L", &["LOCALITYNAME"]),
    ("2.5.4.8", "ST", &["S", "STATEORPROVINCENAME"]),
    ("2.5.4.9", "STREET", &["STREETADDRESS"]),
    ("2.5.4.10", "O", &["ORGANIZATIONNAME"]),
    ("2.5.4.11", "OU", &["ORGANIZATIONALUNIT", "ORGANIZATIONALUNITNAME"]),
    ("2.5.4.12", "TITLE", &[]),
    ("2.5.4.13", "DESCRIPTION", &[]),
    ("2.5.4.15", "BUSINESSCATEGORY", &[]),
    ("2.5.4.17", "POSTALCODE", &[]),
    ("2.5.4.42", "GIVENNAME", &["GN"]),
    ("2.5.4.43", "INITIALS", &[]),
    ("2.5.4.44", "GENERATIONQUALIFIER", &[]),
    ("2.5.4.46", "DNQUALIFIER", &[]),
    ("2.5.4.97", "ORGANIZATIONIDENTIFIER", &[]),
    ("0.9.2342.19200300.100.1.1", "UID", &["USERID"]),
    ("0.9.2342.19200300.100.1.25", "DC", &["DOMAINCOMPONENT"]),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS", &["E"]),
];

/// Names of one certificate that are looked at.
const NAMES_MAX: usize = 100;

/// What a caller's certificate says of him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    names: Vec<CertificateName>,
    thumbprint: String,
    ends: Timestamp,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateName {
    /// A URI, such as `spiffe://prod.example/ns/shop/sa/cart`; letter for letter.
    Uri(String),
    /// A DNS name, in lower case.
    Dns(String),
    /// The subject's parts, such as `CN` and its value, from the first to the last as the certificate has them.
    Subject(Vec<(String, String)>),
}

/// A principal who is known by the name in his certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedPrincipal {
    /// The name in the certificate.
    pub name: CertificateName,
    /// Who that is.
    pub principal: NamedPrincipal,
}

/// Why a certificate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate cannot be read: {0}")]
pub struct CertificateFault(String);

impl Certificate {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> Result<Self, CertificateFault> {
        let fault = |error: &dyn fmt::Display| CertificateFault(error.to_string());
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| fault(&error))?;
        let mut names = Vec::new();
        let alternative = parsed.subject_alternative_name().map_err(|error| fault(&error))?;
        for name in alternative.iter().flat_map(|extension| &extension.value.general_names).take(NAMES_MAX) {
            match name {
                GeneralName::URI(uri) => names.push(CertificateName::Uri((*uri).to_owned())),
                GeneralName::DNSName(host) => names.push(CertificateName::Dns(host.to_ascii_lowercase())),
                GeneralName::OtherName(..)
                | GeneralName::RFC822Name(_)
                | GeneralName::X400Address(_)
                | GeneralName::DirectoryName(_)
                | GeneralName::EDIPartyName(_)
                | GeneralName::IPAddress(_)
                | GeneralName::RegisteredID(_)
                | GeneralName::Invalid(..) => {}
            }
        }
        names.extend(subject(parsed.subject()).map(CertificateName::Subject));
        let ends = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, der));
        Ok(Self { names, thumbprint, ends: Timestamp::from_millis(ends.saturating_mul(1_000)) })
    }

    /// Its SHA-256 hash as `x5t#S256` has it (RFC 8705 section 3.1).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    fn found(&self) -> Vec<String> {
        self.names.iter().map(ToString::to_string).collect()
    }
}

/// The subject's parts; `None` if there are none, or one is no text.
fn subject(name: &X509Name<'_>) -> Option<Vec<(String, String)>> {
    let mut parts = Vec::new();
    for attribute in name.iter_attributes().take(NAMES_MAX) {
        let number = attribute.attr_type().to_id_string();
        let known = KINDS.iter().find(|(of, ..)| *of == number);
        parts.push((
            known.map_or(number.clone(), |(_, name, _)| (*name).to_owned()),
            attribute.as_str().ok()?.to_owned(),
        ));
    }
    (!parts.is_empty()).then_some(parts)
}

/// What a part of a subject is called here that is configured by one of its names, in whichever case, or by its number; `None` if it would
/// be in no certificate.
fn kind(text: &str) -> Option<String> {
    let name = text.to_ascii_uppercase();
    let is_called = |(number, short, others): &&(&str, &str, &[&str])| {
        *number == name || *short == name || others.contains(&name.as_str())
    };
    if let Some((_, name, _)) = KINDS.iter().find(is_called) {
        return Some((*name).to_owned());
    }
    let is_arc = |arc: &str| !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit());
    (name.contains('.') && name.split('.').all(is_arc)).then_some(name)
}

impl CertificateName {
    /// Reads a name as it is configured: a URI, a DNS name, or a subject such as `CN=cart,O=Shop`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains("://") {
            return Ok(Self::Uri(text.to_owned()));
        }
        if text.contains('=') {
            return Self::parse_subject(text);
        }
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        match text.split('.').all(is_part) {
            true => Ok(Self::Dns(text.to_ascii_lowercase())),
            false => Err("it is no URI, no DNS name and no subject such as CN=cart,O=Shop".to_owned()),
        }
    }

    fn parse_subject(text: &str) -> Result<Self, String> {
        if text.contains(['\\', '"', '+']) {
            return Err("a subject with \\, \" or + is not read: name a URI or a DNS name".to_owned());
        }
        let mut parts = Vec::new();
        for part in text.split(',') {
            match part.split_once('=').map(|(kind, value)| (kind.trim(), value.trim())) {
                Some((name, value)) if !name.is_empty() && !value.is_empty() => {
                    let known = || KINDS.map(|(_, name, _)| name).join(", ");
                    let kind = kind(name).ok_or_else(|| {
                        format!(
                            "{name:?} is no part of a subject that is known: there are {}, and numbers such as 2.5.4.3",
                            known()
                        )
                    })?;
                    parts.push((kind, value.to_owned()));
                }
                Some(_) | None => return Err(format!("{part:?} is no part of a subject such as CN=cart")),
            }
        }
        Ok(Self::Subject(parts))
    }

    /// Whether a certificate's name is this one. A subject is written from either end.
    fn is(&self, shown: &Self) -> bool {
        match (self, shown) {
            (Self::Subject(expected), Self::Subject(shown)) => {
                expected == shown || expected.iter().rev().eq(shown.iter())
            }
            (Self::Uri(expected), Self::Uri(shown)) | (Self::Dns(expected), Self::Dns(shown)) => expected == shown,
            (Self::Uri(_) | Self::Dns(_) | Self::Subject(_), _) => false,
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(name) | Self::Dns(name) => f.write_str(name),
            Self::Subject(parts) => {
                let parts: Vec<String> = parts.iter().map(|(kind, value)| format!("{kind}={value}")).collect();
                f.write_str(&parts.join(","))
            }
        }
    }
}

/// Who has shown this certificate. One that is in the names of several is nobody's: which one he is, nobody could say.
pub(crate) fn caller(
    known: &[CertifiedPrincipal],
    certificate: &Certificate,
    now: Timestamp,
) -> Result<Arc<Caller>, Rejected> {
    if now >= certificate.ends {
        return Err(Rejected::CertificateExpired);
    }
    let is_shown = |known: &&CertifiedPrincipal| certificate.names.iter().any(|name| known.name.is(name));
    let mut found = known.iter().filter(is_shown).map(|known| &known.principal);
    let Some(first) = found.next() else {
        return Err(Rejected::UnknownCertificate { found: certificate.found() });
    };
    if found.any(|other| other.principal != first.principal) {
        return Err(Rejected::AmbiguousCertificate { found: certificate.found() });
    }
    Ok(Arc::new(Caller::new(first.principal.clone(), first.tenant.clone())))
}
