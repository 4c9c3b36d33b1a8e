//! What a project of Prisma needs beside its migrations. The engine is in WebAssembly behind a driver adapter: its own
//! engine is a download.

/// `prisma.config.mjs`: a driver adapter with the URL from the environment.
pub const CONFIG: &str = r#"import { defineConfig } from "prisma/config";
import { PrismaPg } from "@prisma/adapter-pg";
export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "prisma/schema.prisma",
  adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
"#;
/// `prisma/schema.prisma`, without a model.
pub const SCHEMA: &str = "datasource db {\n  provider = \"postgresql\"\n  url = env(\"DATABASE_URL\")\n}\n";
/// `prisma/migrations/migration_lock.toml`.
pub const LOCK: &str = "provider = \"postgresql\"\n";
