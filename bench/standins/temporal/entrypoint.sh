#!/bin/sh
exec python3 -I /opt/relay.py
