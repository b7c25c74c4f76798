//! Logs on standard error: text for people on a terminal, JSON otherwise. And traces, if a collector is named.

mod lines;
mod trace;

use std::io::{self, IsTerminal};

use lines::{Lines, Shape};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

use crate::failure::{Code, Failure};

/// What a node logs if nobody says otherwise. The library that speaks MCP logs whole messages at `info`.
const NODE_FILTER: &str = "info,sled=warn,hyper=warn,h2=warn,reqwest=warn,opentelemetry=warn";

/// What a command logs if nobody says otherwise.
const COMMAND_FILTER: &str = "off";

/// What a command logs with `--debug`.
const DEBUG_FILTER: &str = "debug,hyper=info,hyper_util=info,reqwest=debug,rustls=info,sled=info";

/// Who is to be heard, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Telemetry<'a> {
    /// A filter that was given: by `--log`, or by the variables `BOBBINET_LOG` and `RUST_LOG`.
    pub(crate) filter: Option<&'a str>,
    /// Whether to tell how things are done.
    pub(crate) is_debug: bool,
    /// Whether a node runs here, and not a command.
    pub(crate) is_node: bool,
    /// Where traces go.
    pub(crate) otlp: Option<&'a str>,
}

/// What must be closed at the end, outside of any runtime: the exporter has a thread of its own, which blocks.
#[derive(Debug, Default)]
pub(crate) struct Open(Option<SdkTracerProvider>);

/// Begins to log. Call it outside of any runtime.
pub(crate) fn start(telemetry: &Telemetry<'_>) -> Result<Open, Failure> {
    let provider = telemetry.otlp.map(trace::provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let filter = EnvFilter::new("off,bobbinet=debug,bobbinet_http=debug,bobbinet_engine=debug,bobbinet_mcp=debug");
        tracing_opentelemetry::layer().with_tracer(trace::tracer(provider)).with_filter(filter).boxed()
    });
    let is_seen = io::stderr().is_terminal();
    let is_colored = is_seen && has_colours();
    let shape = match (is_seen || !telemetry.is_node, is_colored) {
        (true, true) => Shape::Colored,
        (true, false) => Shape::Plain,
        (false, _) => Shape::Json,
    };
    let log = tracing_subscriber::fmt::layer().with_writer(Lines(shape));
    let log = match shape {
        Shape::Colored | Shape::Plain => log.with_ansi(is_colored).with_target(telemetry.is_debug).boxed(),
        Shape::Json => log.json().flatten_event(true).boxed(),
    };
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> =
        traces.into_iter().chain([log.with_filter(filter(telemetry)?).boxed()]).collect();
    // Only the first of a process counts, and this is called once.
    tracing_subscriber::registry().with(layers).try_init().ok();
    Ok(Open(provider))
}

fn has_colours() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

fn filter(telemetry: &Telemetry<'_>) -> Result<EnvFilter, Failure> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let default = match (telemetry.is_debug, telemetry.is_node) {
        (true, _) => DEBUG_FILTER,
        (false, true) => NODE_FILTER,
        (false, false) => COMMAND_FILTER,
    };
    let text = telemetry.filter.or(from_environment.as_deref()).filter(|text| !text.is_empty()).unwrap_or(default);
    let text = if text.contains("rmcp") { text.to_owned() } else { format!("{text},{}", bobbinet_mcp::LOG_DIRECTIVE) };
    EnvFilter::try_new(&text).map_err(|error| {
        Failure::new(Code::Usage, format!("{text:?} is no log filter: {error}"))
            .hint("write a level such as debug, or info,bobbinet_engine=trace")
    })
}

impl Open {
    /// Sends what is left. Call it outside of any runtime.
    pub(crate) fn close(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}
