#!/bin/sh
# Brings Temporal's two databases to the schema of its release; again is harmless.
set -eu
SQL_PASSWORD="$(cat /run/keyfill/password)"
export SQL_PASSWORD
schema=/etc/temporal/schema/postgresql/v12
bring() {
  temporal-sql-tool --plugin postgres12 --ep postgresql --port 5432 --user temporal --db "$1" \
    setup-schema --version 0.0
  temporal-sql-tool --plugin postgres12 --ep postgresql --port 5432 --user temporal --db "$1" \
    update-schema --schema-dir "$schema/$2/versioned"
}
bring temporal temporal
bring temporal_visibility visibility
