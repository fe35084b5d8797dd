//! Waiting for jobs and reading what they came to.

use crate::bindings::skep::jobs::types;
use crate::host::queue;
use crate::{Error, FromOutput};

/// How many jobs one call waits for. Their outputs come with it all at once; more
/// jobs take several calls, one after the other, and while the outputs of the first
/// are read the others run.
const CALL_JOBS: usize = 1_000;

pub(crate) fn one<T: FromOutput>(job: &str, timeout_ms: Option<u64>) -> Result<T, Error> {
    read(job, queue::block_until_result(job, timeout_ms))
}

pub(crate) fn each<T: FromOutput>(
    jobs: &[impl AsRef<str>],
    timeout_ms: Option<u64>,
) -> Result<Vec<Result<T, Error>>, Error> {
    let ids: Vec<_> = jobs.iter().map(|job| job.as_ref().to_owned()).collect();
    let outputs = queue::block_until_results(&ids, timeout_ms)?;
    let pairs = ids.iter().zip(outputs);
    Ok(pairs.map(|(id, output)| read(id, output)).collect())
}

pub(crate) fn all<T: FromOutput>(jobs: &[impl AsRef<str>]) -> Result<Vec<T>, Error> {
    let mut results = Vec::with_capacity(jobs.len());
    let mut first_error = None;
    for jobs in jobs.chunks(CALL_JOBS) {
        for result in each(jobs, None)? {
            match result {
                Ok(result) => results.push(result),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
    }
    first_error.map_or(Ok(results), Err)
}

fn read<T: FromOutput>(id: &str, output: Result<types::Output, types::Error>) -> Result<T, Error> {
    T::from_output(output?.into())
        .map_err(|error| error.within(format_args!("the result of job {id}")))
}
