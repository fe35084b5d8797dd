//! A host in this process, for native tests of handlers. It keeps to what the
//! interfaces promise, and leaves out what a test of a handler has no use for:
//! limits, time, other machines.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::bindings::skep::jobs::types::{self, Error};
use crate::listener::{self, Entry, Listener};
use crate::post::no_options;
use crate::{Failure, FromOutput, Job, NamedTensor, Payload, ToPayload};
use queue::PostOptions;

/// Runs listener functions natively, for tests, with all that they ask of a host.
/// Not in components: there, the host is the one outside.
///
/// A job that a handler posts runs at once, before the post returns, so that a wait
/// finds it ended. Delays pass in no time, and a retry follows at once.
///
/// ```
/// use skep_sdk::{Context, Failure, TestHost};
///
/// #[skep_sdk::listener]
/// /// Squares a number.
/// fn square(n: u32, ctx: &Context) -> Result<u32, Failure> {
///     Ok(n * n)
/// }
///
/// #[skep_sdk::listener]
/// /// Adds the squares of numbers, each of which is a job.
/// fn squares(numbers: Vec<u32>, ctx: &Context) -> Result<u32, Failure> {
///     Ok(ctx.map::<u32>("square", numbers)?.iter().sum())
/// }
///
/// # fn main() {
/// let host = TestHost::new().with::<squares>().with::<square>();
/// assert_eq!(host.run("squares", &vec![2, 3]), Ok(13));
/// # }
/// ```
#[derive(Clone, Default)]
pub struct TestHost {
    functions: Vec<Entry>,
    models: BTreeMap<String, Model>,
    state: Rc<RefCell<State>>,
}

/// What the jobs of a host have done.
#[derive(Default)]
struct State {
    /// The end of each job, in the order of their ids, from 1; none while it runs.
    outcomes: Vec<Option<Outcome>>,
    /// The jobs that idempotency keys have.
    keys: BTreeMap<String, Keyed>,
    data: BTreeMap<String, Vec<u8>>,
    progress: Vec<(u8, String)>,
}

/// A job that was posted under an idempotency key.
struct Keyed {
    id: String,
    functions: Vec<String>,
    message: Payload,
}

/// What stands for a model.
type Model = Rc<dyn Fn(&[NamedTensor]) -> Vec<NamedTensor>>;

type Outcome = Result<types::Output, types::Failure>;

/// A job that runs.
#[derive(Clone)]
struct Running {
    host: TestHost,
    id: String,
    depth: u32,
}

thread_local! {
    /// The jobs that run on this thread, each posted by the one before.
    static RUNNING: RefCell<Vec<Running>> = const { RefCell::new(Vec::new()) };
}

impl TestHost {
    /// A host that serves no function yet.
    pub fn new() -> Self {
        TestHost::default()
    }

    /// Serves one more function.
    pub fn with<L: Listener>(mut self) -> Self {
        self.functions.push(L::ENTRY);
        self
    }

    /// Has a model of this name, which answers what `run` makes of its inputs.
    ///
    /// ```
    /// use skep_sdk::{Context, Failure, NamedTensor, Tensor, TestHost};
    ///
    /// #[skep_sdk::listener]
    /// /// Doubles a number with a model.
    /// fn double(n: f32, ctx: &Context) -> Result<f32, Failure> {
    ///     let out = ctx.infer("twice").input("x", &[n])?.run()?;
    ///     Ok(out.first::<f32>()?[0])
    /// }
    ///
    /// # fn main() {
    /// let host = TestHost::new().with::<double>().model("twice", |inputs| {
    ///     let x = inputs[0].value.to_f32().unwrap();
    ///     vec![NamedTensor::new("y", Tensor::f32(&[1], &[2.0 * x[0]]))]
    /// });
    /// assert_eq!(host.run("double", &21.0_f32), Ok(42.0_f32));
    /// # }
    /// ```
    pub fn model(
        mut self,
        name: impl Into<String>,
        run: impl Fn(&[NamedTensor]) -> Vec<NamedTensor> + 'static,
    ) -> Self {
        self.models.insert(name.into(), Rc::new(run));
        self
    }

    /// Runs a job to its end and reads its output.
    pub fn run<T: FromOutput>(
        &self,
        function: &str,
        message: &impl ToPayload,
    ) -> Result<T, Failure> {
        let mut options = no_options();
        options.functions.push(function.to_owned());
        let id = self
            .post(None, &message.to_payload()?, &options)
            .map_err(crate::Error::from)?;
        match self.outcome(&id) {
            Some(Some(Ok(output))) => Ok(T::from_output(output.into())?),
            Some(Some(Err(failure))) => Err(Failure::of_job(failure)),
            _ => Err(Failure::failed(format_args!("job {id} has not ended"))),
        }
    }

    /// The progress that jobs have told, in order, with their notes.
    pub fn progress(&self) -> Vec<(u8, String)> {
        self.state.borrow().progress.clone()
    }

    /// What is stored under a key.
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.state.borrow().data.get(key).cloned()
    }

    /// How many jobs were posted.
    pub fn jobs(&self) -> usize {
        self.state.borrow().outcomes.len()
    }

    /// The outer `Option` says whether there is such a job, the inner one whether it
    /// has ended.
    fn outcome(&self, id: &str) -> Option<Option<Outcome>> {
        let at = id.parse::<usize>().ok()?.checked_sub(1)?;
        self.state.borrow().outcomes.get(at).cloned()
    }

    /// Runs a job and notes its end.
    fn post(
        &self,
        parent: Option<&Running>,
        message: &Payload,
        options: &PostOptions,
    ) -> Result<String, Error> {
        let serves = |name: &String| self.functions.iter().any(|entry| entry.name == name);
        if let Some(unknown) = options.functions.iter().find(|name| !serves(name)) {
            return Err(Error::InvalidArgument(format!(
                "no function {unknown} is served"
            )));
        }
        let at = {
            let mut state = self.state.borrow_mut();
            let id = (state.outcomes.len() + 1).to_string();
            if let Some(key) = &options.idempotency_key {
                if let Some(first) = state.keys.get(key) {
                    let is_same = first.functions == options.functions
                        && first.message.content_type == message.content_type
                        && first.message.data == message.data;
                    return match is_same {
                        true => Ok(first.id.clone()),
                        false => Err(Error::InvalidArgument(format!(
                            "the idempotency key {key:?} is that of job {}, which has other functions or another message; give this one a key of its own",
                            first.id
                        ))),
                    };
                }
                let keyed = Keyed {
                    id,
                    functions: options.functions.clone(),
                    message: message.clone(),
                };
                state.keys.insert(key.clone(), keyed);
            }
            state.outcomes.push(None);
            state.outcomes.len()
        };
        let mut job = Job {
            id: at.to_string(),
            function: String::new(),
            message: message.clone(),
            attempt: 1,
            max_attempts: options.max_attempts.unwrap_or(5),
            posted_at_ms: 0,
            started_at_ms: 0,
            timeout_ms: options.timeout_ms.unwrap_or(300_000),
            priority: options.priority.unwrap_or(2),
            functions: options.functions.clone(),
            parent: parent.map(|parent| parent.id.clone()),
            depth: parent.map_or(0, |parent| parent.depth + 1),
        };
        let outcome = loop {
            match self.attempt(&job) {
                Err(types::Failure::Retry(_)) if job.attempt < job.max_attempts => job.attempt += 1,
                ended => break ended,
            }
        };
        if let Some(end) = self.state.borrow_mut().outcomes.get_mut(at - 1) {
            *end = Some(outcome);
        }
        Ok(job.id)
    }

    /// Runs a job's functions one after the other.
    fn attempt(&self, job: &Job) -> Outcome {
        let all = || self.functions.iter().map(|entry| entry.name.to_owned());
        let names = match job.functions.is_empty() {
            true => all().collect(),
            false => job.functions.clone(),
        };
        let mut outcome = Err(types::Failure::Failed("no function is served".to_owned()));
        for function in names {
            let job = Job {
                function,
                ..job.clone()
            };
            let running = Running {
                host: self.clone(),
                id: job.id.clone(),
                depth: job.depth,
            };
            RUNNING.with_borrow_mut(|jobs| jobs.push(running));
            // Also when the handler panics, since the thread may run another test.
            let _over = Over;
            outcome = listener::handle(&self.functions, job);
            if outcome.is_err() {
                break;
            }
        }
        outcome
    }
}

/// Ends the newest job that runs.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(|jobs| jobs.pop());
    }
}

/// What `queue` is in a component.
pub(crate) mod queue {
    use super::{RUNNING, Running};
    use crate::Payload;
    pub(crate) use crate::bindings::skep::jobs::queue::{PostOptions, PostRequest};
    use crate::bindings::skep::jobs::types::{Error, Failure, Output};

    /// The job that asks.
    pub(super) fn asking() -> Running {
        RUNNING
            .with_borrow(|jobs| jobs.last().cloned())
            .expect("there is no host here; run the handler with skep_sdk::TestHost")
    }

    pub(crate) fn update_progress(percent: u8, note: Option<&str>) -> Result<(), Error> {
        if percent > 100 {
            return Err(Error::InvalidArgument(format!(
                "progress is 0 to 100, not {percent}"
            )));
        }
        let told = (percent, note.unwrap_or_default().to_owned());
        asking().host.state.borrow_mut().progress.push(told);
        Ok(())
    }

    pub(crate) fn store_data(
        data: &[u8],
        key: Option<&str>,
        _expiry_seconds: Option<u64>,
    ) -> Result<String, Error> {
        let job = asking();
        let mut state = job.host.state.borrow_mut();
        let key = key.map_or_else(|| format!("key {}", state.data.len() + 1), str::to_owned);
        state.data.insert(key.clone(), data.to_vec());
        Ok(key)
    }

    pub(crate) fn fetch_data(key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(asking().host.stored(key))
    }

    pub(crate) fn post(message: &Payload, options: &PostOptions) -> Result<String, Error> {
        let job = asking();
        job.host.post(Some(&job), message, options)
    }

    pub(crate) fn post_many(jobs: &[PostRequest]) -> Result<Vec<String>, Error> {
        if jobs.len() > 10_000 {
            return Err(Error::LimitExceeded(
                "one call may post 10000 jobs".to_owned(),
            ));
        }
        jobs.iter()
            .map(|job| post(&job.message, &job.options))
            .collect()
    }

    pub(crate) fn block_until_result(id: &str, _timeout_ms: Option<u64>) -> Result<Output, Error> {
        match asking().host.outcome(id) {
            None => Err(Error::NotFound(format!("there is no job {id}"))),
            Some(None) => Err(Error::InvalidArgument(format!(
                "job {id} waits for this one"
            ))),
            Some(Some(Ok(output))) => Ok(output),
            Some(Some(Err(failure))) => Err(Error::JobFailed(match failure {
                Failure::Invalid(why) => format!("invalid: {why}"),
                Failure::Failed(why) => format!("failed: {why}"),
                Failure::Retry(retry) => format!("retry: {}", retry.reason),
            })),
        }
    }

    pub(crate) fn block_until_results(
        ids: &[String],
        timeout_ms: Option<u64>,
    ) -> Result<Vec<Result<Output, Error>>, Error> {
        let wait = |id: &String| block_until_result(id, timeout_ms);
        Ok(ids.iter().map(wait).collect())
    }

    pub(crate) fn is_cancelled() -> bool {
        false
    }
}

/// What `inference` is in a component.
pub(crate) mod inference {
    use super::Model;
    use super::queue::asking;
    use crate::bindings::skep::jobs::inference::{InferError, ModelInfo, NamedTensor};

    pub(crate) fn models() -> Result<Vec<String>, InferError> {
        Ok(asking().host.models.into_keys().collect())
    }

    fn find(name: &str) -> Result<Model, InferError> {
        let model = asking().host.models.get(name).cloned();
        model.ok_or_else(|| InferError::NotFound(format!("there is no model {name:?}")))
    }

    /// Of a function in a test nobody knows what it takes and gives.
    pub(crate) fn describe(name: &str) -> Result<ModelInfo, InferError> {
        find(name)?;
        Ok(ModelInfo {
            name: name.to_owned(),
            digest: String::new(),
            device: "cpu".to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        })
    }

    pub(crate) fn infer(
        name: &str,
        inputs: &[NamedTensor],
    ) -> Result<Vec<NamedTensor>, InferError> {
        let model = find(name)?;
        Ok(model(inputs))
    }
}

/// What `log` is in a component.
pub(crate) mod log {
    use crate::log::Level;

    /// Shows a line where a test's output goes.
    pub fn write(level: Level, text: &str) {
        eprintln!("{level:?} {text}");
    }
}
