#!/usr/bin/env bash
# Builds the package into dist/: the addon (a C compiler, and the headers of Node-API from node-api-headers) and the JavaScript
# (TypeScript). Dependencies are those of scripts/setup node.
#
#   ./build.sh            both, unless they are newer than all they are made of: others may be using them
#   ./build.sh addon|js   one of them
set -euo pipefail
cd "$(dirname "$0")"

modules=${HONKER_NODE_MODULES:-../../target/node/package/node_modules}

addon() {
  mkdir -p dist
  local flags=(-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Werror -fPIC -fvisibility=hidden)
  case $(uname -s) in
    Darwin) flags+=(-bundle -undefined dynamic_lookup) ;;
    *) flags+=(-shared -pthread) ;;
  esac
  "${CC:-cc}" "${flags[@]}" -I "$modules/node-api-headers/include" -I ../../include -o dist/honker.node.new native/*.c
  mv dist/honker.node.new dist/honker.node
}

js() {
  "$modules/.bin/tsc" --project tsconfig.json
  node esm/schema.cjs dist
  node esm/make.cjs
}

case ${1-} in
  addon) addon ;;
  js) js ;;
  *)
    # What is written last is the oldest that everything else may be.
    if [ ! -e dist/index.d.mts ] ||
      [ -n "$(find build.sh native src esm tsconfig.json package.json ../../include/honker.h ../go/schema.sql -newer dist/index.d.mts)" ]; then
      addon
      js
    fi
    ;;
esac
