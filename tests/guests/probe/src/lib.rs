//! The guest that host tests run: a function for each thing that a handler, or
//! an attacker, may do. [`calls`] uses the host's functions as they are meant,
//! [`compose`] does what its message says, [`ends`] gives the outcomes a job can
//! have, [`hostile`] misbehaves.

mod calls;
mod compose;
mod ends;
mod hostile;

skep_sdk::export!(
    // What a job can give back.
    ends::noop,
    ends::echo,
    ends::big,
    ends::short_long,
    ends::typed,
    ends::busy,
    ends::invalid,
    ends::failed,
    ends::retry,
    // What a job can ask of the host.
    calls::progress,
    calls::store,
    calls::fetch,
    calls::spawn,
    calls::wait,
    calls::models,
    calls::cancelled,
    compose::compose,
    // What no job should do.
    hostile::spin,
    hostile::grow,
    hostile::recurse,
    hostile::panic,
    hostile::trap,
    hostile::flood,
    hostile::bomb,
);
