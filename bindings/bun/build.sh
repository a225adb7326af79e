#!/usr/bin/env bash
# Builds the package into dist/: its TypeScript with that of the Node package, and the addon, which is the Node package's.
set -euo pipefail
cd "$(dirname "$0")"

modules=${HONKER_NODE_MODULES:-../../target/node/package/node_modules}

[ -e ../node/dist/honker.node ] || ../node/build.sh addon
"$modules/.bin/tsc" --project tsconfig.json
node ../node/esm/schema.cjs dist/node/src
cp ../node/dist/honker.node dist/node/src/honker.node.new
mv dist/node/src/honker.node.new dist/node/src/honker.node
