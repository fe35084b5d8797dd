//! Lists, retries, the dead letter and versions on the command line.

use serde_json::{Value, json};

use crate::server::{Server, guest, run, skep};

type Ended = (Option<i32>, String, String);

async fn cli(server: &Server, arguments: &[&str]) -> Ended {
    let mut command = skep();
    command.args(["--url", &server.url]).args(arguments);
    run(command).await
}

/// Runs a command that is to succeed, and answers its stdout.
async fn done(server: &Server, arguments: &[&str]) -> String {
    let (code, out, err) = cli(server, arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    out
}

/// The lines of JSON that a command prints.
async fn lines(server: &Server, arguments: &[&str]) -> Vec<Value> {
    let out = done(server, arguments).await;
    let read = |line| serde_json::from_str(line).unwrap();
    out.lines().map(read).collect()
}

fn ids(jobs: &[Value]) -> Vec<&str> {
    jobs.iter().map(|job| job["id"].as_str().unwrap()).collect()
}

/// A server with three products and two divisions by zero, which failed.
async fn with_jobs() -> Server {
    let server = Server::with("multiply").await;
    for n in 1..=3 {
        server.run("multiply", json!({"arg1": n, "arg2": 7})).await;
    }
    for n in [4, 5] {
        server.run("divide", json!({"arg1": n, "arg2": 0})).await;
    }
    server
}

#[tokio::test]
async fn jobs_are_listed_newest_first_and_filtered() {
    let server = with_jobs().await;
    let table = done(&server, &["jobs"]).await;
    let rows: Vec<_> = table.lines().collect();
    assert!(rows[0].starts_with("ID  STATE "), "{table}");
    assert!(rows[1].starts_with(" 5  failed     divide"), "{table}");
    assert!(rows[1].ends_with("failed: division by zero"), "{table}");
    assert!(rows[5].starts_with(" 1  completed  multiply"), "{table}");
    assert!(rows[5].ends_with(" 7"), "{table}");
    for (filter, found) in [
        (vec!["--limit", "2"], vec!["5", "4"]),
        (vec!["--state", "completed"], vec!["3", "2", "1"]),
        (vec!["--state", "queued,failed"], vec!["5", "4"]),
        (vec!["--function", "divide"], vec!["5", "4"]),
        (vec!["--cause", "failed", "--limit", "1"], vec!["5"]),
        (vec!["--text", "\"ARG1\":2"], vec!["2"]),
        (
            vec!["--since", "1h", "--all"],
            vec!["5", "4", "3", "2", "1"],
        ),
        (vec!["--until", "1h"], vec![]),
    ] {
        let arguments = [vec!["jobs", "--json"], filter].concat();
        let jobs = lines(&server, &arguments).await;
        assert_eq!(ids(&jobs), found, "{arguments:?}");
    }
    let (code, out, err) = cli(&server, &["jobs", "--limit", "1"]).await;
    assert!(err.contains("--all"), "{code:?} {out} {err}");
    let (_, out, err) = cli(&server, &["jobs", "--state", "parked"]).await;
    assert_eq!((out.as_str(), err.as_str()), ("", "there are no such jobs"));
    let (code, _, err) = cli(&server, &["jobs", "--state", "faild"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("'failed'"), "{err}");
    let (code, _, err) = cli(&server, &["jobs", "--cause", "tarp"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("trap"), "{err}");
}

#[tokio::test]
async fn a_failed_job_is_retried_and_another_is_not() {
    let server = with_jobs().await;
    assert_eq!(done(&server, &["retry", "4"]).await, "4 queued");
    assert_eq!(server.ended("4").await["attempt"], 2);
    let (code, out, err) = cli(&server, &["retry", "1", "77", "5"]).await;
    assert_eq!((code, out.as_str()), (Some(1), "5 queued"));
    assert!(
        err.contains("job 1 has completed") && err.contains("no job 77"),
        "{err}"
    );
}

#[tokio::test]
async fn the_dead_letter_is_counted_requeued_and_purged() {
    let server = with_jobs().await;
    let table = done(&server, &["dead", "causes"]).await;
    assert!(
        table
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("   2  divide    failed  5,"),
        "{table}"
    );
    let causes = lines(&server, &["dead", "causes", "--json"]).await;
    assert_eq!(causes[0]["causes"][0]["count"], 2);
    let dead = lines(&server, &["dead", "list", "--json"]).await;
    assert_eq!(ids(&dead), ["5", "4"]);

    let requeued = done(&server, &["dead", "requeue", "5"]).await;
    assert_eq!(requeued, "requeued 1 job");
    server.ended("5").await;
    let requeued = done(
        &server,
        &["dead", "requeue", "--function", "divide", "--json"],
    )
    .await;
    assert_eq!(requeued, r#"{"requeued":2}"#);
    for (id, attempts) in [("4", 2), ("5", 3)] {
        assert_eq!(server.ended(id).await["attempt"], attempts, "{id}");
    }
    assert_eq!(
        done(&server, &["dead", "requeue", "--text", "nowhere"]).await,
        "requeued 0 jobs"
    );

    // Nobody is there to be asked.
    let (code, out, err) = cli(&server, &["dead", "purge"]).await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.contains("the 2 failed jobs") && err.contains("--yes"),
        "{err}"
    );
    let purged = done(&server, &["dead", "purge", "--yes", "--cause", "trap"]).await;
    assert_eq!(purged, "deleted 0 jobs");
    assert_eq!(
        done(&server, &["dead", "purge", "--yes", "4"]).await,
        "deleted 1 job"
    );
    assert_eq!(
        done(&server, &["dead", "purge", "-y"]).await,
        "deleted 1 job"
    );
    let (_, out, err) = cli(&server, &["dead", "causes"]).await;
    assert_eq!((out.as_str(), err.as_str()), ("", "no job has failed"));
    let (code, ..) = cli(&server, &["get", "4"]).await;
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn versions_are_listed_and_rolled_back_also_after_a_removal() {
    let server = Server::with("multiply").await;
    let multiply = guest("multiply").display().to_string();
    let limited = [
        "deploy",
        &multiply,
        "--function",
        "divide",
        "--concurrency",
        "3",
    ];
    assert_eq!(done(&server, &limited).await, "deployed divide version 2");
    let versions = lines(&server, &["functions", "divide", "--versions", "--json"]).await;
    let caps: Vec<_> = versions
        .iter()
        .map(|one| (&one["version"], &one["concurrency"]))
        .collect();
    assert_eq!(caps, [(&json!(2), &json!(3)), (&json!(1), &json!(null))]);

    let rolled = done(&server, &["rollback", "divide"]).await;
    assert_eq!(rolled, "divide version 3 (as the one before)");
    let now = lines(&server, &["functions", "divide", "--json"]).await;
    assert_eq!(now[0]["concurrency"], json!(null));
    let rolled = done(&server, &["rollback", "divide", "--to", "2"]).await;
    assert_eq!(rolled, "divide version 4 (as version 2)");
    let (code, _, err) = cli(&server, &["rollback", "divide", "--to", "9"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("versions 1 to 4"), "{err}");

    let (code, out, err) = cli(&server, &["undeploy", "divid", "divide"]).await;
    assert_eq!((code, out.as_str()), (Some(1), "removed divide"));
    assert!(err.contains("did you mean divide?"), "{err}");
    let listed = done(&server, &["functions"]).await;
    assert!(!listed.contains("divide"), "{listed}");
    let table = done(&server, &["functions", "divide", "--versions"]).await;
    assert!(
        table.lines().nth(1).unwrap().starts_with("      4  "),
        "{table}"
    );
    let back = done(&server, &["rollback", "divide", "--to", "4"]).await;
    assert_eq!(back, "divide version 5 (as version 4)");
    let gone = json!({"name": "divide", "removed": true}).to_string();
    assert_eq!(done(&server, &["undeploy", "divide", "--json"]).await, gone);
}
