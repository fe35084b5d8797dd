//! A write-ahead log that ends in the middle of a record, as after a loss of
//! power: the store opens, and holds everything that came before.

use std::path::Path;

use skep::job::JobId;
use skep::store::Store;
use skep::store::embedded::EmbeddedStore;

use crate::backend::open_again;
use crate::support::{job, ns};

const LOG: &str = "skep.db-wal";

fn copy(from: &Path, to: &Path) {
    for name in ["skep.db", LOG] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// How many of the jobs `1..=jobs` the store in a copy of `directory` has, once
/// `harm` was done to its log.
async fn jobs_after(directory: &Path, jobs: u64, harm: impl FnOnce(&mut Vec<u8>)) -> u64 {
    let harmed = tempfile::tempdir().unwrap();
    copy(directory, harmed.path());
    let path = harmed.path().join(LOG);
    let mut log = std::fs::read(&path).unwrap();
    harm(&mut log);
    std::fs::write(&path, log).unwrap();
    let store = open_again(EmbeddedStore::options(), harmed.path()).expect("a torn log opens");
    let mut found = 0;
    for id in 1..=jobs {
        let there = store.job(&ns(), JobId(id)).await.unwrap().is_some();
        assert!(
            !there || found == id - 1,
            "job {id} is there and an earlier one is not"
        );
        found += u64::from(there);
    }
    assert_eq!(store.status(&ns()).await.unwrap().waiting(), found);
    // And it goes on with the next id.
    assert_eq!(
        store.submit(&ns(), vec![job("next")]).await.unwrap(),
        [JobId(found + 1)]
    );
    found
}

#[tokio::test]
async fn a_torn_log_opens_with_everything_before_the_tear() {
    const JOBS: u64 = 12;
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let log = directory.path().join(LOG);
    let mut ends = Vec::new();
    for n in 1..=JOBS {
        store
            .submit(&ns(), vec![job(&n.to_string())])
            .await
            .unwrap();
        ends.push(usize::try_from(std::fs::metadata(&log).unwrap().len()).unwrap());
    }
    let whole = *ends.last().unwrap();
    // The last few records, at many places, and around the end of each.
    let mut cuts: Vec<usize> = (ends[8]..whole).step_by(509).collect();
    cuts.extend(
        ends[7..]
            .iter()
            .flat_map(|end| [end - 1, *end, (end + 1).min(whole)]),
    );
    for cut in cuts {
        let answered = ends.iter().filter(|end| **end <= cut).count() as u64;
        let cut_off = |log: &mut Vec<u8>| log.truncate(cut);
        assert_eq!(
            jobs_after(directory.path(), JOBS, cut_off).await,
            answered,
            "cut at {cut}"
        );
        // A page that the disk never wrote, amid those it did.
        let blank = |log: &mut Vec<u8>| {
            let end = (cut + 512).min(log.len());
            log[cut..end].fill(0);
        };
        let left = jobs_after(directory.path(), JOBS, blank).await;
        assert!(
            left >= answered,
            "{left} of {answered} jobs are left, blank at {cut}"
        );
    }
    drop(store);
}
