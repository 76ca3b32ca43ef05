#!/usr/bin/env bash
# Plants known kinds of bugs and sees that the tests find them; see mutations.py.
#
#   tests/mutations/run.sh             all of them, some seconds each
#   tests/mutations/run.sh fork limit  those whose names contain one of the words
#   tests/mutations/run.sh --check     whether each can still be planted: its text is in the source, its test exists
exec python3 "$(dirname "$0")/mutations.py" "$@"
