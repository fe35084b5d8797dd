//! Finds the functions that a job names; for one that is not there, those that
//! may have been meant.

use std::sync::Arc;

use super::{IntakeError, MAX_FUNCTIONS, PostRequest};
use crate::job::FunctionName;
use crate::store::Deployment;

/// Up to this many functions are listed in full.
const SHORT_LIST: usize = 12;

/// At most this many names are suggested.
const MAX_NEAR: usize = 3;

/// Whether every function that the jobs name is among these.
pub(super) fn all_known(requests: &[PostRequest], deployed: &[Arc<Deployment>]) -> bool {
    let known = |name: &String| {
        deployed
            .iter()
            .any(|deployment| deployment.function.as_str() == name)
    };
    requests
        .iter()
        .all(|request| request.functions.iter().all(known))
}

/// The deployments of the functions that a job names.
pub(super) fn resolve(
    names: &[String],
    deployed: &[Arc<Deployment>],
) -> Result<Vec<Arc<Deployment>>, IntakeError> {
    if names.len() > MAX_FUNCTIONS {
        return Err(IntakeError::BadOption(format!(
            "the job names {} functions, and {MAX_FUNCTIONS} are allowed; post several jobs, or let a handler post them",
            names.len()
        )));
    }
    names.iter().map(|name| find(name, deployed)).collect()
}

fn find(name: &str, deployed: &[Arc<Deployment>]) -> Result<Arc<Deployment>, IntakeError> {
    let name: FunctionName = name.parse()?;
    let found = deployed
        .iter()
        .find(|deployment| deployment.function == name);
    found.cloned().ok_or_else(|| {
        let (text, near) = unknown_function(&name, deployed);
        IntakeError::UnknownFunction { text, near }
    })
}

/// What to tell about a function that is not deployed, and the names that may
/// have been meant.
pub(crate) fn unknown_function(
    name: &FunctionName,
    deployed: &[Arc<Deployment>],
) -> (String, Vec<FunctionName>) {
    let names: Vec<_> = deployed
        .iter()
        .map(|deployment| &deployment.function)
        .collect();
    let near = near(name.as_str(), &names, FunctionName::as_str);
    let near: Vec<_> = near.into_iter().cloned().collect();
    (unknown(name, &near, &names), near)
}

/// The names that `name` may have been meant to be, best first.
pub(crate) fn near<'n, N: Ord>(
    name: &str,
    names: &[&'n N],
    as_str: impl Fn(&N) -> &str,
) -> Vec<&'n N> {
    let wanted = name.to_ascii_lowercase();
    let mut near: Vec<_> = names
        .iter()
        .filter_map(|candidate| {
            let lower = as_str(candidate).to_ascii_lowercase();
            // A third of the letters may be wrong; one always may.
            let bound = (wanted.len().max(lower.len()) / 3).max(1);
            let distance = strsim::osa_distance(&wanted, &lower);
            (distance <= bound).then_some((distance, *candidate))
        })
        .collect();
    near.sort();
    near.truncate(MAX_NEAR);
    near.into_iter().map(|(_, name)| name).collect()
}

fn unknown(name: &FunctionName, near: &[FunctionName], deployed: &[&FunctionName]) -> String {
    let list = |names: &mut dyn Iterator<Item = &FunctionName>| {
        names
            .map(FunctionName::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut text = format!("no function {name} is deployed in this namespace");
    if deployed.is_empty() {
        text.push_str("; none is yet: deploy one with `skep deploy FILE`");
        return text;
    }
    if !near.is_empty() {
        text.push_str(&format!("; did you mean {}?", list(&mut near.iter())));
    } else {
        text.push('.');
    }
    if deployed.len() <= SHORT_LIST {
        let all = list(&mut deployed.iter().copied());
        text.push_str(&format!(" Deployed are: {all}"));
    } else {
        text.push_str(" GET /functions or `skep functions` lists those that are");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<FunctionName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn nearest(name: &str, among: &[&str]) -> Vec<String> {
        let among = names(among);
        let among: Vec<_> = among.iter().collect();
        let near = near(name, &among, FunctionName::as_str);
        near.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_typo_finds_the_name_and_a_stranger_finds_none() {
        let among = ["multiply", "divide", "thumbnail", "f"];
        assert_eq!(nearest("mutliply", &among), ["multiply"]);
        assert_eq!(nearest("Thumbnails", &among), ["thumbnail"]);
        assert_eq!(nearest("g", &among), ["f"]);
        assert!(nearest("transcribe", &among).is_empty());
    }

    #[test]
    fn the_best_come_first_and_they_are_few() {
        let among = ["scale1", "scale", "scale22", "scal", "scale3"];
        assert_eq!(nearest("scale", &among), ["scale", "scal", "scale1"]);
    }

    #[test]
    fn the_text_suggests_and_lists() {
        let deployed = names(&["multiply", "divide"]);
        let deployed: Vec<_> = deployed.iter().collect();
        let text = unknown(
            &"multipl".parse().unwrap(),
            &names(&["multiply"]),
            &deployed,
        );
        assert!(text.contains("did you mean multiply?"), "{text}");
        assert!(text.contains("Deployed are: multiply, divide"), "{text}");
        let text = unknown(&"f".parse().unwrap(), &[], &[]);
        assert!(text.contains("skep deploy"), "{text}");
        let many: Vec<_> = (0..50).map(|n| format!("f{n}").parse().unwrap()).collect();
        let many: Vec<_> = many.iter().collect();
        let text = unknown(&"zz".parse().unwrap(), &[], &many);
        assert!(
            text.contains("skep functions") && text.len() < 200,
            "{text}"
        );
    }
}
