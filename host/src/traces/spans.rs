//! The spans of a job's way, named and described by OpenTelemetry's conventions where it
//! has some. What a job says or is given is in none of them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::Traces;
use crate::job::{FunctionName, TraceContext, Usage};
use crate::metrics::Outcome;
use crate::store::{Callback, Claim};

/// The most functions of a job that a span names; the record has them all.
const MAX_FUNCTIONS_NAMED: usize = 8;

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

/// A number as OpenTelemetry has them.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// What a span of this parent is begun in.
fn within(parent: Option<TraceContext>) -> Context {
    let Some(parent) = parent else {
        return Context::new();
    };
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(parent.trace_id.to_be_bytes()),
        SpanId::from_bytes(parent.span_id.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        TraceState::default(),
    ))
}

/// What comes of a span names this.
fn context_of(span: &Span) -> Option<TraceContext> {
    let context = span.span_context();
    context.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(context.span_id().to_bytes()),
        flags: context.trace_flags().to_u8(),
    })
}

impl Traces {
    fn begin(
        &self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        since: SystemTime,
        parent: Option<TraceContext>,
    ) -> Option<Span> {
        let tracer = &self.0.as_ref()?.tracer;
        let span = tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(since);
        Some(tracer.build_with_context(span, &within(parent)))
    }

    /// Begins the span of a request that posts jobs. The context of the client is handed
    /// on as it is when nothing is recorded.
    pub fn post(&self, route: &'static str, client: Option<TraceContext>) -> PostSpan {
        let name = format!("POST {route}");
        let mut span = self.begin(name, SpanKind::Server, SystemTime::now(), client);
        if let Some(span) = &mut span {
            span.set_attribute(KeyValue::new("http.request.method", "POST"));
            span.set_attribute(KeyValue::new("http.route", route));
        }
        let context = span.as_ref().and_then(context_of).or(client);
        PostSpan { span, context }
    }

    /// Begins the span of an attempt, and records how long the job has waited, if it is
    /// the first one.
    pub fn attempt(&self, claim: &Claim) -> AttemptSpan {
        let parent = claim.job.trace;
        let unrecorded = AttemptSpan {
            span: None,
            context: parent,
        };
        if self.0.is_none() {
            return unrecorded;
        }
        let token = &claim.token;
        let about = |span: &mut Span| {
            span.set_attribute(KeyValue::new("skep.namespace", token.namespace.to_string()));
            span.set_attribute(KeyValue::new("skep.job.id", number(token.id.0)));
            span.set_attribute(KeyValue::new("messaging.system", "skep"));
            span.set_attribute(KeyValue::new("messaging.message.id", token.id.to_string()));
        };
        let due_ms = claim.posted_at_ms.saturating_add(claim.job.delay_ms);
        if token.attempt == 1
            && let Some(mut wait) = self.begin("wait", SpanKind::Internal, at(due_ms), parent)
        {
            about(&mut wait);
            wait.end_with_timestamp(at(claim.claimed_at_ms.max(due_ms)));
        }
        let functions = named(&claim.job.functions);
        let name = format!("process {functions}");
        let Some(mut span) = self.begin(name, SpanKind::Consumer, SystemTime::now(), parent) else {
            return unrecorded;
        };
        about(&mut span);
        span.set_attribute(KeyValue::new("messaging.operation.type", "process"));
        span.set_attribute(KeyValue::new("skep.function", functions));
        span.set_attribute(KeyValue::new("skep.attempt", i64::from(token.attempt)));
        AttemptSpan {
            context: context_of(&span).or(parent),
            span: Some(span),
        }
    }

    /// Begins the span of a try of a callback. The context of the job is handed on as it is
    /// when nothing is recorded.
    pub fn callback(&self, callback: &Callback) -> CallbackSpan {
        let now = SystemTime::now();
        let mut span = self.begin("callback", SpanKind::Client, now, callback.trace);
        if let Some(span) = &mut span {
            let namespace = callback.namespace.to_string();
            span.set_attribute(KeyValue::new("skep.namespace", namespace));
            span.set_attribute(KeyValue::new("skep.job.id", number(callback.id.0)));
            span.set_attribute(KeyValue::new("http.request.method", "GET"));
        }
        CallbackSpan {
            context: span.as_ref().and_then(context_of).or(callback.trace),
            span,
        }
    }
}

/// The functions of a job in a few words.
fn named(functions: &[FunctionName]) -> String {
    if functions.is_empty() {
        return "all".to_owned();
    }
    let names = functions.iter().take(MAX_FUNCTIONS_NAMED);
    let mut named = names
        .map(FunctionName::as_str)
        .collect::<Vec<_>>()
        .join(",");
    if functions.len() > MAX_FUNCTIONS_NAMED {
        named.push_str(",..");
    }
    named
}

/// A request that posts jobs.
#[derive(Debug)]
pub struct PostSpan {
    span: Option<Span>,
    context: Option<TraceContext>,
}

impl PostSpan {
    /// What its jobs belong to.
    pub fn context(&self) -> Option<TraceContext> {
        self.context
    }

    /// It was answered.
    pub fn end(self, status: u16) {
        let Some(mut span) = self.span else { return };
        let code = i64::from(status);
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// An attempt. One that is dropped was cut off.
#[derive(Debug)]
pub struct AttemptSpan {
    span: Option<Span>,
    context: Option<TraceContext>,
}

impl AttemptSpan {
    /// What the jobs belong to that it posts.
    pub fn context(&self) -> Option<TraceContext> {
        self.context
    }

    /// It ended like this.
    pub fn end(self, outcome: Outcome, usage: &Usage) {
        let Some(mut span) = self.span else { return };
        let (outcome, cause) = outcome.as_labels();
        span.set_attribute(KeyValue::new("skep.outcome", outcome));
        span.set_attribute(KeyValue::new("skep.fuel", number(usage.fuel)));
        let memory = number(usage.peak_memory_bytes);
        span.set_attribute(KeyValue::new("skep.memory.peak_bytes", memory));
        if !cause.is_empty() {
            span.set_attribute(KeyValue::new("error.type", cause));
            span.set_status(Status::error(cause));
        }
        span.end();
    }
}

/// A try of a callback.
#[derive(Debug)]
pub struct CallbackSpan {
    span: Option<Span>,
    context: Option<TraceContext>,
}

impl CallbackSpan {
    /// What the receiver is told that the request belongs to.
    pub fn context(&self) -> Option<TraceContext> {
        self.context
    }

    /// It ended like this, with this status if there was an answer.
    pub fn end(self, outcome: &'static str, status: Option<u16>) {
        let Some(mut span) = self.span else { return };
        span.set_attribute(KeyValue::new("skep.outcome", outcome));
        if let Some(status) = status {
            let code = i64::from(status);
            span.set_attribute(KeyValue::new("http.response.status_code", code));
        }
        if outcome != "delivered" {
            span.set_status(Status::error(outcome));
        }
        span.end();
    }
}
