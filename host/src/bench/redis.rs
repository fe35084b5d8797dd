//! What the benchmark costs Redis, and a Redis that is left as it was found.

use anyhow::{Context as _, ensure};
use redis::{Client, Connection};

use super::{BenchOptions, Figure};
use crate::store::redis::Address;

fn connect(address: &Address) -> anyhow::Result<Connection> {
    let server =
        (address.server()).context("the benchmark wants one Redis server: redis://HOST:PORT/DB")?;
    Ok(Client::open(server)?.get_connection()?)
}

/// An empty database, emptied again when this is dropped.
pub(super) struct Cleared(Connection);

impl Cleared {
    pub(super) fn new(address: &Address) -> anyhow::Result<Self> {
        let mut connection = connect(address)?;
        let keys: u64 = redis::cmd("DBSIZE").query(&mut connection)?;
        ensure!(
            keys == 0,
            "the database {address} is not empty, and the benchmark empties it in the end: name another one"
        );
        Ok(Self(connection))
    }
}

impl Drop for Cleared {
    fn drop(&mut self) {
        if let Err(error) = redis::cmd("FLUSHDB").query::<()>(&mut self.0) {
            tracing::warn!(%error, "the database was not emptied");
        }
    }
}

/// CPU time and commands of a Redis since a moment.
pub(super) struct Meter {
    connection: Connection,
    cpu_s: f64,
    commands: f64,
}

impl Meter {
    /// Nothing is measured without a Redis.
    pub(super) fn start(options: &BenchOptions) -> anyhow::Result<Option<Self>> {
        let Some(address) = &options.redis else {
            return Ok(None);
        };
        let mut connection = connect(address)?;
        let (cpu_s, commands) = read(&mut connection)?;
        Ok(Some(Self {
            connection,
            cpu_s,
            commands,
        }))
    }

    /// µs of CPU and commands per job.
    pub(super) fn per_job(&mut self, jobs: usize) -> anyhow::Result<(f64, f64)> {
        let (cpu_s, commands) = read(&mut self.connection)?;
        let jobs = jobs as f64;
        Ok((
            (cpu_s - self.cpu_s) * 1e6 / jobs,
            (commands - self.commands) / jobs,
        ))
    }
}

/// Two figures from a meter, if there is one.
pub(super) fn figures(
    meter: Option<Meter>,
    jobs: usize,
    names: [&'static str; 2],
) -> anyhow::Result<Vec<Figure>> {
    let Some(mut meter) = meter else {
        return Ok(Vec::new());
    };
    let (cpu_us, commands) = meter.per_job(jobs)?;
    let [cpu_name, commands_name] = names;
    Ok(vec![
        Figure::new(cpu_name, cpu_us, "µs"),
        Figure::new(commands_name, commands, ""),
    ])
}

fn read(connection: &mut Connection) -> anyhow::Result<(f64, f64)> {
    let mut info = String::new();
    for section in ["cpu", "stats"] {
        info += &redis::cmd("INFO")
            .arg(section)
            .query::<String>(connection)?;
    }
    let field = |name: &str| -> Option<f64> {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().parse().ok())
    };
    let sum = |user: &str, system: &str| Some(field(user)? + field(system)?);
    // The main thread, where Redis tells; else the whole process.
    let cpu = sum("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
        .or_else(|| sum("used_cpu_user", "used_cpu_sys"))
        .context("Redis does not tell its CPU time")?;
    let commands = field("total_commands_processed").context("Redis does not count commands")?;
    Ok((cpu, commands))
}
