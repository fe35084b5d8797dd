//! What breaks, and when: faults are drawn from a deck that holds each kind, so that
//! also a short run meets all of them, and several may last at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skep_testkit::RedisServer;
use tokio::time::Instant;

use crate::hosts::{Host, LEASE};

/// The pause between two faults, in ms.
const BETWEEN_MS: std::ops::Range<u64> = 50..700;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// `kill -9` of a host.
    Kill,
    /// SIGTERM to a host.
    Stop,
    /// A host stands still for longer than its lease, and goes on.
    Freeze,
    /// A host stands still for less than that.
    Blink,
    /// `kill -9` of Redis, and a start.
    Restart,
    /// Redis stands still.
    FreezeRedis,
    /// A host's connections are cut.
    Cut,
    /// They are cut, and new ones refused for a while.
    Refuse,
    /// They go silent for a while, and then are cut.
    Stall,
    /// An answer on its way to a host is lost.
    LoseAnswer,
}

/// How many of each are in the deck.
const DECK: [(Fault, usize); 10] = [
    (Fault::Kill, 4),
    (Fault::Stop, 1),
    (Fault::Freeze, 2),
    (Fault::Blink, 1),
    (Fault::Restart, 1),
    (Fault::FreezeRedis, 1),
    (Fault::Cut, 3),
    (Fault::Refuse, 1),
    (Fault::Stall, 1),
    (Fault::LoseAnswer, 6),
];

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
enum Cure {
    Start(usize),
    Thaw(usize),
    Accept(usize),
    Pass(usize),
    ThawRedis,
}

pub(crate) struct Weather {
    server: Arc<RedisServer>,
    hosts: Vec<Host>,
    /// Which hosts suffer from nothing.
    healthy: Vec<bool>,
    cures: Vec<(Instant, Cure)>,
    dice: fastrand::Rng,
    deck: Vec<Fault>,
    struck: BTreeMap<Fault, u32>,
}

impl Weather {
    pub(crate) fn new(server: Arc<RedisServer>, hosts: Vec<Host>, seed: u64) -> Self {
        Self {
            server,
            healthy: vec![true; hosts.len()],
            hosts,
            cures: Vec::new(),
            dice: fastrand::Rng::with_seed(seed),
            deck: Vec::new(),
            struck: BTreeMap::new(),
        }
    }

    /// Breaks things for so long, and mends them all.
    pub(crate) async fn blow(&mut self, length: Duration) {
        let until = Instant::now() + length;
        while Instant::now() < until {
            let pause = Duration::from_millis(self.dice.u64(BETWEEN_MS));
            self.wait_until(Instant::now() + pause).await;
            let fault = self.draw();
            self.strike(fault).await;
        }
        let left = self.cures.iter().map(|(at, _)| *at).max();
        self.wait_until(left.unwrap_or(until)).await;
    }

    /// Ends every host in an orderly way.
    pub(crate) async fn stop_hosts(&mut self) {
        for host in &mut self.hosts {
            host.stop().await;
        }
    }

    pub(crate) fn assert_nobody_panicked(&self) {
        for host in &self.hosts {
            let log = host.log();
            let panics: Vec<_> = log.lines().filter(|l| l.contains("panicked")).collect();
            assert!(panics.is_empty(), "{}: {panics:#?}", host.name);
        }
    }

    /// How often each kind struck, in words.
    pub(crate) fn figures(&self) -> String {
        let count = |fault| self.struck.get(&fault).copied().unwrap_or_default();
        let lost: u64 = self.hosts.iter().map(|host| host.proxy.losses()).sum();
        format!(
            "{} hosts killed, {} stopped, {} frozen past the lease, {} for less; Redis restarted {} times, frozen {}; {} connections cut, {} refused, {} stalled, {lost} answers lost",
            count(Fault::Kill),
            count(Fault::Stop),
            count(Fault::Freeze),
            count(Fault::Blink),
            count(Fault::Restart),
            count(Fault::FreezeRedis),
            count(Fault::Cut),
            count(Fault::Refuse),
            count(Fault::Stall),
        )
    }

    fn draw(&mut self) -> Fault {
        if self.deck.is_empty() {
            let all = (DECK.iter()).flat_map(|&(fault, count)| vec![fault; count]);
            self.deck = all.collect();
            self.dice.shuffle(&mut self.deck);
        }
        self.deck.pop().expect("a deck")
    }

    /// A time, in lengths of the lease.
    fn leases(&mut self, range: std::ops::Range<f64>) -> Duration {
        let leases = range.start + self.dice.f64() * (range.end - range.start);
        LEASE.mul_f64(leases)
    }

    async fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::Restart => {
                let server = self.server.clone();
                tokio::task::spawn_blocking(move || server.restart())
                    .await
                    .unwrap();
            }
            Fault::FreezeRedis => {
                self.server.freeze();
                let lasts = self.leases(0.2..1.5);
                self.cure_in(lasts, Cure::ThawRedis);
            }
            of_host => {
                let healthy = (0..self.hosts.len()).filter(|&n| self.healthy[n]);
                let Some(n) = self.dice.choice(healthy.collect::<Vec<_>>()) else {
                    return;
                };
                self.strike_host(of_host, n).await;
            }
        }
        *self.struck.entry(fault).or_default() += 1;
    }

    async fn strike_host(&mut self, fault: Fault, n: usize) {
        match fault {
            Fault::Kill => {
                self.hosts[n].kill();
                let lasts = self.leases(0.0..1.0);
                self.cure_in(lasts, Cure::Start(n));
            }
            Fault::Stop => {
                self.thaw_redis();
                self.hosts[n].stop().await;
                let lasts = self.leases(0.0..1.0);
                self.cure_in(lasts, Cure::Start(n));
            }
            Fault::Freeze | Fault::Blink => {
                self.hosts[n].freeze();
                let lasts = if fault == Fault::Freeze {
                    self.leases(1.2..3.0)
                } else {
                    self.leases(0.1..0.6)
                };
                self.cure_in(lasts, Cure::Thaw(n));
            }
            Fault::Cut => self.hosts[n].proxy.cut(),
            Fault::Refuse => {
                let proxy = &self.hosts[n].proxy;
                proxy.refuse(true);
                proxy.cut();
                let lasts = self.leases(0.1..2.0);
                self.cure_in(lasts, Cure::Accept(n));
            }
            Fault::Stall => {
                self.hosts[n].proxy.stall(true);
                let lasts = self.leases(0.1..2.0);
                self.cure_in(lasts, Cure::Pass(n));
            }
            _ => match self.dice.u8(..3) {
                // Of the next script, which may have changed anything.
                0 => self.hosts[n].proxy.lose_answer_to(b"EVALSHA"),
                // Of a step, a post or a look at a job, in the midst of it.
                _ => {
                    let bytes = self.dice.u64(..400);
                    self.hosts[n].proxy.cut_after_bytes_from_server(bytes);
                }
            },
        }
    }

    fn cure_in(&mut self, lasts: Duration, cure: Cure) {
        if let Cure::Start(n) | Cure::Thaw(n) | Cure::Accept(n) | Cure::Pass(n) = cure {
            self.healthy[n] = false;
        }
        self.cures.push((Instant::now() + lasts, cure));
    }

    fn thaw_redis(&mut self) {
        self.server.thaw();
    }

    /// Lets the time pass, with the cures that fall into it.
    async fn wait_until(&mut self, until: Instant) {
        self.cures.sort_by_key(|(at, _)| *at);
        while self.cures.first().is_some_and(|(at, _)| *at <= until) {
            let (at, cure) = self.cures.remove(0);
            tokio::time::sleep_until(at).await;
            self.mend(cure);
        }
        tokio::time::sleep_until(until).await;
        self.hosts.iter_mut().for_each(Host::assert_runs);
    }

    fn mend(&mut self, cure: Cure) {
        match cure {
            Cure::ThawRedis => return self.thaw_redis(),
            Cure::Start(n) => self.hosts[n].start(),
            Cure::Thaw(n) => self.hosts[n].thaw(),
            Cure::Accept(n) => self.hosts[n].proxy.refuse(false),
            Cure::Pass(n) => {
                self.hosts[n].proxy.cut();
                self.hosts[n].proxy.stall(false);
            }
        }
        let (Cure::Start(n) | Cure::Thaw(n) | Cure::Accept(n) | Cure::Pass(n)) = cure else {
            return;
        };
        self.healthy[n] = true;
    }
}
