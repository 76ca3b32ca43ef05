#!/usr/bin/env bash
# Plants known kinds of bugs and sees that the tests find them; see mutations.py.
#
#   tests/mutations/run.sh             all of them, some seconds each
#   tests/mutations/run.sh fork limit  those whose names contain one of the words
exec python3 "$(dirname "$0")/mutations.py" "$@"
