//! The server: whether it answers, as which version, whom it lets in, and its clock.

use std::time::{Duration, SystemTime};

use reqwest::header::DATE;
use reqwest::{Method, Response, StatusCode};

use super::Check;
use crate::cli::client::{Client, server_version};
use crate::cli::failure::Failure;
use crate::cli::{DEFAULT_URL, Global};

/// How far apart clocks may be: people compare times, and the header has whole seconds.
const SKEW: Duration = Duration::from_secs(5);

/// Looks at the server that the options name.
pub(super) async fn look(global: &Global) -> Vec<Check> {
    let client = match global.client() {
        Ok(client) => client,
        Err(failure) => return vec![Check::failure("server", failure)],
    };
    let response = match get(&client, "readyz").await {
        Ok(response) => response,
        // Nobody said that there is one.
        Err(Failure::Away(text)) if global.url == DEFAULT_URL => {
            let text = text.split("; ").next().unwrap_or_default().to_owned();
            let mend = "start one with `skep serve`, or name another one with --url or SKEP_URL";
            return vec![Check::warn("server", text, mend)];
        }
        Err(failure) => return vec![Check::failure("server", failure)],
    };
    vec![
        answers(&client, &response),
        clock(&response),
        access(&client, global).await,
    ]
}

async fn get(client: &Client, path: &str) -> Result<Response, Failure> {
    let response = client.request(Method::GET, path)?.send().await;
    response.map_err(|error| client.away(&error))
}

fn answers(client: &Client, response: &Response) -> Check {
    let shown = client.shown();
    let ours = env!("CARGO_PKG_VERSION");
    let Some(theirs) = server_version(response) else {
        let said = format!("what answers at {shown} does not say which skep it is");
        return Check::fail(
            "server",
            said,
            "name a skep server with --url, or update it",
        );
    };
    let said = format!("skep {theirs} at {shown}");
    match response.status() {
        StatusCode::SERVICE_UNAVAILABLE => Check::fail(
            "server",
            format!("{said}, and its store is away"),
            "see the server's log, and `skep doctor --store` with its store",
        ),
        _ if theirs != ours => Check::warn(
            "server",
            format!("{said}, and this is {ours}"),
            "use the same version on both sides",
        ),
        _ => Check::ok("server", said),
    }
}

fn clock(response: &Response) -> Check {
    let date = response
        .headers()
        .get(DATE)
        .and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        let mend = "it matters only to who compares times";
        return Check::warn("clock", "the server does not tell the time", mend);
    };
    skew("the server", theirs)
}

/// Compares a clock with this machine's.
pub(super) fn skew(whose: &str, theirs: SystemTime) -> Check {
    let now = SystemTime::now();
    let (apart, which) = match now.duration_since(theirs) {
        Ok(apart) => (apart, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    match apart > SKEW {
        true => Check::warn(
            "clock",
            format!(
                "that of {whose} is {} s {which} this machine's",
                apart.as_secs()
            ),
            "let NTP set both (timedatectl set-ntp true)",
        ),
        false => Check::ok(
            "clock",
            format!("that of {whose} agrees with this machine's"),
        ),
    }
}

async fn access(client: &Client, global: &Global) -> Check {
    const NAME: &str = "access";
    let response = match get(client, "queue").await {
        Ok(response) => response,
        Err(failure) => return Check::failure(NAME, failure),
    };
    let has_token = global.token.is_some();
    match (response.status(), has_token) {
        (StatusCode::UNAUTHORIZED, false) => Check::warn(
            NAME,
            "the server wants an access token, and none is given",
            "put one into SKEP_TOKEN, or into a skep.toml that only you can read",
        ),
        (StatusCode::UNAUTHORIZED, true) => Check::fail(
            NAME,
            "the server does not know the access token, or it has expired",
            "have a new one made with `skep token create`",
        ),
        (StatusCode::FORBIDDEN, _) => Check::ok(NAME, "the access token is good, and may not read"),
        (status, _) if !status.is_success() => Check::fail(
            NAME,
            format!("the server answered {status} to a look at the queue"),
            "see the server's log",
        ),
        (_, true) => Check::ok(NAME, "the access token is good"),
        (_, false) => Check::ok(NAME, "the server lets this user in without an access token"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_clock_that_is_minutes_off_is_told() {
        let now = SystemTime::now();
        let minute = Duration::from_secs(60);
        assert_eq!(skew("x", now).status, Status::Ok);
        for (theirs, word) in [(now - minute, "behind"), (now + minute, "ahead")] {
            let check = skew("x", theirs);
            assert_eq!(check.status, Status::Warn);
            assert!(check.said.contains(word), "{}", check.said);
        }
    }
}
