//! Access tokens: kept, found by their secrets, revoked.

use std::sync::Arc;

use skep::access::{Label, MAX_TOKENS, Reach, Scope, Secret, StoredToken};
use skep::store::{Store, TOKENS_FRESH};

use crate::support::{World, now_ms};

conformance!(
    a_token_is_found_by_its_secret_and_outlives_a_crash,
    a_revoked_token_is_gone_at_once_and_for_good,
    a_token_that_is_kept_twice_is_one_token,
    what_another_process_makes_counts_as_soon_as_it_is_shown,
    what_another_process_revokes_counts_for_a_second_at_most,
    there_is_room_for_so_many_tokens_and_what_expired_makes_more,
);

/// Longer than any test takes.
const LONG_MS: u64 = 3_600_000;

fn issue(reach: &str, expires_in_ms: Option<u64>) -> (StoredToken, Secret) {
    let scopes = vec![Scope::Post, Scope::Deploy].try_into().unwrap();
    let label: Label = "a label".parse().unwrap();
    StoredToken::issue(
        reach.parse().unwrap(),
        scopes,
        label,
        now_ms(),
        expires_in_ms,
    )
    .unwrap()
}

async fn make(store: &Arc<dyn Store>, reach: &str) -> Secret {
    let (stored, secret) = issue(reach, None);
    assert!(store.put_token(&stored).await.unwrap());
    secret
}

async fn counts(store: &Arc<dyn Store>, secret: &Secret) -> bool {
    store.tokens_now().await.unwrap().find(secret).is_some()
}

async fn a_token_is_found_by_its_secret_and_outlives_a_crash(mut world: World) {
    assert!(world.store().tokens_now().await.unwrap().list().is_empty());
    let made = [issue("acme", Some(LONG_MS)), issue("*", None)];
    for (stored, _) in &made {
        assert!(world.store().put_token(stored).await.unwrap());
    }
    for crashed in [false, true] {
        if crashed {
            world.crash().await;
        }
        let tokens = world.store().tokens().await.unwrap();
        assert_eq!(tokens.list().len(), 2);
        for (stored, secret) in &made {
            assert_eq!(tokens.find(secret), Some(&stored.token));
            assert_eq!(tokens.get(secret.id()), Some(&stored.token));
        }
        assert_eq!(tokens.find(&issue("acme", None).1), None);
    }
    assert_eq!(made[1].0.token.reach, Reach::All);
}

async fn a_revoked_token_is_gone_at_once_and_for_good(mut world: World) {
    let (gone, kept) = (
        make(world.store(), "a").await,
        make(world.store(), "a").await,
    );
    assert!(counts(world.store(), &gone).await);
    assert!(world.store().revoke_token(gone.id()).await.unwrap());
    let tokens = world.store().tokens().await.unwrap();
    assert!(tokens.find(&gone).is_none() && tokens.find(&kept).is_some());
    assert!(!world.store().revoke_token(gone.id()).await.unwrap());
    world.crash().await;
    assert!(!counts(world.store(), &gone).await);
    assert!(counts(world.store(), &kept).await);
}

async fn a_token_that_is_kept_twice_is_one_token(world: World) {
    let (stored, secret) = issue("a", None);
    for _ in 0..2 {
        assert!(world.store().put_token(&stored).await.unwrap());
    }
    assert_eq!(world.store().tokens_now().await.unwrap().list().len(), 1);
    assert!(world.store().revoke_token(secret.id()).await.unwrap());
    assert!(!counts(world.store(), &secret).await);
}

async fn what_another_process_makes_counts_as_soon_as_it_is_shown(world: World) {
    let elsewhere = world.elsewhere().await;
    for _ in 0..3 {
        // It knows now which there are.
        elsewhere.tokens().await.unwrap();
        let secret = make(world.store(), "a").await;
        assert!(counts(&elsewhere, &secret).await);
    }
}

async fn what_another_process_revokes_counts_for_a_second_at_most(world: World) {
    let elsewhere = world.elsewhere().await;
    let secret = make(world.store(), "a").await;
    assert!(counts(&elsewhere, &secret).await);
    assert!(world.store().revoke_token(secret.id()).await.unwrap());
    tokio::time::sleep(TOKENS_FRESH).await;
    assert!(elsewhere.tokens().await.unwrap().find(&secret).is_none());
}

async fn there_is_room_for_so_many_tokens_and_what_expired_makes_more(world: World) {
    let store = world.store();
    let first = issue("a", Some(LONG_MS));
    let rest = (1..MAX_TOKENS).map(|_| issue("a", None));
    let all: Vec<_> = std::iter::once(first).chain(rest).collect();
    let puts = all.iter().map(|(stored, _)| store.put_token(stored));
    let put = futures_util::future::join_all(puts).await;
    assert!(put.into_iter().all(|put| put.unwrap()));
    let (one_more, secret) = issue("a", None);
    assert!(!store.put_token(&one_more).await.unwrap());
    assert!(!counts(store, &secret).await);
    assert!(counts(store, &all[0].1).await);
    // Others have room of their own.
    assert!(store.put_token(&issue("b", None).0).await.unwrap());
    assert!(store.put_token(&issue("*", None).0).await.unwrap());
    // The one that expires does so now.
    let mut first = all[0].0.clone();
    first.token.expires_at_ms = Some(now_ms().saturating_sub(1_000));
    assert!(store.put_token(&first).await.unwrap());
    assert!(store.put_token(&one_more).await.unwrap());
    assert!(counts(store, &secret).await);
    assert!(!counts(store, &all[0].1).await);
}
