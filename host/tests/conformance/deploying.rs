//! Components and the functions bound to them.

use std::num::NonZeroU32;

use bytes::Bytes;
use skep::job::{Digest, FunctionName, Limits};
use skep::store::NewDeployment;

use crate::support::{World, namespace, now_ms, ns};

conformance!(
    a_component_is_found_under_its_digest,
    a_deployment_is_what_was_deployed,
    each_deployment_is_the_next_version,
    functions_are_in_the_order_of_their_first_deployment,
    an_unbound_function_is_gone_and_its_versions_go_on,
    functions_are_of_their_namespace,
    the_versions_of_a_function_are_kept_newest_first,
);

fn function(name: &str, component: &[u8]) -> NewDeployment {
    NewDeployment {
        function: name.parse().unwrap(),
        component: Digest::of(component),
        summary: format!("does {name}"),
        message_schema: Some(r#"{"type":"array"}"#.into()),
        limits: Limits {
            fuel: 5,
            ..Limits::default()
        },
        concurrency: NonZeroU32::new(3),
    }
}

async fn deploy(world: &World, names: &[&str]) -> Vec<u32> {
    let functions = names.iter().map(|name| function(name, b"c")).collect();
    let deployed = world.store().deploy(&ns(), functions).await.unwrap();
    deployed
        .iter()
        .map(|deployment| deployment.version)
        .collect()
}

async fn undeploy(world: &World, names: &[&str]) -> usize {
    let names: Vec<FunctionName> = names.iter().map(|name| name.parse().unwrap()).collect();
    world.store().undeploy(&ns(), &names).await.unwrap()
}

async fn names(world: &World) -> Vec<String> {
    let functions = world.store().functions(&ns()).await.unwrap();
    functions
        .iter()
        .map(|f| format!("{}:{}", f.function, f.version))
        .collect()
}

async fn a_component_is_found_under_its_digest(mut world: World) {
    let bytes = Bytes::from(vec![7; 100_000]);
    let digest = Digest::of(&bytes);
    assert_eq!(world.store().blob(digest).await.unwrap(), None);
    for _ in 0..2 {
        world.store().put_blob(digest, bytes.clone()).await.unwrap();
    }
    world.crash().await;
    assert_eq!(world.store().blob(digest).await.unwrap(), Some(bytes));
}

async fn a_deployment_is_what_was_deployed(mut world: World) {
    let before = now_ms();
    let new = function("resize", b"component");
    let deployed = world
        .store()
        .deploy(&ns(), vec![new.clone()])
        .await
        .unwrap();
    world.crash().await;
    let functions = world.store().functions(&ns()).await.unwrap();
    assert_eq!(*functions, deployed);
    let found = &functions[0];
    assert_eq!((&found.function, found.version), (&new.function, 1));
    assert_eq!(
        (found.component, &found.summary),
        (new.component, &new.summary)
    );
    assert_eq!(
        (&found.message_schema, found.limits),
        (&new.message_schema, new.limits)
    );
    assert!((before..=now_ms()).contains(&found.deployed_at_ms));
}

async fn each_deployment_is_the_next_version(mut world: World) {
    assert_eq!(deploy(&world, &["a", "b"]).await, [1, 1]);
    assert_eq!(deploy(&world, &["b"]).await, [2]);
    world.crash().await;
    assert_eq!(deploy(&world, &["b", "a"]).await, [3, 2]);
    assert_eq!(names(&world).await, ["a:2", "b:3"]);
}

async fn functions_are_in_the_order_of_their_first_deployment(mut world: World) {
    deploy(&world, &["z", "a"]).await;
    deploy(&world, &["m"]).await;
    deploy(&world, &["a"]).await;
    assert_eq!(names(&world).await, ["z:1", "a:2", "m:1"]);
    world.crash().await;
    assert_eq!(names(&world).await, ["z:1", "a:2", "m:1"]);
}

async fn an_unbound_function_is_gone_and_its_versions_go_on(mut world: World) {
    deploy(&world, &["a", "b"]).await;
    assert_eq!(undeploy(&world, &["a", "nobody"]).await, 1);
    assert_eq!(undeploy(&world, &["a"]).await, 0);
    assert_eq!(names(&world).await, ["b:1"]);
    world.crash().await;
    assert_eq!(names(&world).await, ["b:1"]);
    assert_eq!(deploy(&world, &["a"]).await, [2]);
    assert_eq!(names(&world).await, ["a:2", "b:1"]);
}

async fn functions_are_of_their_namespace(world: World) {
    deploy(&world, &["a"]).await;
    let other = namespace("other");
    assert!(world.store().functions(&other).await.unwrap().is_empty());
    assert_eq!(
        world
            .store()
            .undeploy(&other, &["a".parse().unwrap()])
            .await
            .unwrap(),
        0
    );
    assert_eq!(names(&world).await, ["a:1"]);
}

async fn the_versions_of_a_function_are_kept_newest_first(mut world: World) {
    let f = "f".parse().unwrap();
    let versions = async |world: &World, before, want| {
        let found = world.store().versions(&ns(), &f, before, want).await;
        let found = found.unwrap().into_iter();
        let found = found.map(|one| (one.version, one.component, one.limits.fuel));
        found.collect::<Vec<_>>()
    };
    assert_eq!(versions(&world, None, 9).await, []);
    for component in [b"1", b"2", b"3"] {
        let new = vec![function("f", component), function("g", b"g")];
        world.store().deploy(&ns(), new).await.unwrap();
    }
    let of = |version: u32| (version, Digest::of(version.to_string().as_bytes()), 5);
    assert_eq!(versions(&world, None, 9).await, [of(3), of(2), of(1)]);
    assert_eq!(versions(&world, None, 2).await, [of(3), of(2)]);
    assert_eq!(versions(&world, Some(3), 1).await, [of(2)]);
    assert_eq!(versions(&world, Some(1), 9).await, []);
    assert_eq!(versions(&world, Some(u32::MAX), 1).await, [of(3)]);
    let newest = world.store().functions_now(&ns()).await.unwrap()[0].clone();
    let one = world.store().versions(&ns(), &f, None, 1).await.unwrap();
    assert_eq!(one, [newest]);
    // Also of one that is bound no more, and in no other namespace.
    world.store().undeploy(&ns(), &[f.clone()]).await.unwrap();
    world.crash().await;
    assert_eq!(versions(&world, None, 9).await, [of(3), of(2), of(1)]);
    let other = namespace("other");
    let theirs = world.store().versions(&other, &f, None, 9).await;
    assert_eq!(theirs.unwrap(), []);
}
