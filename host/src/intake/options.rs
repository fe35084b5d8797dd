//! The ranges of a job's options.

use super::{IntakeError, MAX_MESSAGE_BYTES, PostRequest};
use crate::callback::{CallbackPolicy, Target};
use crate::job::{
    DEFAULT_MAX_ATTEMPTS, FunctionName, MAX_DELAY_MS, MAX_DEPTH, MAX_MAX_ATTEMPTS, NewJob, Payload,
    Priority, SomeLimits,
};

/// The longest idempotency key, in bytes: a URL or a few digests.
pub(crate) const MAX_KEY_BYTES: usize = 256;

/// The longest media type, in bytes; it becomes a header of every answer.
const MAX_CONTENT_TYPE_BYTES: usize = 256;

/// The longest retention, in seconds: a century, beyond which a unit is more
/// likely wrong than meant.
pub(crate) const MAX_RETENTION_S: u64 = 100 * 366 * 24 * 3600;

/// Checks all options of a request and its message's size.
pub(super) fn check(
    request: PostRequest,
    functions: Vec<FunctionName>,
    callbacks: &CallbackPolicy,
) -> Result<NewJob, IntakeError> {
    if request.depth > MAX_DEPTH {
        return Err(IntakeError::TooDeep(request.depth));
    }
    check_message(&request.message)?;
    if let Some(key) = &request.idempotency_key {
        check_key(key)?;
    }
    let delay_ms = request.delay_ms.unwrap_or_default();
    if delay_ms > MAX_DELAY_MS {
        return Err(bad(format!(
            "delay_ms is at most {MAX_DELAY_MS} (a year), not {delay_ms}; its unit is milliseconds"
        )));
    }
    let max_attempts = request.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS);
    if !(1..=MAX_MAX_ATTEMPTS).contains(&max_attempts) {
        return Err(bad(format!(
            "max_attempts must be 1 to {MAX_MAX_ATTEMPTS}, not {max_attempts}"
        )));
    }
    if let Some(seconds) = request.retention_s.filter(|asked| *asked > MAX_RETENTION_S) {
        return Err(bad(format!(
            "retention_s is at most {MAX_RETENTION_S} (a century), not {seconds}; leave it out to keep the result for ever"
        )));
    }
    let limits = check_limits(request.limits, request.timeout_ms)?;
    let callback = request.callback.as_deref();
    let callback = callback.map(|url| check_callback(url, callbacks));
    let priority = request.priority.map(Priority::try_from).transpose();
    Ok(NewJob {
        message: request.message,
        functions,
        delay_ms,
        priority: priority.map_err(bad)?.unwrap_or_default(),
        idempotency_key: request.idempotency_key,
        max_attempts,
        limits,
        retention_s: request.retention_s,
        parent: request.parent,
        depth: request.depth,
        root: request.root,
        tree_jobs: request.tree_jobs,
        child_key: request.child_key,
        callback: callback.transpose()?,
        trace: request.trace,
    })
}

/// The limits that a job asks for. More than its function grants is no mistake: the
/// function may be deployed anew before the job runs. It is only not given.
fn check_limits(
    mut limits: SomeLimits,
    timeout_ms: Option<u64>,
) -> Result<SomeLimits, IntakeError> {
    const TIMEOUT: &str = "timeout_ms";
    if let Some(ms) = timeout_ms {
        if limits.get(TIMEOUT).is_some() {
            return Err(bad(
                "timeout_ms is given twice: it is the limit of that name; leave one of them out"
                    .to_owned(),
            ));
        }
        let said = limits.say(TIMEOUT, ms);
        said.map_err(|error| bad(error.to_string()))?;
    }
    let too_low = limits.iter().find(|(limit, value)| *value < limit.least);
    match too_low {
        None => Ok(limits),
        Some((limit, _)) => Err(bad(format!(
            "{} must be at least {}; leave it out for what the function grants",
            limit.name, limit.least
        ))),
    }
}

fn check_message(message: &Payload) -> Result<(), IntakeError> {
    if message.data.len() > MAX_MESSAGE_BYTES {
        return Err(IntakeError::TooLarge(message.data.len()));
    }
    let content_type = &message.content_type;
    let plain = content_type
        .bytes()
        .all(|byte| (b' '..=b'~').contains(&byte));
    if !plain || content_type.len() > MAX_CONTENT_TYPE_BYTES || !content_type.contains('/') {
        return Err(bad(format!(
            "the message's content type must be a media type such as image/png, of at most {MAX_CONTENT_TYPE_BYTES} ASCII characters"
        )));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), IntakeError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.chars().any(char::is_control) {
        return Err(bad(format!(
            "idempotency_key must have 1 to {MAX_KEY_BYTES} bytes and no control characters"
        )));
    }
    Ok(())
}

/// The URL of a callback, normalised, unless it is one that would never be called. A
/// name is judged when it is called.
fn check_callback(url: &str, callbacks: &CallbackPolicy) -> Result<String, IntakeError> {
    let target = Target::parse(url).map_err(bad)?;
    let judged = callbacks.judge_literal(&target.host(), target.port());
    judged.map_err(|refused| bad(format!("callback to {}: {refused}", target.host())))?;
    Ok(target.as_str().to_owned())
}

fn bad(text: String) -> IntakeError {
    IntakeError::BadOption(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> PostRequest {
        PostRequest::new(Payload::json("1"), Vec::new())
    }

    fn refused(change: impl FnOnce(&mut PostRequest)) -> IntakeError {
        let mut request = request();
        change(&mut request);
        check(request, Vec::new(), &CallbackPolicy::default()).expect_err("it should be refused")
    }

    #[test]
    fn without_options_a_job_has_the_defaults() {
        let job = check(request(), Vec::new(), &CallbackPolicy::default()).unwrap();
        assert_eq!(job, NewJob::new(Payload::json("1"), Vec::new()));
    }

    #[test]
    fn the_bounds_themselves_are_allowed() {
        let mut request = request();
        request.message.data = vec![b' '; MAX_MESSAGE_BYTES].into();
        request.delay_ms = Some(MAX_DELAY_MS);
        request.priority = Some(3);
        request.idempotency_key = Some("k".repeat(MAX_KEY_BYTES));
        request.max_attempts = Some(MAX_MAX_ATTEMPTS);
        request.timeout_ms = Some(u64::MAX);
        request.retention_s = Some(0);
        request.depth = MAX_DEPTH;
        let job = check(request, Vec::new(), &CallbackPolicy::default()).unwrap();
        assert_eq!(job.priority, Priority::new(3).unwrap());
        assert_eq!(job.max_attempts, 100);
    }

    #[test]
    fn beyond_its_bounds_an_option_is_refused_by_name() {
        let text = |change: fn(&mut PostRequest)| refused(change).to_string();
        assert!(text(|r| r.delay_ms = Some(MAX_DELAY_MS + 1)).contains("delay_ms"));
        assert!(text(|r| r.priority = Some(4)).contains("priority"));
        assert!(text(|r| r.max_attempts = Some(0)).contains("max_attempts"));
        assert!(text(|r| r.max_attempts = Some(101)).contains("max_attempts"));
        assert!(text(|r| r.timeout_ms = Some(0)).contains("timeout_ms"));
        assert!(text(|r| r.retention_s = Some(u64::MAX)).contains("retention_s"));
        for key in ["", "a\nb", &"k".repeat(257)] {
            let error = refused(|r| r.idempotency_key = Some(key.to_owned()));
            assert!(error.to_string().contains("idempotency_key"), "{error}");
        }
        for content_type in ["", "png", "a/b\r\nX: y", "é/é", &"a/".repeat(200)] {
            let error = refused(|r| r.message.content_type = content_type.to_owned());
            assert!(error.to_string().contains("content type"), "{error}");
        }
    }

    #[test]
    fn the_timeout_is_one_of_the_limits_and_is_said_once() {
        let mut request = request();
        request.timeout_ms = Some(5);
        request.limits = "fuel=7".parse().unwrap();
        let job = check(request.clone(), Vec::new(), &CallbackPolicy::default()).unwrap();
        assert_eq!(job.limits, "fuel=7,timeout_ms=5".parse().unwrap());
        let text = |limits: &str| {
            let limits = limits.parse().unwrap();
            refused(|r| (r.timeout_ms, r.limits) = (Some(5), limits)).to_string()
        };
        assert!(text("timeout=5s").contains("given twice"));
        for limit in ["fuel", "memory_bytes", "tree_jobs"] {
            let error = text(&format!("{limit}=0"));
            assert!(
                error.contains(limit) && error.contains("at least 1"),
                "{error}"
            );
        }
    }

    #[test]
    fn size_and_depth_have_their_own_errors() {
        let large = refused(|r| r.message.data = vec![0; MAX_MESSAGE_BYTES + 1].into());
        assert!(matches!(large, IntakeError::TooLarge(_)));
        let deep = refused(|r| r.depth = MAX_DEPTH + 1);
        assert!(matches!(deep, IntakeError::TooDeep(_)));
    }

    #[test]
    fn a_callback_must_be_one_that_may_be_called() {
        let callback = |url: &str, policy: &CallbackPolicy| {
            let mut request = request();
            request.callback = Some(url.to_owned());
            let checked = check(request, Vec::new(), policy);
            checked
                .map(|job| job.callback)
                .map_err(|error| error.to_string())
        };
        let strict = CallbackPolicy::default();
        assert_eq!(
            callback("http://Example.com/a?b=ü#c", &strict)
                .unwrap()
                .unwrap(),
            "http://example.com/a?b=%C3%BC"
        );
        assert!(callback("http://localhost/", &strict).is_ok());
        for (url, word) in [
            ("file:///etc/passwd", "https://"),
            ("/done", "absolute"),
            ("http://169.254.169.254/latest/meta-data", "link-local"),
            ("http://127.0.0.1/", "loopback"),
            ("http://[::ffff:10.0.0.1]/", "private"),
            ("http://0x7f.1/", "127.0.0.1"),
        ] {
            let error = callback(url, &strict).unwrap_err();
            assert!(
                error.contains(word) && error.contains("callback"),
                "{error}"
            );
        }
        let local = CallbackPolicy::with_loopback();
        assert!(callback("http://127.0.0.1:1/", &local).is_ok());
        assert!(callback("http://10.0.0.1/", &local).is_err());
    }
}
