//! What handlers ask of a host, natively, on a `TestHost`.

use std::cell::Cell;
use std::time::Duration;

use skep_sdk::{Context, Error, Failure, JobId, Output, Payload, TestHost};

/// Squares a number; 0 has no square here.
#[skep_sdk::listener]
fn square(n: u64, ctx: &Context) -> Result<Output<u64>, Failure> {
    match n {
        0 => Err(Failure::failed("nothing to square")),
        _ => Ok(Output::new(format!("{n} squared"), n * n)),
    }
}

/// Answers its message, whatever it is.
#[skep_sdk::listener]
fn echo(msg: Payload, ctx: &Context) -> Result<Payload, Failure> {
    Ok(msg)
}

fn host() -> TestHost {
    TestHost::new().with::<square>().with::<echo>()
}

/// Runs a handler that is called `compose` and answers what it does.
macro_rules! composed {
    ($host:expr, |$ctx:ident| -> $answer:ty $body:block) => {{
        #[skep_sdk::listener]
        fn compose(_msg: Payload, $ctx: &Context) -> Result<$answer, Failure> $body
        ($host).with::<compose>().run("compose", &()) as Result<$answer, Failure>
    }};
}

#[test]
fn a_posted_job_is_waited_for() {
    let answer = composed!(host(), |ctx| -> u64 {
        let id = ctx.post(&7_u64).functions(["square"]).send()?;
        Ok(ctx.wait(&id)?)
    });
    assert_eq!(answer, Ok(49));
}

#[test]
fn a_result_is_read_as_json_as_bytes_and_as_an_output() {
    let answer = composed!(host(), |ctx| -> () {
        let id = ctx.post(&7_u64).functions(["square"]).send()?;
        assert_eq!(ctx.wait(&id), Ok(Output::new("7 squared", 49)));
        assert_eq!(ctx.wait::<Vec<u8>>(&id), Ok(b"49".to_vec()));
        let payload = Payload::new("application/json", "49");
        assert_eq!(ctx.wait::<Output>(&id)?.result, payload);
        assert_eq!(ctx.wait_timeout(&id, Duration::from_secs(1)), Ok(payload));
        let error = ctx.wait::<String>(&id).unwrap_err().to_string();
        assert!(
            error.starts_with("the result of job 2: invalid type"),
            "{error}"
        );
        Ok(())
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn bytes_go_as_bytes() {
    let answer = composed!(host(), |ctx| -> () {
        let bytes = vec![0_u8, 255];
        let id = ctx.post(&bytes).functions(["echo"]).send()?;
        assert_eq!(ctx.wait::<Payload>(&id)?, Payload::from(bytes));
        let picture = Payload::new("image/png", [1, 2]);
        let id = ctx.post(&picture).functions(["echo"]).send()?;
        assert_eq!(ctx.wait::<Payload>(&id)?, picture);
        Ok(())
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn map_answers_in_order_and_in_as_many_calls_as_it_takes() {
    // More than one call of the host may post or wait for.
    let answer = composed!(host(), |ctx| -> Vec<u64> {
        Ok(ctx.map("square", 1..=25_000_u64)?)
    });
    assert_eq!(answer, Ok((1..=25_000).map(|n| n * n).collect()));
    let none = composed!(host(), |ctx| -> Vec<u64> {
        Ok(ctx.map("square", [0_u64; 0])?)
    });
    assert_eq!(none, Ok(Vec::new()));
}

#[test]
fn a_child_that_failed_fails_its_parent_unless_that_looks() {
    let answer = composed!(host(), |ctx| -> Vec<u64> {
        Ok(ctx.map("square", [1_u64, 0, 2])?)
    });
    assert_eq!(
        answer,
        Err(Failure::failed("job failed: failed: nothing to square"))
    );

    let answer = composed!(host(), |ctx| -> u64 {
        let ids = ctx.post_many([1_u64, 0, 2].map(|n| ctx.post(&n).functions(["square"])))?;
        let answers = ctx.wait_each::<u64>(&ids, None)?;
        assert!(
            matches!(answers[..], [Ok(1), Err(Error::JobFailed(_)), Ok(4)]),
            "{answers:?}"
        );
        Ok(answers.into_iter().flatten().sum())
    });
    assert_eq!(answer, Ok(5));
}

#[test]
fn what_cannot_be_waited_for_is_an_error() {
    let answer = composed!(host(), |ctx| -> () {
        assert!(matches!(ctx.wait::<u64>("99"), Err(Error::NotFound(_))));
        let own = ctx.wait::<u64>(&ctx.job().id);
        assert!(matches!(own, Err(Error::InvalidArgument(_))), "{own:?}");
        let each = ctx.wait_each::<u64>(&["99"], Duration::ZERO)?;
        assert!(matches!(each[..], [Err(Error::NotFound(_))]), "{each:?}");
        Ok(())
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn a_post_carries_its_options_and_its_parent() {
    /// Tells what it knows of itself.
    #[skep_sdk::listener]
    fn describe(_msg: Payload, ctx: &Context) -> Result<String, Failure> {
        let job = ctx.job();
        Ok(format!(
            "{:?} {} {} {} {}",
            job.parent, job.depth, job.priority, job.max_attempts, job.timeout_ms
        ))
    }
    let answer = composed!(host().with::<describe>(), |ctx| -> String {
        let post = ctx
            .post(&())
            .functions(["describe"])
            .idempotency_key("once");
        let post = post
            .priority(0)
            .max_attempts(1)
            .timeout(Duration::from_secs(2));
        let post = post
            .delay(Duration::from_millis(5))
            .retention(Duration::from_secs(60));
        let id = post.clone().send()?;
        assert_eq!(post.callback("http://127.0.0.1:1/").send()?, id);
        let other = ctx.post(&1).functions(["describe"]).idempotency_key("once");
        let other = other.send();
        assert!(matches!(other, Err(Error::InvalidArgument(_))), "{other:?}");
        Ok(ctx.wait(id)?)
    });
    assert_eq!(answer, Ok(r#"Some("1") 1 0 1 2000"#.to_owned()));
}

#[test]
fn a_message_that_cannot_be_written_is_told_when_it_is_posted() {
    /// JSON has no keys that are lists.
    type Unwritable = std::collections::BTreeMap<Vec<u8>, u8>;
    let answer = composed!(host(), |ctx| -> () {
        let message = Unwritable::from([(vec![1, 2], 3)]);
        let post = ctx.post(&message).functions(["echo"]);
        assert!(matches!(post.clone().send(), Err(Error::Json(_))));
        assert!(matches!(ctx.post_many([post]), Err(Error::Json(_))));
        assert!(matches!(ctx.store(&message).save(), Err(Error::Json(_))));
        Ok(())
    });
    assert_eq!(answer, Ok(()));
}

#[test]
fn data_is_stored_typed_and_raw() {
    let host = host();
    let answer = composed!(host.clone(), |ctx| -> () {
        let key = ctx.store(&vec![1_u32, 2]).save()?;
        assert_eq!(ctx.fetch(&key)?, Some(vec![1_u32, 2]));
        assert_eq!(ctx.fetch(&key)?, Some(b"[1,2]".to_vec()));
        let hour = Duration::from_secs(3600);
        assert_eq!(
            ctx.store(&vec![0_u8, 255]).key("raw").expiry(hour).save()?,
            "raw"
        );
        assert_eq!(ctx.fetch::<u32>("nothing")?, None);
        let error = ctx.fetch::<u32>(&key).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the data under {key:?}: ")),
            "{error}"
        );
        Ok(())
    });
    assert_eq!(answer, Ok(()));
    assert_eq!(host.stored("raw"), Some(vec![0, 255]));
}

#[test]
fn progress_has_a_note_that_fits() {
    let host = host();
    let answer = composed!(host.clone(), |ctx| -> () {
        ctx.progress(10, "")?;
        ctx.progress(20, &"é".repeat(200))?;
        assert!(matches!(
            ctx.progress(101, ""),
            Err(Error::InvalidArgument(_))
        ));
        Ok(())
    });
    assert_eq!(answer, Ok(()));
    assert_eq!(
        host.progress(),
        [(10, String::new()), (20, "é".repeat(128))]
    );
}

#[test]
fn a_retry_is_another_attempt() {
    thread_local!(static ATTEMPTS: Cell<u32> = const { Cell::new(0) });
    /// Succeeds the third time.
    #[skep_sdk::listener]
    fn third(_msg: Payload, ctx: &Context) -> Result<u32, Failure> {
        ATTEMPTS.set(ATTEMPTS.get() + 1);
        match ctx.job().attempt {
            3 => Ok(ATTEMPTS.get()),
            _ => Err(Failure::retry(Duration::ZERO, "too early")),
        }
    }
    let host = TestHost::new().with::<third>();
    assert_eq!(host.run("third", &()), Ok(3));
}

#[test]
fn a_function_may_have_a_name_that_rust_would_not_allow() {
    /// Answers 1.
    #[skep_sdk::listener(name = "one.by-one")]
    fn one(_msg: Payload, ctx: &Context) -> Result<u32, Failure> {
        Ok(1)
    }
    assert_eq!(TestHost::new().with::<one>().run("one.by-one", &()), Ok(1));
    let unknown = TestHost::new().with::<one>().run::<u32>("one", &());
    assert!(unknown.is_err());
}

#[test]
fn an_id_is_a_string_in_json() {
    let id = JobId::from("53");
    assert_eq!(serde_json::to_string(&id).unwrap(), r#""53""#);
    assert_eq!(serde_json::from_str::<JobId>(r#""53""#).unwrap(), id);
    assert_eq!(format!("{id:>4}"), "  53");
}
