//! What a Redis must be, to be trusted with jobs.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::{Result, StoreError};

use super::reply::Reply;

/// The layout of keys and records that this version writes. It reads the older one as well, of
/// which no job that waits stood in a run.
pub(super) const LAYOUT: u32 = 2;

/// The oldest Redis that has all the commands: `GETDEL`-era 6.2.
const OLDEST: (u32, u32) = (6, 2);

/// Checks the answer of the script `greet`; answers Redis's clock, ms.
pub(super) fn check(shown: &str, mut answer: Reply) -> Result<u64> {
    let info = answer.text()?;
    let layout = answer.number()?;
    let _id = answer.text()?;
    let _events = answer.number()?;
    let now_ms = answer.number()?;
    if layout > u64::from(LAYOUT) {
        return Err(StoreError::Unreadable(format!(
            "a newer skep has written to {shown} (layout {layout}; this one knows {LAYOUT}): use that version, or another database or prefix"
        )));
    }
    let field = |name: &str| field(&info, name);
    if let Some(version) = field("redis_version")
        && parse(version).is_some_and(|version| version < OLDEST)
    {
        let (major, minor) = OLDEST;
        return Err(StoreError::Refused(format!(
            "{shown} is Redis {version}, and skep needs {major}.{minor} or newer (or Valkey)"
        )));
    }
    warn_once(shown, &info);
    Ok(now_ms)
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A field of `INFO`.
pub(super) fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// Says what a Redis may do to jobs, when it is first met.
fn warn_once(shown: &str, info: &str) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        for warning in warnings(info) {
            tracing::warn!("{shown} {warning}");
        }
    }
}

/// What a Redis may do to jobs, each with what mends it.
pub(super) fn warnings(info: &str) -> Vec<String> {
    let field = |name: &str| field(info, name);
    let mut warnings = Vec::new();
    if let Some(policy) = field("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        let unbounded = match field("maxmemory") {
            None | Some("0") => ", though no maxmemory is set yet",
            Some(_) => "",
        };
        warnings.push(format!(
            "evicts keys when it is full (maxmemory-policy {policy}{unbounded}): it may drop jobs that were accepted; set maxmemory-policy noeviction"
        ));
    }
    if field("aof_enabled") == Some("0") {
        warnings.push("keeps no append-only file: when it is killed, the jobs accepted since its last snapshot are lost; set appendonly yes".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn greeted(info: &str, layout: &str) -> Result<u64> {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = vec![
            text(info),
            text(layout),
            text("id"),
            text("0"),
            Value::Int(7),
        ];
        check("redis://h", Reply::new(Value::Array(answer)).unwrap())
    }

    #[test]
    fn an_old_redis_is_refused_and_a_new_one_is_not() {
        let error = greeted("redis_version:6.0.16\r\n", "1").unwrap_err();
        assert!(error.to_string().contains("needs 6.2 or newer"), "{error}");
        for good in ["redis_version:6.2.0\r\n", "redis_version:10.0.1\r\n", ""] {
            assert_eq!(greeted(good, "1").unwrap(), 7);
        }
    }

    #[test]
    fn what_may_lose_jobs_is_told_with_its_remedy() {
        let careless = "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n";
        let told = warnings(careless).join("\n");
        assert!(told.contains("no maxmemory is set yet"), "{told}");
        assert!(
            told.contains("noeviction") && told.contains("appendonly yes"),
            "{told}"
        );
        let careful = "maxmemory:9\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\n";
        assert_eq!(warnings(careful), Vec::<String>::new());
        assert_eq!(warnings(""), Vec::<String>::new());
    }

    #[test]
    fn keys_of_a_newer_skep_are_left_alone() {
        let error = greeted("", "3").unwrap_err();
        assert!(matches!(error, StoreError::Unreadable(_)), "{error}");
    }
}
