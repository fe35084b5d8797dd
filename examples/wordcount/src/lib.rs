//! The words of a text, counted as map-reduce: a job for each chunk of the text,
//! on whatever machines there are, and one that posts them, waits and adds up.

mod words;

use std::collections::BTreeMap;

use skep_sdk::{Context, Failure, Output, Payload};

/// How often each word stands in a text.
type Counts = BTreeMap<String, u64>;

/// A text by reference.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// Its key in the namespace's data.
    key: String,
}

/// Counts the words of a text: UTF-8 bytes, or {"key": …} of stored ones. The
/// result is CSV, the most frequent word first.
#[skep_sdk::listener]
fn wordcount(msg: Payload, ctx: &Context) -> Result<Output, Failure> {
    let text = text(msg, ctx)?;

    // A chunk is the message of its job: it is on disk with the job, and goes with
    // it. Data under a key would stay when all is done.
    let chunks = words::chunks(&text).map(|chunk| Payload::new("text/plain", chunk));
    let ids = ctx.post_many(chunks.map(|chunk| ctx.post(&chunk).functions(["count-chunk"])))?;

    let mut counts = Counts::new();
    for (done, id) in ids.iter().enumerate() {
        let percent = 100 * done / ids.len();
        ctx.progress(percent as u8, &format!("{done} of {} chunks", ids.len()))?;
        for (word, n) in ctx.wait::<Counts>(id)? {
            *counts.entry(word).or_default() += n;
        }
    }
    let ranking = words::ranking(&counts);
    let csv = Payload::new("text/csv", words::csv(&ranking));
    Ok(Output::new(words::summary(&ranking), csv))
}

/// Counts the words of a chunk of text.
#[skep_sdk::listener(name = "count-chunk")]
fn count_chunk(chunk: Vec<u8>, ctx: &Context) -> Result<Counts, Failure> {
    let mut counts = Counts::new();
    for word in words::words(&utf8(chunk)?) {
        *counts.entry(word).or_default() += 1;
    }
    Ok(counts)
}

/// The text that a message is, or names.
fn text(msg: Payload, ctx: &Context) -> Result<String, Failure> {
    if msg.content_type != "application/json" {
        return utf8(msg.data);
    }
    let Stored { key } = msg.read().map_err(|error| {
        Failure::invalid(format_args!(
            "send the text itself as text/plain, or {{\"key\": …}} of stored text: {error}"
        ))
    })?;
    match ctx.fetch(&key)? {
        Some(data) => utf8(data),
        None => Err(Failure::failed(format_args!(
            "nothing is stored under {key:?}"
        ))),
    }
}

fn utf8(data: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(data)
        .map_err(|error| Failure::invalid(format_args!("the text must be UTF-8: {error}")))
}

skep_sdk::export!(wordcount, count_chunk);

#[cfg(test)]
mod tests {
    use skep_sdk::TestHost;

    use super::*;

    const ALICE: &str = include_str!("../alice.txt");

    fn host() -> TestHost {
        TestHost::new().with::<wordcount>().with::<count_chunk>()
    }

    #[test]
    fn a_book_is_counted_in_chunks() {
        let host = host();
        let output: Output = host
            .run("wordcount", &Payload::new("text/plain", ALICE))
            .unwrap();
        assert_eq!(
            output.short_result.unwrap(),
            "26,685 words, 2,638 different; the: 1,642"
        );
        assert!(output.result.data.starts_with(b"word,count\nthe,1642\n"));
        assert_eq!(host.jobs(), 1 + 10);
        assert_eq!(host.progress()[5], (50, "5 of 10 chunks".to_owned()));
    }

    #[test]
    fn a_text_may_be_stored() {
        /// Stores two words.
        #[skep_sdk::listener]
        fn keep(_msg: Payload, ctx: &Context) -> Result<String, Failure> {
            Ok(ctx.store(&b"Two words".to_vec()).key("two").save()?)
        }
        let host = host().with::<keep>();
        host.run::<String>("keep", &()).unwrap();
        let message = Payload::new("application/json", r#"{"key": "two"}"#);
        let csv = host.run::<Vec<u8>>("wordcount", &message).unwrap();
        assert_eq!(csv, b"word,count\ntwo,1\nwords,1\n");
    }

    #[test]
    fn what_is_no_text_says_so() {
        let fails = |content_type, data: &[u8]| {
            let message = Payload::new(content_type, data);
            host().run::<Output>("wordcount", &message).unwrap_err()
        };
        let told = |failure| match failure {
            Failure::Invalid(text) | Failure::Failed(text) => text,
            retry => panic!("{retry:?}"),
        };
        assert!(told(fails("text/plain", b"caf\xe9")).contains("UTF-8"));
        assert!(told(fails("application/json", b"{}")).contains("missing field `key`"));
        assert!(told(fails("application/json", br#"{"key": "x"}"#)).contains(r#"under "x""#));
    }
}
