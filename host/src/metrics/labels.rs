//! The labels that come from outside: names of namespaces and functions, as many of each
//! as a monitoring system can bear, and one label for all others.
//!
//! Posters and guests cannot add one: only a function that was deployed has a label.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;

use super::attempt::FunctionMeter;
use crate::job::{FunctionName, Namespace};

/// How many namespaces have a label of their own: with some twenty series each, that is
/// what a Prometheus takes from one target without being told to.
pub const MAX_NAMESPACES_SHOWN: usize = 100;

/// How many functions have labels of their own, in all namespaces together: with up to
/// sixty series each, some ten thousand.
pub const MAX_FUNCTIONS_SHOWN: usize = 200;

/// The label of all others. No name begins like this.
pub const OTHER: &str = "_other";

/// The function of an attempt in which none was run. No name begins like this.
pub const NONE: &str = "_none";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NamespaceLabels {
    pub(super) namespace: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FunctionLabels {
    pub(super) namespace: Arc<str>,
    pub(super) function: Arc<str>,
}

/// The meters of one namespace.
struct Space {
    label: Arc<str>,
    functions: HashMap<FunctionName, Arc<FunctionMeter>>,
    none: Option<Arc<FunctionMeter>>,
}

#[derive(Default)]
struct Known {
    spaces: HashMap<Namespace, Space>,
    functions: usize,
    other: Option<Arc<FunctionMeter>>,
}

impl Known {
    fn find(
        &self,
        namespace: &Namespace,
        function: Option<&FunctionName>,
    ) -> Option<&Arc<FunctionMeter>> {
        let space = self.spaces.get(namespace)?;
        match function {
            Some(function) => space.functions.get(function),
            None => space.none.as_ref(),
        }
    }

    /// The namespace, if it has a label of its own or there is room for one.
    fn space(&mut self, namespace: &Namespace) -> Option<&mut Space> {
        if !self.spaces.contains_key(namespace) && self.spaces.len() >= MAX_NAMESPACES_SHOWN {
            return None;
        }
        let space = self.spaces.entry(namespace.clone());
        Some(space.or_insert_with(|| Space {
            label: namespace.as_str().into(),
            functions: HashMap::new(),
            none: None,
        }))
    }
}

/// The meters of the functions that have labels of their own: those that came first.
#[derive(Default)]
pub(super) struct Bounded(RwLock<Known>);

impl Bounded {
    /// The meter of a function, or of none.
    pub(super) fn of(
        &self,
        namespace: &Namespace,
        function: Option<&FunctionName>,
        make: impl FnOnce(&FunctionLabels) -> FunctionMeter,
    ) -> Arc<FunctionMeter> {
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(meter) = known.find(namespace, function) {
                return meter.clone();
            }
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = known.find(namespace, function) {
            return meter.clone();
        }
        let is_full = function.is_some() && known.functions >= MAX_FUNCTIONS_SHOWN;
        let make = |namespace: &str, function: &str| {
            Arc::new(make(&FunctionLabels {
                namespace: namespace.into(),
                function: function.into(),
            }))
        };
        let Some(space) = known.space(namespace).filter(|_| !is_full) else {
            let other = known.other.get_or_insert_with(|| make(OTHER, OTHER));
            return other.clone();
        };
        match function {
            None => {
                let none = space.none.get_or_insert_with(|| make(&space.label, NONE));
                none.clone()
            }
            Some(function) => {
                let meter = make(&space.label, function.as_str());
                space.functions.insert(function.clone(), meter.clone());
                known.functions += 1;
                meter
            }
        }
    }

    /// The label of a namespace.
    pub(super) fn namespace(&self, namespace: &Namespace) -> Arc<str> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let space = known.space(namespace);
        space.map_or_else(|| OTHER.into(), |space| space.label.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, Metrics, page};

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(name: &str) -> T {
        name.parse().unwrap()
    }

    fn lines(metrics: &Metrics, word: &str) -> Vec<String> {
        let page = page(Format::OpenMetrics, &[metrics.registry()]);
        let lines = page.lines().filter(|line| line.contains(word));
        lines.map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_first_functions_have_labels_and_the_rest_share_one() {
        let metrics = Metrics::new();
        for i in 0..MAX_FUNCTIONS_SHOWN + 50 {
            let function = name(&format!("f{i}"));
            let meter = metrics.function(&name("default"), &function);
            meter.begin();
            // The same one again.
            assert!(Arc::ptr_eq(
                &meter,
                &metrics.function(&name("default"), &function)
            ));
        }
        let running = lines(&metrics, "skep_jobs_running{");
        assert_eq!(running.len(), MAX_FUNCTIONS_SHOWN + 1);
        let other = format!("function=\"{OTHER}\"");
        let others = running.iter().filter(|line| line.contains(&other));
        assert_eq!(others.count(), 1);
    }

    #[test]
    fn the_first_namespaces_have_labels_and_the_rest_share_one() {
        let metrics = Metrics::new();
        for i in 0..MAX_NAMESPACES_SHOWN + 50 {
            metrics.function(&name(&format!("n{i}")), &name("f"));
        }
        assert_eq!(&*metrics.namespace_label(&name("n0")), "n0");
        assert_eq!(&*metrics.namespace_label(&name("new")), OTHER);
        let running = lines(&metrics, "skep_jobs_running{");
        assert_eq!(running.len(), MAX_NAMESPACES_SHOWN + 1);
    }
}
