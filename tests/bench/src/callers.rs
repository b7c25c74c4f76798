//! What it costs to know a caller, to ask the policy about him, and to speak with him by TLS: `GetTask` by callers who differ in nothing else.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    a2a::{Endpoint, Saying, Shown},
    asker::{Chance, Line},
    events::Streamed,
    load::{self, Ask, Shape, Work},
    measure::MANY,
    oidc::{Issuer, SUBJECT},
    sample::{Sample, Spread},
    server::{Place, Recipe, Server},
    tls::Certificate,
    wrapping::{Wrapping, words},
};

/// How many tasks each caller gets one of.
const TASKS: usize = 1_000;

/// One who is not the node's owner.
const PRINCIPAL: &str = "ci";

/// How long a node may take to know of a new API key: it looks every quarter of a second.
const UNTIL_KNOWN: Duration = Duration::from_secs(1);

/// How a caller is known, and spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// The node's owner, whom no policy is asked about.
    Owner,
    /// A principal, by a token of the node's.
    Token,
    /// The same under a policy of [`LINES`] lines, of which the last allows it.
    TokenOfLines,
    ApiKey,
    /// By one token of an issuer, again and again.
    OidcKnown,
    /// By a token of that issuer that is new each time, so that its signature is.
    OidcNew,
    /// The node's owner over TLS.
    Tls,
    /// The same with a connection for each request.
    TlsNew,
}

/// Lines of the longer policy.
const LINES: usize = 20;

/// A server, and those who call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum House {
    OneLine,
    ManyLines,
    Tls,
}

impl Way {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 8] = [
        Self::Owner,
        Self::Token,
        Self::TokenOfLines,
        Self::ApiKey,
        Self::OidcKnown,
        Self::OidcNew,
        Self::Tls,
        Self::TlsNew,
    ];

    fn house(self) -> House {
        match self {
            Self::Owner | Self::Token | Self::ApiKey | Self::OidcKnown | Self::OidcNew => House::OneLine,
            Self::TokenOfLines => House::ManyLines,
            Self::Tls | Self::TlsNew => House::Tls,
        }
    }

    fn is_owner(self) -> bool {
        match self {
            Self::Owner | Self::Tls | Self::TlsNew => true,
            Self::Token | Self::TokenOfLines | Self::ApiKey | Self::OidcKnown | Self::OidcNew => false,
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner => f.write_str("the owner, by the node's token"),
            Self::Token => f.write_str("a principal, by the node's token; policy of 1 line"),
            Self::TokenOfLines => write!(f, "the same; policy of {LINES} lines, the last allows"),
            Self::ApiKey => f.write_str("a principal, by an API key; 1 line"),
            Self::OidcKnown => f.write_str("a principal, by an OIDC token that is known; 1 line"),
            Self::OidcNew => f.write_str("a principal, by an OIDC token that is new each time; 1 line"),
            Self::Tls => f.write_str("the owner, over TLS, kept connections"),
            Self::TlsNew => f.write_str("the owner, over TLS, a new connection each time"),
        }
    }
}

/// What each thing costs by itself, in microseconds of the server's: the medians of two rows that differ in nothing else.
pub(crate) fn differences(found: &BTreeMap<Way, Vec<Sample>>) -> Vec<(&'static str, f64)> {
    let median = |way| {
        let samples: Option<&Vec<Sample>> = found.get(&way);
        Spread::of(samples?.iter().map(|sample| sample.server_micros)).map(|spread| spread.median)
    };
    let more_lines = (LINES - 1) as f64;
    let rows = [
        ("a line of a policy", Way::TokenOfLines, Way::Token, more_lines),
        ("an API key", Way::ApiKey, Way::Token, 1.0),
        ("a known OIDC token", Way::OidcKnown, Way::Token, 1.0),
        ("a new OIDC token", Way::OidcNew, Way::Token, 1.0),
        ("TLS", Way::Tls, Way::Owner, 1.0),
        ("a TLS connection", Way::TlsNew, Way::Tls, 1.0),
    ];
    let of_each = |(what, way, like, times)| Some((what, (median(way)? - median(like)?) / times));
    rows.into_iter().filter_map(of_each).collect()
}

/// Those who call, and what they are known by.
#[derive(Debug)]
pub(crate) struct Callers {
    wrapping: Wrapping,
    one_line: PathBuf,
    many_lines: PathBuf,
    issuer: Issuer,
    certificate: Certificate,
}

impl Callers {
    /// Makes what they show, and writes into this folder whom the servers are to know.
    pub(crate) async fn begin(wrapping: Wrapping, folder: &Path) -> Result<Self> {
        let issuer = Issuer::serve().await?;
        let certificate = Certificate::make(folder)?;
        let write = |lines: usize| {
            let file = folder.join(format!("callers-{lines}.yaml"));
            fs::write(&file, callers_file(&issuer.name, lines)).context("writing who may call")?;
            anyhow::Ok(file)
        };
        let (one_line, many_lines) = (write(1)?, write(LINES)?);
        Ok(Self { wrapping, one_line, many_lines, issuer, certificate })
    }

    /// Measures each of them once. Another one is first each time.
    pub(crate) async fn round(
        &self,
        round: usize,
        place: &Place,
        shape: impl Fn(usize) -> Shape,
    ) -> Result<BTreeMap<Way, Sample>> {
        let mut found = BTreeMap::new();
        let mut houses = [House::OneLine, House::ManyLines, House::Tls];
        let first = round % houses.len();
        houses.rotate_left(first);
        for house in houses {
            let server = Server::start(&self.recipe(house), place).await?;
            let mut tasks: BTreeMap<bool, Arc<[String]>> = BTreeMap::new();
            let mut ways: Vec<Way> = Way::ALL.into_iter().filter(|way| way.house() == house).collect();
            let first = round % ways.len();
            ways.rotate_left(first);
            for way in ways {
                let endpoint = self.endpoint(way, &server).await?;
                let ids = match tasks.get(&way.is_owner()) {
                    Some(ids) => ids.clone(),
                    None => {
                        let made = load::fill(&endpoint, Saying::Call, TASKS as u64, TASKS).await;
                        let made: Arc<[String]> = made.with_context(|| format!("as {way}"))?.into();
                        tasks.entry(way.is_owner()).or_insert(made).clone()
                    }
                };
                let sample = match way {
                    Way::TlsNew => load::watch(server.pid, shape(MANY), newcomers(&endpoint, &ids)).await?,
                    Way::Owner
                    | Way::Token
                    | Way::TokenOfLines
                    | Way::ApiKey
                    | Way::OidcKnown
                    | Way::OidcNew
                    | Way::Tls => load::measure(&endpoint, server.pid, &Work::Get(ids), shape(MANY)).await?,
                };
                found.insert(way, sample);
            }
            server.stop().await?;
        }
        Ok(found)
    }

    fn recipe(&self, house: House) -> Recipe {
        let flags = |file: &Path| words(&["--callers", &file.display().to_string()]);
        match house {
            House::OneLine => self.wrapping.agent("one-line", "a policy of one line", &flags(&self.one_line)),
            House::ManyLines => self.wrapping.agent("many-lines", "a policy of many lines", &flags(&self.many_lines)),
            House::Tls => {
                let Certificate { file, key, believer } = &self.certificate;
                let (file, key) = (file.display().to_string(), key.display().to_string());
                let flags = words(&["--tls-cert", &file, "--tls-key", &key]);
                let recipe = self.wrapping.agent("tls", "with TLS", &flags);
                Recipe { tls: Some(believer.clone()), ..recipe }
            }
        }
    }

    async fn endpoint(&self, way: Way, server: &Server) -> Result<Endpoint> {
        let minter = || self.issuer.minter(server.url());
        let shown = match way {
            Way::Owner | Way::Tls | Way::TlsNew => server.endpoint.shown.clone(),
            Way::Token | Way::TokenOfLines => Shown::This(self.wrapping.token_for(PRINCIPAL, server).await?),
            Way::ApiKey => {
                let key = self.wrapping.api_key_for(PRINCIPAL, server).await?;
                tokio::time::sleep(UNTIL_KNOWN).await;
                Shown::This(key)
            }
            Way::OidcKnown => Shown::This(minter().token()),
            Way::OidcNew => Shown::New(Arc::new(minter())),
        };
        Ok(Endpoint { shown, ..server.endpoint.clone() })
    }
}

/// Whom a server knows, and what they may. The lines before the last are about others.
fn callers_file(issuer: &str, lines: usize) -> String {
    // More than one of them asks for here: nobody is to wait for a limit.
    let mut file = format!(
        "principals: {{ {PRINCIPAL}: {{ tenant: acme, life: 1h, limits: {{ requests_per_second: 1000000 }} }} }}\n"
    );
    let _ = writeln!(file, "trust: [{{ issuer: {issuer:?}, principals: {{ {SUBJECT}: {PRINCIPAL} }} }}]\npolicy:");
    for number in 1..lines {
        let _ = writeln!(file, "  - {{ allow: \"caller.principal == 'team-{number:02}' && skill == 'echo'\" }}");
    }
    let _ = writeln!(file, "  - {{ allow: \"caller.principal == '{PRINCIPAL}' && skill == 'echo'\" }}");
    file
}

/// One who comes by a new connection each time.
#[derive(Debug)]
struct Newcomer {
    endpoint: Endpoint,
    ids: Arc<[String]>,
    chance: Chance,
}

fn newcomers(endpoint: &Endpoint, ids: &Arc<[String]>) -> Vec<Newcomer> {
    let newcomer = |number| Newcomer { endpoint: endpoint.clone(), ids: ids.clone(), chance: Chance::of(number) };
    (0..MANY).map(newcomer).collect()
}

impl Ask for Newcomer {
    async fn ask(&mut self) -> Result<Option<Streamed>> {
        let id = self.chance.pick(&self.ids);
        Line::open(&self.endpoint).await?.ask_for(id, |writer| writer.get(id)).await?;
        Ok(None)
    }

    async fn begin_again(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_of_medians_and_what_was_not_measured_has_none() {
        let mut found = BTreeMap::new();
        let mut add = |way, micros: [f64; 3]| {
            found.insert(way, micros.map(|micros| Sample { server_micros: micros, ..Sample::default() }).to_vec());
        };
        add(Way::Token, [20.0, 1.0, 90.0]);
        add(Way::TokenOfLines, [39.0, 0.0, 80.0]);
        add(Way::OidcNew, [60.0, 60.0, 60.0]);
        assert_eq!(differences(&found), [("a line of a policy", 1.0), ("a new OIDC token", 40.0)]);
    }

    #[test]
    fn the_last_line_is_the_callers() {
        for lines in [1, LINES] {
            let file = callers_file("http://127.0.0.1:1", lines);
            let policy: Vec<&str> = file.lines().filter(|line| line.contains("allow:")).collect();
            assert_eq!(policy.len(), lines);
            let about: Vec<bool> = policy.iter().map(|line| line.contains("'ci'")).collect();
            assert_eq!(about.iter().position(|is_about| *is_about), Some(lines - 1));
        }
    }
}
