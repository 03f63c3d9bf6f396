#!/bin/sh
# The server takes its database password from the environment only: read it there, from its file.
set -eu
POSTGRES_PWD="$(cat /run/keyfill/password)"
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh
