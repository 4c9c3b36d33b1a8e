//! Where restore points live: S3 and the local directory behind one port.
