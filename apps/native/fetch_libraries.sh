#!/usr/bin/env bash
# Unpacks Debian's libjpeg-turbo and Little CMS, with their headers, into <folder>/<architecture>/usr. Needs no root:
# apt's lists and downloads go into a folder of their own. usage: fetch_libraries.sh <folder> amd64|arm64...
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: $0 <folder> amd64|arm64..." >&2
  exit 2
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
known=$(dpkg --print-architecture)
options=(-qq -o APT::Architectures="$known,$(IFS=,; echo "$*")" -o APT::Sandbox::User=
  -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache")
apt-get "${options[@]}" update
for architecture in "$@"; do
  (mkdir "$work/$architecture" && cd "$work/$architecture" && apt-get "${options[@]}" download \
    {libjpeg62-turbo,libjpeg62-turbo-dev,liblcms2-2,liblcms2-dev}:"$architecture")
  for package in "$work/$architecture"/*.deb; do dpkg -x "$package" "$work/$architecture"; done
  rm -rf "${folder:?}/$architecture" "$work/$architecture"/*.deb
  mv "$work/$architecture" "$folder/$architecture"
done
