//! Caps under random calls, of which the seed is printed: whatever is posted, taken, parked,
//! ended, cancelled and released, no cap is exceeded and no place is left empty.

use std::collections::BTreeMap;

use skep::job::{JobId, NewJob};
use skep::store::{Claim, Lease, Verdict};

use crate::capping::{cap, goes_on, limit, names, park};
use crate::support::{World, completed, done, ns};

conformance!(random_calls_never_exceed_a_cap_and_leave_no_place_empty);

/// The functions of the random calls, and their caps, 0 for none.
const CAPS: [(&str, u32); 3] = [("f", 2), ("g", 1), ("h", 0)];

/// What the random calls know.
struct Known {
    caps: BTreeMap<&'static str, usize>,
    limit: usize,
    jobs: BTreeMap<u64, Vec<&'static str>>,
    /// What runs, and whether it is parked.
    held: Vec<(Lease, Claim, bool)>,
}

impl Known {
    /// The capped functions of a job.
    fn gates(&self, id: u64) -> Vec<&'static str> {
        let named = &self.jobs[&id];
        let is_named = |name: &&&str| named.is_empty() || named.contains(name);
        self.caps.keys().filter(is_named).copied().collect()
    }

    fn running(&self, function: Option<&str>) -> usize {
        let runs = |held: &&(Lease, Claim, bool)| {
            let gates = self.gates(held.1.token.id.0);
            !held.2 && function.is_none_or(|name| gates.contains(&name))
        };
        self.held.iter().filter(runs).count()
    }

    /// Whether a cap holds a job up.
    fn is_held_up(&self, id: u64) -> bool {
        let is_shut = |name: &&str| self.running(Some(name)) >= self.caps[name];
        self.running(None) >= self.limit || self.gates(id).iter().any(is_shut)
    }
}

async fn random_calls_never_exceed_a_cap_and_leave_no_place_empty(world: World) {
    let seed = std::env::var("SKEP_SEED")
        .map_or_else(|_| crate::support::now_ms(), |seed| seed.parse().unwrap());
    println!("SKEP_SEED={seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let leases = [world.host().await, world.host().await];
    for (name, of) in CAPS {
        cap(&world, name, of).await;
    }
    let mut known = Known {
        caps: [("f", 2), ("g", 1)].into(),
        limit: usize::MAX,
        jobs: BTreeMap::new(),
        held: Vec::new(),
    };
    for _ in 0..400 {
        let lease = leases[dice.usize(..2)];
        match dice.u8(..16) {
            0..4 => {
                let named: Vec<_> = CAPS.iter().map(|(name, _)| *name).collect();
                let named: Vec<_> = named.into_iter().filter(|_| dice.bool()).collect();
                let new = NewJob {
                    priority: dice.u8(..4).try_into().unwrap(),
                    ..names(&named)
                };
                let id = world.submit(vec![new]).await[0];
                known.jobs.insert(id, named);
            }
            4 if dice.u8(..4) == 0 => {
                let of = dice.u32(..4);
                limit(&world, of).await;
                known.limit = if of == 0 { usize::MAX } else { of as usize };
            }
            5 if dice.u8(..4) == 0 => {
                let name = ["f", "g"][dice.usize(..2)];
                let of = dice.u32(..3);
                cap(&world, name, of).await;
                known.caps.remove(name);
                if of > 0 {
                    known.caps.insert(name, of as usize);
                }
            }
            6 => {
                let id = dice.u64(1..=120);
                let held = |held: &&mut (Lease, Claim, bool)| held.1.token.id.0 == id;
                if !known.held.iter_mut().any(|h| held(&h)) {
                    world.store().cancel(&ns(), JobId(id)).await.unwrap();
                    known.jobs.remove(&id);
                }
            }
            7 | 8 if !known.held.is_empty() => {
                let at = dice.usize(..known.held.len());
                let (lease, claim, parked) = known.held[at].clone();
                if parked {
                    goes_on(&world, lease, &claim).await;
                    known.held[at].2 = false;
                } else {
                    let wanted = known.jobs.keys().find(|id| {
                        let is_held = |held: &(Lease, Claim, bool)| held.1.token.id.0 == **id;
                        !known.held.iter().any(is_held)
                    });
                    if let Some(waiting) = wanted {
                        park(&world, lease, &claim, *waiting).await;
                        known.held[at].2 = true;
                    }
                }
            }
            9 if dice.u8(..6) == 0 => {
                world.store().release(&ns()).await.unwrap();
                known.held.clear();
            }
            _ => {
                let mut ends = Vec::new();
                for at in (0..known.held.len()).rev() {
                    if known.held[at].0 == lease && dice.u8(..3) == 0 {
                        let (_, claim, _) = known.held.swap_remove(at);
                        let verdict = match dice.u8(..4) {
                            0 => Verdict::Release { delay_ms: 0 },
                            _ => completed(""),
                        };
                        if matches!(verdict, Verdict::Completed(_)) {
                            known.jobs.remove(&claim.token.id.0);
                        }
                        ends.push(done(&claim, verdict));
                    }
                }
                let want = [1, 100][dice.usize(..2)];
                let cycle = world.cycle(lease, ends, want).await;
                assert_eq!(cycle.refused, []);
                let few = cycle.claimed.len() < want;
                for claim in cycle.claimed {
                    let id = claim.token.id.0;
                    assert!(!known.is_held_up(id), "job {id} exceeds a cap");
                    known.held.push((lease, claim, false));
                }
                let held: Vec<_> = known.held.iter().map(|held| held.1.token.id.0).collect();
                let waiting = known.jobs.keys().filter(|id| !held.contains(id));
                for id in waiting.filter(|_| few) {
                    assert!(known.is_held_up(*id), "job {id} waits for nothing");
                }
            }
        }
    }
}
