//! Compiled schemas, kept between jobs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::job::{Digest, FunctionName};
use crate::schema::MessageSchema;
use crate::store::Deployment;

/// How many are kept. A schema with the most regular expressions allowed takes
/// 8 MiB; an ordinary one a few KiB.
const CAPACITY: usize = 256;

/// A schema belongs to a component's bytes, not to a deployment of them.
type Key = (Digest, FunctionName);

/// A cache of compiled schemas; the oldest entry goes first.
#[derive(Default)]
pub(super) struct Schemas(Mutex<Cache>);

#[derive(Default)]
struct Cache {
    compiled: HashMap<Key, Option<Arc<MessageSchema>>>,
    order: VecDeque<Key>,
}

impl Schemas {
    /// The schema of a function; `None` if it has none.
    pub(super) fn of(&self, deployment: &Deployment) -> Option<Arc<MessageSchema>> {
        let text = deployment.message_schema.as_deref()?;
        let key = (deployment.component, deployment.function.clone());
        // A panic elsewhere leaves nothing half done in here.
        let cached = |cache: &Mutex<Cache>| {
            let cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.compiled.get(&key).cloned()
        };
        if let Some(schema) = cached(&self.0) {
            return schema;
        }
        // Compiled without the lock: it takes a while, and twice does no harm.
        let schema = compile(deployment, text);
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(key, schema.clone());
        schema
    }
}

/// A schema was checked when its function was deployed. Should another version
/// of skep have deployed it under other bounds, jobs go on without it: the
/// handler reads its message anyway.
fn compile(deployment: &Deployment, text: &str) -> Option<Arc<MessageSchema>> {
    match MessageSchema::parse(text) {
        Ok(schema) => Some(Arc::new(schema)),
        Err(error) => {
            let function = &deployment.function;
            tracing::warn!(%function, %error, "messages are not checked: deploy the function anew");
            None
        }
    }
}

impl Cache {
    fn insert(&mut self, key: Key, schema: Option<Arc<MessageSchema>>) {
        if self.compiled.insert(key.clone(), schema).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.compiled.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Limits;

    fn deployment(n: usize, message_schema: Option<&str>) -> Deployment {
        Deployment {
            function: format!("f{n}").parse().unwrap(),
            version: 1,
            component: Digest::of(b"component"),
            summary: String::new(),
            message_schema: message_schema.map(ToOwned::to_owned),
            limits: Limits::default(),
            concurrency: None,
            deployed_at_ms: 0,
        }
    }

    #[test]
    fn a_schema_is_compiled_once() {
        let schemas = Schemas::default();
        let first = schemas.of(&deployment(1, Some("true"))).unwrap();
        let again = schemas.of(&deployment(1, Some("true"))).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn without_a_schema_that_can_be_used_there_is_no_check() {
        let schemas = Schemas::default();
        assert!(schemas.of(&deployment(1, None)).is_none());
        assert!(schemas.of(&deployment(2, Some("{"))).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let schemas = Schemas::default();
        for n in 0..CAPACITY + 50 {
            schemas.of(&deployment(n, Some("true")));
        }
        let cache = schemas.0.lock().unwrap();
        assert_eq!(
            (cache.compiled.len(), cache.order.len()),
            (CAPACITY, CAPACITY)
        );
    }
}
