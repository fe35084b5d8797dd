//! Some of the limits, by their names: what a job asks for, beside what its function
//! grants.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::limits::{LIMITS, Limit, Limits};

/// Some of the limits. Others are not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SomeLimits(BTreeMap<&'static str, u64>);

/// Why a text does not name a limit and its value; says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LimitError(String);

impl SomeLimits {
    /// Whether none is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each that is said, with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Limit, u64)> + '_ {
        LIMITS
            .iter()
            .filter_map(|limit| Some((limit, *self.0.get(limit.name)?)))
    }

    /// The value of one, if it is said.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }

    /// Says one, by its full name; whatever it was before.
    pub fn say(&mut self, name: &str, value: u64) -> Result<(), LimitError> {
        let limit = LIMITS.iter().find(|limit| limit.name == name);
        let limit = limit.ok_or_else(|| unknown(name))?;
        self.0.insert(limit.name, value);
        Ok(())
    }

    /// What a job hands down to those that it posts: the bounds on their tree, where they
    /// are narrower than the defaults.
    pub fn of_children(limits: &Limits) -> Self {
        let default = Limits::default();
        let tree = LIMITS.iter().filter(|l| l.name.starts_with("tree_"));
        let narrower = tree.filter(|limit| limit.of(limits) < limit.of(&default));
        Self(narrower.map(|l| (l.name, l.of(limits))).collect())
    }

    /// These limits where they are narrower than `granted`; nothing is ever widened.
    pub fn narrow(&self, granted: &Limits) -> Limits {
        let mut limits = *granted;
        for (limit, value) in self.iter() {
            limit.set(&mut limits, value.min(limit.of(granted)));
        }
        limits
    }

    /// What tells limits from the defaults.
    pub fn apart_from_default(limits: &Limits) -> Self {
        let default = Limits::default();
        let differ = LIMITS.iter().filter(|l| l.of(limits) != l.of(&default));
        Self(differ.map(|limit| (limit.name, limit.of(limits))).collect())
    }

    /// The defaults, but for these.
    pub fn and_default(&self) -> Limits {
        let mut limits = Limits::default();
        for (limit, value) in self.iter() {
            limit.set(&mut limits, value);
        }
        limits
    }

    /// Adds what a person wrote: `NAME=VALUE`, such as `fuel=1e9`, `memory=64MiB`,
    /// `timeout=30s` or `timeout_ms=30000`.
    pub fn read(&mut self, text: &str) -> Result<(), LimitError> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            LimitError(format!(
                "{text:?} is not NAME=VALUE, such as fuel=1e9, memory=64MiB or timeout=30s"
            ))
        })?;
        let (name, value) = (name.trim(), value.trim());
        let limit = LIMITS
            .iter()
            .find(|limit| [limit.name, limit.short_name()].contains(&name));
        let limit = limit.ok_or_else(|| unknown(name))?;
        let bare = name == limit.name;
        let number = limit.unit.parse(value, bare).ok_or_else(|| {
            LimitError(format!(
                "{value:?} is no value for {name}; write {}",
                limit.unit.example()
            ))
        })?;
        if self.0.insert(limit.name, number).is_some() {
            return Err(LimitError(format!("the limit {name} is given twice")));
        }
        Ok(())
    }
}

/// `NAME=VALUE,NAME=VALUE`, as [`SomeLimits::read`] takes them.
impl FromStr for SomeLimits {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let mut limits = Self::default();
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts
            .map(str::trim)
            .try_for_each(|part| limits.read(part))?;
        Ok(limits)
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for SomeLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, (limit, value)) in self.iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            write!(f, "{comma}{}={value}", limit.name)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for SomeLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Map)
    }
}

struct Map;

impl<'de> Visitor<'de> for Map {
    type Value = SomeLimits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of limits such as {\"fuel\": 1000000000}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SomeLimits, A::Error> {
        let mut limits = SomeLimits::default();
        while let Some(name) = map.next_key::<String>()? {
            if limits.get(&name).is_some() {
                return Err(A::Error::custom(format!("the limit {name} is given twice")));
            }
            let value = map.next_value()?;
            limits.say(&name, value).map_err(A::Error::custom)?;
        }
        Ok(limits)
    }
}

/// What to tell about a name that no limit has.
fn unknown(name: &str) -> LimitError {
    let wanted = name.to_ascii_lowercase();
    let distance = |limit: &&Limit| {
        [limit.name, limit.short_name()]
            .map(|name| strsim::osa_distance(&wanted, name))
            .into_iter()
            .min()
    };
    // A third of the letters may be wrong; one always may.
    let bound = (wanted.len() / 3).max(1);
    let near = LIMITS.iter().min_by_key(distance);
    let near = near.filter(|limit| distance(limit).is_some_and(|far| far <= bound));
    let meant = near.map(|limit| format!("; did you mean {}?", limit.name));
    let all: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
    let name: String = name.chars().take(64).collect();
    LimitError(format!(
        "there is no limit {name:?}{} Limits are: {}",
        meant.as_deref().unwrap_or("."),
        all.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_people_write_them() {
        let limits: SomeLimits = "fuel=1e9, memory=64MiB,timeout=30s,parked_ms=5,posts=0,"
            .parse()
            .unwrap();
        let read: Vec<_> = limits.iter().map(|(l, value)| (l.name, value)).collect();
        assert_eq!(
            read,
            [
                ("fuel", 1_000_000_000),
                ("timeout_ms", 30_000),
                ("memory_bytes", 64 << 20),
                ("posts", 0),
                ("parked_ms", 5),
            ]
        );
        assert_eq!(limits.to_string().parse(), Ok(limits));
        assert!("".parse::<SomeLimits>().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_limit_is_refused_with_the_fix() {
        for (text, words) in [
            ("fuel", &["NAME=VALUE"][..]),
            ("memry=1MiB", &["did you mean memory_bytes?", "Limits are:"]),
            ("Timeout_ms=1", &["did you mean timeout_ms?"]),
            ("cpu=1", &["there is no limit \"cpu\". Limits are: fuel"]),
            ("timeout=5", &["\"5\"", "500ms"]),
            ("memory=5parsecs", &["64MiB"]),
            ("fuel=1,fuel=2", &["twice"]),
            ("memory=1,memory_bytes=2", &["twice"]),
        ] {
            let error = text.parse::<SomeLimits>().unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{text}: {error}");
            }
        }
        let unknown = "x".repeat(1_000_000);
        assert!(unknown.len() > format!("{}", super::unknown(&unknown)).len());
    }

    #[test]
    fn json_takes_full_names_once() {
        let read = serde_json::from_str::<SomeLimits>;
        assert_eq!(read(r#"{"fuel": 5}"#).unwrap().get("fuel"), Some(5));
        for (json, word) in [
            (r#"{"memory": 5}"#, "did you mean memory_bytes?"),
            (r#"{"fuel": -1}"#, "invalid value"),
            (r#"{"fuel": "1e9"}"#, "invalid type"),
            (r#"{"fuel": 1, "fuel": 2}"#, "twice"),
            ("[1]", "an object of limits"),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(word), "{json}: {error}");
        }
    }

    #[test]
    fn a_job_narrows_and_never_widens() {
        let granted = Limits::default();
        let asked: SomeLimits = "fuel=5,posts=1e9,parked=1h".parse().unwrap();
        let limits = asked.narrow(&granted);
        assert_eq!(
            limits,
            Limits {
                fuel: 5,
                parked_ms: 3_600_000,
                ..granted
            }
        );
        assert_eq!(SomeLimits::default().narrow(&granted), granted);
    }

    #[test]
    fn a_tree_stays_as_narrow_as_its_root_and_becomes_no_wider() {
        let limits = Limits {
            tree_depth: 3,
            tree_jobs: 2_000_000,
            fuel: 5,
            ..Limits::default()
        };
        let children = SomeLimits::of_children(&limits);
        let said: Vec<_> = children.iter().map(|(l, value)| (l.name, value)).collect();
        assert_eq!(said, [("tree_depth", 3)]);
    }

    #[test]
    fn what_is_apart_from_the_default_is_enough_to_know_all() {
        let limits = Limits {
            fuel: 5,
            tree_jobs: 7,
            ..Limits::default()
        };
        let apart = SomeLimits::apart_from_default(&limits);
        assert_eq!(apart.iter().count(), 2);
        assert_eq!(apart.and_default(), limits);
        assert!(SomeLimits::apart_from_default(&Limits::default()).is_empty());
    }
}
