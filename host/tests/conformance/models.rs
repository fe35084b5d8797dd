//! Models, and the content that they name.

use std::collections::BTreeSet;
use std::task::Poll;

use bytes::Bytes;
use skep::job::{Digest, ModelName};
use skep::model::{DataType, Findings, ModelConfig, Signature, TensorSpec};
use skep::store::{MAX_MODEL_VERSIONS, MAX_MODELS, Model, NewModel, Store, StoreError};

use crate::support::{World, eventually, namespace, now_ms, ns, soon};

conformance!(
    a_model_is_what_was_put,
    each_put_is_the_next_version_and_the_oldest_go,
    a_removed_model_is_gone_and_its_versions_go_on,
    models_are_of_their_namespace_and_by_name,
    who_looks_while_a_model_changes_finds_one_version_or_the_other,
    another_process_learns_of_a_change,
    a_model_needs_its_content,
    a_namespace_has_as_many_models_as_it_may,
    content_of_many_chunks_survives_and_is_stored_once,
    content_that_was_cut_off_is_not_seen_and_can_be_put_again,
    content_stays_as_long_as_a_model_names_it,
);

fn name(name: &str) -> ModelName {
    name.parse().unwrap()
}

/// A model of this content.
fn model(of: &str, content: &[u8]) -> NewModel {
    let tensor = |name: &str| TensorSpec {
        name: name.into(),
        dtype: DataType::F32,
        shape: vec![None, Some(4)],
    };
    NewModel {
        name: name(of),
        digest: Digest::of(content),
        bytes: content.len() as u64,
        config: ModelConfig {
            max_batch: Some(8),
            batch_axes: [("x".to_owned(), 0)].into(),
            ..ModelConfig::default()
        },
        findings: Findings {
            signature: Signature {
                inputs: vec![tensor("x")],
                outputs: vec![tensor("y")],
            },
            batch: None,
            note: "größer".into(),
            memory_bytes: 7,
        },
    }
}

async fn put(world: &World, name: &str, content: &'static [u8]) -> u32 {
    let store = world.store();
    let (digest, bytes) = (Digest::of(content), Bytes::from_static(content));
    store.put_blob(digest, bytes).await.unwrap();
    let put = store.put_model(&ns(), model(name, content)).await;
    put.unwrap().version
}

async fn names(store: &dyn Store) -> Vec<String> {
    let models = store.models_now(&ns()).await.unwrap();
    let name = |model: &std::sync::Arc<Model>| format!("{}:{}", model.name, model.version);
    models.iter().map(name).collect()
}

async fn versions(world: &World, of: &str) -> Vec<u32> {
    let versions = world.store().model_versions(&ns(), &name(of)).await;
    let versions = versions.unwrap();
    versions.iter().map(|one| one.version).collect()
}

async fn a_model_is_what_was_put(mut world: World) {
    let before = now_ms();
    let new = model("iris", b"iris");
    let blob = Bytes::from_static(b"iris");
    world.store().put_blob(new.digest, blob).await.unwrap();
    let put = world.store().put_model(&ns(), new.clone()).await.unwrap();
    world.crash().await;
    let found = world.store().models(&ns()).await.unwrap();
    assert_eq!(*found, [put.clone()]);
    let versions = world.store().model_versions(&ns(), &new.name).await;
    assert_eq!(versions.unwrap(), [put.clone()]);
    assert_eq!((&put.name, put.version), (&new.name, 1));
    assert_eq!((put.digest, put.bytes), (new.digest, new.bytes));
    assert_eq!((&put.config, &put.findings), (&new.config, &new.findings));
    assert!((before..=now_ms()).contains(&put.added_at_ms));
}

async fn each_put_is_the_next_version_and_the_oldest_go(mut world: World) {
    let most = u32::try_from(MAX_MODEL_VERSIONS).unwrap();
    assert_eq!(put(&world, "other", b"0").await, 1);
    for version in 1..=most {
        assert_eq!(put(&world, "iris", b"1").await, version);
    }
    assert_eq!(versions(&world, "iris").await.last(), Some(&1));
    assert_eq!(put(&world, "iris", b"2").await, most + 1);
    let kept: Vec<_> = (2..=most + 1).rev().collect();
    assert_eq!(versions(&world, "iris").await, kept);
    world.crash().await;
    assert_eq!(versions(&world, "iris").await, kept);
    assert_eq!(put(&world, "iris", b"1").await, most + 2);
    assert_eq!(versions(&world, "other").await, [1]);
}

async fn a_removed_model_is_gone_and_its_versions_go_on(mut world: World) {
    put(&world, "a", b"1").await;
    put(&world, "a", b"2").await;
    put(&world, "b", b"1").await;
    let remove = async |world: &World, of: &str| {
        let removed = world.store().remove_model(&ns(), &name(of)).await;
        removed.unwrap()
    };
    assert!(!remove(&world, "nobody").await);
    assert!(remove(&world, "a").await && !remove(&world, "a").await);
    assert_eq!(names(&**world.store()).await, ["b:1"]);
    assert_eq!(
        *world.store().models(&ns()).await.unwrap()[0].name.as_str(),
        *"b"
    );
    world.crash().await;
    assert_eq!(names(&**world.store()).await, ["b:1"]);
    assert_eq!(versions(&world, "a").await, [0; 0]);
    assert_eq!(put(&world, "a", b"1").await, 3);
    assert_eq!(versions(&world, "a").await, [3]);
    assert_eq!(names(&**world.store()).await, ["a:3", "b:1"]);
}

async fn models_are_of_their_namespace_and_by_name(world: World) {
    for of in ["z", "a", "m.1", "M"] {
        put(&world, of, b"1").await;
    }
    assert_eq!(
        names(&**world.store()).await,
        ["M:1", "a:1", "m.1:1", "z:1"]
    );
    let other = namespace("other");
    let store = world.store();
    assert_eq!(*store.models(&other).await.unwrap(), []);
    assert_eq!(store.model_versions(&other, &name("a")).await.unwrap(), []);
    assert!(!store.remove_model(&other, &name("a")).await.unwrap());
    let theirs = store.put_model(&other, model("a", b"1")).await.unwrap();
    assert_eq!(theirs.version, 1);
    assert!(store.remove_model(&other, &name("a")).await.unwrap());
    assert_eq!(names(&**world.store()).await.len(), 4);
}

async fn who_looks_while_a_model_changes_finds_one_version_or_the_other(world: World) {
    put(&world, "iris", b"0").await;
    let change = async {
        for _ in 0..30 {
            put(&world, "iris", b"1").await;
        }
    };
    let elsewhere = world.elsewhere().await;
    let (mut looks, mut last) = (0, 1);
    let mut look = async || {
        let models = elsewhere.models_now(&ns()).await.unwrap();
        assert_eq!(models.len(), 1);
        assert!(models[0].version >= last, "it went back");
        last = models[0].version;
        looks += 1;
    };
    let mut change = std::pin::pin!(change);
    loop {
        tokio::select! {
            biased;
            () = look() => {}
            () = &mut change => break,
        }
        tokio::select! {
            () = &mut change => break,
            () = tokio::task::yield_now() => {}
        }
    }
    drop(elsewhere);
    assert_eq!(names(&**world.store()).await, ["iris:31"]);
}

async fn another_process_learns_of_a_change(world: World) {
    let elsewhere = world.elsewhere().await;
    assert_eq!(*elsewhere.models(&ns()).await.unwrap(), []);
    for version in 1..=3 {
        put(&world, "iris", b"1").await;
        eventually("the other one learns of it", async || {
            let models = elsewhere.models(&ns()).await.unwrap();
            models.iter().any(|model| model.version == version)
        })
        .await;
    }
    let removed = world.store().remove_model(&ns(), &name("iris")).await;
    assert!(removed.unwrap());
    eventually("the other one learns of its end", async || {
        elsewhere.models(&ns()).await.unwrap().is_empty()
    })
    .await;
}

async fn a_model_needs_its_content(world: World) {
    let new = model("iris", b"nowhere");
    let refused = world.store().put_model(&ns(), new.clone()).await;
    assert!(
        matches!(&refused, Err(StoreError::NoBlob(digest)) if *digest == new.digest),
        "{refused:?}"
    );
    assert_eq!(names(&**world.store()).await, [""; 0]);
    assert_eq!(
        put(&world, "iris", b"nowhere").await,
        1,
        "no version is lost"
    );
}

async fn a_namespace_has_as_many_models_as_it_may(world: World) {
    for n in 0..MAX_MODELS {
        put(&world, &format!("m{n}"), b"1").await;
    }
    let refused = world.store().put_model(&ns(), model("more", b"1")).await;
    assert!(
        matches!(&refused, Err(StoreError::TooManyModels(text)) if text.contains("1000 models")),
        "{refused:?}"
    );
    // What there is can still be changed, and others have room of their own.
    assert_eq!(put(&world, "m7", b"2").await, 2);
    let other = namespace("other");
    let other = world.store().put_model(&other, model("more", b"1"));
    assert_eq!(other.await.unwrap().version, 1);
    assert!(
        world
            .store()
            .remove_model(&ns(), &name("m8"))
            .await
            .unwrap()
    );
    assert_eq!(put(&world, "more", b"1").await, 1);
    // One of another digest that would take all the room that there is.
    let large = NewModel {
        bytes: skep::store::MAX_MODELS_BYTES,
        ..model("more", b"3")
    };
    let refused = world.store().put_model(&ns(), large).await;
    assert!(
        matches!(&refused, Err(StoreError::TooManyModels(text)) if text.contains("64 GiB")),
        "{refused:?}"
    );
}

/// Bytes that do not repeat within a chunk or between them.
fn noise(bytes: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise.into()
}

async fn content_of_many_chunks_survives_and_is_stored_once(mut world: World) {
    let bytes = noise((40 << 20) + 1);
    let digest = Digest::of(&bytes);
    assert_eq!(world.store().blob(digest).await.unwrap(), None);
    for _ in 0..2 {
        let put = world.store().put_blob(digest, bytes.clone());
        put.await.unwrap();
        let found = world.store().blob(digest).await.unwrap().unwrap();
        assert!(found == bytes);
    }
    let new = NewModel {
        digest,
        bytes: bytes.len() as u64,
        ..model("large", b"")
    };
    world.store().put_model(&ns(), new).await.unwrap();
    world.crash().await;
    while world.store().sweep().await.unwrap() > 0 {}
    let found = world.store().blob(digest).await.unwrap().unwrap();
    assert!(found == bytes);
    // None of it is nothing to it.
    let empty = Digest::of(b"");
    let put = world.store().put_blob(empty, Bytes::new());
    put.await.unwrap();
    assert_eq!(world.store().blob(empty).await.unwrap(), Some(Bytes::new()));
}

async fn content_that_was_cut_off_is_not_seen_and_can_be_put_again(mut world: World) {
    let bytes = noise(20 << 20);
    let digest = Digest::of(&bytes);
    let mut cut_off = BTreeSet::new();
    for polls in 0..40 {
        let mut put = world.store().put_blob(digest, bytes.clone());
        let mut polled = 0;
        // Polled again whenever it has come further.
        let cut = std::future::poll_fn(|context| {
            let done = polled < polls && put.as_mut().poll(context).is_ready();
            polled += 1;
            match done || polled >= polls {
                true => Poll::Ready(done),
                false => Poll::Pending,
            }
        });
        let done = soon("a step of the writing", cut).await;
        drop(put);
        // All of it or nothing, at each instant.
        let found = world.store().blob(digest).await.unwrap();
        assert!(found.is_none_or(|found| found == bytes));
        cut_off.insert(done);
        if done {
            break;
        }
    }
    assert!(cut_off.contains(&false), "nothing was cut off");
    world.crash().await;
    let put = world.store().put_blob(digest, bytes.clone());
    put.await.unwrap();
    assert!(world.store().blob(digest).await.unwrap().unwrap() == bytes);
}

async fn content_stays_as_long_as_a_model_names_it(world: World) {
    let store = world.store();
    let sweep = async || while store.sweep().await.unwrap() > 0 {};
    let is_there = async || store.blob(Digest::of(b"1")).await.unwrap().is_some();
    put(&world, "a", b"1").await;
    put(&world, "b", b"1").await;
    let other = namespace("other");
    store.put_model(&other, model("c", b"1")).await.unwrap();
    for (space, of) in [(ns(), "a"), (other, "c"), (ns(), "b")] {
        assert!(store.remove_model(&space, &name(of)).await.unwrap());
        sweep().await;
        // Also for a while after the last one: a host may be loading it.
        assert!(is_there().await);
    }
    put(&world, "a", b"1").await;
    assert!(is_there().await);
}
