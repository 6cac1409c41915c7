#!/bin/sh
# One stage of the life cycle that the marketplace runs. lifecycle.sh does it.
set -eu
exec /bin/sh "$(dirname -- "$0")/lifecycle.sh" "$(basename -- "$0" .sh)" "$@"
