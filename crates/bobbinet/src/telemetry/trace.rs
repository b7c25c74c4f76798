//! Traces to a collector, each going on from its caller's.

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{SpanBuilder, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span},
};

use crate::failure::{Code, Failure};

/// Where a collector takes traces, below the address that is named.
const TRACES_PATH: &str = "/v1/traces";

/// The field of a span that says which span of another process it belongs to (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// What sends traces to the collector at this address. To be made and shut down outside of any runtime: its thread blocks.
pub(super) fn provider(endpoint: &str) -> Result<SdkTracerProvider, Failure> {
    let endpoint = endpoint.trim_end_matches('/');
    let is_whole = endpoint.ends_with(TRACES_PATH);
    let endpoint = if is_whole { endpoint.to_owned() } else { format!("{endpoint}{TRACES_PATH}") };
    let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(&endpoint);
    let exporter = exporter.build().map_err(|error| {
        Failure::new(Code::Config, format!("traces cannot go to {endpoint}: {error}"))
            .hint("name a collector's HTTP address, such as http://127.0.0.1:4318")
    })?;
    let resource = Resource::builder().with_service_name("bobbinet").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// A tracer whose spans go on where their callers in other processes are.
pub(super) fn tracer(provider: &SdkTracerProvider) -> Continuing {
    Continuing(provider.tracer("bobbinet"))
}

/// Takes a span's parent from its field `traceparent`. The crates below know nothing of traces but that word.
#[derive(Clone, Debug)]
pub(super) struct Continuing(SdkTracer);

impl Tracer for Continuing {
    type Span = Span;

    fn build_with_context(&self, builder: SpanBuilder, parent: &Context) -> Span {
        match remote(&builder).filter(|_| !parent.has_active_span()) {
            Some(remote) => self.0.build_with_context(builder, &remote),
            None => self.0.build_with_context(builder, parent),
        }
    }
}

struct Field<'a>(&'a str);

impl Extractor for Field<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

fn remote(builder: &SpanBuilder) -> Option<Context> {
    let field = builder.attributes.iter().flatten().find(|attribute| attribute.key.as_str() == TRACEPARENT)?;
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Field(&field.value.as_str()));
    context.has_active_span().then_some(context)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_sdk::{error::OTelSdkResult, trace::SpanData};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct CollectedSpans(Arc<Mutex<Vec<SpanData>>>);

    impl opentelemetry_sdk::trace::SpanExporter for CollectedSpans {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    fn check(traceparent: Option<&str>, expected: Option<(&str, &str)>) {
        let kept = CollectedSpans::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(tracer(&provider));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let request = tracing::info_span!("request", traceparent);
            request.in_scope(|| tracing::info_span!("inner", traceparent = "00-1-2-3").in_scope(|| {}));
        });
        let spans = kept.0.lock().unwrap();
        let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap().clone();
        let (request, inner) = (named("request"), named("inner"));
        assert_eq!(
            inner.parent_span_id,
            request.span_context.span_id(),
            "a span within a process has its parent there"
        );
        let found = (request.span_context.trace_id().to_string(), request.parent_span_id.to_string());
        match expected {
            Some((trace, parent)) => assert_eq!((found.0.as_str(), found.1.as_str()), (trace, parent)),
            None => assert_eq!(found.1, "0000000000000000", "a trace of its own"),
        }
    }

    #[test]
    fn a_trace_goes_on_where_its_caller_is() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        check(Some(&format!("00-{trace}-{parent}-01")), Some((trace, parent)));
        check(Some("nonsense"), None);
        check(None, None);
    }
}
