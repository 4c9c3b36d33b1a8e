//! Migrations under the gate: restore point, verification, run, ledger, way back.
