//! What MLQ's users rely on, from its documented contract: routes, their answers to the
//! byte, what a message and a result may be, which functions run. Where skep answers
//! otherwise, `docs/mlq.md` says why, and a test here holds it to that.
//!
//! Not here: callbacks (`mlq_callbacks`), what only skep has.

use reqwest::Method;
use serde_json::{Value, json};

use crate::place::{Place, on_both_stores};
use crate::server::{Answer, Server, guest_bytes, send};

on_both_stores!(
    every_route_of_mlq_answers_in_its_words,
    progress_is_told_in_mlqs_words,
    a_message_is_any_json_and_comes_back_as_it_was_sent,
    binary_results_have_any_extension_and_its_content_type,
    a_short_result_stands_beside_the_result,
    the_named_functions_run_on_one_message_and_the_last_output_wins,
    a_job_that_names_nothing_runs_all_that_are_deployed,
    what_mlq_lost_or_answered_500_is_refused_with_its_reason,
    a_namespace_is_a_queue_of_its_own,
);

/// Where MLQ said `text/html`, in which a browser would run what a stranger wrote.
const TEXT: &str = "text/plain; charset=utf-8";

/// Fails unless the answer is this text and nothing else.
#[track_caller]
fn is_text(answer: &Answer, text: &str) {
    let got = (answer.status.as_u16(), answer.text(), &*answer.content_type);
    assert_eq!(got, (200, text.to_owned(), TEXT));
}

/// Posts as MLQ's clients do, and answers the id.
async fn post(server: &Server, body: Value) -> String {
    let answer = server.post_text(body.to_string()).await;
    let id = answer.text();
    is_text(&answer, &id);
    id
}

async fn result(server: &Server, id: &str) -> Answer {
    let path = format!("/jobs/{id}/result?wait_ms=60000");
    server.get(&path).await.expect(200)
}

async fn forget(server: &Server, name: &str) -> Answer {
    send(server.request(Method::DELETE, &format!("/consumer?name={name}"))).await
}

async fn every_route_of_mlq_answers_in_its_words(mut place: Place) {
    let server = place.server(&[]).await;
    is_text(&server.get("/healthz").await, "ok");
    is_text(&server.upload(guest_bytes("probe")).await, "True");
    is_text(&server.upload(guest_bytes("probe")).await, "True");
    send(server.request(Method::POST, "/queue/pause"))
        .await
        .expect(200);

    // Ids are decimal numbers from 1, in the order of the posts.
    for id in ["1", "2", "3"] {
        let body = json!({"msg": "hello", "functions": ["echo"]});
        assert_eq!(post(&server, body).await, id);
    }
    is_text(&server.get("/jobs/count").await, "3");
    is_text(
        &server.get("/jobs/2/progress").await,
        "[queued; not started]",
    );
    server.get("/jobs/2/result").await.expect(409);

    send(server.request(Method::POST, "/queue/resume"))
        .await
        .expect(200);
    assert_eq!(result(&server, "3").await.text(), "\"hello\"");
    is_text(&server.get("/jobs/3/progress").await, "[completed]");
    // Text is short as itself, without the quotes of JSON.
    is_text(&server.get("/jobs/3/short_result").await, "hello");
    server.ended("1").await;
    server.ended("2").await;
    is_text(&server.get("/jobs/count").await, "0");

    is_text(&forget(&server, "echo").await, "True");
    is_text(&forget(&server, "echo").await, "False");
}

async fn progress_is_told_in_mlqs_words(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let spin = post(&server, json!({"msg": null, "functions": ["spin"]})).await;
    let running = |record: &Value| record["state"] == "running";
    server.until(&spin, running).await;
    is_text(
        &server.get(&format!("/jobs/{spin}/progress")).await,
        "[started]",
    );

    for percent in [56, 100] {
        let steps = json!([{"progress": [percent, "nearly"]}, "spin-until-cancelled"]);
        let id = post(&server, json!({"msg": steps, "functions": ["compose"]})).await;
        let told = |record: &Value| record["progress"]["percent"] == percent;
        server.until(&id, told).await;
        // 100 is a number too while the job runs: MLQ took it for the end.
        let progress = server.get(&format!("/jobs/{id}/progress")).await;
        is_text(&progress, &percent.to_string());
    }
    let failed = post(&server, json!({"msg": null, "functions": ["failed"]})).await;
    server.ended(&failed).await;
    is_text(
        &server.get(&format!("/jobs/{failed}/progress")).await,
        "[failed]",
    );
}

async fn a_message_is_any_json_and_comes_back_as_it_was_sent(mut place: Place) {
    let server = place.with("probe", &[]).await;
    for message in [
        r#""a random message""#,
        r#""naïve \u2603 \"quoted\" 😀""#,
        "15",
        "-0.1e-7",
        "123456789012345678901234567890",
        "null",
        "true",
        "[]",
        r#"{"arg1": 6, "arg2": {"deep": [1, [2, [3.50]]]}}"#,
    ] {
        let body = format!(r#"{{"msg": {message}, "functions": ["echo"]}}"#);
        let id = server.post_text(body).await.expect(200).text();
        let result = result(&server, &id).await;
        assert_eq!(result.text(), message);
        assert_eq!(result.content_type, "application/json");
    }
    // What MLQ's Python client writes for options that were not given.
    let body = r#"{"msg": 1, "callback": null, "functions": null}"#;
    assert_eq!(server.post_text(body).await.expect(200).text(), "10");
}

async fn binary_results_have_any_extension_and_its_content_type(mut place: Place) {
    let server = place.with("probe", &[]).await;
    // Bytes that are no UTF-8: with these all of MLQ's routes of the job answered 500.
    let bytes: Vec<u8> = (0..=255).rev().collect();
    let id = server
        .post_bytes("echo", "application/x-odd", bytes.clone())
        .await;
    result(&server, &id).await;
    for (view, content_type) in [
        ("result", "application/x-odd"),
        ("result.mp3", "audio/mpeg"),
        ("result.wav", "audio/wav"),
        ("result.jpg", "image/jpeg"),
        ("result.png", "image/png"),
        ("result.json", "application/json"),
        ("result.txt", "text/plain; charset=utf-8"),
        ("result.csv", "text/csv; charset=utf-8"),
        // Nobody knows what it is: what the handler said.
        ("result.nonesuch", "application/x-odd"),
    ] {
        let answer = server.get(&format!("/jobs/{id}/{view}")).await.expect(200);
        assert_eq!(answer.content_type, content_type, "{view}");
        assert_eq!(answer.body, bytes, "{view}");
    }
    is_text(
        &server.get(&format!("/jobs/{id}/progress")).await,
        "[completed]",
    );
    is_text(&server.get(&format!("/jobs/{id}/short_result")).await, "");
}

async fn a_short_result_stands_beside_the_result(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let id = post(&server, json!({"msg": null, "functions": ["short_long"]})).await;
    assert_eq!(result(&server, &id).await.text(), r#""a long result""#);
    is_text(
        &server.get(&format!("/jobs/{id}/short_result")).await,
        "short",
    );
    // A list is one result, not a short one and a long one as in MLQ.
    let id = post(&server, json!({"msg": [1, 2], "functions": ["echo"]})).await;
    assert_eq!(result(&server, &id).await.text(), "[1,2]");
    is_text(
        &server.get(&format!("/jobs/{id}/short_result")).await,
        "[1,2]",
    );
}

async fn the_named_functions_run_on_one_message_and_the_last_output_wins(mut place: Place) {
    let server = place.with("probe", &[]).await;
    let message = json!({"data": "kept", "key": "k"});
    for (functions, expected) in [
        (json!(["store", "echo"]), message.to_string()),
        (json!(["echo", "store"]), r#""k""#.to_owned()),
    ] {
        let id = post(&server, json!({"msg": message, "functions": functions})).await;
        assert_eq!(result(&server, &id).await.text(), expected);
        let record = server.json(&format!("/jobs/{id}")).await;
        let ran = record["attempts"][0]["components"].as_array().unwrap();
        assert_eq!((&record["functions"], ran.len()), (&functions, 2));
        // The first one ran too, on the same message.
        let fetched = server.result("fetch", json!({"key": "k"})).await;
        assert_eq!(fetched.text(), "kept");
    }
    // Named or not, what fails is the end: MLQ went on, with a dead letter for each.
    let body = json!({"msg": message, "functions": ["failed", "echo"]});
    let id = post(&server, body).await;
    assert_eq!(server.ended(&id).await["state"], "failed");
}

async fn a_job_that_names_nothing_runs_all_that_are_deployed(mut place: Place) {
    let server = place.server(&[]).await;
    for function in ["echo", "short_long"] {
        server.put(function, "probe", "").await.expect(200);
    }
    for body in [
        json!({"msg": 1}),
        json!({"msg": 1, "functions": null}),
        json!({"msg": 1, "functions": []}),
    ] {
        let id = post(&server, body).await;
        assert_eq!(result(&server, &id).await.text(), r#""a long result""#);
    }
    // One that was removed is not among them any more.
    is_text(&forget(&server, "short_long").await, "True");
    let id = post(&server, json!({"msg": 7})).await;
    assert_eq!(result(&server, &id).await.text(), "7");
}

async fn what_mlq_lost_or_answered_500_is_refused_with_its_reason(mut place: Place) {
    let server = place.with("multiply", &[]).await;
    // MLQ completed such a job with the result None.
    server
        .post_text(r#"{"msg": 1, "functions": ["multply"]}"#)
        .await
        .expect(422)
        .naming(&["multply", "did you mean multiply?"]);
    // MLQ queued null.
    server
        .post_text(r#"{"message": 1}"#)
        .await
        .expect(400)
        .naming(&["msg"]);
    server
        .post_text(r#"{"msg": 1, "function": "multiply"}"#)
        .await
        .expect(400)
        .naming(&["function"]);
    // MLQ ran what had its name somewhere in the text.
    server
        .post_text(r#"{"msg": 1, "functions": "multiply"}"#)
        .await
        .expect(400)
        .naming(&["\"functions\": [\"name\"]"]);
    server.post_text("{'msg': 1}").await.expect(400);
    let form = server
        .request(Method::POST, "/jobs")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(r#"{"msg": 1}"#);
    send(form).await.expect(415).naming(&["application/json"]);
    assert_eq!(server.json("/queue").await["posted"], 0);

    for view in ["progress", "short_result", "result", "result.mp3"] {
        for id in ["1", "53", "0", "nonsense"] {
            server.get(&format!("/jobs/{id}/{view}")).await.expect(404);
        }
    }
    // A pickled Python function, as MLQ's clients send it: arbitrary code.
    let pickle = server
        .request(Method::POST, "/consumer")
        .header("content-type", "application/json")
        .body(r#"{"py/b64": "gASVFwAAAAAAAACMCGJ1aWx0aW5zlIwEZXZhbJSTlC4="}"#);
    send(pickle)
        .await
        .expect(415)
        .naming(&["Python", "WebAssembly", "docs/mlq.md"]);
    forget(&server, "").await.expect(400);
}

async fn a_namespace_is_a_queue_of_its_own(mut place: Place) {
    let server = place.server(&[]).await;
    let say = |method: Method, path: &str, namespace: &str| {
        server
            .request(method, path)
            .header("skep-namespace", namespace)
    };
    for namespace in ["example_app", "mlq_default"] {
        let upload = say(Method::POST, "/consumer", namespace)
            .header("content-type", "application/wasm")
            .body(guest_bytes("multiply"));
        is_text(&send(upload).await, "True");
    }
    for (namespace, factor) in [("example_app", 6), ("mlq_default", 7)] {
        let body = json!({"msg": {"arg1": factor, "arg2": 2}, "functions": ["multiply"]});
        let job = say(Method::POST, "/jobs", namespace)
            .header("content-type", "application/json")
            .body(body.to_string());
        is_text(&send(job).await, "1");
        let answer = say(Method::GET, "/jobs/1/result?wait_ms=60000", namespace);
        let answer = send(answer).await.expect(200).text();
        assert_eq!(answer, (factor * 2).to_string());
    }
    server.get("/jobs/1/result").await.expect(404);
}
