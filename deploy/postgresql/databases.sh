#!/bin/sh
# Runs once, in PostgreSQL's container, when its volume is still empty: a user and databases for
# Keyfill, others for Temporal, neither of which may enter the other's.
set -eu
test -s /run/keyfill/keyfill_password
test -s /run/keyfill/temporal_password
# psql reads the passwords itself: a command line is for everybody on the machine to see.
psql --set ON_ERROR_STOP=1 --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set keyfill_password `cat /run/keyfill/keyfill_password`
\set temporal_password `cat /run/keyfill/temporal_password`
CREATE ROLE keyfill LOGIN PASSWORD :'keyfill_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE keyfill OWNER keyfill;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE keyfill, temporal, temporal_visibility, postgres FROM PUBLIC;
SQL
