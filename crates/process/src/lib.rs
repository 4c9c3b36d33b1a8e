//! Child programs: process groups, drained stderr, cancellation, time-outs, the scratch keeper.
