//! Words and rules of holdpoint: identities, manifests, fingerprints, verifications, the gate and the ledger. No IO, no async, no clock.
